//! Running other programs of the image.
//!
//! Owns: where they are, their environment, the limits of their time and output,
//! and running one outside of the sandbox of whoever needs it.
//! Must not know: what they do.
//!
//! A program is named by its bare name and found in the image's directories
//! only; its arguments are a list, never a line for a shell; its environment is
//! empty but for what is said here.

use std::{
    ffi::OsStr,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    process::Command,
};

use crate::{
    error::{Error, Kind, Result},
    node::paths::Paths,
};

/// Where they are.
const DIRECTORIES: [&str; 3] = ["/usr/bin", "/usr/sbin", "/usr/lib/systemd"];
/// More output than this is cut off.
pub const LONGEST_OUTPUT: usize = 8 * 1024 * 1024;
/// How long most programs have, on a busy machine too.
const LIMIT: Duration = Duration::from_secs(30);
/// What the service manager has to start a service, and to end one whose time is over.
const TIME_TO_MANAGE: Duration = Duration::from_secs(10);

/// The programs of the image.
#[derive(Clone, Debug)]
pub struct Programs {
    directories: Vec<PathBuf>,
    service_manager: PathBuf,
}

/// How a program ended.
#[derive(Debug)]
pub struct Output {
    /// Whether with exit code 0.
    pub success: bool,
    /// Its exit code; `None` when a signal ended it.
    pub code: Option<i32>,
    /// What it wrote to standard output, as text.
    pub stdout: String,
    /// What it wrote to standard error, as text.
    pub stderr: String,
    /// It wrote more to standard output than was kept.
    pub cut: bool,
}

/// Why a program failed, in its own words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Said<'a> {
    /// What failed, without the full stop.
    pub what: &'a str,
    /// What to do then.
    pub hint: Option<&'a str>,
}

impl Output {
    /// Its output, or an `Unavailable` failure that says what it wrote to standard error.
    pub fn or_failure(self, doing: &str) -> Result<String> {
        if self.success {
            return Ok(self.stdout);
        }
        let said = self.said().map_or("it did not say why", |said| said.what);
        Err(Error::new(Kind::Unavailable, "program-failed", format!("{doing} failed: {said}.")))
    }

    /// Why it failed, as it says on standard error; nothing when that is empty.
    /// Our own program names what failed and then what to do; others end with
    /// the reason. Lines of a log may stand before either.
    pub fn said(&self) -> Option<Said<'_>> {
        let mut lines = self.stderr.lines().filter(|line| !line.trim().is_empty());
        if let Some(what) = lines.clone().find_map(|line| line.strip_prefix("error: ")) {
            let mut rest = lines.skip_while(|line| !line.starts_with("error: ")).skip(1);
            return Some(Said { what: reason(what), hint: rest.next().map(str::trim) });
        }
        lines.next_back().map(|what| Said { what: reason(what), hint: None })
    }
}

fn reason(line: &str) -> &str {
    line.trim().trim_end_matches('.')
}

/// The first or the last bytes of something that may be long.
#[derive(Debug)]
pub struct Kept {
    bytes: Vec<u8>,
    most: usize,
    end: bool,
    cut: bool,
}

impl Kept {
    /// Of what comes, at most the first `most` bytes.
    pub fn start(most: usize) -> Self {
        Self { bytes: Vec::new(), most, end: false, cut: false }
    }

    /// Of what comes, at most the last `most` bytes.
    pub fn end(most: usize) -> Self {
        Self { end: true, ..Self::start(most) }
    }

    /// Takes what came next.
    pub fn push(&mut self, piece: &[u8]) {
        if !self.end {
            let room = self.most - self.bytes.len();
            self.cut |= piece.len() > room;
            return self.bytes.extend_from_slice(&piece[..piece.len().min(room)]);
        }
        self.bytes.extend_from_slice(piece);
        // Seldom, so that few bytes are moved often.
        if self.bytes.len() > self.most.saturating_mul(2) {
            self.drop_first();
        }
    }

    fn drop_first(&mut self) {
        let over = self.bytes.len().saturating_sub(self.most);
        self.cut |= over > 0;
        self.bytes.drain(..over);
    }

    /// It as text, and whether some of it is missing. An end begins with a whole
    /// line: half a line may be half a secret, which nobody recognises.
    pub fn into_text(mut self) -> (String, bool) {
        if self.end {
            self.drop_first();
            if self.cut {
                let line = self.bytes.iter().position(|byte| *byte == b'\n');
                self.bytes.drain(..line.map_or(self.bytes.len(), |line| line + 1));
            }
        }
        (String::from_utf8_lossy(&self.bytes).into_owned(), self.cut)
    }
}

/// One program to be run.
#[derive(Debug)]
pub struct Run<'a> {
    programs: &'a Programs,
    name: &'a str,
    command: Command,
    input: Vec<u8>,
    limit: Duration,
    end: bool,
}

impl Programs {
    /// Of this layout.
    pub fn of(paths: &Paths) -> Self {
        let directories = DIRECTORIES.iter().map(|directory| paths.at(directory)).collect();
        Self { directories, service_manager: paths.at("/run/systemd/system") }
    }

    /// The programs in `directory` before those of this machine: for a tree
    /// that has no programs of its own.
    #[must_use]
    pub fn after(mut self, directory: PathBuf) -> Self {
        self.directories = DIRECTORIES.iter().map(PathBuf::from).collect();
        self.directories.insert(0, directory);
        self
    }

    /// Where a program is; `None` when there is no such program.
    pub fn find(&self, name: &str) -> Option<PathBuf> {
        let places = self.directories.iter().map(|directory| directory.join(name));
        places.into_iter().find(|path| path.is_file())
    }

    /// A program of the image by its bare name; it has half a minute.
    pub fn run<'a>(&'a self, name: &'a str) -> Run<'a> {
        // What a program starts itself is the machine's, also below another root.
        let own =
            DIRECTORIES.iter().map(PathBuf::from).filter(|own| !self.directories.contains(own));
        let search = std::env::join_paths(self.directories.iter().cloned().chain(own));
        let mut command = Command::new(self.find(name).unwrap_or_else(|| name.into()));
        command
            .env_clear()
            .env("PATH", search.unwrap_or_default())
            .env("LC_ALL", "C.UTF-8")
            .env("SYSTEMD_COLORS", "0")
            .env("SYSTEMD_PAGER", "")
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        Run { programs: self, name, command, input: Vec::new(), limit: LIMIT, end: false }
    }

    /// A program as a service of its own, outside of the caller's sandbox.
    /// `unit` are options of systemd-run. The service manager ends it after
    /// `limit`, even when nobody waits for it any more.
    pub fn service(&self, unit: &[&str], name: &str, limit: Duration) -> Run<'_> {
        let most = format!("--property=RuntimeMaxSec={}", limit.as_secs());
        let run = self
            .run("systemd-run")
            .args(["--pipe", "--wait", "--quiet", "--collect", "--service-type=exec", &most])
            .args(unit)
            .args(["--"]);
        run.args([self.find(name).unwrap_or_else(|| name.into())]).within(limit + TIME_TO_MANAGE)
    }

    /// The same, or directly on a machine without a service manager.
    pub fn outside<'a>(&'a self, unit: &[&str], name: &'a str, limit: Duration) -> Run<'a> {
        if self.service_manager.is_dir() {
            self.service(unit, name, limit)
        } else {
            self.run(name).within(limit)
        }
    }

    /// Our own program as the user of the management plane, on its data: the
    /// caller itself may not become somebody else.
    pub fn as_management_plane(&self, data: &Path, limit: Duration) -> Run<'_> {
        let writable = format!("--property=ReadWritePaths={}", data.display());
        let unit = [
            "--uid=palisade",
            "--gid=palisade",
            "--property=UMask=0077",
            "--property=NoNewPrivileges=yes",
            "--property=ProtectSystem=strict",
            &writable,
        ];
        self.service(&unit, "palisade", limit)
    }
}

impl Run<'_> {
    /// With these arguments.
    pub fn args<S: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = S>) -> Self {
        self.command.args(args);
        self
    }

    /// With this text on standard input.
    pub fn input(mut self, text: &str) -> Self {
        self.input = text.as_bytes().to_vec();
        self
    }

    /// For at most this long.
    pub fn within(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// Of a long output the last lines are kept instead of the first bytes.
    pub fn keep_end(mut self) -> Self {
        self.end = true;
        self
    }

    /// Runs it to its end. `Unavailable` when it cannot be started or takes too long.
    pub async fn output(mut self) -> Result<Output> {
        let name = self.name;
        let unavailable = |problem: String| {
            Error::new(Kind::Unavailable, "program-failed", format!("{name} {problem}."))
        };
        self.command.stdin(if self.input.is_empty() { Stdio::null() } else { Stdio::piped() });
        let mut child = self.command.spawn().map_err(|error| {
            let places: Vec<_> =
                self.programs.directories.iter().map(|d| d.display().to_string()).collect();
            unavailable(format!("cannot be started from {}: {error}", places.join(" or ")))
        })?;
        let (stdin, stdout, stderr) =
            (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let input = std::mem::take(&mut self.input);
        let feed = async move {
            if let Some(mut stdin) = stdin {
                // A program that does not want it all ends as it likes.
                let _ = stdin.write_all(&input).await;
            }
            drop(zeroize::Zeroizing::new(input));
        };
        let (most, end) = (LONGEST_OUTPUT, self.end);
        let kept = if end { Kept::end(most) } else { Kept::start(most) };
        let work = async {
            let (out, err, ()) =
                tokio::join!(collect(stdout, kept), collect(stderr, Kept::start(most)), feed);
            child.wait().await.map(|status| (status, out, err))
        };
        let limit = self.limit;
        match tokio::time::timeout(limit, work).await {
            Ok(Ok((status, (stdout, cut), (stderr, _)))) => {
                Ok(Output { success: status.success(), code: status.code(), stdout, stderr, cut })
            }
            Ok(Err(error)) => Err(unavailable(format!("was lost: {error}"))),
            Err(_) => Err(unavailable(format!("did not end within {} s", limit.as_secs()))),
        }
    }
}

async fn collect(pipe: Option<impl AsyncReadExt + Unpin>, mut kept: Kept) -> (String, bool) {
    if let Some(mut pipe) = pipe {
        let mut piece = vec![0_u8; 64 * 1024];
        // What was read before a failure is worth something.
        while let Ok(length @ 1..) = pipe.read(&mut piece).await {
            kept.push(&piece[..length]);
        }
    }
    kept.into_text()
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt};

    use super::*;

    fn with_program(text: &str) -> (tempfile::TempDir, Programs) {
        let place = tempfile::tempdir().expect("a directory");
        let paths = Paths::below(place.path());
        fs::create_dir_all(paths.at("/usr/bin")).expect("made");
        let path = paths.at("/usr/bin/thing");
        fs::write(&path, text).expect("written");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("executable");
        let programs = Programs::of(&paths);
        (place, programs)
    }

    #[tokio::test]
    async fn a_program_gets_its_arguments_as_they_are_and_an_empty_environment() {
        let (place, programs) =
            with_program("#!/bin/sh\necho \"$1|$2|$HOME|$PATH\"; /usr/bin/cat\n");
        let run = programs.run("thing").args(["a b", "$(id); `id`"]).input("typed\n");
        let output = run.output().await.expect("it runs");
        let bin = place.path().join("usr/bin").display().to_string();
        assert!(output.stdout.starts_with(&format!("a b|$(id); `id`||{bin}:")), "{output:?}");
        assert!(output.stdout.ends_with("\ntyped\n"), "{output:?}");
    }

    #[tokio::test]
    async fn a_program_that_fails_hangs_or_is_missing_is_a_failure_with_a_reason() {
        let (_place, programs) = with_program("#!/bin/sh\necho no luck. >&2\nexit 3\n");
        let output = programs.run("thing").output().await.expect("it runs");
        assert_eq!(output.code, Some(3));
        let failure = output.or_failure("Doing the thing").expect_err("it failed");
        assert_eq!(failure.message(), "Doing the thing failed: no luck.");
        let missing = programs.run("other").output().await.expect_err("there is none");
        assert!(missing.message().starts_with("other cannot be started from"), "{missing}");

        let (_place, programs) = with_program("#!/bin/sh\nexec /usr/bin/sleep 600\n");
        let hanging = programs.run("thing").within(Duration::from_millis(200)).output().await;
        let hanging = hanging.expect_err("it hangs");
        assert!(hanging.message().contains("did not end"), "{hanging}");
    }

    #[test]
    fn our_own_program_is_quoted_from_its_error_on_and_others_with_their_last_line() {
        let output = |stderr: &str| Output {
            success: false,
            code: Some(4),
            stdout: String::new(),
            stderr: stderr.to_owned(),
            cut: false,
        };
        let ours = output("12:00:00 WARN x\nerror: The kit is mistyped.\n  Type group 3 again.\n");
        let said = ours.said().expect("it said something");
        assert_eq!((said.what, said.hint), ("The kit is mistyped", Some("Type group 3 again.")));
        let other = output("starting\nno luck.\n\n");
        assert_eq!(other.said(), Some(Said { what: "no luck", hint: None }));
        assert_eq!(output("\n").said(), None);
    }

    #[tokio::test]
    async fn of_a_long_output_the_last_lines_can_be_kept() {
        let (_place, programs) = with_program(
            "#!/bin/sh\necho first\n/usr/bin/yes 'a line' | /usr/bin/head -c 9000000\necho\necho last\n",
        );
        let start = programs.run("thing").output().await.expect("it runs");
        assert!(start.cut && start.stdout.starts_with("first\n"));
        assert!(start.stdout.len() <= LONGEST_OUTPUT && !start.stdout.contains("last"));
        let end = programs.run("thing").keep_end().output().await.expect("it runs");
        assert!(end.cut && end.stdout.ends_with("\nlast\n"));
        assert!(end.stdout.len() <= LONGEST_OUTPUT && end.stdout.starts_with("a line\n"));
    }

    #[tokio::test]
    async fn outside_is_a_service_with_an_end_or_the_program_itself_without_a_manager() {
        let (place, programs) = with_program("#!/bin/sh\necho \"$@\"\n");
        let outside = || programs.outside(&["--unit=x"], "thing", Duration::from_secs(7));
        let output = outside().args(["word"]).output().await.expect("it runs");
        assert_eq!(output.stdout, "word\n");
        let paths = Paths::below(place.path());
        fs::create_dir_all(paths.at("/run/systemd/system")).expect("made");
        fs::copy(paths.at("/usr/bin/thing"), paths.at("/usr/bin/systemd-run")).expect("copied");
        let output = outside().args(["word"]).output().await.expect("it runs");
        let thing = paths.at("/usr/bin/thing").display().to_string();
        assert!(output.stdout.contains("RuntimeMaxSec=7 --unit=x -- "), "{}", output.stdout);
        assert!(output.stdout.ends_with(&format!("-- {thing} word\n")), "{}", output.stdout);
    }
}
