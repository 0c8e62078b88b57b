//! File systems, and who may read and write which file.

use super::{Check, IMAGE, Look, RESTART, Seen, Verdict, looks};
use crate::doctor::facts::Facts;

pub(super) const FILE_SYSTEMS: &[Check] = &[
    Check {
        number: "1.1",
        title: "The root is read-only and verified with every read",
        reason: "Nobody, not even root, can leave anything behind in the system.",
        fix: "Restart the appliance (console F12) and let it start its own entry: only that verifies the root.",
        level: 1,
        look: Look::Facts(verity),
    },
    Check {
        number: "1.2",
        title: "Data cannot be run: /var",
        reason: "What an attacker manages to write must be no program and no device.",
        fix: RESTART,
        level: 1,
        look: Look::Mount("/var", &["nodev", "nosuid", "noexec"]),
    },
    Check {
        number: "1.3",
        title: "Data cannot be run: /tmp",
        reason: "Everybody may write there.",
        fix: RESTART,
        level: 1,
        look: Look::Mount("/tmp", &["nodev", "nosuid", "noexec"]),
    },
    Check {
        number: "1.4",
        title: "Data cannot be run: /dev/shm",
        reason: "Everybody may write there.",
        fix: RESTART,
        level: 1,
        look: Look::Mount("/dev/shm", &["nodev", "nosuid", "noexec"]),
    },
    Check {
        number: "1.5",
        title: "Data cannot be run: /var/tmp",
        reason: "Everybody may write there, and it stays after a restart.",
        fix: RESTART,
        level: 1,
        look: Look::Mount("/var/tmp", &["nodev", "nosuid", "noexec"]),
    },
    Check {
        number: "1.6",
        title: "Data cannot be run: /var/log",
        reason: "Others decide what is written there.",
        fix: RESTART,
        level: 1,
        look: Look::Mount("/var/log", &["nodev", "nosuid", "noexec"]),
    },
    Check {
        number: "1.7",
        title: "No devices and no setuid programs in /run",
        reason: "Services write there.",
        fix: RESTART,
        level: 1,
        look: Look::Mount("/run", &["nodev", "nosuid"]),
    },
    Check {
        number: "1.8",
        title: "No setuid programs among the devices",
        reason: "Nothing but devices belongs there.",
        fix: RESTART,
        level: 2,
        look: Look::Mount("/dev", &["nosuid", "noexec"]),
    },
    Check {
        number: "1.9",
        title: "No file can be written by everybody",
        reason: "Whoever has one foothold could change what others read.",
        fix: RESTART,
        level: 1,
        look: Look::Facts(world_writable),
    },
    Check {
        number: "1.10",
        title: "Every file has an owner",
        reason: "A user made later could get the number, and with it the file.",
        fix: "After an update: go back to the version before and report it, numbers must not move.",
        level: 1,
        look: Look::Facts(unowned),
    },
    Check {
        number: "1.11",
        title: "No program gives its user more rights without a reason",
        reason: "Setuid programs are the classical way to become root.",
        fix: IMAGE,
        level: 1,
        look: Look::Facts(setuid),
    },
    Check {
        number: "1.12",
        title: "No program has capabilities of its own",
        reason: "They are setuid by another name; units get what they need from systemd.",
        fix: IMAGE,
        level: 1,
        look: Look::Facts(capable),
    },
    Check {
        number: "1.13",
        title: "Memory is not written to a disk unencrypted",
        reason: "Keys that are in memory would be found on the disk.",
        fix: IMAGE,
        level: 1,
        look: Look::Facts(swap),
    },
];

const PRIVATE: u32 = 0o600;

pub(super) const FILES: &[Check] = &[
    Check {
        number: "7.1",
        title: "Only root changes the lists of users and groups",
        reason: "They decide who is who.",
        fix: RESTART,
        level: 1,
        look: Look::Access(&[
            ("/etc/passwd", "root:root", 0o644),
            ("/etc/group", "root:root", 0o644),
            ("/etc/passwd-", "root:root", 0o644),
            ("/etc/group-", "root:root", 0o644),
        ]),
    },
    Check {
        number: "7.2",
        title: "Only root reads the password hashes",
        reason: "Hashes can be tried out elsewhere.",
        fix: RESTART,
        level: 1,
        look: Look::Access(&[
            ("/etc/shadow", "root:shadow|root", 0o640),
            ("/etc/gshadow", "root:shadow|root", 0o640),
            ("/etc/shadow-", "root:shadow|root", 0o640),
            ("/etc/gshadow-", "root:shadow|root", 0o640),
        ]),
    },
    Check {
        number: "7.3",
        title: "Only root reads the settings of SSH",
        reason: "They tell an intruder whom to become.",
        fix: RESTART,
        level: 1,
        look: Look::Access(&[
            ("/etc/ssh/sshd_config", "root:root", PRIVATE),
            ("/etc/ssh/sshd_config.d/*", "root:root", PRIVATE),
        ]),
    },
    Check {
        number: "7.4",
        title: "Only root reads what the node keeps",
        reason: "Among it are SSH host keys and answers with join codes.",
        fix: RESTART,
        level: 1,
        look: Look::Access(&[
            ("/var/lib/palisade-node", "root:root", 0o711),
            ("/var/lib/palisade-node/ssh", "root:root", 0o755),
            ("/var/lib/palisade-node/ssh/ed25519", "root:root", PRIVATE),
        ]),
    },
    Check {
        number: "7.5",
        title: "Only the management plane reads its data",
        reason: "The database holds everything that tenants have entrusted to it.",
        fix: RESTART,
        level: 1,
        look: Look::Access(&[
            ("/var/lib/palisade", "palisade:palisade", 0o700),
            ("/var/lib/palisade/palisade.db", "palisade:palisade", PRIVATE),
        ]),
    },
    Check {
        number: "7.6",
        title: "Only the management plane reads its keys",
        reason: "They open everything that is sealed in the database.",
        fix: RESTART,
        level: 1,
        look: Look::Access(&[
            ("/var/lib/palisade/keys", "palisade:palisade", 0o700),
            ("/var/lib/palisade/keys/*", "palisade:palisade", PRIVATE),
        ]),
    },
    Check {
        number: "7.7",
        title: "Only the node renders settings, and only those concerned talk to it",
        reason: "Over its socket the network, updates and power of the node are changed.",
        fix: RESTART,
        level: 1,
        look: Look::Access(&[
            ("/run/palisade-node", "root:root|palisade-node", 0o755),
            ("/run/palisade-node/serve.toml", "root:root", 0o644),
            ("/run/palisade-node/node.sock", "root:palisade-node", 0o660),
        ]),
    },
    Check {
        number: "7.8",
        title: "Only root changes our program",
        reason: "It runs with the rights of every one of our units.",
        fix: IMAGE,
        level: 1,
        look: Look::Access(&[("/usr/bin/palisade", "root:root", 0o755)]),
    },
    Check {
        number: "7.9",
        title: "The keys that may sign updates are there and cannot be exchanged",
        reason: "Whoever owns such a key decides what this machine runs.",
        fix: IMAGE,
        level: 1,
        look: Look::Facts(update_keys),
    },
    Check {
        number: "7.10",
        title: "Records of the audit daemon are root's alone",
        reason: "They name users, addresses and commands.",
        fix: RESTART,
        level: 1,
        look: Look::Access(&[("/var/log/audit", "root:root|adm", 0o750)]),
    },
    Check {
        number: "7.11",
        title: "Logs are not readable by everybody",
        reason: "They may hold what only an operator should know.",
        fix: RESTART,
        level: 1,
        look: Look::Facts(logs),
    },
    Check {
        number: "7.12",
        title: "Who comes to the machine is told that it is not open to all",
        reason: "In some countries an intruder must have been warned; nobody needs to know the version.",
        fix: IMAGE,
        level: 1,
        look: Look::Facts(banner),
    },
];

fn verity(facts: &Facts) -> Seen {
    let root = looks::mount(facts, "/")?;
    let mut wrong = Vec::new();
    if !root.options.contains("ro") {
        wrong.push("the root can be written".to_owned());
    }
    if !facts.need(looks::ARGUMENTS)?.split_whitespace().any(|word| word.starts_with("roothash=")) {
        wrong.push("the kernel was started without a hash of the root".to_owned());
    }
    let mut device = None;
    for number in 0..3 {
        let dev = facts.text(&format!("/sys/block/dm-{number}/dev"))?;
        if dev.map(str::trim) == Some(root.device) {
            device = facts.text(&format!("/sys/block/dm-{number}/dm/uuid"))?;
        }
    }
    if !device.is_some_and(|uuid| uuid.starts_with("CRYPT-VERITY-")) {
        wrong.push(format!("{} is no verified device", root.source));
    }
    Ok(Verdict::unless(&wrong, format!("{} on dm-verity, read-only", root.kind)))
}

fn world_writable(facts: &Facts) -> Seen {
    Ok(Verdict::unless(&facts.walk()?.world_writable, "none"))
}

fn unowned(facts: &Facts) -> Seen {
    Ok(Verdict::unless(&facts.walk()?.unowned, "all have one"))
}

/// Programs that may be setuid or setgid, with the reason.
const SETUID: &[(&str, &str)] =
    &[("/usr/sbin/unix_chkpwd", "PAM asks it whether an account has expired")];

fn setuid(facts: &Facts) -> Seen {
    let known = |path: &&String| !SETUID.iter().any(|(allowed, _)| allowed == *path);
    let wrong: Vec<_> = facts.walk()?.setuid.iter().filter(known).cloned().collect();
    let reasons: Vec<_> = SETUID.iter().map(|(path, why)| format!("{path}: {why}")).collect();
    Ok(Verdict::unless(&wrong, format!("none but {}", reasons.join(", "))))
}

fn capable(facts: &Facts) -> Seen {
    Ok(Verdict::unless(&facts.walk()?.capable, "none"))
}

fn swap(facts: &Facts) -> Seen {
    let table = facts.need("/proc/swaps")?;
    let plain: Vec<_> = table
        .lines()
        .skip(1)
        .filter_map(|line| line.split_whitespace().next())
        .filter(|device| !device.starts_with("/dev/zram") && !device.starts_with("/dev/dm-"))
        .map(|device| format!("{device} is swapped to"))
        .collect();
    Ok(Verdict::unless(&plain, "no swap on a plain disk"))
}

fn update_keys(facts: &Facts) -> Seen {
    let keys = facts.entries("/usr/lib/palisade/update-keys/*")?;
    if keys.is_empty() {
        return Ok(Verdict::Fail("there is no key: no update can be installed".to_owned()));
    }
    let loose = keys.iter().filter(|(_, entry)| entry.uid != 0 || entry.mode & 0o022 != 0);
    let wrong: Vec<_> = loose.map(|(path, _)| format!("{path} can be changed")).collect();
    Ok(Verdict::unless(&wrong, format!("{} keys, root's", keys.len())))
}

/// Login records that programs of all users read.
const OPEN_LOGS: &[&str] =
    &["/var/log/wtmp", "/var/log/lastlog", "/var/log/faillog", "/var/log/README"];

fn logs(facts: &Facts) -> Seen {
    let loose = facts.entries("/var/log/*")?.into_iter().filter(|(path, entry)| {
        let directory = entry.mode & 0o111 != 0;
        entry.mode & 0o004 != 0 && !directory && !OPEN_LOGS.contains(path)
    });
    let wrong: Vec<_> = loose.map(|(path, _)| format!("everybody reads {path}")).collect();
    Ok(Verdict::unless(&wrong, "none"))
}

/// Five of these make a warning.
const WARNING: &[&str] = &[
    "authori",
    "access",
    "monitor",
    "prohibit",
    "law",
    "legal",
    "policy",
    "evidence",
    "private",
    "owner",
    "record",
    "restricted",
    "consent",
    "terms",
];

fn banner(facts: &Facts) -> Seen {
    let mut wrong = Vec::new();
    for path in ["/etc/issue", "/etc/issue.net"] {
        let text = facts.text(path)?.unwrap_or_default().to_lowercase();
        if WARNING.iter().filter(|word| text.contains(**word)).count() < 5 {
            wrong.push(format!("{path} does not warn"));
        }
        if ["\\m", "\\r", "\\s", "\\v", "debian"].iter().any(|told| text.contains(told)) {
            wrong.push(format!("{path} names the system"));
        }
    }
    let motd = facts.text("/etc/motd")?.unwrap_or_default().to_lowercase();
    if motd.contains("debian") {
        wrong.push("/etc/motd names the system".to_owned());
    }
    Ok(Verdict::unless(&wrong, "both warn and name nothing"))
}
