//! A real Kubernetes API: etcd and kube-apiserver, without controllers and
//! kubelets, whose part the tests play.

use std::{
    net::{IpAddr, Ipv4Addr},
    path::{Path, PathBuf},
    time::Duration,
};

use rcgen::{
    BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType,
};
use reqwest::{Method, header};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::Command;

use crate::{
    app::eventually,
    peers::{Running, free_port, peer},
};

/// The token of somebody who may do everything.
const ADMIN: &str = "admin-token";
/// Who signs the tokens of service accounts, and whom they are for.
const ISSUER: &str = "https://kubernetes.default.svc";

/// One cluster. Dropping it ends it.
pub(crate) struct Kubernetes {
    url: String,
    http: reqwest::Client,
    _apiserver: Running,
    _etcd: Running,
    // Last, so that it goes when nobody writes there any more.
    directory: TempDir,
}

impl Kubernetes {
    /// Starts a cluster with nothing in it and waits until it answers.
    pub(crate) async fn start() -> Self {
        let directory = TempDir::new().expect("a directory");
        let at = |name: &str| directory.path().join(name);
        let ca = write_keys(directory.path());
        let etcd = etcd(directory.path());
        let port = free_port();
        let apiserver = Running::start(
            peer("KUBE_APISERVER"),
            |command| {
                command
                    .arg(format!("--etcd-servers={}", etcd.1))
                    .args(["--bind-address=127.0.0.1", "--insecure-port=0"])
                    .arg(format!("--secure-port={port}"))
                    .args(["--cert-dir=certificates", "--token-auth-file=tokens.csv"])
                    .args(["--tls-cert-file=tls.crt", "--tls-private-key-file=tls.key"])
                    .arg("--client-ca-file=ca.crt")
                    .args(["--authorization-mode=RBAC", "--allow-privileged=true"])
                    .args(["--service-account-signing-key-file=accounts.key"])
                    .args(["--service-account-key-file=accounts.pub"])
                    .arg(format!("--service-account-issuer={ISSUER}"))
                    .arg(format!("--api-audiences={ISSUER}"))
                    // Nobody makes tokens for pods here.
                    .arg("--disable-admission-plugins=ServiceAccount")
                    .arg("--service-cluster-ip-range=10.0.0.0/24");
            },
            &at("kube-apiserver.log"),
        );
        let ca = reqwest::Certificate::from_pem(ca.as_bytes()).expect("a CA certificate");
        let http = reqwest::Client::builder().tls_certs_only([ca]).no_proxy().build();
        let url = format!("https://127.0.0.1:{port}");
        let cluster = Self {
            url,
            http: http.expect("an HTTP client"),
            _apiserver: apiserver,
            _etcd: etcd.0,
            directory,
        };
        cluster.until_ready().await;
        cluster
    }

    async fn until_ready(&self) {
        let limit = Duration::from_mins(1);
        let ready = eventually(limit, || async {
            let request = self.http.get(format!("{}/readyz", self.url)).bearer_auth(ADMIN);
            request.send().await.ok().filter(|answer| answer.status() == 200)
        });
        ready.await;
    }

    /// An object, with all rights.
    pub(crate) async fn get(&self, path: &str) -> Value {
        self.call(Method::GET, path, "application/json", &Value::Null).await
    }

    /// A new object; the answer is what was stored.
    pub(crate) async fn create(&self, path: &str, object: Value) -> Value {
        self.call(Method::POST, path, "application/json", &object).await
    }

    /// Changes some fields of an object or of its status.
    pub(crate) async fn merge(&self, path: &str, fields: Value) -> Value {
        self.call(Method::PATCH, path, "application/merge-patch+json", &fields).await
    }

    /// Deletes an object, without waiting for anybody.
    pub(crate) async fn delete(&self, path: &str) {
        let options = json!({"gracePeriodSeconds": 0});
        self.call(Method::DELETE, path, "application/json", &options).await;
    }

    async fn call(&self, method: Method, path: &str, kind: &str, body: &Value) -> Value {
        let mut request = self.http.request(method.clone(), format!("{}{path}", self.url));
        if !body.is_null() {
            request = request.header(header::CONTENT_TYPE, kind).body(body.to_string());
        }
        let answer = request.bearer_auth(ADMIN).send().await.expect("Kubernetes answers");
        let status = answer.status();
        let text = answer.text().await.expect("a whole answer");
        assert!(status.is_success(), "{method} {path}: {status} {text}");
        serde_json::from_str(&text).expect("JSON")
    }

    /// A token of a service account, as the kubelet asks for one.
    pub(crate) async fn token_of(&self, namespace: &str, account: &str) -> String {
        let path = format!("/api/v1/namespaces/{namespace}/serviceaccounts/{account}/token");
        let request = json!({
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "spec": {"audiences": [ISSUER], "expirationSeconds": 3600},
        });
        let answer = self.create(&path, request).await;
        answer["status"]["token"].as_str().expect("a token").to_owned()
    }

    /// A kubeconfig for whoever holds `token`.
    pub(crate) fn kubeconfig(&self, user: &str, token: &str) -> PathBuf {
        let path = self.directory.path().join(format!("{user}.kubeconfig"));
        let ca = self.directory.path().join("ca.crt");
        let text = json!({
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "test", "cluster": {"server": self.url, "certificate-authority": ca}}],
            "users": [{"name": user, "user": {"token": token}}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": user}}],
            "current-context": "test",
        });
        std::fs::write(&path, text.to_string()).expect("written");
        path
    }

    /// Runs a shell command that an administrator of the cluster types.
    pub(crate) async fn shell(&self, line: &str, environment: &[(&str, &Path)]) -> String {
        let kubeconfig = self.kubeconfig("admin", ADMIN);
        let programs = peer("KUBECTL").parent().expect("a directory").display();
        let mut command = Command::new("sh");
        command
            .args(["-c", line])
            .env_clear()
            .env("PATH", format!("{programs}:/usr/bin:/bin"))
            .env("HOME", self.directory.path())
            .env("KUBECONFIG", kubeconfig)
            .envs(environment.iter().copied())
            .kill_on_drop(true);
        let output = command.output().await.expect("a shell");
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let complaint = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{line}: {said}{complaint}");
        said
    }

    /// Whether whoever the kubeconfig is for may do this, e.g. `get secrets`.
    pub(crate) async fn may(&self, kubeconfig: &Path, what: &str) -> bool {
        let mut command = Command::new(peer("KUBECTL"));
        command
            .args(["auth", "can-i"])
            .args(what.split_whitespace())
            .env("KUBECONFIG", kubeconfig)
            .env("HOME", self.directory.path());
        let output = command.kill_on_drop(true).output().await.expect("kubectl runs");
        match String::from_utf8_lossy(&output.stdout).trim() {
            "yes" => true,
            "no" => false,
            other => panic!("{what}: {other}{}", String::from_utf8_lossy(&output.stderr)),
        }
    }

    /// Where the test may leave files of this cluster.
    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }
}

fn etcd(directory: &Path) -> (Running, String) {
    let url = || format!("http://127.0.0.1:{}", free_port());
    let (clients, peers) = (url(), url());
    let running = Running::start(
        peer("ETCD"),
        |command| {
            command
                .args(["--listen-client-urls", &clients, "--advertise-client-urls", &clients])
                .args(["--listen-peer-urls", &peers])
                .args(["--data-dir", "etcd", "--unsafe-no-fsync"]);
        },
        &directory.join("etcd.log"),
    );
    (running, clients)
}

/// Writes everything that the API server reads; the answer is the CA.
fn write_keys(directory: &Path) -> String {
    let write =
        |name: &str, text: &str| std::fs::write(directory.join(name), text).expect("written");
    let mut params = CertificateParams::new(Vec::new()).expect("parameters");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    let key = KeyPair::generate().expect("a key");
    let ca = params.self_signed(&key).expect("a CA").pem();
    let issuer = Issuer::new(params, key);

    let mut params = CertificateParams::new(Vec::new()).expect("parameters");
    params.subject_alt_names = vec![SanType::IpAddress(IpAddr::V4(Ipv4Addr::LOCALHOST))];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let key = KeyPair::generate().expect("a key");
    let certificate = params.signed_by(&key, &issuer).expect("a certificate");
    write("ca.crt", &ca);
    write("tls.crt", &certificate.pem());
    write("tls.key", &key.serialize_pem());

    let accounts = KeyPair::generate().expect("a key");
    write("accounts.key", &accounts.serialize_pem());
    write("accounts.pub", &accounts.public_key_pem());
    write("tokens.csv", &format!("{ADMIN},admin,admin,system:masters\n"));
    ca
}
