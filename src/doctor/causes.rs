//! What is wrong, by its cause.
//!
//! Owns: what was observed ([`Observed`]), the findings that follow, and which
//! of them are only consequences of others.
//! Must not know: how anything was observed ([`observe`] does).
//!
//! A gateway that does not answer makes name servers, mirrors and time servers
//! unreachable as well. An operator should mend one thing, not four: a finding
//! that another one explains is listed below it.

mod dns;
mod findings;
mod local;
mod observe;
mod observed;
mod proxy;
mod sntp;
#[cfg(test)]
mod tests;

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

pub use observe::{Targets, observe};
pub use observed::{
    Certificates, ClockState, Disk, Gateway, Holder, Link, Memory, MistakeOf, Observed, OwnName,
    OwnPort, Process, ProxyAnswer, ProxyState, Server, Unit,
};

/// What can be the matter. The order is that of causes: an earlier one can
/// explain a later one, never the other way round.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cause {
    /// An answer of the operator is wrong.
    WrongProperty,
    /// The settings cannot be used.
    WrongSettings,
    /// A file system cannot be written, or has no room.
    Disk,
    /// A file system will soon have no room.
    DiskNearlyFull,
    /// Memory is used up.
    Memory,
    /// The clock cannot be right.
    Clock,
    /// No network interface is connected.
    NoLink,
    /// There is no way out of the local network.
    NoGateway,
    /// The way out does not answer.
    GatewaySilent,
    /// There is nobody to ask for names.
    NoNameServer,
    /// The name servers do not answer.
    NameServerSilent,
    /// Our own name is unknown, or is another machine's.
    OwnName,
    /// The proxy cannot be used.
    Proxy,
    /// The time servers do not answer, or the clock is not set.
    TimeNotSet,
    /// Another program has our port.
    PortInUse,
    /// The keys cannot be opened.
    KeystoreSealed,
    /// The kept certificate does not belong to its key.
    CertificateKey,
    /// A service has failed.
    ServiceFailed,
    /// The management plane does not run.
    NotRunning,
    /// The broker does not run.
    Broker,
    /// The certificate is not accepted.
    Certificate,
    /// The certificate will soon not be accepted.
    CertificateEnding,
    /// The mirror cannot be reached.
    Mirror,
    /// Something that is needed reports that it does not work.
    NotReady,
}

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Severity {
    /// Something does not work.
    Error,
    /// It works, and will not for long.
    Warning,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Finding {
    /// Which of the things that can be the matter.
    pub cause: Cause,
    /// How bad it is.
    pub severity: Severity,
    /// What is wrong, as a sentence.
    pub what: String,
    /// Why we think so.
    pub evidence: Vec<String>,
    /// What to do next.
    pub next: String,
    /// What follows from it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub consequences: Vec<Finding>,
}

/// Everything that is wrong.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Diagnosis {
    /// Nothing is wrong.
    pub healthy: bool,
    /// Root causes, the worst first.
    pub findings: Vec<Finding>,
    /// What could not be looked at, and why.
    pub unseen: Vec<String>,
}

/// What follows from what was observed.
pub fn diagnose(observed: &Observed) -> Diagnosis {
    let mut all = findings::all(observed);
    all.sort_by_key(|finding| finding.cause);
    let mut roots: Vec<Finding> = Vec::new();
    for finding in all {
        match roots.iter_mut().find(|root| explains(root, &finding, observed)) {
            Some(root) => root.consequences.push(finding),
            None => roots.push(finding),
        }
    }
    roots.sort_by_key(|finding| finding.severity);
    let healthy = roots.iter().all(|finding| finding.severity == Severity::Warning);
    Diagnosis { healthy, findings: roots, unseen: observed.unseen.clone() }
}

/// Whether `effect` is to be expected when `root` is true.
fn explains(root: &Finding, effect: &Finding, observed: &Observed) -> bool {
    use Cause::{
        Broker, Certificate, CertificateEnding, CertificateKey, Clock, Disk, GatewaySilent,
        KeystoreSealed, Memory, Mirror, NameServerSilent, NoGateway, NoLink, NoNameServer,
        NotReady, NotRunning, OwnName, PortInUse, Proxy, ServiceFailed, TimeNotSet, WrongProperty,
        WrongSettings,
    };
    if root.severity == Severity::Warning && effect.severity == Severity::Error {
        return false;
    }
    let outside = |cause| match cause {
        NameServerSilent => observed.servers.iter().all(|server| server.beyond),
        OwnName | Proxy | TimeNotSet | Mirror => true,
        _ => false,
    };
    match root.cause {
        WrongProperty => match effect.cause {
            // An address, a gateway or a server that was refused is not there.
            NoGateway | GatewaySilent | NoNameServer => observed.mistakes.iter().any(|mistake| {
                ["ip", "gateway", "dns", "ipv4", "ipv6"]
                    .iter()
                    .any(|part| mistake.key.to_ascii_lowercase().contains(part))
            }),
            _ => false,
        },
        WrongSettings => matches!(effect.cause, ServiceFailed | NotRunning | Broker | NotReady),
        Disk => {
            matches!(effect.cause, KeystoreSealed | ServiceFailed | NotRunning | Broker | NotReady)
        }
        Memory => matches!(effect.cause, ServiceFailed | NotRunning | Broker),
        Clock => matches!(effect.cause, TimeNotSet | Certificate | CertificateEnding | Mirror),
        NoLink => {
            outside(effect.cause)
                || matches!(
                    effect.cause,
                    NoGateway | GatewaySilent | NoNameServer | NameServerSilent
                )
        }
        NoGateway | GatewaySilent => outside(effect.cause),
        NoNameServer | NameServerSilent => match effect.cause {
            OwnName | Mirror | TimeNotSet => true,
            Proxy => observed.proxy.as_ref().is_some_and(|proxy| proxy.by_name),
            _ => false,
        },
        Proxy => effect.cause == Mirror,
        PortInUse | KeystoreSealed | CertificateKey => {
            matches!(effect.cause, ServiceFailed | NotRunning | Broker | NotReady)
        }
        ServiceFailed => matches!(effect.cause, NotRunning | Broker | NotReady),
        NotRunning => effect.cause == Broker,
        Broker => effect.cause == NotReady,
        _ => false,
    }
}

impl Diagnosis {
    /// For a terminal.
    pub fn text(&self) -> String {
        let mut text = String::new();
        for finding in &self.findings {
            let word = match finding.severity {
                Severity::Error => "PROBLEM",
                Severity::Warning => "WARNING",
            };
            let _ = writeln!(text, "{word}  {}", finding.what);
            for evidence in &finding.evidence {
                let _ = writeln!(text, "  seen    {evidence}");
            }
            let _ = writeln!(text, "  next    {}", finding.next);
            for effect in &finding.consequences {
                let _ = writeln!(text, "  follows {}", effect.what);
            }
            text.push('\n');
        }
        for unseen in &self.unseen {
            let _ = writeln!(text, "not looked at: {unseen}");
        }
        let errors =
            self.findings.iter().filter(|finding| finding.severity == Severity::Error).count();
        let warnings = self.findings.len() - errors;
        let _ = match (errors, warnings) {
            (0, 0) => write!(text, "Nothing is wrong."),
            (0, _) => write!(text, "Nothing is broken; warnings: {warnings}."),
            _ => write!(text, "Root causes: {errors}; warnings: {warnings}."),
        };
        text
    }
}
