//! The credentials of the bus: JSON Web Tokens as `nats-server` reads them.
//!
//! Owns: what the operator, the accounts and the users may do.
//! Must not know: where tokens are sent. Everything here is pure: the same
//! input gives the same text, and time comes in as a parameter.
//!
//! How the accounts hang together:
//!
//! * The *control* account exports `up.*.>` and `ctl.*.>` (agents speak) and
//!   `dn.*.>` (agents listen), each only to bearers of an activation.
//! * The account of tenant T imports `up.T.>`, `ctl.T.>` and `dn.T.>` as
//!   `up.>`, `ctl.>` and `dn.>`. So the broker itself writes the tenant into
//!   every subject, and tenants have nothing in common.
//! * Control imports nothing. Its token stays as small as it is however many
//!   tenants there are, and adding one touches no other account. (Imports on
//!   control's side cost 2 KiB for each tenant: at 500 tenants the token would
//!   no longer fit into one message.)

use std::{collections::BTreeMap, time::Duration};

use data_encoding::{BASE32_NOPAD, BASE64URL_NOPAD};
use nkeys::KeyPair;
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::{keys::AgentPublicKey, subject, trust::Trust};
use crate::{
    clock::Timestamp,
    ids::{ClusterId, TenantId},
};

/// Users whose credentials up to that moment are void.
pub type Revocations = BTreeMap<AgentPublicKey, Timestamp>;

/// The most subscriptions of one agent: its commands, its inbox, and some to grow.
const AGENT_SUBSCRIPTIONS: i64 = 16;

/// No limit.
const UNLIMITED: i64 = -1;

/// The token of the operator, which names the system account.
pub(super) fn operator(trust: &Trust, now: Timestamp) -> String {
    let nats =
        Operator { system_account: trust.system().public_key(), typed: Typed::new("operator") };
    sign(trust.operator(), &trust.operator().public_key(), "palisade", now, None, &nats)
}

/// The system account: the broker's events and claims, for us alone.
pub(super) fn system_account(trust: &Trust, now: Timestamp) -> String {
    account(trust, &trust.system().public_key(), "system", now, &Account::default())
}

/// The control account. It is the same for any set of tenants.
pub(super) fn control_account(trust: &Trust, now: Timestamp) -> String {
    let export = |name: &'static str, kind| Export {
        name,
        subject: format!("{name}.*.>"),
        kind,
        token_req: true,
    };
    let exports = vec![
        export(subject::UP, "service"),
        export(subject::CTL, "service"),
        export(subject::DN, "stream"),
    ];
    let nats = Account { exports, ..Account::default() };
    account(trust, &trust.control().public_key(), "control", now, &nats)
}

/// A key that was revoked never comes back, so everything is refused that was
/// issued to it, also by a clock that went ahead of today's.
const REVOKED_BEYOND: Duration = Duration::from_hours(24 * 400);

/// The account of a tenant.
pub(super) fn tenant_account(
    trust: &Trust,
    tenant: TenantId,
    revocations: &Revocations,
    now: Timestamp,
) -> String {
    let key = trust.tenant(tenant).public_key();
    let import = |name: &'static str, kind| {
        let subject = format!("{name}.{tenant}.>");
        Import {
            name,
            token: activation(trust, &key, &subject, kind),
            account: trust.control().public_key(),
            subject,
            local_subject: format!("{name}.>"),
            kind,
        }
    };
    let nats = Account {
        imports: vec![
            import(subject::UP, "service"),
            import(subject::CTL, "service"),
            import(subject::DN, "stream"),
        ],
        revocations: revocations
            .iter()
            .map(|(key, at)| (key.as_str().to_owned(), at.plus(REVOKED_BEYOND).as_seconds()))
            .collect(),
        ..Account::default()
    };
    account(trust, &key, &tenant.to_string(), now, &nats)
}

/// Our client on the system account.
pub(super) fn system_user(trust: &Trust, now: Timestamp) -> String {
    user(trust.system(), &trust.system_user().public_key(), "system", now, None, &User::default())
}

/// Our client on the control account.
pub(super) fn control_user(trust: &Trust, now: Timestamp) -> String {
    user(
        trust.control(),
        &trust.control_user().public_key(),
        "control",
        now,
        None,
        &User::default(),
    )
}

/// The credentials of an agent: its own subjects and nothing else.
///
/// There is no permission to answer on foreign reply subjects: an agent answers
/// on `ctl.<cluster>.answer.>`, which it may publish to anyway.
pub(super) fn agent(
    trust: &Trust,
    tenant: TenantId,
    cluster: ClusterId,
    key: &AgentPublicKey,
    now: Timestamp,
    expires: Timestamp,
) -> String {
    let nats = User {
        publish: Allow::only([
            format!("{}.{cluster}.>", subject::UP),
            format!("{}.{cluster}.>", subject::CTL),
        ]),
        subscribe: Allow::only([
            subject::commands(cluster),
            format!("{}.>", subject::inbox(cluster)),
        ]),
        subs: AGENT_SUBSCRIPTIONS,
        ..User::default()
    };
    let account = trust.tenant(tenant);
    user(&account, key.as_str(), &cluster.to_string(), now, Some(expires), &nats)
}

/// The request to forget accounts.
pub(super) fn account_removal(trust: &Trust, accounts: &[String], now: Timestamp) -> String {
    let operator = trust.operator().public_key();
    let nats = Removal { accounts, typed: Typed::new("generic") };
    sign(trust.operator(), &operator, "removal", now, None, &nats)
}

/// What an account token says, apart from when it was issued: two tokens with
/// the same content need not replace each other. `None` if it is no token.
pub(super) fn content(token: &str) -> Option<serde_json::Value> {
    let payload = token.split('.').nth(1)?;
    let bytes = BASE64URL_NOPAD.decode(payload.as_bytes()).ok()?;
    let mut claims: serde_json::Value = serde_json::from_slice(&bytes).ok()?;
    let fields = claims.as_object_mut()?;
    fields.remove("iat");
    fields.remove("jti");
    Some(claims)
}

/// The permission of tenant account `importer` to use an export of control. It
/// bears no time, so that the same import has the same text in every token.
fn activation(trust: &Trust, importer: &str, subject: &str, kind: &'static str) -> String {
    let nats = Activation { subject, kind, typed: Typed::new("activation") };
    sign(trust.control(), importer, subject, Timestamp::from_seconds(0), None, &nats)
}

fn account(trust: &Trust, key: &str, name: &str, now: Timestamp, nats: &Account) -> String {
    sign(trust.operator(), key, name, now, None, nats)
}

fn user(
    account: &KeyPair,
    key: &str,
    name: &str,
    now: Timestamp,
    expires: Option<Timestamp>,
    nats: &User,
) -> String {
    sign(account, key, name, now, expires, nats)
}

fn sign<N: Serialize>(
    issuer: &KeyPair,
    subject: &str,
    name: &str,
    now: Timestamp,
    expires: Option<Timestamp>,
    nats: &N,
) -> String {
    let mut claims = Claims {
        exp: expires.map(Timestamp::as_seconds),
        iat: Some(now.as_seconds()).filter(|seconds| *seconds != 0),
        iss: issuer.public_key(),
        jti: String::new(),
        name,
        sub: subject,
        nats,
    };
    // The identifier is the fingerprint of everything else.
    claims.jti = BASE32_NOPAD.encode(&Sha256::digest(json(&claims)));
    let header = BASE64URL_NOPAD.encode(br#"{"typ":"JWT","alg":"ed25519-nkey"}"#);
    let text = format!("{header}.{}", BASE64URL_NOPAD.encode(&json(&claims)));
    let signature = issuer.sign(text.as_bytes()).expect("our key pairs have their seeds");
    format!("{text}.{}", BASE64URL_NOPAD.encode(&signature))
}

fn json<T: Serialize>(value: &T) -> Vec<u8> {
    serde_json::to_vec(value).expect("claims are strings, numbers and lists of them")
}

#[derive(Serialize)]
struct Claims<'a, N> {
    #[serde(skip_serializing_if = "Option::is_none")]
    exp: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    iat: Option<i64>,
    iss: String,
    jti: String,
    name: &'a str,
    sub: &'a str,
    nats: &'a N,
}

/// What every `nats` object ends with.
#[derive(Serialize)]
struct Typed {
    #[serde(rename = "type")]
    kind: &'static str,
    version: u8,
}

impl Typed {
    fn new(kind: &'static str) -> Self {
        Self { kind, version: 2 }
    }
}

#[derive(Serialize)]
struct Operator {
    system_account: String,
    #[serde(flatten)]
    typed: Typed,
}

#[derive(Serialize)]
struct Activation<'a> {
    subject: &'a str,
    kind: &'static str,
    #[serde(flatten)]
    typed: Typed,
}

#[derive(Serialize)]
struct Removal<'a> {
    accounts: &'a [String],
    #[serde(flatten)]
    typed: Typed,
}

#[derive(Serialize)]
struct Account {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    imports: Vec<Import>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    exports: Vec<Export>,
    limits: Limits,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    revocations: BTreeMap<String, i64>,
    default_permissions: Permissions,
    #[serde(flatten)]
    typed: Typed,
}

impl Default for Account {
    fn default() -> Self {
        Self {
            imports: Vec::new(),
            exports: Vec::new(),
            limits: Limits::default(),
            revocations: BTreeMap::new(),
            default_permissions: Permissions::default(),
            typed: Typed::new("account"),
        }
    }
}

#[derive(Serialize)]
struct Export {
    name: &'static str,
    subject: String,
    #[serde(rename = "type")]
    kind: &'static str,
    token_req: bool,
}

#[derive(Serialize)]
struct Import {
    name: &'static str,
    subject: String,
    account: String,
    token: String,
    local_subject: String,
    #[serde(rename = "type")]
    kind: &'static str,
}

/// Nothing is stored on the bus and nobody attaches other brokers to it.
#[derive(Serialize)]
struct Limits {
    subs: i64,
    data: i64,
    payload: i64,
    imports: i64,
    exports: i64,
    wildcards: bool,
    conn: i64,
    leaf: i64,
    mem_storage: i64,
    disk_storage: i64,
    streams: i64,
    consumer: i64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            subs: UNLIMITED,
            data: UNLIMITED,
            payload: UNLIMITED,
            imports: UNLIMITED,
            exports: UNLIMITED,
            wildcards: true,
            conn: UNLIMITED,
            leaf: 0,
            mem_storage: 0,
            disk_storage: 0,
            streams: 0,
            consumer: 0,
        }
    }
}

#[derive(Default, Serialize)]
struct Permissions {
    #[serde(rename = "pub")]
    publish: Allow,
    #[serde(rename = "sub")]
    subscribe: Allow,
}

#[derive(Default, Serialize)]
struct Allow {
    /// Empty means everything, so an agent's list is never built empty.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    allow: Vec<String>,
}

impl Allow {
    fn only(subjects: [String; 2]) -> Self {
        Self { allow: subjects.into() }
    }
}

#[derive(Serialize)]
struct User {
    #[serde(rename = "pub")]
    publish: Allow,
    #[serde(rename = "sub")]
    subscribe: Allow,
    subs: i64,
    data: i64,
    payload: i64,
    allowed_connection_types: [&'static str; 2],
    #[serde(flatten)]
    typed: Typed,
}

impl Default for User {
    fn default() -> Self {
        Self {
            publish: Allow::default(),
            subscribe: Allow::default(),
            subs: UNLIMITED,
            data: UNLIMITED,
            payload: UNLIMITED,
            allowed_connection_types: ["STANDARD", "WEBSOCKET"],
            typed: Typed::new("user"),
        }
    }
}
