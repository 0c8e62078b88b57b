//! The server certificate, as an administrator exchanges it.

use palisade::{
    bus::dial::Tls,
    certificates::InternalCa,
    clock::{Clock, SystemClock, SystemRandom},
    secret::Secret,
};
use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair, KeyUsagePurpose};
use reqwest::Method;
use serde_json::json;

use crate::{app::TestApp, client::Client};

/// An authority that the appliance has nothing to do with.
fn corporate() -> (InternalCa, String) {
    let key = KeyPair::generate().expect("a key");
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    let root = params.self_signed(&key).expect("a root").pem();
    (InternalCa::new(&root, &Secret::new(key.serialize_pem())).expect("an authority"), root)
}

#[tokio::test]
async fn an_imported_certificate_is_shown_to_people_at_once_and_cuts_off_no_agent() {
    let t = TestApp::start().await;
    let system = t.set_up().await;
    let before = t.app.certificates().current().anchor_pem().to_owned();
    let (ca, root) = corporate();
    let names = ["localhost", "127.0.0.1", "::1"].map(|name| name.parse().expect("a name"));
    let issued =
        ca.issue_server(&names, None, SystemClock.now(), &SystemRandom).expect("a certificate");
    let body = json!({
        "certificate": format!("{}\n{root}", issued.chain_pem()),
        "privateKey": issued.key_pem().expose(),
    });
    let import = system.request(Method::PUT, "/v1/settings/certificate").json(&body);
    let imported = system.send(import).await;
    imported.assert_status(200);

    // People need the corporate authority from now on …
    let person = Client::new(&t.url, &root);
    person.get("/v1/context").await.assert_status(200);
    let old = Client::new(&t.url, &before).request(Method::GET, "/v1/context").send().await;
    old.expect_err("the old authority has not signed what is shown now");
    // So do programs on this machine, which look into the data directory.
    let anchor = std::fs::read_to_string(t.app.config().storage.anchor_file()).expect("there");
    assert_eq!(anchor.trim().replace('\r', ""), root.trim().replace('\r', ""));
    // … and an agent that was imported before still finds what it trusts.
    let tls = Tls::new(Some(&before)).expect("roots");
    let port = t.url.rsplit_once(':').expect("a port").1.parse().expect("a number");
    let stream = palisade::bus::dial::dial(None, "localhost", port).await.expect("a connection");
    tls.handshake("localhost", stream).await.expect("the internal certificate");

    // After a restart it is the same.
    let directory = t.stop().await;
    let t = TestApp::start_in(directory, &[]).await;
    let port = t.url.rsplit_once(':').expect("a port").1.parse().expect("a number");
    let stream = palisade::bus::dial::dial(None, "localhost", port).await.expect("a connection");
    tls.handshake("localhost", stream).await.expect("the internal certificate");
    Client::new(&t.url, &root).get("/v1/context").await.assert_status(200);
}
