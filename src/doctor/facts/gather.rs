//! Asking the machine for everything that the checks look at.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    os::unix::fs::MetadataExt,
    time::Duration,
};

use futures_util::{StreamExt, stream};
use tokio::{task::spawn_blocking, time::timeout};

use super::{Entry, Facts, Process, Settings};
use crate::{
    clock::Clock,
    config::{BusMode, Config, Seal},
    doctor::{
        Machine,
        cis::{self, Look},
        machine::Answer,
        sockets::{self, Listener, Protocol},
        tls,
    },
};

/// Looking through all files takes longer than looking at one.
const WALK_LIMIT: Duration = Duration::from_mins(1);

/// Programs that look at the whole system take longer on a slow machine.
const PROGRAM_LIMIT: Duration = Duration::from_secs(20);

/// How many of them run at the same time.
const PROGRAMS_AT_ONCE: usize = 2;

/// Files and directories are many, and few of them are on the disk.
const FILES_LIMIT: Duration = Duration::from_secs(20);

/// Looks at everything. `config` is what `palisade serve` would run with.
pub async fn gather(
    machine: &Machine,
    config: &Result<Config, String>,
    clock: &dyn Clock,
) -> Facts {
    let files = within(machine, FILES_LIMIT, "files", |machine| Ok(read_files(machine)));
    let entries = within(machine, FILES_LIMIT, "owners", |machine| Ok(read_entries(machine)));
    let lists = within(machine, FILES_LIMIT, "directories", |machine| Ok(read_lists(machine)));
    let walk = within(machine, WALK_LIMIT, "all files", walk);
    let processes = within(machine, FILES_LIMIT, "the processes", processes);
    let listeners = within(machine, FILES_LIMIT, "the sockets", listeners);
    let patient = machine.clone().with_limit(PROGRAM_LIMIT);
    let programs = stream::iter(cis::commands().into_iter().map(|command| {
        let patient = &patient;
        async move {
            let answer = patient.run(&command).await;
            (command, answer)
        }
    }));
    // All at once would take each other's time on a small machine.
    let programs = programs.buffer_unordered(PROGRAMS_AT_ONCE).collect::<BTreeMap<_, _>>();
    let port = async {
        match config {
            Ok(config) => tls::look(config.server.listen).await,
            Err(why) => Err(why.clone()),
        }
    };
    let (files, entries, lists, walk, processes, listeners, programs, port) =
        tokio::join!(files, entries, lists, walk, processes, listeners, programs, port);
    Facts {
        // What is missing in these was not looked at, which fails its check.
        files: files.unwrap_or_default(),
        programs,
        lists: lists.unwrap_or_default(),
        entries: entries.unwrap_or_default(),
        walk,
        processes,
        listeners,
        settings: config.as_ref().map(settings).map_err(Clone::clone),
        port,
        now: clock.now(),
    }
}

/// A look that may wait for a disk: in a thread of its own, and not for ever.
async fn within<T: Send + 'static>(
    machine: &Machine,
    limit: Duration,
    what: &str,
    look: impl FnOnce(&Machine) -> Result<T, String> + Send + 'static,
) -> Result<T, String> {
    let machine = machine.clone();
    match timeout(limit, spawn_blocking(move || look(&machine))).await {
        Ok(Ok(found)) => found,
        Ok(Err(error)) => Err(format!("looking at {what} failed: {error}")),
        Err(_) => Err(format!("looking at {what} takes more than {} s", limit.as_secs())),
    }
}

fn read_files(machine: &Machine) -> BTreeMap<String, Answer> {
    let mut paths: BTreeSet<String> = cis::FILES.iter().map(|path| (*path).to_owned()).collect();
    for check in cis::checks() {
        if let Look::Sysctl(settings) = check.look {
            paths.extend(settings.iter().map(|(key, _)| cis::sysctl_file(key)));
        }
    }
    for directory in cis::TEXTS_BELOW {
        let names = machine.list(directory).ok().flatten().unwrap_or_default();
        paths.extend(names.iter().map(|name| format!("{directory}/{name}")));
    }
    let links = machine.list("/sys/class/net").ok().flatten().unwrap_or_default();
    paths.extend(links.iter().map(|link| format!("/sys/class/net/{link}/flags")));
    let read = |path: String| {
        let mut answer = machine.read(&path);
        if path == "/etc/shadow" {
            answer = answer.map(|text| text.map(|text| without_hashes(&text)));
        }
        (path, answer)
    };
    paths.into_iter().map(read).collect()
}

/// Nobody needs the hashes: `set` stands for each.
fn without_hashes(shadow: &str) -> String {
    let line = |line: &str| {
        let mut fields: Vec<_> = line.split(':').collect();
        if let Some(hash) = fields.get_mut(1) {
            *hash = match hash.chars().next() {
                None => "",
                Some('!') => "!",
                Some('*') => "*",
                Some(_) => "set",
            };
        }
        fields.join(":")
    };
    shadow.lines().map(line).collect::<Vec<_>>().join("\n")
}

fn read_lists(machine: &Machine) -> BTreeMap<String, Answer<Vec<String>>> {
    let directories = cis::TEXTS_BELOW.iter().chain(cis::LISTS).copied();
    let mut lists: BTreeMap<_, _> =
        directories.map(|path| (path.to_owned(), machine.list(path))).collect();
    for pattern in access_patterns() {
        if let Some(directory) = pattern.strip_suffix("/*") {
            lists.insert(directory.to_owned(), machine.list(directory));
        }
    }
    lists.insert(cis::MODULES.to_owned(), modules(machine));
    let present = |name: &&&str| machine.program(name).is_some();
    let programs = cis::UNWANTED_PROGRAMS.iter().filter(present).map(|name| (*name).to_owned());
    lists.insert(cis::PROGRAMS.to_owned(), Ok(Some(programs.collect())));
    lists
}

/// The modules of the running kernel, by the names of their files.
fn modules(machine: &Machine) -> Answer<Vec<String>> {
    let Some(release) = machine.read("/proc/sys/kernel/osrelease")? else { return Ok(None) };
    let list = format!("/usr/lib/modules/{}/modules.dep", release.trim());
    let Some(text) = machine.read(list)? else { return Ok(None) };
    let name = |line: &str| {
        let path = line.split(':').next()?;
        let file = path.rsplit('/').next()?;
        Some(file.split(".ko").next()?.to_owned())
    };
    Ok(Some(text.lines().filter_map(name).collect()))
}

fn access_patterns() -> impl Iterator<Item = &'static str> {
    let tables = cis::checks().filter_map(|check| match check.look {
        Look::Access(files) => Some(files),
        _ => None,
    });
    tables.flatten().map(|(path, ..)| *path).chain(cis::ENTRIES.iter().copied())
}

fn read_entries(machine: &Machine) -> BTreeMap<String, Answer<Entry>> {
    let mut found = BTreeMap::new();
    for pattern in access_patterns() {
        let Some(directory) = pattern.strip_suffix("/*") else {
            found.insert(pattern.to_owned(), entry(machine, pattern));
            continue;
        };
        for name in machine.list(directory).ok().flatten().unwrap_or_default() {
            let path = format!("{directory}/{name}");
            let answer = entry(machine, &path);
            found.insert(path, answer);
        }
    }
    found
}

fn entry(machine: &Machine, path: &str) -> Answer<Entry> {
    match fs::metadata(machine.at(path)) {
        Ok(found) => {
            Ok(Some(Entry { uid: found.uid(), gid: found.gid(), mode: found.mode() & 0o7777 }))
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(format!("{path} cannot be looked at: {error}")),
    }
}

fn walk(machine: &Machine) -> Result<super::Walk, String> {
    let ids = |path: &str| -> Result<BTreeSet<u32>, String> {
        let text = machine.read(path)?.ok_or_else(|| format!("there is no {path}"))?;
        Ok(text.lines().filter_map(|line| line.split(':').nth(2)?.parse().ok()).collect())
    };
    super::walk::walk(machine, &ids("/etc/passwd")?, &ids("/etc/group")?)
}

fn processes(machine: &Machine) -> Result<Vec<Process>, String> {
    let names = machine.list("/proc")?.ok_or("there is no /proc")?;
    let mut found = Vec::new();
    for pid in names.iter().filter(|name| name.bytes().all(|byte| byte.is_ascii_digit())) {
        // It may have ended meanwhile.
        let Ok(Some(line)) = machine.read(format!("/proc/{pid}/cmdline")) else { continue };
        let Ok(Some(status)) = machine.read(format!("/proc/{pid}/status")) else { continue };
        let mut words = line.split('\0').filter(|word| !word.is_empty());
        let Some(program) = words.next() else { continue };
        let program = program.rsplit('/').next().unwrap_or(program);
        let command = match words.next().filter(|word| !word.starts_with('-')) {
            Some(word) => format!("{program} {word}"),
            None => program.to_owned(),
        };
        let profile = machine.read(format!("/proc/{pid}/attr/current")).ok().flatten();
        let profile = profile.unwrap_or_default().trim().to_owned();
        found.push(Process { command, status, profile });
    }
    Ok(found)
}

/// Who waits for connections on this machine.
pub(in crate::doctor) fn listeners(machine: &Machine) -> Result<Vec<Listener>, String> {
    let mut found = Vec::new();
    for (protocol, path) in [
        (Protocol::Tcp, "/proc/net/tcp"),
        (Protocol::Tcp, "/proc/net/tcp6"),
        (Protocol::Udp, "/proc/net/udp"),
        (Protocol::Udp, "/proc/net/udp6"),
    ] {
        // A kernel without IPv6 has no table of it.
        let Some(table) = machine.read(path)? else { continue };
        found.extend(sockets::listeners(protocol, &table));
    }
    Ok(found)
}

fn settings(config: &Config) -> Settings {
    let apart = match (&config.keystore.seal, &config.keystore.seal_key_file) {
        (Seal::Passphrase, _) => true,
        (Seal::Unattended, Some(file)) => !file.path().starts_with(&config.keystore.dir),
        (Seal::Unattended, None) => false,
    };
    Settings {
        names: config.server.names().iter().map(ToString::to_string).collect(),
        seal_apart: apart,
        broker_is_ours: config.bus.mode == BusMode::Managed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_look_that_waits_for_ever_is_given_up() {
        let (sender, receiver) = std::sync::mpsc::channel::<()>();
        let wait = move |_: &Machine| receiver.recv().map_err(|error| error.to_string());
        let machine = Machine::default();
        let seen = within(&machine, Duration::from_millis(50), "a dead disk", wait);
        let why = seen.await.expect_err("it still waits");
        assert!(why.starts_with("looking at a dead disk takes more than"), "{why}");
        drop(sender);
    }

    #[test]
    fn no_hash_of_a_password_becomes_a_fact() {
        let text =
            without_hashes("root:!:1::::::\na:$y$j9T$salt$hash:1::::::\nb::1::::::\nc:!$y$x:1:");
        assert_eq!(text, "root:!:1::::::\na:set:1::::::\nb::1::::::\nc:!:1:");
    }
}
