//! Lines of the protocol, as they are written and understood.

use super::*;

fn understood(line: &str) -> Result<Envelope, String> {
    serde_json::from_str(line).map_err(|error| error.to_string())
}

#[test]
fn a_request_is_a_line_that_a_person_could_type() {
    let envelope = Envelope {
        request: Logs { source: LogSource::FirstBoot, lines: 20 }.into(),
        credentials: Some(Credentials::Password {
            email: "ada@example.com".to_owned(),
            password: Secret::new("hunter2".to_owned()),
        }),
        on_behalf_of: None,
    };
    let line = serde_json::to_string(&envelope).expect("JSON");
    assert_eq!(
        line,
        r#"{"request":{"logs":{"source":"firstBoot","lines":20}},"credentials":{"password":{"email":"ada@example.com","password":"hunter2"}}}"#
    );
    assert!(!format!("{envelope:?}").contains("hunter2"));
    let again = understood(&line).expect("its own line");
    assert_eq!(serde_json::to_string(&again).expect("JSON"), line);
}

#[test]
fn the_kit_that_opens_the_keystore_is_the_proof_and_is_never_shown() {
    let ask = RecoverKeystore { kit: Secret::new("7KQM-2XWD".to_owned()) };
    let envelope = Envelope { request: ask.into(), credentials: None, on_behalf_of: None };
    let line = serde_json::to_string(&envelope).expect("JSON");
    assert_eq!(line, r#"{"request":{"recoverKeystore":{"kit":"7KQM-2XWD"}}}"#);
    assert!(!format!("{envelope:?}").contains("7KQM"), "{envelope:?}");
    let again = understood(&line).expect("its own line");
    let Some(Credentials::RecoveryKit(kit)) = again.request.proof() else {
        panic!("{:?}", again.request)
    };
    assert_eq!(kit.expose(), "7KQM-2XWD");
    let restore = RestoreData { before: "1.2.0".parse().expect("a version") };
    let restore = Request::from(restore);
    assert!(restore.proof().is_none(), "whoever wants data back has to say who he is");
    for request in [again.request, restore] {
        assert!(matches!(request.need(), Need::Change { .. }), "{request:?}");
    }
}

#[test]
fn what_is_not_known_is_refused_and_named() {
    for (line, named) in [
        (r#"{"request":{"format":{}}}"#, "unknown variant `format`"),
        (r#"{"request":{"logs":{"source":"--file=/etc/shadow","lines":1}}}"#, "unknown variant"),
        (
            r#"{"request":{"logs":{"source":"kernel","lines":1,"grep":"x"}}}"#,
            "unknown field `grep`",
        ),
        (r#"{"request":{"power":"reboot"},"asUser":0}"#, "unknown field `asUser`"),
        (r#"{"request":{"logs":{"source":"kernel","lines":-1}}}"#, "invalid value"),
        ("reboot", "expected value"),
    ] {
        let refused = understood(line).expect_err(line);
        assert!(refused.contains(named), "{line}: {refused}");
    }
}

#[test]
fn every_kind_of_failure_keeps_its_kind_through_the_socket() {
    for (_, kind) in KINDS {
        let error = Error::new(*kind, "some-code", "A sentence.")
            .with_hint("What next.")
            .with_field("node.ipv4", "is no address");
        let line = serde_json::to_string(&Failure::from(&error)).expect("JSON");
        let failure: Failure = serde_json::from_str(&line).expect("its own line");
        assert_eq!(failure.code, "some-code");
        let again = Error::from(failure);
        assert_eq!((again.kind(), again.code()), (*kind, "some-code"));
        assert_eq!(again.message(), "A sentence.");
        assert_eq!((again.hint(), again.fields()), (Some("What next."), error.fields()));
    }
}
