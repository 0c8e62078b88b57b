//! Our own services.

use super::{Check, IMAGE, Look, RESTART, Seen, Verdict};
use crate::doctor::facts::{Facts, Process};

/// Our units.
pub(super) const UNITS: &[&str] = &[
    "palisade.service",
    "palisade-node.service",
    "palisade-console@tty1.service",
    "palisade-first-boot.service",
    "palisade-healthy.service",
    "palisade-etcd.service",
    "palisade-patroni.service",
];

/// How exposed systemd calls them. It is asked once: it takes long to begin.
pub(super) fn exposures() -> String {
    format!("systemd-analyze security --no-pager {}", UNITS.join(" "))
}

macro_rules! sandboxed {
    ($number:literal, $unit:literal) => {
        Check {
            number: $number,
            title: concat!($unit, " is closed in"),
            reason: "What an attacker takes over must see and do as little as possible.",
            fix: IMAGE,
            level: 1,
            look: Look::Facts(|facts| sandbox(facts, $unit)),
        }
    };
}

pub(super) const CHECKS: &[Check] = &[
    sandboxed!("9.1", "palisade.service"),
    sandboxed!("9.2", "palisade-node.service"),
    sandboxed!("9.3", "palisade-console@tty1.service"),
    sandboxed!("9.4", "palisade-first-boot.service"),
    sandboxed!("9.5", "palisade-healthy.service"),
    Check {
        number: "9.6",
        title: "What the network reaches is not root and cannot become it",
        reason: "A hole in a service must not be a hole in the machine.",
        fix: RESTART,
        level: 1,
        look: Look::Facts(unprivileged),
    },
    Check {
        number: "9.7",
        title: "Our port speaks TLS 1.2 and better, with modern ciphers only",
        reason: "Older versions can be read or forged.",
        fix: "Nothing can be set here: report it, and look for a proxy on the port.",
        level: 1,
        look: Look::Facts(modern_tls),
    },
    Check {
        number: "9.8",
        title: "Our certificate is valid for at least a week and covers our names",
        reason: "Agents and browsers turn away when it does not.",
        fix: "Renew or import it: Appliance, Certificate, or console F8.",
        level: 1,
        look: Look::Facts(certificate),
    },
    Check {
        number: "9.9",
        title: "The key of the keystore is not beside it",
        reason: "A copy of the whole disk would open everything.",
        fix: "Have the keystore sealed by passphrase, or keep its seal key elsewhere.",
        level: 2,
        look: Look::Facts(seal_apart),
    },
    sandboxed!("9.10", "palisade-etcd.service"),
    sandboxed!("9.11", "palisade-patroni.service"),
];

/// The most that systemd may call a unit exposed, in tenths.
const MOST_EXPOSED: u32 = 20;

fn sandbox(facts: &Facts, unit: &str) -> Seen {
    let text = facts.output(&exposures())?;
    let label = format!("Overall exposure level for {unit}:");
    let rest = text.lines().find_map(|line| Some(line.split_once(&label)?.1));
    let rest = rest.ok_or_else(|| format!("systemd gives no level for {unit}"))?;
    let level = rest.split_whitespace().next();
    let level = level.ok_or("systemd gives no level")?;
    let tenths = level.split_once('.').and_then(|(whole, part)| {
        Some(whole.parse::<u32>().ok()? * 10 + part.parse::<u32>().ok()?)
    });
    let tenths = tenths.ok_or_else(|| format!("the level is {level}"))?;
    let told = format!("exposure {level} of 10");
    Ok(if tenths <= MOST_EXPOSED { Verdict::Pass(told) } else { Verdict::Fail(told) })
}

fn unprivileged(facts: &Facts) -> Seen {
    let processes = facts.processes()?;
    let runs = |command: &str| processes.iter().any(|process| process.command == command);
    let mut wrong = Vec::new();
    if !runs("palisade serve") {
        return Err("`palisade serve` does not run".to_owned());
    }
    if facts.settings()?.broker_is_ours && !runs("nats-server") {
        return Err("nats-server does not run".to_owned());
    }
    let ours =
        |process: &&Process| ["palisade serve", "nats-server"].contains(&process.command.as_str());
    for Process { command, status, .. } in processes.iter().filter(ours) {
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            line.and_then(|rest| rest.trim_start_matches(':').split_whitespace().next())
        };
        if field("Uid") == Some("0") {
            wrong.push(format!("{command} is root"));
        }
        if field("NoNewPrivs") != Some("1") {
            wrong.push(format!("{command} may gain rights"));
        }
        if field("Seccomp") != Some("2") {
            wrong.push(format!("{command} may use every system call"));
        }
    }
    Ok(Verdict::unless(&wrong, "neither root nor able to become it"))
}

fn modern_tls(facts: &Facts) -> Seen {
    let port = facts.port()?;
    if !port.modern {
        return Err("our port does not answer TLS at all".to_owned());
    }
    let wrong: Vec<_> = port.weak.iter().map(|weak| format!("it answers {weak}")).collect();
    Ok(Verdict::unless(&wrong, "older versions and weak ciphers are refused"))
}

fn certificate(facts: &Facts) -> Seen {
    let certificate = facts.port()?.certificate.as_ref().ok_or("our port shows no certificate")?;
    let mut wrong = Vec::new();
    if facts.now < certificate.not_before {
        wrong.push(format!("it is valid from {} on", certificate.not_before));
    }
    let left = certificate.days_left(facts.now);
    if left < 7 {
        wrong.push(format!("it is valid until {}", certificate.not_after));
    }
    let missing = facts.settings()?.names.iter().filter(|name| !certificate.covers(name));
    wrong.extend(missing.map(|name| format!("it does not cover {name}")));
    Ok(Verdict::unless(&wrong, format!("{left} days left")))
}

fn seal_apart(facts: &Facts) -> Seen {
    Ok(if facts.settings()?.seal_apart {
        Verdict::Pass("it is elsewhere".to_owned())
    } else {
        Verdict::Fail("the seal's key lies beside the sealed keys".to_owned())
    })
}
