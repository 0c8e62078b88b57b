//! The support bundle: one file for whoever helps, without secrets.
//!
//! Owns: what goes in, how much of it, and that nothing goes in unread: every
//! text passes [`redact`](super::redact).
//! Must not know: who asks for it, or where it goes.
//!
//! Nothing is copied from the directories of keys and data: of those the bundle
//! has names, sizes and modes. It is one `tar`; its first member is a manifest
//! that says what is inside, what was taken out, and what was left out and why.

use std::{fs, io::Write, os::unix::fs::MetadataExt, path::Path, time::Duration};

use futures_util::future::join_all;
use serde::Serialize;
use sha2::{Digest, Sha256};
use tokio::{task::spawn_blocking, time::timeout};

use super::{
    Machine,
    causes::{self, Targets},
    cis, facts,
    redact::redact,
};
use crate::{
    clock::{Clock, Timestamp},
    config::Config,
    error::{Error, Result},
};

/// The most that one member holds, in bytes.
const LARGEST_MEMBER: usize = 8 * 1024 * 1024;
/// The most that all of them hold together.
const LARGEST: usize = 50 * 1024 * 1024;
/// Programs that collect much take longer than a look.
const LIMIT: Duration = Duration::from_secs(20);

/// What programs say: member, and command line.
const PROGRAMS: &[(&str, &str)] = &[
    ("journal/palisade.txt", "journalctl -u palisade.service -n 20000 -o short-iso --no-pager"),
    (
        "journal/palisade-node.txt",
        "journalctl -u palisade-node.service -n 5000 -o short-iso --no-pager",
    ),
    (
        "journal/first-boot.txt",
        "journalctl -u palisade-first-boot.service -n 5000 -o short-iso --no-pager",
    ),
    (
        "journal/healthy.txt",
        "journalctl -u palisade-healthy.service -n 2000 -o short-iso --no-pager",
    ),
    (
        "journal/console.txt",
        "journalctl -u palisade-console@tty1.service -n 2000 -o short-iso --no-pager",
    ),
    ("journal/kernel.txt", "journalctl -k -b -n 5000 -o short-iso --no-pager"),
    ("journal/warnings.txt", "journalctl -b -p warning -n 5000 -o short-iso --no-pager"),
    ("systemd/units.txt", "systemctl list-units --all --no-pager --full"),
    ("systemd/failed.txt", "systemctl list-units --failed --no-pager --full"),
    ("systemd/timers.txt", "systemctl list-timers --all --no-pager"),
    ("systemd/start.txt", "systemd-analyze time --no-pager"),
    ("systemd/slowest.txt", "systemd-analyze blame --no-pager"),
    ("systemd/boots.txt", "journalctl --list-boots --no-pager"),
    ("network/addresses.txt", "ip addr"),
    ("network/routes.txt", "ip route show table all"),
    ("network/neighbours.txt", "ip neigh"),
    ("network/links.txt", "networkctl status --all --no-pager"),
    ("network/names.txt", "resolvectl status --no-pager"),
    ("network/firewall.txt", "nft list ruleset"),
    ("network/sockets.txt", "ss -lntup"),
    ("clock.txt", "timedatectl"),
    ("clock-service.txt", "timedatectl show-timesync"),
    ("disk/room.txt", "df -h"),
    ("disk/inodes.txt", "df -i"),
    ("disk/devices.txt", "lsblk -f"),
    ("boot.txt", "bootctl status --no-pager"),
];

/// Files that are taken as they are, but for secrets.
const FILES: &[(&str, &str)] = &[
    ("system/os-release.txt", "/usr/lib/os-release"),
    ("system/kernel.txt", "/proc/version"),
    ("system/arguments.txt", "/proc/cmdline"),
    ("system/uptime.txt", "/proc/uptime"),
    ("system/load.txt", "/proc/loadavg"),
    ("system/pressure-memory.txt", "/proc/pressure/memory"),
    ("system/pressure-io.txt", "/proc/pressure/io"),
    ("system/memory.txt", "/proc/meminfo"),
    ("system/events.txt", "/proc/vmstat"),
    ("system/processor.txt", "/proc/cpuinfo"),
    ("system/mounts.txt", "/proc/mounts"),
    ("node/mistakes.json", "/run/palisade-node/mistakes.json"),
    ("network/hosts.txt", "/etc/hosts"),
    ("network/resolv.txt", "/etc/resolv.conf"),
    ("network/resolv-upstream.txt", "/run/systemd/resolve/resolv.conf"),
];

/// Directories of which names, sizes and modes are told, and nothing more.
const LISTED: &[&str] = &[
    "/var/lib/palisade",
    "/var/lib/palisade-node",
    "/run/palisade-node",
    "/usr/lib/palisade",
    "/run/systemd/network",
    "/var/log",
];

/// What nobody has to look for.
const LEFT_OUT: &[(&str, &str)] = &[
    ("the keystore, the recovery kit and the seal's key", "they open everything"),
    ("the database", "it holds the data of tenants; sizes are in files.txt"),
    ("the node's answers", "join codes, proxy passwords and keys are among them"),
    ("sessions, API keys and kubeconfigs", "they give access"),
    ("SSH keys and certificates' private keys", "they prove who somebody is"),
    ("audit records", "they name people; export them under Audit if they are needed"),
];

/// What is known only to somebody else: member and text.
pub type Extra = Vec<(String, String)>;

/// What the bundle says of itself.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Manifest {
    program: &'static str,
    version: &'static str,
    made_at: Timestamp,
    /// What is inside.
    members: Vec<Member>,
    /// What is not, and why.
    left_out: Vec<LeftOut>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Member {
    name: String,
    bytes: usize,
    sha256: String,
    /// In how many places a secret was taken out.
    removed: usize,
    /// Only the end of it is there.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    cut: bool,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct LeftOut {
    what: String,
    why: String,
}

/// Collects everything and writes the `tar` to `out`. `extra` is what is known
/// only to the running management plane, such as its metrics.
pub async fn write(
    machine: &Machine,
    config: &Result<Config, String>,
    targets: &Targets,
    extra: Extra,
    clock: &dyn Clock,
    out: impl Write,
) -> Result<()> {
    let mut collected = Collected::default();
    let patient = machine.clone().with_limit(LIMIT);
    let programs = join_all(PROGRAMS.iter().map(|(_, command)| patient.run_for_end(command)));
    let observe = Box::pin(causes::observe(machine, config, targets, clock));
    let gather = Box::pin(facts::gather(machine, config, clock));
    let listing = {
        let machine = machine.clone();
        let data_dir = config.as_ref().ok().map(|config| config.storage.data_dir.clone());
        timeout(LIMIT, spawn_blocking(move || listing(&machine, data_dir.as_deref())))
    };
    let (programs, observed, gathered, listing) = tokio::join!(programs, observe, gather, listing);

    let diagnosis = causes::diagnose(&observed);
    collected.add("doctor.txt", &diagnosis.text());
    collected.add_json("doctor.json", &diagnosis)?;
    let report = cis::evaluate(&gathered);
    collected.add("cis.txt", &report.text());
    collected.add_json("cis.json", &report)?;
    collected.add("version.txt", &format!("palisade {}\n", env!("CARGO_PKG_VERSION")));
    match config {
        Ok(config) => collected.add("settings.txt", &config.describe()),
        Err(why) => collected.leave_out("settings.txt", why),
    }
    match listing {
        Ok(Ok(text)) => collected.add("files.txt", &text),
        Ok(Err(error)) => collected.leave_out("files.txt", &error.to_string()),
        Err(_) => collected.leave_out("files.txt", "looking at the files takes too long"),
    }
    for (name, text) in extra {
        collected.add(&name, &text);
    }
    for (name, path) in FILES {
        match machine.read_end(path) {
            Ok(Some(end)) => collected.add_end(name, &end.text, end.cut),
            Ok(None) => collected.leave_out(name, "there is no such file"),
            Err(why) => collected.leave_out(name, &why),
        }
    }
    for ((name, command), answer) in PROGRAMS.iter().zip(programs) {
        match answer {
            Ok(Some(end)) => collected.add_end(name, &end.text, end.cut),
            Ok(None) => {
                let program = command.split(' ').next().unwrap_or(command);
                collected.leave_out(name, &format!("there is no program {program}"));
            }
            Err(why) => collected.leave_out(name, &why),
        }
    }
    for (what, why) in LEFT_OUT {
        collected.leave_out(what, why);
    }
    collected.pack(clock.now(), out)
}

#[derive(Debug, Default)]
struct Collected {
    members: Vec<Member>,
    texts: Vec<String>,
    left_out: Vec<LeftOut>,
    size: usize,
}

impl Collected {
    /// Adds a text without its secrets, or its end if it is long.
    fn add(&mut self, name: &str, text: &str) {
        self.add_end(name, text, false);
    }

    /// The same with a text whose beginning is already missing if `cut`.
    fn add_end(&mut self, name: &str, text: &str, cut: bool) {
        let text = end_of(text, LARGEST_MEMBER);
        if self.size + text.len() > LARGEST {
            return self.leave_out(name, "the bundle would become too large");
        }
        let redacted = redact(text.shown);
        let cut = cut || text.cut;
        self.size += redacted.text.len();
        self.members.push(Member {
            name: name.to_owned(),
            bytes: redacted.text.len(),
            sha256: data_encoding::HEXLOWER.encode(&Sha256::digest(redacted.text.as_bytes())),
            removed: redacted.removed,
            cut,
        });
        self.texts.push(redacted.text);
    }

    fn add_json(&mut self, name: &str, value: &impl Serialize) -> Result<()> {
        let text = serde_json::to_string_pretty(value).map_err(Error::internal)?;
        self.add(name, &text);
        Ok(())
    }

    fn leave_out(&mut self, what: &str, why: &str) {
        let why = redact(why).text;
        self.left_out.push(LeftOut { what: what.to_owned(), why });
    }

    fn pack(self, now: Timestamp, out: impl Write) -> Result<()> {
        let Self { members, texts, left_out, .. } = self;
        let names: Vec<_> = members.iter().map(|member| member.name.clone()).collect();
        let (program, version) = ("palisade", env!("CARGO_PKG_VERSION"));
        let manifest = Manifest { program, version, made_at: now, members, left_out };
        let manifest = serde_json::to_string_pretty(&manifest).map_err(Error::internal)?;
        let mut archive = tar::Builder::new(out);
        let mut append = |name: &str, text: &str| {
            let mut header = tar::Header::new_ustar();
            header.set_size(text.len() as u64);
            header.set_mode(0o600);
            header.set_mtime(u64::try_from(now.as_seconds()).unwrap_or(0));
            header.set_entry_type(tar::EntryType::Regular);
            archive.append_data(
                &mut header,
                Path::new("palisade-support").join(name),
                text.as_bytes(),
            )
        };
        append("manifest.json", &manifest).map_err(Error::internal)?;
        for (name, text) in names.iter().zip(&texts) {
            append(name, text).map_err(Error::internal)?;
        }
        archive.into_inner().and_then(|mut out| out.flush()).map_err(Error::internal)
    }
}

struct End<'a> {
    shown: &'a str,
    cut: bool,
}

impl End<'_> {
    fn len(&self) -> usize {
        self.shown.len()
    }
}

/// The last whole lines of a text.
fn end_of(text: &str, most: usize) -> End<'_> {
    if text.len() <= most {
        return End { shown: text, cut: false };
    }
    let from = text.len() - most;
    let line = text.as_bytes()[from..].iter().position(|byte| *byte == b'\n');
    let start = line.map_or(text.len(), |line| from + line + 1);
    End { shown: text.get(start..).unwrap_or_default(), cut: true }
}

/// The most files that are listed.
const MOST_FILES: usize = 20_000;

fn listing(machine: &Machine, data_dir: Option<&Path>) -> String {
    let mut places: Vec<_> = LISTED.iter().map(|path| machine.at(path)).collect();
    places.extend(data_dir.map(Path::to_path_buf).filter(|path| !places.contains(path)));
    let mut lines = Vec::new();
    let mut more = None;
    let mut waiting = places;
    while let Some(path) = waiting.pop() {
        if lines.len() >= MOST_FILES {
            more = Some(format!("(more than {MOST_FILES} files)"));
            break;
        }
        let Ok(found) = fs::symlink_metadata(&path) else { continue };
        let line = format!(
            "{:06o} {:>5} {:>5} {:>12} {}",
            found.mode(),
            found.uid(),
            found.gid(),
            found.len(),
            path.display()
        );
        lines.push((path.clone(), line));
        if found.is_dir() {
            let entries =
                fs::read_dir(&path).into_iter().flatten().filter_map(std::result::Result::ok);
            waiting.extend(entries.map(|entry| entry.path()));
        }
    }
    lines.sort_unstable();
    lines.into_iter().map(|(_, line)| line).chain(more).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests;
