//! Looking at a machine: reading files and running programs, never for long.
//!
//! Owns: what counts as an answer, the limit of time and of size.
//! Must not know: what is looked for.

use std::{
    fs::{self, File},
    io::{self, Read},
    path::{Path, PathBuf},
    time::Duration,
};

use crate::node::{
    paths::Paths,
    programs::{Kept, LONGEST_OUTPUT, Output, Programs},
};

/// What looking gave: `None` when there is no such thing, an error with the
/// reason when it could not be found out.
pub type Answer<T = String> = Result<Option<T>, String>;

/// How long one look may take.
pub const LIMIT: Duration = Duration::from_secs(3);

/// The most that is read of one file.
const LARGEST: u64 = 4 * 1024 * 1024;

/// Where reading for the end of a file stops: some files never end.
const FARTHEST: u64 = 256 * 1024 * 1024;

/// A text that may be the end of a longer one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Tail {
    /// Whole lines.
    pub(super) text: String,
    /// What came before is missing.
    pub(super) cut: bool,
}

/// A machine, or a directory that looks like one.
#[derive(Clone, Debug)]
pub struct Machine {
    paths: Paths,
    programs: Programs,
    limit: Duration,
}

impl Default for Machine {
    fn default() -> Self {
        Self::below("/")
    }
}

impl Machine {
    /// The machine whose root is at `root`.
    pub fn below(root: impl Into<PathBuf>) -> Self {
        let paths = Paths::below(root);
        Self { programs: Programs::of(&paths), paths, limit: LIMIT }
    }

    /// The same with another limit of time for each look.
    pub fn with_limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// The layout of the appliance on it.
    pub fn paths(&self) -> &Paths {
        &self.paths
    }

    /// An absolute path, below this root.
    pub fn at(&self, path: impl AsRef<Path>) -> PathBuf {
        self.paths.at(path)
    }

    /// The text of a file. Bytes that are no UTF-8 are replaced.
    pub fn read(&self, path: impl AsRef<Path>) -> Answer {
        let path = path.as_ref();
        let mut content = Vec::new();
        // Files of /proc have no length; a limit is needed for them most of all.
        match File::open(self.at(path)).and_then(|f| f.take(LARGEST).read_to_end(&mut content)) {
            Ok(_) => Ok(Some(String::from_utf8_lossy(&content).into_owned())),
            Err(error) => absent_or(path, &error),
        }
    }

    /// The same, but the last lines of a file that is too long.
    pub(super) fn read_end(&self, path: impl AsRef<Path>) -> Answer<Tail> {
        let path = path.as_ref();
        let read = || -> io::Result<(String, bool)> {
            let mut file = File::open(self.at(path))?.take(FARTHEST);
            let (mut kept, mut piece) = (Kept::end(LONGEST_OUTPUT), vec![0_u8; 64 * 1024]);
            loop {
                match file.read(&mut piece)? {
                    0 => return Ok(kept.into_text()),
                    length => kept.push(&piece[..length]),
                }
            }
        };
        read().map_or_else(
            |error| absent_or(path, &error),
            |(text, cut)| Ok(Some(Tail { text, cut })),
        )
    }

    /// The names in a directory, in order.
    pub fn list(&self, path: impl AsRef<Path>) -> Answer<Vec<String>> {
        let path = path.as_ref();
        match fs::read_dir(self.at(path)) {
            Ok(entries) => {
                let names = entries.filter_map(Result::ok).map(|entry| entry.file_name());
                let mut names: Vec<_> =
                    names.map(|name| name.to_string_lossy().into_owned()).collect();
                names.sort_unstable();
                Ok(Some(names))
            }
            Err(error) => absent_or(path, &error),
        }
    }

    /// Where a program is, if it is there.
    pub fn program(&self, name: &str) -> Option<PathBuf> {
        self.programs.find(name)
    }

    /// What a program writes to its standard output; `None` when there is no
    /// such program. It fails when the program says nothing and ends badly.
    /// A program that takes too long is ended.
    pub async fn run(&self, command: &str) -> Answer {
        Ok(self.output(command, false).await?.map(|output| output.stdout))
    }

    /// The same, but the last lines when it writes too much.
    pub(super) async fn run_for_end(&self, command: &str) -> Answer<Tail> {
        let output = self.output(command, true).await?;
        Ok(output.map(|output| Tail { text: output.stdout, cut: output.cut }))
    }

    async fn output(&self, command: &str, end: bool) -> Answer<Output> {
        let mut words = command.split_whitespace();
        let name = words.next().unwrap_or_default();
        if self.program(name).is_none() {
            return Ok(None);
        }
        let run = self.programs.run(name).args(words).within(self.limit);
        let run = if end { run.keep_end() } else { run };
        let output = run
            .output()
            .await
            .map_err(|error| format!("`{command}` fails: {}", error.message()))?;
        if output.success || !output.stdout.trim().is_empty() {
            return Ok(Some(output));
        }
        let said = output.stderr.lines().find(|line| !line.trim().is_empty());
        Err(format!("`{command}` fails: {}", said.unwrap_or("it says nothing").trim()))
    }
}

/// The units that the lines of `systemctl list-…` begin with.
pub(super) fn unit_names(text: &str) -> impl Iterator<Item = &str> {
    const KINDS: &[&str] = &[
        "service",
        "socket",
        "timer",
        "mount",
        "automount",
        "target",
        "slice",
        "path",
        "scope",
        "device",
        "swap",
    ];
    let plain = |c: char| c.is_ascii_alphanumeric() || ":_.\\@-".contains(c);
    let names = text.lines().filter_map(|line| line.split_whitespace().next());
    names.filter(move |name| {
        let kind = name.rsplit_once('.').map_or("", |(_, kind)| kind);
        KINDS.contains(&kind) && name.chars().all(plain)
    })
}

fn absent_or<T>(path: &Path, error: &io::Error) -> Answer<T> {
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Ok(None),
        _ => Err(format!("{} cannot be read: {error}", path.display())),
    }
}

#[cfg(test)]
mod tests {
    use std::{os::unix::fs::PermissionsExt, time::Instant};

    use super::*;

    fn with_program(script: &str) -> (tempfile::TempDir, Machine) {
        let root = tempfile::tempdir().expect("a directory");
        let path = root.path().join("usr/bin/tool");
        fs::create_dir_all(path.parent().expect("a parent")).expect("made");
        fs::write(&path, format!("#!/bin/sh\n{script}\n")).expect("written");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("executable");
        let machine = Machine::below(root.path());
        (root, machine)
    }

    #[tokio::test]
    async fn what_a_program_says_counts_and_its_failure_is_told() {
        let (_root, machine) = with_program("echo $1; exit 3");
        assert_eq!(machine.run("tool word").await, Ok(Some("word\n".to_owned())));
        let (_root, machine) = with_program("echo; echo broken >&2; exit 1");
        assert_eq!(machine.run("tool").await, Err("`tool` fails: broken".to_owned()));
        assert_eq!(machine.run("another").await, Ok(None));
    }

    #[tokio::test]
    async fn a_program_that_hangs_is_ended() {
        let (root, machine) = with_program("echo $$ > \"${0%/*}/pid\"; exec sleep 600");
        let machine = machine.with_limit(Duration::from_secs(1));
        let start = Instant::now();
        let answer = machine.run("tool").await;
        assert!(
            answer.as_ref().is_err_and(|why| why.contains("did not end within 1 s")),
            "{answer:?}"
        );
        assert!(start.elapsed() < Duration::from_secs(30));
        let pid = fs::read_to_string(root.path().join("usr/bin/pid")).expect("it had started");
        let alive = || {
            let state = fs::read_to_string(format!("/proc/{}/stat", pid.trim()));
            state.is_ok_and(|state| !state.contains(") Z "))
        };
        while alive() {
            assert!(start.elapsed() < Duration::from_secs(30), "it still runs");
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn of_what_is_too_long_the_end_is_kept() {
        let (root, machine) = with_program(
            "/usr/bin/yes 'an old line' | /usr/bin/head -c 9000000; echo; echo newest",
        );
        let machine = machine.with_limit(Duration::from_mins(1));
        let end = machine.run_for_end("tool").await.expect("it runs").expect("it is there");
        assert!(end.cut && end.text.ends_with("\nnewest\n"));
        let long = format!("{}newest\n", "an old line\n".repeat(LONGEST_OUTPUT / 10));
        fs::write(root.path().join("log"), long).expect("written");
        let end = machine.read_end("/log").expect("read").expect("there");
        assert!(end.cut && end.text.ends_with("\nnewest\n") && end.text.starts_with("an old"));
        fs::write(root.path().join("log"), "one\n").expect("written");
        let whole = Ok(Some(Tail { text: "one\n".to_owned(), cut: false }));
        assert_eq!(machine.read_end("/log"), whole);
        assert_eq!(machine.read_end("/nothing"), Ok(None));
    }

    #[test]
    fn only_units_are_names_of_units() {
        let text =
            "x@a-b\\x2d1.service loaded failed failed X\n* y.service\n\nMIIC\n tmp.mount x\n";
        assert_eq!(unit_names(text).collect::<Vec<_>>(), ["x@a-b\\x2d1.service", "tmp.mount"]);
    }

    #[test]
    fn a_missing_file_is_no_failure_and_an_unreadable_one_is() {
        let root = tempfile::tempdir().expect("a directory");
        let machine = Machine::below(root.path());
        assert_eq!(machine.read("/etc/nothing"), Ok(None));
        fs::create_dir_all(root.path().join("etc")).expect("made");
        assert!(machine.read("/etc").is_err());
    }
}
