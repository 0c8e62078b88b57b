use std::sync::{Arc, Mutex};

use tokio::net::TcpListener;

use super::*;
use crate::{
    agent::testing::{Server, exchange, token},
    clock::SystemRandom,
};

async fn server(answer: &'static str) -> Server {
    Server::answering(move |_| answer.to_owned()).await
}

async fn ask_to_enrol(server: &Server) -> Answer {
    enrol(&server.management(), &token(), &AgentKey::generate(&SystemRandom)).await
}

const ENROLLED: &str = "HTTP/1.1 200 OK\r\nDate: Sun, 22 Nov 2026 05:28:26 GMT\r\n\
    Content-Type: application/json\r\nConnection: close\r\n\r\n\
    {\"cluster\":\"00ab12cd34ef\",\"jwt\":\"j\",\"expiresAt\":\"2026-11-23T05:28:26Z\",\
    \"serverTime\":\"2026-11-22T05:28:26Z\",\"later\":1}";

const USED: &str = "HTTP/1.1 403 Forbidden\r\nConnection: close\r\n\r\n\
    {\"type\":\"urn:palisade:problem:token-used\",\"title\":\"Forbidden\",\"status\":403,\
    \"code\":\"token-used\",\"detail\":\"This token was used already.\",\"hint\":\"Import again.\"}";

fn message(answer: Answer) -> String {
    match answer.outcome.unwrap_err() {
        Refusal::NotNow { message, .. } => message,
        refusal @ Refusal::No { .. } => panic!("{refusal:?} was final"),
    }
}

#[tokio::test]
async fn an_enrolment_sends_the_token_and_the_public_key_and_never_the_seed() {
    let server = self::server(ENROLLED).await;
    let management = server.management();
    let key = AgentKey::generate(&SystemRandom);

    let answer = enrol(&management, &token(), &key).await;

    let enrolment = answer.outcome.unwrap();
    assert_eq!((enrolment.cluster.as_str(), enrolment.jwt.as_str()), ("00ab12cd34ef", "j"));
    assert_eq!(answer.server_time, "2026-11-22T05:28:26Z".parse().ok());
    let request = server.requests.lock().unwrap().pop().unwrap();
    assert!(request.starts_with("POST /v1/agent/enrol HTTP/1.1"), "{request}");
    assert!(request.contains("\"token\":\"the-token\""));
    assert!(request.contains(key.public_key().as_str()));
    assert!(!request.contains(key.seed().expose()));
}

#[test]
fn a_renewal_is_signed_over_cluster_key_and_time() {
    let key = AgentKey::generate(&SystemRandom);
    let now = Timestamp::from_seconds(1_000);
    let request = renewal("00ab12cd34ef", &key, now);
    let signature = data_encoding::BASE64URL_NOPAD.decode(request.signature.as_bytes()).unwrap();
    let verifies = |cluster, at| {
        let text = RenewRequest::signed_text(cluster, &request.public_key, at);
        key.public_key().verifies(text.as_bytes(), &signature)
    };
    assert!(verifies("00ab12cd34ef", now));
    assert!(!verifies("00ab12cd34ee", now));
    assert!(!verifies("00ab12cd34ef", Timestamp::from_seconds(1_001)));
}

#[tokio::test]
async fn a_refused_token_is_told_in_the_words_of_management() {
    let answer = ask_to_enrol(&server(USED).await).await;
    let expected = Refusal::No {
        code: "token-used".to_owned(),
        message: "This token was used already. Import again.".to_owned(),
    };
    assert_eq!(answer.outcome.unwrap_err(), expected);
}

#[tokio::test]
async fn a_server_with_a_certificate_of_another_ca_is_refused_with_the_reason() {
    for name in ["Other CA", "Example CA"] {
        let mut server = self::server(ENROLLED).await;
        server.ca_pem = Server::of_ca(name, |_| ENROLLED.to_owned()).await.ca_pem;
        let text = message(ask_to_enrol(&server).await);
        assert!(text.contains("not signed by the CA"), "{text}");
        assert!(server.requests.lock().unwrap().is_empty(), "the token was sent to a stranger");
    }
}

#[tokio::test]
async fn an_answer_that_is_not_palisades_asks_for_the_url() {
    let page = "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n<html>Welcome</html>";
    assert!(message(ask_to_enrol(&server(page).await).await).contains("management URL"));
    let page = "HTTP/1.1 404 Not Found\r\nConnection: close\r\n\r\n<html>nginx</html>";
    assert!(message(ask_to_enrol(&server(page).await).await).contains("not Palisade"));
}

#[tokio::test]
async fn a_busy_management_is_tried_again_when_it_asks_for_it() {
    let busy = "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 7\r\nConnection: close\r\n\r\n\
        {\"code\":\"unavailable\",\"title\":\"Unavailable\",\"detail\":\"The store is down.\"}";
    let answer = ask_to_enrol(&server(busy).await).await;
    let expected = Refusal::NotNow {
        message: "The store is down. ".trim().to_owned(),
        retry_after: Some(Duration::from_secs(7)),
    };
    assert_eq!(answer.outcome.unwrap_err(), expected);
}

#[tokio::test]
async fn an_endless_answer_is_cut_off() {
    let endless: &'static str =
        Box::leak(format!("HTTP/1.1 200 OK\r\n\r\n{}", "x".repeat(LARGEST_ANSWER + 1)).into());
    assert!(message(ask_to_enrol(&server(endless).await).await).contains("too long"));
}

/// A proxy on loopback that answers every CONNECT with `answer`.
async fn proxy(answer: &'static str) -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let heads = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&heads);
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            let head = exchange(socket, &|_: &str| answer.to_owned()).await;
            seen.lock().unwrap().push(head);
        }
    });
    (url, heads)
}

#[tokio::test]
async fn a_proxy_gets_the_credentials_and_its_refusal_is_named() {
    for (answer, why) in [
        ("HTTP/1.1 407 Proxy Authentication Required\r\n\r\n", "refused the user name or password"),
        // What tinyproxy says.
        ("HTTP/1.0 401 Unauthorized\r\n\r\n", "refused the user name or password"),
        ("HTTP/1.1 403 Filtered\r\n\r\n", "refused to connect to localhost:"),
    ] {
        let server = self::server(ENROLLED).await;
        let folder = tempfile::tempdir().unwrap();
        let (url, heads) = proxy(answer).await;
        let credentials = folder.path().join("credentials");
        std::fs::write(&credentials, "me:hunter2").unwrap();
        let mut settings = server.settings(&folder);
        settings.proxy = Some(url.clone().into());
        settings.proxy_credentials_file = Some(credentials);
        let management = Management::from_settings(&settings).unwrap();

        let answer = enrol(&management, &token(), &AgentKey::generate(&SystemRandom)).await;

        let text = message(answer);
        assert!(text.contains(why) && text.contains(url.trim_start_matches("http://")), "{text}");
        assert!(!text.contains("hunter2"));
        let head = heads.lock().unwrap().pop().unwrap();
        assert!(head.starts_with("CONNECT localhost:"), "{head}");
        assert!(head.contains(&data_encoding::BASE64.encode(b"me:hunter2")), "{head}");
        assert!(server.requests.lock().unwrap().is_empty());
    }
}

#[tokio::test]
async fn an_address_where_nobody_answers_is_named_as_such() {
    let server = self::server(ENROLLED).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let closed = Server { port: listener.local_addr().unwrap().port(), ..server };
    drop(listener);
    assert!(message(ask_to_enrol(&closed).await).contains("nobody answers"));
}
