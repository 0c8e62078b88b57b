//! What the checks of the hardening look at.
//!
//! Owns: [`Facts`], which files and programs are asked, and asking them.
//! Must not know: what is good and what is bad.

mod gather;
mod walk;

use std::collections::BTreeMap;

use super::{machine::Answer, sockets::Listener};
use crate::{certificates::CertificateInfo, clock::Timestamp};

pub use gather::gather;
pub(super) use gather::listeners;

/// Everything that the checks look at. What is not in it was not looked at,
/// which is a reason to fail.
#[derive(Clone, Debug)]
pub struct Facts {
    /// Texts of files by path.
    pub(super) files: BTreeMap<String, Answer>,
    /// What programs said, by command line.
    pub(super) programs: BTreeMap<String, Answer>,
    /// Names in directories, and other lists.
    pub(super) lists: BTreeMap<String, Answer<Vec<String>>>,
    /// Who owns what.
    pub(super) entries: BTreeMap<String, Answer<Entry>>,
    /// What a walk through the file systems found.
    pub(super) walk: Result<Walk, String>,
    /// What runs.
    pub(super) processes: Result<Vec<Process>, String>,
    /// Who waits for connections.
    pub(super) listeners: Result<Vec<Listener>, String>,
    /// Our settings, as far as checks need them.
    pub(super) settings: Result<Settings, String>,
    /// Our own port.
    pub(super) port: Result<Port, String>,
    /// When it was looked.
    pub(super) now: Timestamp,
}

/// Nothing was looked at.
impl Default for Facts {
    fn default() -> Self {
        let not = |what: &str| format!("{what} were not looked at");
        Self {
            files: BTreeMap::new(),
            programs: BTreeMap::new(),
            lists: BTreeMap::new(),
            entries: BTreeMap::new(),
            walk: Err(not("the file systems")),
            processes: Err(not("the processes")),
            listeners: Err(not("the sockets")),
            settings: Err(not("the settings")),
            port: Err("our own port was not looked at".to_owned()),
            now: Timestamp::default(),
        }
    }
}

/// Owner and mode of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) uid: u32,
    pub(super) gid: u32,
    /// The lower twelve bits.
    pub(super) mode: u32,
}

/// Files that need a reason.
#[derive(Clone, Debug, Default)]
pub(super) struct Walk {
    pub(super) world_writable: Vec<String>,
    pub(super) unowned: Vec<String>,
    pub(super) setuid: Vec<String>,
    pub(super) capable: Vec<String>,
}

/// A process of ours.
#[derive(Clone, Debug)]
pub(super) struct Process {
    /// The program and its first argument: the rest may hold anything.
    pub(super) command: String,
    /// `/proc/PID/status`.
    pub(super) status: String,
    /// Its profile and mode, e.g. `palisade-serve (enforce)`.
    pub(super) profile: String,
}

/// Our settings.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub(super) names: Vec<String>,
    /// The seal's key is not beside the sealed keys.
    pub(super) seal_apart: bool,
    pub(super) broker_is_ours: bool,
}

/// What our own port answers.
#[derive(Clone, Debug)]
pub(super) struct Port {
    /// A modern greeting was answered: the other answers mean something.
    pub(super) modern: bool,
    /// Greetings that should be refused and were answered.
    pub(super) weak: Vec<&'static str>,
    pub(super) certificate: Option<CertificateInfo>,
}

impl Facts {
    /// The text of a file, if the file exists.
    pub(super) fn text(&self, path: &str) -> Result<Option<&str>, String> {
        match self.files.get(path) {
            Some(Ok(text)) => Ok(text.as_deref()),
            Some(Err(why)) => Err(why.clone()),
            None => Err(format!("{path} was not looked at")),
        }
    }

    /// The text of a file that has to be there for anything to be seen.
    pub(super) fn need(&self, path: &str) -> Result<&str, String> {
        self.text(path)?.ok_or_else(|| format!("there is no {path}"))
    }

    /// What a program said.
    pub(super) fn output(&self, command: &str) -> Result<&str, String> {
        match self.programs.get(command) {
            Some(Ok(Some(text))) => Ok(text),
            Some(Ok(None)) => {
                let name = command.split(' ').next().unwrap_or(command);
                Err(format!("there is no program {name}"))
            }
            Some(Err(why)) => Err(why.clone()),
            None => Err(format!("`{command}` was not asked")),
        }
    }

    /// The names of a list, if there is one.
    pub(super) fn names(&self, list: &str) -> Result<Option<&[String]>, String> {
        match self.lists.get(list) {
            Some(Ok(names)) => Ok(names.as_deref()),
            Some(Err(why)) => Err(why.clone()),
            None => Err(format!("{list} was not looked at")),
        }
    }

    /// The texts of all files in directories, in the order in which they count.
    pub(super) fn texts_below(&self, directories: &[&str]) -> Result<Vec<(&str, &str)>, String> {
        let mut found: Vec<(&str, &str)> = Vec::new();
        for directory in directories {
            for name in self.names(directory)?.unwrap_or_default() {
                let path = format!("{directory}/{name}");
                if let Some((path, Some(text))) = self.of_file(&path)? {
                    found.push((path, text));
                }
            }
        }
        Ok(found)
    }

    fn of_file(&self, path: &str) -> Result<Option<(&str, Option<&str>)>, String> {
        match self.files.get_key_value(path) {
            Some((path, Ok(text))) => Ok(Some((path, text.as_deref()))),
            Some((_, Err(why))) => Err(why.clone()),
            None => Ok(None),
        }
    }

    /// Owner and mode of a file, or of all files in a directory (`dir/*`).
    pub(super) fn entries(&self, pattern: &str) -> Result<Vec<(&str, Entry)>, String> {
        let Some(directory) = pattern.strip_suffix('*') else {
            return match self.entries.get_key_value(pattern) {
                Some((path, Ok(entry))) => Ok(entry.iter().map(|e| (path.as_str(), *e)).collect()),
                Some((_, Err(why))) => Err(why.clone()),
                None => Err(format!("{pattern} was not looked at")),
            };
        };
        if !self.lists.contains_key(directory.trim_end_matches('/')) {
            return Err(format!("{pattern} was not looked at"));
        }
        let mut found = Vec::new();
        for (path, answer) in &self.entries {
            let inside = path.strip_prefix(directory).is_some_and(|rest| !rest.contains('/'));
            if inside {
                let entry = answer.as_ref().map_err(Clone::clone)?;
                found.extend(entry.map(|entry| (path.as_str(), entry)));
            }
        }
        Ok(found)
    }

    /// The name of a user, or its number.
    pub(super) fn user(&self, uid: u32) -> Result<String, String> {
        self.name_in("/etc/passwd", uid)
    }

    /// The name of a group, or its number.
    pub(super) fn group(&self, gid: u32) -> Result<String, String> {
        self.name_in("/etc/group", gid)
    }

    fn name_in(&self, file: &str, id: u32) -> Result<String, String> {
        let mut rows = self.need(file)?.lines().map(|line| line.split(':'));
        let row = rows.find_map(|mut row| {
            let name = row.next()?;
            (row.nth(1)?.parse() == Ok(id)).then(|| name.to_owned())
        });
        Ok(row.unwrap_or_else(|| id.to_string()))
    }

    /// What a walk found.
    pub(super) fn walk(&self) -> Result<&Walk, String> {
        self.walk.as_ref().map_err(Clone::clone)
    }

    /// What runs.
    pub(super) fn processes(&self) -> Result<&[Process], String> {
        self.processes.as_deref().map_err(Clone::clone)
    }

    /// Who waits for connections.
    pub(super) fn listeners(&self) -> Result<&[Listener], String> {
        self.listeners.as_deref().map_err(Clone::clone)
    }

    /// Our settings.
    pub(super) fn settings(&self) -> Result<&Settings, String> {
        self.settings.as_ref().map_err(Clone::clone)
    }

    /// Our own port.
    pub(super) fn port(&self) -> Result<&Port, String> {
        self.port.as_ref().map_err(Clone::clone)
    }
}
