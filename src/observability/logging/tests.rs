//! Lines as they come out of real events and spans.

use std::sync::Mutex;

use serde_json::{Value, json};
use tracing::{error, info, info_span, warn};

use super::*;
use crate::{
    clock::TestClock, config::Config, config::Sources, observability::span, secret::Secret,
};

/// What `act` logs.
fn logged(format: LogFormat, filter: &str, colours: bool, act: impl FnOnce()) -> String {
    let config = Config::load(Sources::only([("log.filter", filter)])).unwrap();
    let written = Arc::new(Mutex::new(String::new()));
    let sink = Arc::clone(&written);
    let clock = Arc::new(TestClock::at("2026-11-22T05:28:26.104Z".parse().unwrap()));
    let write = move |line: &str| sink.lock().unwrap().push_str(line);
    let lines = Lines { format, colours, clock, write };
    tracing::subscriber::with_default(subscriber(&config.log.filter, lines), act);
    written.lock().unwrap().clone()
}

fn as_json(act: impl FnOnce()) -> Value {
    let text = logged(LogFormat::Json, "info", false, act);
    assert_eq!(text.matches('\n').count(), 1, "one line: {text:?}");
    serde_json::from_str(&text).unwrap()
}

#[test]
fn a_json_line_is_one_flat_object() {
    let line = as_json(|| info!(target: "palisade::bus", pid = 812, ready = true, "up"));
    assert_eq!(
        line,
        json!({
            "timestamp": "2026-11-22T05:28:26.104000Z", "level": "info", "message": "up",
            "target": "palisade::bus", "pid": 812, "ready": true
        })
    );
}

#[test]
fn every_line_inside_of_a_request_carries_the_fields_of_the_request() {
    let line = as_json(|| {
        let request = span::request("r1", "GET", "/v1/clusters/{cluster}");
        request.record(span::USER, "0000000000aa");
        request.record(span::TENANT, "0000000000bb");
        request.record(span::SESSION, "00ff");
        let _request = request.entered();
        let _inner = info_span!("load", cluster = "0000000000cc", tenant = "inner").entered();
        info!(cluster = "own", "loaded");
    });
    assert_eq!(line["request_id"], "r1");
    assert_eq!(line["method"], "GET");
    assert_eq!(line["route"], "/v1/clusters/{cluster}");
    assert_eq!(line["user"], "0000000000aa");
    assert_eq!(line["session"], "00ff");
    assert_eq!(line["tenant"], "inner", "the inner span wins");
    assert_eq!(line["cluster"], "own", "the event wins");
    assert!(line.get("status").is_none(), "what is not known yet is left out");
}

#[test]
fn a_request_keeps_its_fields_when_only_errors_are_logged() {
    let text = logged(LogFormat::Json, "error", false, || {
        let _request = span::request("r1", "GET", "/healthz").entered();
        warn!("not shown");
        error!("shown");
    });
    let line: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((&line["message"], &line["request_id"]), (&json!("shown"), &json!("r1")));
}

#[test]
fn a_human_line_is_short_and_coloured_only_on_request() {
    let act = || info!(target: "palisade::bus", pid = 812, name = "a b", "the broker is up");
    assert_eq!(
        logged(LogFormat::Human, "info", false, act),
        "05:28:26.104 INFO  bus: the broker is up  pid=812 name=\"a b\"\n"
    );
    let coloured = logged(LogFormat::Human, "info", true, act);
    assert!(coloured.contains("\x1b[32mINFO \x1b[0m"), "{coloured:?}");
}

#[test]
fn text_from_outside_cannot_forge_a_line_or_steer_a_terminal() {
    let hostile = "x\n05:28:26.104 INFO forged\r\x1b[2J\u{9b}31m\u{202e}gpj.exe";
    for format in [LogFormat::Human, LogFormat::Json] {
        let text = logged(format, "info", false, || info!(name = hostile, "{hostile}"));
        assert_eq!(text.matches('\n').count(), 1, "{text:?}");
        let body = text.trim_end_matches('\n');
        assert!(!body.contains(|c: char| c.is_control() || c == '\u{202e}'), "{text:?}");
        if format == LogFormat::Json {
            let line: Value = serde_json::from_str(&text).unwrap();
            assert_eq!(line["name"], hostile, "nothing is lost");
        }
    }
}

#[test]
fn a_field_cannot_replace_the_level_or_the_time() {
    let line = as_json(|| info!(level = "forged", timestamp = 1, "real"));
    assert_eq!((&line["level"], &line["field.level"]), (&json!("info"), &json!("forged")));
    assert_eq!(line["timestamp"], "2026-11-22T05:28:26.104000Z");
}

#[test]
fn an_error_is_logged_with_its_causes_and_a_secret_is_not() {
    let error = crate::error::Error::internal(std::io::Error::other("disk gone"));
    let token = Secret::new("hunter2".to_owned());
    let line = as_json(|| {
        let error: &(dyn std::error::Error + 'static) = &error;
        error!(error, ?token, "failed");
    });
    assert_eq!(line["error"], "Something went wrong on our side: disk gone");
    assert_eq!(line["token"], "[secret]");
}

#[test]
fn by_default_only_we_tell_that_the_broker_refuses_an_agent() {
    let config = Config::load(Sources::only([("log.format", "json")])).unwrap();
    let text = logged(LogFormat::Human, config.log.filter.as_str(), false, || {
        error!(target: "async_nats::connector", "authorization violation");
        warn!(target: "palisade::agent::run", "no session");
    });
    assert!(text.contains("no session") && !text.contains("violation"), "{text}");
}

#[test]
fn the_filter_decides_by_module() {
    let text = logged(LogFormat::Human, "warn,palisade::bus=info", false, || {
        info!(target: "palisade::store", "hidden");
        info!(target: "palisade::bus", "shown");
    });
    assert!(text.contains("shown") && !text.contains("hidden"), "{text}");
}
