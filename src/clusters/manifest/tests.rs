use std::collections::BTreeSet;

use serde::Deserialize;
use serde_yaml_ng::Value;

use super::*;

const CA: &str = "subject=CN = Example CA\n-----BEGIN CERTIFICATE-----\nQUJD\nREVG\n\
                  -----END CERTIFICATE-----\n";

fn plain() -> ManifestInput {
    ManifestInput {
        cluster_name: "Shop floor".to_owned(),
        cluster: "00ab12cd34ef".to_owned(),
        management_url: "https://palisade.example.test".to_owned(),
        token: Secret::new("one-time-token".to_owned()),
        ca_pem: CA.to_owned(),
        image: "palisade.example.test/system/agent:0.1.0".to_owned(),
        bus_address: None,
        proxy: None,
    }
}

fn with_proxy() -> ManifestInput {
    ManifestInput {
        bus_address: Some("palisade.example.test:4222".to_owned()),
        proxy: Some(ManifestProxy {
            url: "http://proxy.example.test:3128".to_owned(),
            credentials: Some(Secret::new("me:it's \"secret\"".to_owned())),
            no_proxy: "10.0.0.0/8".to_owned(),
        }),
        ..plain()
    }
}

fn documents(input: &ManifestInput) -> Vec<Value> {
    let text = render(input);
    let parsed = serde_yaml_ng::Deserializer::from_str(text.expose());
    parsed.map(|document| Value::deserialize(document).expect("valid YAML")).collect()
}

fn document(input: &ManifestInput, kind: &str) -> Value {
    let mut all = documents(input).into_iter();
    all.find(|document| document["kind"] == kind).unwrap_or_else(|| panic!("no {kind}"))
}

fn container(input: &ManifestInput) -> Value {
    document(input, "Deployment")["spec"]["template"]["spec"]["containers"][0].clone()
}

#[test]
fn the_manifest_reads_as_it_was_reviewed() {
    insta::assert_snapshot!("plain", render(&plain()).expose());
    insta::assert_snapshot!("with_proxy", render(&with_proxy()).expose());
}

#[test]
fn the_manifest_holds_these_objects_and_no_other() {
    for input in [plain(), with_proxy()] {
        let kinds: Vec<_> =
            documents(&input).iter().map(|d| d["kind"].as_str().unwrap().to_owned()).collect();
        let expected = [
            "Namespace",
            "ServiceAccount",
            "ClusterRole",
            "ClusterRoleBinding",
            "Secret",
            "Deployment",
        ];
        assert_eq!(kinds, expected);
    }
}

/// The complete list of what an agent may do. Adding a right to the manifest
/// must fail here first.
#[test]
fn the_agent_has_exactly_these_rights() {
    let role = document(&plain(), "ClusterRole");
    let texts = |value: &Value| -> Vec<String> {
        value.as_sequence().unwrap().iter().map(|v| v.as_str().unwrap().to_owned()).collect()
    };
    let mut rights = BTreeSet::new();
    for rule in role["rules"].as_sequence().unwrap() {
        let keys: BTreeSet<_> =
            rule.as_mapping().unwrap().keys().map(|k| k.as_str().unwrap()).collect();
        assert_eq!(keys, BTreeSet::from(["apiGroups", "resources", "verbs"]));
        for group in texts(&rule["apiGroups"]) {
            for resource in texts(&rule["resources"]) {
                for verb in texts(&rule["verbs"]) {
                    assert!(
                        rights.insert(format!("{group}/{resource} {verb}")),
                        "{resource} twice"
                    );
                }
            }
        }
    }
    let mut expected = BTreeSet::from([
        "/configmaps *".to_owned(),
        "metrics.k8s.io/nodes get".to_owned(),
        "metrics.k8s.io/nodes list".to_owned(),
    ]);
    for resource in [
        "/pods",
        "/nodes",
        "/namespaces",
        "/events",
        "/services",
        "apps/deployments",
        "apps/replicasets",
        "apps/daemonsets",
        "apps/statefulsets",
    ] {
        expected.extend(["get", "list", "watch"].map(|verb| format!("{resource} {verb}")));
    }
    assert_eq!(rights, expected);
}

#[test]
fn the_rights_are_bound_to_the_agents_account_only() {
    let binding = document(&plain(), "ClusterRoleBinding");
    assert_eq!(binding["roleRef"]["name"], "palisade-agent");
    let subjects = binding["subjects"].as_sequence().unwrap();
    assert_eq!(subjects.len(), 1);
    assert_eq!(subjects[0]["kind"], "ServiceAccount");
    assert_eq!(subjects[0]["name"], "palisade-agent");
    assert_eq!(subjects[0]["namespace"], NAMESPACE);
}

#[test]
fn the_pod_is_as_restricted_as_kubernetes_allows() {
    let deployment = document(&plain(), "Deployment");
    assert_eq!(deployment["spec"]["strategy"]["type"], "Recreate");
    let pod = &deployment["spec"]["template"]["spec"];
    assert_eq!(pod["securityContext"]["runAsNonRoot"], true);
    assert_eq!(pod["securityContext"]["runAsUser"], 65532);
    assert_eq!(pod["securityContext"]["seccompProfile"]["type"], "RuntimeDefault");
    for absent in ["hostNetwork", "hostPID", "hostIPC"] {
        assert!(pod.get(absent).is_none());
    }
    assert_eq!(pod["containers"].as_sequence().unwrap().len(), 1);
    let container = container(&plain());
    let context = &container["securityContext"];
    assert_eq!(context["allowPrivilegeEscalation"], false);
    assert_eq!(context["readOnlyRootFilesystem"], true);
    assert_eq!(context["capabilities"]["drop"][0], "ALL");
    assert!(context["capabilities"].get("add").is_none());
    assert_eq!(container["resources"]["limits"]["memory"], "32Mi");
    assert_eq!(container["resources"]["requests"]["memory"], "32Mi");
    let volume = &pod["volumes"][0]["secret"];
    assert_eq!(volume["defaultMode"], 0o440);
}

#[test]
fn token_and_credentials_stand_in_the_secret_and_nowhere_else() {
    let input = with_proxy();
    let secret = document(&input, "Secret");
    assert_eq!(secret["stringData"]["token"], "one-time-token");
    assert_eq!(secret["stringData"]["proxy-credentials"], "me:it's \"secret\"");
    let pem = "-----BEGIN CERTIFICATE-----\nQUJD\nREVG\n-----END CERTIFICATE-----\n";
    assert_eq!(secret["stringData"]["ca.crt"], pem);
    for document in documents(&input) {
        if document["kind"] != "Secret" {
            let text = serde_yaml_ng::to_string(&document).unwrap();
            assert!(!text.contains("one-time-token") && !text.contains("secret\\\""));
        }
    }
}

#[test]
fn the_environment_names_the_proxy_only_when_there_is_one() {
    let names = |input: &ManifestInput| -> Vec<String> {
        let container = container(input);
        let env = container["env"].as_sequence().unwrap().iter();
        env.map(|entry| entry["name"].as_str().unwrap().to_owned()).collect()
    };
    assert!(!names(&plain()).iter().any(|name| name.contains("PROXY")));
    let with_proxy = names(&with_proxy());
    for name in ["PALISADE_PROXY", "PALISADE_PROXY_CREDENTIALS_FILE", "PALISADE_NO_PROXY"] {
        assert!(with_proxy.iter().any(|known| known == name), "{name}");
    }
    assert!(with_proxy.iter().any(|name| name == "PALISADE_BUS_ADDRESS"));
}

#[test]
fn no_value_can_add_to_the_manifest() {
    let evil =
        "x\"\nkind: Secret\n---\nkind: ClusterRoleBinding\n# {{token}} \u{2028}\u{7f}\u{85}é";
    let input = ManifestInput {
        cluster_name: evil.to_owned(),
        cluster: evil.to_owned(),
        management_url: evil.to_owned(),
        token: Secret::new(evil.to_owned()),
        ca_pem: format!("{evil}\n{CA}{evil}\n-----BEGIN CERTIFICATE-----\n{evil}"),
        image: evil.to_owned(),
        bus_address: Some(evil.to_owned()),
        proxy: Some(ManifestProxy {
            url: evil.to_owned(),
            credentials: Some(Secret::new(evil.to_owned())),
            no_proxy: evil.to_owned(),
        }),
    };
    assert_eq!(documents(&input).len(), documents(&plain()).len());
    assert_eq!(document(&input, "Secret")["stringData"]["token"], evil);
    assert_eq!(container(&input)["image"], evil);
}

#[test]
fn a_new_token_or_ca_restarts_the_agent() {
    let digest = |input: &ManifestInput| {
        let deployment = document(input, "Deployment");
        let annotations = &deployment["spec"]["template"]["metadata"]["annotations"];
        annotations["palisade.agent/import"].as_str().unwrap().to_owned()
    };
    let token = ManifestInput { token: Secret::new("other".to_owned()), ..plain() };
    let ca = ManifestInput { ca_pem: CA.replace("QUJD", "QUJE"), ..plain() };
    assert_eq!(digest(&plain()), digest(&plain()));
    assert_ne!(digest(&plain()), digest(&token));
    assert_ne!(digest(&plain()), digest(&ca));
}
