//! Records of what happened, and the rules that confine programs.

use super::{Check, IMAGE, Look, RESTART, Seen, Verdict, looks::value_of, services};
use crate::doctor::facts::Facts;

/// Whether the kernel records.
pub(super) const AUDIT_STATE: &str = "auditctl -s";
/// What it records.
pub(super) const AUDIT_RULES: &str = "auditctl -l";

macro_rules! recorded {
    ($number:literal, $title:literal, $reason:literal, $keys:expr) => {
        Check {
            number: $number,
            title: $title,
            reason: $reason,
            fix: RESTART,
            level: 1,
            look: Look::Facts(|facts| rules(facts, &$keys)),
        }
    };
}

pub(super) const CHECKS: &[Check] = &[
    Check {
        number: "8.1",
        title: "The journal survives a restart",
        reason: "What led to a crash is worth most after it.",
        fix: IMAGE,
        level: 1,
        look: Look::Facts(persistent),
    },
    Check {
        number: "8.2",
        title: "The journal cannot fill the disk",
        reason: "A full disk stops everything else.",
        fix: IMAGE,
        level: 1,
        look: Look::Facts(limited),
    },
    Check {
        number: "8.3",
        title: "The audit daemon runs",
        reason: "It writes down what the rules name, also when somebody wants it gone.",
        fix: RESTART,
        level: 1,
        look: Look::Facts(|facts| services::active(facts, "auditd.service")),
    },
    Check {
        number: "8.4",
        title: "The kernel records, and its rules cannot be changed",
        reason: "An intruder's first act would be to switch them off.",
        fix: "Restart the appliance: the image's last rule locks the rules until the next start.",
        level: 2,
        look: Look::Facts(locked),
    },
    recorded!(
        "8.5",
        "Changes of the time are recorded",
        "A moved clock hides the order of events.",
        ["time-change"]
    ),
    recorded!(
        "8.6",
        "Changes of users and groups are recorded",
        "New users are how intruders stay.",
        ["identity"]
    ),
    recorded!(
        "8.7",
        "Changes of the network are recorded",
        "Another name server or address diverts everything.",
        ["network"]
    ),
    recorded!(
        "8.8",
        "Changes of the confinement are recorded",
        "A loosened rule lets a service out.",
        ["mac-policy"]
    ),
    recorded!("8.9", "Logins are recorded", "They say who was there.", ["logins", "session"]),
    recorded!(
        "8.10",
        "Refused accesses are recorded",
        "They show somebody who tries doors.",
        ["access"]
    ),
    recorded!(
        "8.11",
        "Changes of rights, mounts and deletions are recorded",
        "They are how traces vanish.",
        ["perm-mod", "mounts", "delete"]
    ),
    recorded!(
        "8.12",
        "Modules and further kernels are recorded",
        "They would be part of the kernel.",
        ["modules"]
    ),
    recorded!(
        "8.13",
        "What users run as root is recorded",
        "Every command of a user who became root must be known.",
        ["exec-root"]
    ),
    recorded!(
        "8.14",
        "Changes of our keys and settings are recorded",
        "Nobody but Palisade has a reason for them.",
        ["palisade"]
    ),
    Check {
        number: "8.15",
        title: "Audit records cannot fill the disk",
        reason: "A full disk stops everything else.",
        fix: IMAGE,
        level: 1,
        look: Look::Facts(audit_rotates),
    },
    Check {
        number: "8.16",
        title: "AppArmor enforces every profile",
        reason: "A profile that only complains confines nothing.",
        fix: RESTART,
        level: 1,
        look: Look::Facts(enforcing),
    },
    Check {
        number: "8.17",
        title: "Our services are confined by AppArmor",
        reason: "They are what the network reaches.",
        fix: RESTART,
        level: 1,
        look: Look::Facts(ours_confined),
    },
];

fn journal(facts: &Facts, name: &str) -> Result<Option<String>, String> {
    let texts =
        facts.texts_below(&["/usr/lib/systemd/journald.conf.d", "/etc/systemd/journald.conf.d"])?;
    Ok(texts.iter().filter_map(|(_, text)| value_of(text, name)).next_back().map(str::to_owned))
}

fn persistent(facts: &Facts) -> Seen {
    let storage = journal(facts, "Storage")?.unwrap_or_else(|| "auto".to_owned());
    let kept = facts.names("/var/log/journal")?.is_some_and(|names| !names.is_empty());
    Ok(match (storage.as_str(), kept) {
        ("persistent", true) => Verdict::Pass("it is kept in /var/log/journal".to_owned()),
        ("persistent", false) => Verdict::Fail("/var/log/journal is empty".to_owned()),
        (storage, _) => Verdict::Fail(format!("Storage is {storage}")),
    })
}

fn limited(facts: &Facts) -> Seen {
    Ok(match journal(facts, "SystemMaxUse")? {
        Some(limit) => Verdict::Pass(format!("at most {limit}")),
        None => Verdict::Fail("SystemMaxUse is not set".to_owned()),
    })
}

fn locked(facts: &Facts) -> Seen {
    let state = facts.output(AUDIT_STATE)?;
    let enabled = state.lines().find_map(|line| line.strip_prefix("enabled ")).map(str::trim);
    Ok(match enabled {
        Some("2") => Verdict::Pass("recording, and locked until the next start".to_owned()),
        Some("1") => Verdict::Fail("recording, but the rules can be changed".to_owned()),
        other => Verdict::Fail(format!("enabled is {}", other.unwrap_or("not said"))),
    })
}

fn rules(facts: &Facts, keys: &[&str]) -> Seen {
    let rules = facts.output(AUDIT_RULES)?;
    let has = |key: &str| {
        rules.lines().any(|line| {
            let words: Vec<_> = line.split_whitespace().collect();
            words.iter().any(|word| word.strip_prefix("key=") == Some(key))
                || words.windows(2).any(|pair| pair == ["-k", key])
        })
    };
    let wrong: Vec<_> = keys
        .iter()
        .filter(|key| !has(key))
        .map(|key| format!("no rule with the key {key} is loaded"))
        .collect();
    Ok(Verdict::unless(&wrong, format!("rules with the keys {} are loaded", keys.join(", "))))
}

fn audit_rotates(facts: &Facts) -> Seen {
    let text = facts.need("/etc/audit/auditd.conf")?;
    let mut wrong = Vec::new();
    if !value_of(text, "max_log_file_action")
        .is_some_and(|action| action.eq_ignore_ascii_case("rotate"))
    {
        wrong.push("max_log_file_action is not ROTATE".to_owned());
    }
    for name in ["max_log_file", "num_logs"] {
        if value_of(text, name).and_then(|value| value.parse::<u32>().ok()).is_none() {
            wrong.push(format!("{name} is not set"));
        }
    }
    Ok(Verdict::unless(&wrong, "old records make room for new ones"))
}

/// Profiles by name, and how they are applied.
fn profiles(facts: &Facts) -> Result<Vec<(&str, &str)>, String> {
    let enabled = facts.text("/sys/module/apparmor/parameters/enabled")?;
    if enabled.map(str::trim) != Some("Y") {
        return Ok(Vec::new());
    }
    let text = facts.need("/sys/kernel/security/apparmor/profiles")?;
    let rows = text.lines().filter_map(|line| line.rsplit_once(" ("));
    Ok(rows.map(|(name, mode)| (name, mode.trim_end_matches(')'))).collect())
}

fn enforcing(facts: &Facts) -> Seen {
    let profiles = profiles(facts)?;
    if profiles.is_empty() {
        return Ok(Verdict::Fail("AppArmor is off, or has no profile".to_owned()));
    }
    let loose = profiles.iter().filter(|(_, mode)| !matches!(*mode, "enforce" | "kill"));
    let wrong: Vec<_> = loose.map(|(name, mode)| format!("{name} is in mode {mode}")).collect();
    Ok(Verdict::unless(&wrong, format!("{} profiles", profiles.len())))
}

fn ours_confined(facts: &Facts) -> Seen {
    let mut wrong = Vec::new();
    let processes = facts.processes()?;
    for command in ["palisade serve", "nats-server"] {
        // By the process and not by the list of profiles: its unit asks for the profile.
        let loose = processes
            .iter()
            .find(|process| process.command == command && !process.profile.ends_with("(enforce)"));
        if let Some(process) = loose {
            wrong.push(format!("{command} is {}", process.profile));
        }
    }
    Ok(Verdict::unless(&wrong, "each has a profile"))
}
