//! The subjects of the bus, in one place.
//!
//! Owns: how tenant, cluster and verb are written into a subject and read back.
//! Must not know: payloads or connections.
//!
//! An agent sees `up.<cluster>.<verb>`, `ctl.<cluster>.<verb>` and
//! `dn.<cluster>.<verb>`. The control account sees the same with the tenant in
//! second place; the broker puts it there by the account's imports, so no agent
//! can choose it. A verb may have several tokens.

use crate::ids::{ClusterId, TenantId};

/// Notices from agents, never answered.
pub(super) const UP: &str = "up";
/// Requests from agents to control.
pub(super) const CTL: &str = "ctl";
/// Requests from control to agents.
pub(super) const DN: &str = "dn";
/// The verb below [`CTL`] on which agents answer requests.
pub(super) const ANSWER: &str = "answer";
/// The verb of a heartbeat.
pub(super) const HEARTBEAT: &str = "heartbeat";
/// The verb of a report.
pub(super) const REPORT: &str = "report";

/// `up.<cluster>.heartbeat`, as the agent writes it.
pub(super) fn heartbeat(cluster: ClusterId) -> String {
    format!("{UP}.{cluster}.{HEARTBEAT}")
}

/// `ctl.<cluster>.report`, as the agent writes it.
pub(super) fn report(cluster: ClusterId) -> String {
    format!("{CTL}.{cluster}.{REPORT}")
}

/// `dn.<cluster>.>`, what the agent listens to.
pub(super) fn commands(cluster: ClusterId) -> String {
    format!("{DN}.{cluster}.>")
}

/// The agent's own inbox, which no other agent may listen to.
pub(super) fn inbox(cluster: ClusterId) -> String {
    format!("_INBOX.{cluster}")
}

/// Where an agent sends its answer to request `id`, as the agent writes it.
pub(super) fn answer(cluster: ClusterId, id: &str) -> String {
    format!("{CTL}.{cluster}.{ANSWER}.{id}")
}

/// `dn.<tenant>.<cluster>.<verb>`, as control writes it.
pub(super) fn command(tenant: TenantId, cluster: ClusterId, verb: &str) -> String {
    format!("{DN}.{tenant}.{cluster}.{verb}")
}

/// Whether `verb` may stand in a subject: tokens of letters, digits, `-` and `_`, joined by dots.
pub(super) fn is_verb(verb: &str) -> bool {
    let token = |token: &str| {
        !token.is_empty()
            && token.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    verb.len() <= 128 && verb.split('.').all(token)
}

/// A subject below [`UP`] or [`CTL`] as the control account sees it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Received<'a> {
    pub(super) tenant: TenantId,
    pub(super) cluster: ClusterId,
    pub(super) verb: &'a str,
}

impl<'a> Received<'a> {
    /// Reads `<prefix>.<tenant>.<cluster>.<verb>`; `None` for anything else.
    pub(super) fn parse(prefix: &str, subject: &'a str) -> Option<Self> {
        let rest = subject.strip_prefix(prefix)?.strip_prefix('.')?;
        let (tenant, rest) = rest.split_once('.')?;
        let (cluster, verb) = rest.split_once('.')?;
        Some(Self { tenant: tenant.parse().ok()?, cluster: cluster.parse().ok()?, verb })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_received_subject_gives_tenant_cluster_and_verb() {
        let received = Received::parse(UP, "up.0000000000aa.0000000000cc.log.line").expect("valid");
        assert_eq!(received.tenant.to_string(), "0000000000aa");
        assert_eq!(received.cluster.to_string(), "0000000000cc");
        assert_eq!(received.verb, "log.line");
    }

    #[test]
    fn anything_else_is_no_received_subject() {
        for subject in [
            "",
            "up",
            "up.0000000000aa.0000000000cc",
            "up.0000000000aa.heartbeat",
            "up.x.0000000000cc.heartbeat",
            "uppp.0000000000aa.0000000000cc.heartbeat",
            "ctl.0000000000aa.0000000000cc.heartbeat",
        ] {
            assert_eq!(Received::parse(UP, subject), None, "{subject:?} was accepted");
        }
    }

    #[test]
    fn wildcards_and_spaces_are_no_verbs() {
        assert!(is_verb("apply") && is_verb("pack.apply-2"));
        for verb in ["", ".", "a.", ">", "a.*", "a b", "a\r\nPUB", "ü"] {
            assert!(!is_verb(verb), "{verb:?} was accepted");
        }
    }
}
