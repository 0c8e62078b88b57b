use std::sync::atomic::{AtomicBool, Ordering};

use hyper::{Request, Response};
use kube::client::Body;
use serde_json::{Value, json};

use super::*;
use crate::{agent::session::Source, bus::message::Report, clock::Timestamp};

/// An API server with one node and nothing else, which lets nobody read pods
/// while `closed` is set.
#[derive(Clone, Default)]
struct Kubernetes {
    closed: Arc<AtomicBool>,
}

impl Kubernetes {
    fn client(&self) -> Client {
        let closed = Arc::clone(&self.closed);
        let service = tower::service_fn(move |request: Request<Body>| {
            let closed = closed.load(Ordering::SeqCst);
            let answer = answer(request.uri().path(), request.uri().query(), closed);
            async move {
                let Some((code, value)) = answer else {
                    // A watch in which nothing happens.
                    return std::future::pending::<Result<Response<Body>, Infallible>>().await;
                };
                let body = Body::from(serde_json::to_vec(&value).expect("JSON"));
                Ok(Response::builder().status(code).body(body).expect("an answer"))
            }
        });
        Client::new(service, "default")
    }
}

fn answer(path: &str, query: Option<&str>, closed: bool) -> Option<(u16, Value)> {
    if path == "/version" {
        let version = json!({"major": "1", "minor": "33", "gitVersion": "v1.33.2", "gitCommit": "",
            "gitTreeState": "", "buildDate": "", "goVersion": "", "compiler": "", "platform": ""});
        return Some((200, version));
    }
    if path.ends_with("/pods") && closed {
        let refused = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "code": 403, "reason": "Forbidden", "message": "pods is forbidden"});
        return Some((403, refused));
    }
    if query.is_some_and(|query| query.contains("watch=true")) {
        return None;
    }
    if path.contains("configmaps") || path.contains("metrics.k8s.io") {
        let missing = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "code": 404, "reason": "NotFound", "message": "not found"});
        return Some((404, missing));
    }
    let node = json!({"metadata": {"name": "n1", "uid": "1", "resourceVersion": "1"},
        "status": {"conditions": [{"type": "Ready", "status": "True"}]}});
    let items = if path.ends_with("/nodes") { vec![node] } else { Vec::new() };
    Some((200, json!({"metadata": {"resourceVersion": "7"}, "items": items})))
}

async fn until(observed: &Observed, wanted: impl Fn(&Report) -> bool) -> Report {
    let waiting = async {
        loop {
            if let Some(report) = observed.report(Timestamp::from_seconds(1))
                && wanted(&report)
            {
                return report;
            }
            sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(Duration::from_secs(30), waiting).await.expect("the report that is waited for")
}

#[tokio::test]
async fn a_kind_that_may_not_be_read_is_named_until_it_can_be_read() {
    let kubernetes = Kubernetes::default();
    kubernetes.closed.store(true, Ordering::SeqCst);
    let observed = Arc::new(Observed::default());
    let client = kubernetes.client();
    let own = StateStore::new(client.clone(), "palisade", "palisade-agent");
    let watch = ClusterWatch::new(client, own, Arc::clone(&observed));

    let story = async {
        let report = until(&observed, |report| !report.unreadable.is_empty()).await;
        assert_eq!(report.unreadable[0].what, "pods");
        assert!(report.unreadable[0].cause.contains("pods is forbidden"), "{report:?}");
        assert_eq!(report.nodes.total, 1, "the rest is reported all the same");

        kubernetes.closed.store(false, Ordering::SeqCst);
        let report = until(&observed, |report| report.unreadable.is_empty()).await;
        assert_eq!(report.nodes.ready, 1);
        assert_eq!(report.kubernetes_version, "v1.33.2");
    };
    tokio::select! {
        () = story => {}
        never = watch.run() => match never {},
    }
}
