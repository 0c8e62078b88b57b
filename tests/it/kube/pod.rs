//! The agent's pod, run as a kubelet would run it: by what Kubernetes has
//! stored of its Deployment, with the volumes and the token that this names.

use std::{
    collections::BTreeSet,
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    time::Duration,
};

use serde_json::{Value, json};
use tokio::time::Instant;

use super::cluster::Kubernetes;
use crate::peers::Running;

/// Where the manifest puts the agent.
pub(crate) const NAMESPACE: &str = "/api/v1/namespaces/palisade-system";
pub(crate) const DEPLOYMENT: &str =
    "/apis/apps/v1/namespaces/palisade-system/deployments/palisade-agent";

/// The agent's process.
pub(crate) struct Pod {
    running: Running,
}

impl Pod {
    /// Starts the container `args` and `env` of the Deployment. `kubeconfig` is
    /// for the pod's service account: what differs from a pod is only that it
    /// is named by an argument instead of being found at its usual place.
    pub(crate) async fn start(kubernetes: &Kubernetes, name: &str, kubeconfig: &Path) -> Self {
        let deployment = kubernetes.get(DEPLOYMENT).await;
        let spec = &deployment["spec"]["template"]["spec"];
        assert_eq!(spec["serviceAccountName"], "palisade-agent");
        let container = &spec["containers"][0];
        let root = kubernetes.directory().join(name);
        let mounts = mount(kubernetes, spec, container, &root).await;
        let here = |text: &str| {
            mounts.iter().fold(text.to_owned(), |text, (there, here)| {
                text.replace(there, here.to_str().expect("a plain path"))
            })
        };
        let environment = array(&container["env"]).map(|variable| {
            let value = match &variable["valueFrom"]["fieldRef"]["fieldPath"] {
                Value::Null => here(variable["value"].as_str().expect("a value")),
                path if path == "metadata.namespace" => "palisade-system".to_owned(),
                other => panic!("a kubelet would know {other}, this one does not"),
            };
            (variable["name"].as_str().expect("a name").to_owned(), value)
        });
        let environment: Vec<_> = environment.collect();
        let arguments = array(&container["args"]).map(|text| text.as_str().expect("text"));
        let arguments: Vec<_> = arguments.collect();
        let running = Running::start(
            Path::new(env!("CARGO_BIN_EXE_palisade")),
            |command| {
                command.args(arguments).arg("--kubeconfig").arg(kubeconfig);
                command.env_clear().envs(environment).env("PATH", "/usr/bin:/bin");
            },
            &kubernetes.directory().join(format!("{name}.log")),
        );
        // What the controllers say of a Deployment whose only pod runs.
        let status = json!({"status": {
            "observedGeneration": deployment["metadata"]["generation"],
            "replicas": 1, "updatedReplicas": 1, "readyReplicas": 1, "availableReplicas": 1,
        }});
        kubernetes.merge(&format!("{DEPLOYMENT}/status"), status).await;
        Self { running }
    }

    /// The lines of the agent's log that say this.
    pub(crate) fn lines(&self, sign: &str) -> Vec<Value> {
        let log = self.running.log();
        let lines = log.lines().filter(|line| line.contains(sign));
        lines.map(|line| serde_json::from_str(line).expect("a JSON line")).collect()
    }

    /// Waits until the agent's log says this.
    pub(crate) async fn until_it_says(&self, sign: &str, limit: Duration) -> Value {
        let deadline = Instant::now() + limit;
        loop {
            if let Some(line) = self.lines(sign).into_iter().next() {
                return line;
            }
            let log = self.running.log();
            assert!(Instant::now() < deadline, "the agent does not say {sign:?}:\n{log}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// The ports that the agent has connections to at this moment.
    pub(crate) fn connected_ports(&self) -> BTreeSet<u16> {
        connected_ports(self.running.id())
    }

    /// Ends it without any farewell.
    pub(crate) fn kill(self) {
        self.running.kill();
    }
}

/// Writes the Secrets that the container mounts below `root`; answers which
/// directory stands for which.
async fn mount(
    kubernetes: &Kubernetes,
    spec: &Value,
    container: &Value,
    root: &Path,
) -> Vec<(String, PathBuf)> {
    let mut mounted = Vec::new();
    for mount in array(&container["volumeMounts"]) {
        let mut volumes = array(&spec["volumes"]);
        let volume = volumes.find(|volume| volume["name"] == mount["name"]).expect("a volume");
        let secret = volume["secret"]["secretName"].as_str().expect("a Secret");
        let secret = kubernetes.get(&format!("{NAMESPACE}/secrets/{secret}")).await;
        let directory = root.join(mount["name"].as_str().expect("a name"));
        fs::create_dir_all(&directory).expect("a directory");
        for (name, value) in secret["data"].as_object().expect("data") {
            let bytes = data_encoding::BASE64.decode(value.as_str().expect("text").as_bytes());
            let path = directory.join(name);
            let _ = fs::remove_file(&path);
            fs::write(&path, bytes.expect("base64")).expect("written");
            let mode = volume["secret"]["defaultMode"].as_u64().expect("a mode");
            let mode = u32::try_from(mode).expect("a mode");
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("a mode");
        }
        mounted.push((mount["mountPath"].as_str().expect("a path").to_owned(), directory));
    }
    mounted
}

fn array(value: &Value) -> std::slice::Iter<'_, Value> {
    value.as_array().map(Vec::as_slice).unwrap_or_default().iter()
}

/// The remote ports of the process's own TCP connections.
fn connected_ports(process: u32) -> BTreeSet<u16> {
    let sockets = fs::read_dir(format!("/proc/{process}/fd")).into_iter().flatten().flatten();
    let sockets = sockets.filter_map(|entry| fs::read_link(entry.path()).ok());
    let sockets: BTreeSet<String> = sockets
        .filter_map(|link| {
            Some(link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.to_owned())
        })
        .collect();
    let mut ports = BTreeSet::new();
    for table in ["tcp", "tcp6"] {
        let text = fs::read_to_string(format!("/proc/{process}/net/{table}")).unwrap_or_default();
        for line in text.lines().skip(1) {
            let columns: Vec<_> = line.split_whitespace().collect();
            let [_, _, remote, state, ..] = columns[..] else { continue };
            // 01 is an established connection; the tenth column is the socket.
            if state == "01" && columns.get(9).is_some_and(|inode| sockets.contains(*inode)) {
                let (_, port) = remote.rsplit_once(':').expect("address:port");
                ports.insert(u16::from_str_radix(port, 16).expect("a port"));
            }
        }
    }
    ports
}
