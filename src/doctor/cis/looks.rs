//! The looks that many checks share. Pure.

use std::collections::BTreeSet;

use super::{Look, Seen, Verdict};
use crate::doctor::facts::Facts;

/// What a look sees in the facts.
pub(super) fn look(look: Look, facts: &Facts) -> Seen {
    match look {
        Look::Sysctl(settings) => sysctl(facts, settings),
        Look::Mount(path, options) => mount_options(facts, path, options),
        Look::Argument(argument) => argument_given(facts, argument),
        Look::NoModules(modules) => no_modules(facts, modules),
        Look::Access(files) => access(facts, files),
        Look::Facts(look) => look(facts),
    }
}

/// The file that shows a setting of the kernel.
pub(in crate::doctor) fn sysctl_file(key: &str) -> String {
    format!("/proc/sys/{}", key.replace('.', "/"))
}

fn sysctl(facts: &Facts, settings: &[(&str, &[&str])]) -> Seen {
    let (mut wrong, mut good) = (Vec::new(), Vec::new());
    for (key, wanted) in settings {
        let Some(text) = facts.text(&sysctl_file(key))? else {
            // A part of the kernel that is not there cannot be misused.
            good.push(format!("{key} does not exist"));
            continue;
        };
        let value = text.split_whitespace().collect::<Vec<_>>().join(" ");
        if wanted.contains(&value.as_str()) {
            good.push(format!("{key} = {value}"));
        } else {
            wrong.push(format!("{key} = {value} instead of {}", wanted.join(" or ")));
        }
    }
    Ok(Verdict::unless(&wrong, good.join(", ")))
}

/// A file system and how it is mounted.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Mount<'a> {
    pub(super) at: &'a str,
    pub(super) kind: &'a str,
    pub(super) device: &'a str,
    pub(super) source: &'a str,
    pub(super) options: BTreeSet<&'a str>,
}

/// The file system that a path is on: the last of the longest mount points.
pub(super) fn mount<'a>(facts: &'a Facts, path: &str) -> Result<Mount<'a>, String> {
    let table = facts.need(MOUNTS)?;
    let covers = |at: &str| {
        at == "/" || path == at || path.strip_prefix(at).is_some_and(|rest| rest.starts_with('/'))
    };
    let mut best: Option<Mount<'a>> = None;
    for mount in table.lines().filter_map(mount_of).filter(|mount| covers(mount.at)) {
        if best.as_ref().is_none_or(|best| mount.at.len() >= best.at.len()) {
            best = Some(mount);
        }
    }
    best.ok_or_else(|| format!("{MOUNTS} names no file system for {path}"))
}

/// The mounts as the first process sees them: a sandbox has its own.
pub(in crate::doctor) const MOUNTS: &str = "/proc/1/mountinfo";

fn mount_of(line: &str) -> Option<Mount<'_>> {
    let (head, tail) = line.split_once(" - ")?;
    let head: Vec<_> = head.split(' ').collect();
    let mut tail = tail.split(' ');
    let (kind, source, of_all) = (tail.next()?, tail.next()?, tail.next().unwrap_or(""));
    let options = head.get(5)?.split(',').chain(of_all.split(','));
    Some(Mount {
        at: head.get(4)?,
        device: head.get(2)?,
        kind,
        source,
        options: options.filter(|option| !option.is_empty()).collect(),
    })
}

fn mount_options(facts: &Facts, path: &str, wanted: &[&str]) -> Seen {
    let mount = mount(facts, path)?;
    let missing: Vec<_> =
        wanted.iter().copied().filter(|option| !mount.options.contains(option)).collect();
    let place = if mount.at == path {
        format!("{path} ({})", mount.kind)
    } else {
        format!("{path} is part of {} ({})", mount.at, mount.kind)
    };
    Ok(if missing.is_empty() {
        Verdict::Pass(format!("{place} has {}", wanted.join(",")))
    } else {
        Verdict::Fail(format!("{place} lacks {}", missing.join(",")))
    })
}

/// The arguments of the kernel.
pub(super) const ARGUMENTS: &str = "/proc/cmdline";

fn argument_given(facts: &Facts, wanted: &str) -> Seen {
    let given = facts.need(ARGUMENTS)?;
    let name = wanted.split('=').next().unwrap_or(wanted);
    let same = |argument: &&str| argument.split('=').next() == Some(name);
    // The last one counts.
    Ok(match given.split_whitespace().rfind(same) {
        Some(argument) if argument == wanted => Verdict::Pass(format!("started with {argument}")),
        Some(argument) => Verdict::Fail(format!("started with {argument}")),
        None => Verdict::Fail(format!("started without {name}")),
    })
}

/// The directories of rules for modules; the earlier hides the later.
pub(in crate::doctor) const MODULE_RULES: &[&str] =
    &["/etc/modprobe.d", "/run/modprobe.d", "/usr/lib/modprobe.d"];

/// The list of the modules of the running kernel.
pub(in crate::doctor) const MODULES: &str = "modules of the running kernel";

fn no_modules(facts: &Facts, modules: &[&str]) -> Seen {
    let loaded = facts.need("/proc/modules")?;
    let known = facts.names(MODULES)?;
    let same = |a: &str, b: &str| a.replace('-', "_") == b.replace('-', "_");
    let mut refused = Vec::new();
    for (_, text) in facts.texts_below(MODULE_RULES)? {
        for line in text.lines() {
            let mut words = line.split_whitespace();
            if let (
                Some("install"),
                Some(module),
                Some("/bin/true" | "/bin/false" | "/usr/bin/true" | "/usr/bin/false"),
                None,
            ) = (words.next(), words.next(), words.next(), words.next())
            {
                refused.push(module);
            }
        }
    }
    let mut wrong = Vec::new();
    for module in modules {
        if loaded.lines().any(|line| line.split(' ').next().is_some_and(|name| same(name, module)))
        {
            wrong.push(format!("{module} is loaded"));
        } else if known.is_some_and(|known| known.iter().any(|name| same(name, module)))
            && !refused.iter().any(|name| same(name, module))
        {
            wrong.push(format!("{module} can be loaded"));
        }
    }
    Ok(Verdict::unless(&wrong, format!("none of {}", modules.join(", "))))
}

/// A pattern ends with `/*` for everything in a directory.
fn access(facts: &Facts, files: &[(&str, &str, u32)]) -> Seen {
    let (mut wrong, mut seen) = (Vec::new(), 0);
    for (pattern, owner, mode) in files {
        let (user, group) = owner.split_once(':').unwrap_or((owner, owner));
        for (path, entry) in facts.entries(pattern)? {
            seen += 1;
            let allowed = |names: &str, name: &str| names.split('|').any(|one| one == name);
            let (is_user, is_group) = (facts.user(entry.uid)?, facts.group(entry.gid)?);
            if !allowed(user, &is_user) || (!allowed(group, &is_group) && entry.mode & 0o070 != 0) {
                wrong.push(format!("{path} belongs to {is_user}:{is_group}"));
            }
            if entry.mode & 0o7777 & !mode != 0 {
                wrong.push(format!("{path} has mode {:04o}, not {mode:04o}", entry.mode & 0o7777));
            }
        }
    }
    if seen == 0 {
        let names: Vec<_> = files.iter().map(|(path, ..)| *path).collect();
        return Ok(Verdict::NotApplicable(format!("there is no {}", names.join(", "))));
    }
    Ok(Verdict::unless(&wrong, format!("{seen} as expected")))
}

/// The value of `name=value` in the lines of a program or of a settings file.
/// The last one counts, as with systemd.
pub(super) fn value_of<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let lines = text.lines().map(str::trim).filter(|line| !line.starts_with(['#', ';']));
    lines
        .filter_map(|line| line.split_once('='))
        .filter(|(key, _)| key.trim() == name)
        .map(|(_, value)| value.trim())
        .next_back()
}

/// The value of `name value` in a file such as `login.defs` or the output of `sshd -T`.
/// The last one counts, as for the programs that read these.
pub(super) fn word_after<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let lines = text.lines().map(str::trim).filter(|line| !line.starts_with('#'));
    lines.rev().find_map(|line| {
        let (key, value) = line.split_once(char::is_whitespace)?;
        key.eq_ignore_ascii_case(name).then(|| value.trim())
    })
}
