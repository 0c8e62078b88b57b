use serde_json::{Value, json};

use super::*;
use crate::{
    agent::testing::{Cluster, Server, token},
    bus::{keys::AgentPublicKey, message::RenewRequest},
    clock::{SystemRandom, TestClock},
};

const PATH: &str = "/api/v1/namespaces/palisade-system/configmaps/palisade-agent-state";
const NOW: Timestamp = Timestamp::from_seconds(1_795_325_306);
/// [`NOW`] as an HTTP server says it.
const DATE: &str = "Sun, 22 Nov 2026 05:28:26 GMT";

fn enrolled() -> String {
    format!(
        "HTTP/1.1 200 OK\r\nDate: {DATE}\r\nConnection: close\r\n\r\n{}",
        json!({"cluster": "00ab12cd34ef", "jwt": "j", "serverTime": NOW,
            "expiresAt": NOW.plus(Duration::from_mins(5))})
    )
}

fn refused(code: &str) -> String {
    let problem = json!({"code": code, "title": "No", "detail": "No."});
    format!("HTTP/1.1 403 Forbidden\r\nDate: {DATE}\r\nConnection: close\r\n\r\n{problem}")
}

fn body(request: &str) -> Value {
    serde_json::from_str(request.split_once("\r\n\r\n").unwrap().1).unwrap()
}

fn keeper(server: &Server, cluster: &Cluster, token: &Secret<String>, now: Timestamp) -> Keeper {
    Keeper::new(
        server.management(),
        TokenSource::Value(token.clone()),
        StateStore::new(cluster.client(), "palisade-system", "palisade-agent-state"),
        Arc::new(TestClock::at(now)),
        Arc::new(SystemRandom),
    )
}

#[tokio::test]
async fn the_key_is_kept_before_management_hears_of_it() {
    let cluster = Cluster::default();
    let seen = cluster.clone();
    let server = Server::answering(move |request| {
        let kept = seen.configmaps()[PATH]["data"]["publicKey"].clone();
        assert_eq!(kept, body(request)["publicKey"], "the key was sent before it was kept");
        enrolled()
    })
    .await;

    let identity = keeper(&server, &cluster, &token(), NOW).try_obtain(&token()).await.unwrap();

    assert_eq!(identity.enrolment.cluster, "00ab12cd34ef");
    let kept = cluster.configmaps()[PATH].to_string();
    assert!(kept.contains("00ab12cd34ef") && !kept.contains(identity.key.seed().expose()));
}

#[tokio::test]
async fn a_token_is_not_spent_while_the_key_cannot_be_kept() {
    let cluster = Cluster::default();
    cluster.allow_writes(Some(0));
    let server = Server::answering(|_| enrolled()).await;

    let refusal = keeper(&server, &cluster, &token(), NOW).try_obtain(&token()).await.unwrap_err();

    assert!(
        refusal.to_string().contains("cannot be written: configmaps is forbidden"),
        "{refusal}"
    );
    assert_eq!(server.count(), 0);
}

#[tokio::test]
async fn a_restarted_agent_is_the_same_agent_and_does_not_enrol_again() {
    let cluster = Cluster::default();
    let server = Server::answering(|_| enrolled()).await;
    let first = keeper(&server, &cluster, &token(), NOW).try_obtain(&token()).await.unwrap();

    let second = keeper(&server, &cluster, &token(), NOW).try_obtain(&token()).await.unwrap();

    assert_eq!(first.key.public_key(), second.key.public_key());
    assert_eq!(second.enrolment.jwt, "j");
    assert_eq!(server.count(), 1);
}

#[tokio::test]
async fn an_agent_that_died_before_writing_its_enrolment_asks_again_with_the_same_key() {
    let cluster = Cluster::default();
    let server = Server::answering(|_| enrolled()).await;
    // The key is written, the enrolment is not.
    cluster.allow_writes(Some(1));
    let first = keeper(&server, &cluster, &token(), NOW).try_obtain(&token()).await.unwrap();
    cluster.allow_writes(None);

    let second = keeper(&server, &cluster, &token(), NOW).try_obtain(&token()).await.unwrap();

    assert_eq!(first.key.public_key(), second.key.public_key());
    assert_eq!(server.count(), 2);
    assert!(cluster.configmaps()[PATH]["data"]["enrolment"].is_string());
}

#[tokio::test]
async fn another_token_makes_another_agent() {
    let cluster = Cluster::default();
    let server = Server::answering(|_| enrolled()).await;
    let other = Secret::new("another".to_owned());
    let first = keeper(&server, &cluster, &token(), NOW).try_obtain(&token()).await.unwrap();
    let second = keeper(&server, &cluster, &other, NOW).try_obtain(&other).await.unwrap();
    assert_ne!(first.key.public_key(), second.key.public_key());
    assert_eq!(server.count(), 2);
}

#[tokio::test]
async fn a_configmap_that_is_no_identity_is_replaced() {
    let cluster = Cluster::default();
    cluster.put(PATH, &json!({"publicKey": "nonsense"}));
    let server = Server::answering(|_| enrolled()).await;
    keeper(&server, &cluster, &token(), NOW).try_obtain(&token()).await.unwrap();
    assert!(cluster.configmaps()[PATH]["data"]["sealedSeed"].is_string());
}

#[tokio::test]
async fn a_used_token_is_a_clear_no() {
    let server = Server::answering(|_| refused("token-used")).await;
    let cluster = Cluster::default();
    let refusal = keeper(&server, &cluster, &token(), NOW).try_obtain(&token()).await.unwrap_err();
    assert!(matches!(refusal, Refusal::No { code, .. } if code == "token-used"));
}

/// Management's rule for renewals: a valid signature over a time close to its own.
fn renewal(request: &str) -> String {
    let request: RenewRequest = serde_json::from_value(body(request)).unwrap();
    let off = request.at.since(NOW).max(NOW.since(request.at));
    let key: AgentPublicKey = request.public_key.parse().unwrap();
    let text = RenewRequest::signed_text(&request.cluster, &request.public_key, request.at);
    let signature = data_encoding::BASE64URL_NOPAD.decode(request.signature.as_bytes()).unwrap();
    let good = off < Duration::from_mins(5) && key.verifies(text.as_bytes(), &signature);
    if good { enrolled() } else { refused("bad-signature") }
}

#[tokio::test]
async fn a_node_whose_clock_is_wrong_renews_with_managements_time() {
    for hours_off in [0, 1, 24 * 365] {
        let server = Server::answering(renewal).await;
        let wrong = NOW.plus(Duration::from_hours(hours_off));
        let mut keeper = keeper(&server, &Cluster::default(), &token(), wrong);
        let key = AgentKey::generate(&SystemRandom);

        keeper.try_renew(&key, "00ab12cd34ef").await.expect("renewed");
        keeper.try_renew(&key, "00ab12cd34ef").await.expect("renewed again");

        // The clock is learnt once, and at the price of one request.
        assert_eq!(server.count(), if hours_off == 0 { 2 } else { 3 });
    }
}

#[tokio::test]
async fn a_removed_cluster_is_refused_without_asking_twice() {
    let server = Server::answering(|_| refused("not-found")).await;
    let mut keeper = keeper(&server, &Cluster::default(), &token(), NOW);
    let key = AgentKey::generate(&SystemRandom);
    let refusal = keeper.try_renew(&key, "00ab12cd34ef").await.unwrap_err();
    assert!(matches!(refusal, Refusal::No { .. }));
    assert_eq!(server.count(), 1);
}

#[test]
fn credentials_are_renewed_at_two_thirds_of_their_life_by_managements_clock() {
    let identity = Identity {
        key: AgentKey::generate(&SystemRandom),
        enrolment: Enrolment {
            cluster: "00ab12cd34ef".to_owned(),
            jwt: String::new(),
            server_time: NOW,
            expires_at: NOW.plus(Duration::from_mins(5)),
        },
    };
    assert_eq!(identity.renew_at(), NOW.plus(Duration::from_secs(200)));
}

#[tokio::test]
async fn an_enrolment_that_could_not_be_written_is_written_later() {
    let cluster = Cluster::default();
    let server = Server::answering(|_| enrolled()).await;
    cluster.allow_writes(Some(1));
    let mut keeper = keeper(&server, &cluster, &token(), NOW);
    let identity = keeper.try_obtain(&token()).await.unwrap();
    assert!(keeper.unsaved);
    cluster.allow_writes(None);
    keeper.keep(&identity).await;
    assert!(!keeper.unsaved);
    assert!(cluster.configmaps()[PATH]["data"]["enrolment"].is_string());
}
