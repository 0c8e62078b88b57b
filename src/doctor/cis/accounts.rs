//! Who can be on the machine.

use std::collections::BTreeMap;

use super::{Check, IMAGE, Look, RESTART, Seen, Verdict, looks::word_after};
use crate::doctor::facts::Facts;

pub(super) const CHECKS: &[Check] = &[
    Check {
        number: "6.1",
        title: "No account is open without a password",
        reason: "Anybody could become its user.",
        fix: IMAGE,
        level: 1,
        look: Look::Facts(no_empty_password),
    },
    Check {
        number: "6.2",
        title: "Root cannot log in",
        reason: "There is no shell that needs it; the console and the API do the work.",
        fix: IMAGE,
        level: 1,
        look: Look::Facts(root_locked),
    },
    Check {
        number: "6.3",
        title: "No account has a password",
        reason: "There are no default passwords, and keys cannot be guessed.",
        fix: "Log in with an SSH key (property ssh_public_key); restart the appliance (console F12), \
              which makes the accounts anew.",
        level: 1,
        look: Look::Facts(no_passwords),
    },
    Check {
        number: "6.4",
        title: "Only root is root",
        reason: "A second user of number 0 is a hidden root.",
        fix: IMAGE,
        level: 1,
        look: Look::Facts(one_root),
    },
    Check {
        number: "6.5",
        title: "Every user and group has its own name and number",
        reason: "Two of one number own each other's files.",
        fix: IMAGE,
        level: 1,
        look: Look::Facts(unique),
    },
    Check {
        number: "6.6",
        title: "Numbers of users are those that the image promises",
        reason: "An update with other numbers would change who owns the data.",
        fix: "Go back to the version before and report it.",
        level: 1,
        look: Look::Facts(pinned),
    },
    Check {
        number: "6.7",
        title: "Services have no shell",
        reason: "Whoever takes over a service must not be able to log in as it.",
        fix: IMAGE,
        level: 1,
        look: Look::Facts(shells),
    },
    Check {
        number: "6.8",
        title: "Nobody is in the group that reads password hashes",
        reason: "Its members could try passwords out elsewhere.",
        fix: IMAGE,
        level: 1,
        look: Look::Facts(shadow_group),
    },
    Check {
        number: "6.9",
        title: "Users cannot look into each other's homes",
        reason: "Keys and histories are there.",
        fix: RESTART,
        level: 1,
        look: Look::Facts(homes),
    },
    Check {
        number: "6.10",
        title: "Passwords, if any, would be strong and would age",
        reason: "The rules must be there before the first password is.",
        fix: IMAGE,
        level: 2,
        look: Look::Facts(password_rules),
    },
    Check {
        number: "6.11",
        title: "New files are not readable by others, and idle shells end",
        reason: "What is forgotten must be closed.",
        fix: IMAGE,
        level: 1,
        look: Look::Facts(shell_defaults),
    },
];

/// Lines of a colon-separated file with at least `fields` fields.
fn rows<'a>(facts: &'a Facts, path: &str, fields: usize) -> Result<Vec<Vec<&'a str>>, String> {
    let rows: Vec<_> = facts.need(path)?.lines().map(|line| line.split(':').collect()).collect();
    match rows.iter().find(|row: &&Vec<&str>| row.len() < fields) {
        Some(row) => Err(format!("{path} has a line that is none: {}", row[0])),
        None => Ok(rows),
    }
}

fn no_empty_password(facts: &Facts) -> Seen {
    let open = rows(facts, "/etc/shadow", 2)?.into_iter().filter(|row| row[1].is_empty());
    let mut wrong: Vec<_> = open.map(|row| format!("{} is open", row[0])).collect();
    // Without an `x` the hash would be in the file that all can read.
    let elsewhere = rows(facts, "/etc/passwd", 7)?.into_iter().filter(|row| row[1] != "x");
    wrong.extend(elsewhere.map(|row| format!("{} has its password in /etc/passwd", row[0])));
    Ok(Verdict::unless(&wrong, "none"))
}

fn is_locked(hash: &str) -> bool {
    hash.starts_with(['!', '*'])
}

fn root_locked(facts: &Facts) -> Seen {
    let rows = rows(facts, "/etc/shadow", 2)?;
    let root = rows.iter().find(|row| row[0] == "root").ok_or("/etc/shadow does not name root")?;
    Ok(if is_locked(root[1]) {
        Verdict::Pass("its account is locked".to_owned())
    } else {
        Verdict::Fail("its account is not locked".to_owned())
    })
}

fn no_passwords(facts: &Facts) -> Seen {
    let with = rows(facts, "/etc/shadow", 2)?.into_iter().filter(|row| !is_locked(row[1]));
    let wrong: Vec<_> = with.map(|row| format!("{} has one", row[0])).collect();
    Ok(Verdict::unless(&wrong, "all are locked"))
}

fn one_root(facts: &Facts) -> Seen {
    let roots = rows(facts, "/etc/passwd", 7)?
        .into_iter()
        .filter(|row| row[0] != "root" && (row[2] == "0" || row[3] == "0"));
    let wrong: Vec<_> =
        roots.map(|row| format!("{} has user {} and group {}", row[0], row[2], row[3])).collect();
    Ok(Verdict::unless(&wrong, "root alone has number 0"))
}

fn unique(facts: &Facts) -> Seen {
    let mut wrong = Vec::new();
    for path in ["/etc/passwd", "/etc/group"] {
        let rows = rows(facts, path, 3)?;
        for column in [0, 2] {
            let mut seen: BTreeMap<&str, &str> = BTreeMap::new();
            for row in &rows {
                if let Some(other) = seen.insert(row[column], row[0]) {
                    wrong.push(format!("{other} and {} share {} in {path}", row[0], row[column]));
                }
            }
        }
        let foreign = rows.iter().filter(|row| row[0].starts_with(['+', '-']));
        wrong.extend(foreign.map(|row| format!("{path} takes {} from elsewhere", row[0])));
    }
    Ok(Verdict::unless(&wrong, "each has its own"))
}

/// What the data rely on, whatever the image says.
const PINNED: &[(&str, &str, &str)] = &[
    ("u", "palisade", "900"),
    ("u", "palisade-console", "902"),
    ("g", "palisade-node", "903"),
    ("u", "admin", "1000"),
];

fn pinned(facts: &Facts) -> Seen {
    let list = facts.text("/usr/lib/palisade/accounts")?.unwrap_or_default();
    let listed = list.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        Some((words.next()?, words.next()?, words.next()?))
    });
    let (users, groups) = (rows(facts, "/etc/passwd", 7)?, rows(facts, "/etc/group", 3)?);
    let mut wrong = Vec::new();
    let mut count = 0;
    for (kind, name, number) in PINNED.iter().copied().chain(listed) {
        count += 1;
        let rows = if kind == "u" { &users } else { &groups };
        match rows.iter().find(|row| row[0] == name) {
            Some(row) if row[2] == number => {}
            Some(row) => wrong.push(format!("{name} has {} instead of {number}", row[2])),
            None => wrong.push(format!("{name} is missing")),
        }
    }
    Ok(Verdict::unless(&wrong, format!("{count} numbers as promised")))
}

fn shells(facts: &Facts) -> Seen {
    let closed = ["/usr/sbin/nologin", "/sbin/nologin", "/bin/false", "/usr/bin/false"];
    let open = rows(facts, "/etc/passwd", 7)?
        .into_iter()
        .filter(|row| !closed.contains(&row[6]) && !["root", "admin"].contains(&row[0]));
    let wrong: Vec<_> = open.map(|row| format!("{} has the shell {}", row[0], row[6])).collect();
    Ok(Verdict::unless(&wrong, "none but root and admin"))
}

fn shadow_group(facts: &Facts) -> Seen {
    let rows = rows(facts, "/etc/group", 4)?;
    let members = rows.iter().find(|row| row[0] == "shadow").map_or("", |row| row[3]);
    let mut wrong: Vec<_> = members
        .split(',')
        .filter(|name| !name.is_empty())
        .map(|name| format!("{name} is a member"))
        .collect();
    let number = rows.iter().find(|row| row[0] == "shadow").map(|row| row[2]);
    for user in self::rows(facts, "/etc/passwd", 7)? {
        if Some(user[3]) == number {
            wrong.push(format!("{} has it as its own group", user[0]));
        }
    }
    Ok(Verdict::unless(&wrong, "nobody"))
}

fn homes(facts: &Facts) -> Seen {
    let mut wrong = Vec::new();
    for (path, entry) in facts.entries("/home/*")? {
        if entry.mode & 0o027 != 0 {
            wrong.push(format!("{path} has mode {:04o}", entry.mode));
        }
    }
    for (path, entry) in facts.entries("/root")? {
        if entry.mode & 0o077 != 0 {
            wrong.push(format!("{path} has mode {:04o}", entry.mode));
        }
    }
    Ok(Verdict::unless(&wrong, "all are closed"))
}

fn password_rules(facts: &Facts) -> Seen {
    let text = facts.need("/etc/login.defs")?;
    let number = |name| word_after(text, name).and_then(|value| value.parse::<u32>().ok());
    let mut wrong = Vec::new();
    if number("PASS_MAX_DAYS").is_none_or(|days| days > 365) {
        wrong.push("PASS_MAX_DAYS is more than 365".to_owned());
    }
    for name in ["PASS_MIN_DAYS", "PASS_WARN_AGE"] {
        if number(name).is_none_or(|days| days < 1) {
            wrong.push(format!("{name} is less than 1"));
        }
    }
    let method = word_after(text, "ENCRYPT_METHOD").unwrap_or("not set");
    if !matches!(method, "YESCRYPT" | "SHA512") {
        wrong.push(format!("ENCRYPT_METHOD is {method}"));
    }
    Ok(Verdict::unless(&wrong, "as CIS asks"))
}

fn shell_defaults(facts: &Facts) -> Seen {
    let mut wrong = Vec::new();
    let umask = word_after(facts.need("/etc/login.defs")?, "UMASK").unwrap_or("not set");
    if !matches!(umask, "027" | "077") {
        wrong.push(format!("UMASK in /etc/login.defs is {umask}"));
    }
    let profile = facts.need("/etc/profile")?;
    if !matches!(word_after(profile, "umask"), Some("027" | "077")) {
        wrong.push("/etc/profile sets no umask of 027".to_owned());
    }
    let timeout = profile.lines().find_map(|line| line.trim().split_once("TMOUT="));
    let seconds = timeout.and_then(|(_, value)| value.trim().parse::<u32>().ok());
    if !seconds.is_some_and(|seconds| (1..=900).contains(&seconds)) {
        wrong.push("/etc/profile ends no idle shell (TMOUT)".to_owned());
    }
    Ok(Verdict::unless(&wrong, "umask 027, and idle shells end"))
}
