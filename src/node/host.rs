//! The operating system, as far as the node needs it.
//!
//! Owns: running programs with a limit in time, and the one place where a test
//! puts scripts in front of the real ones.
//! Must not know: why a program is run.

use std::{
    ffi::OsStr,
    io,
    path::PathBuf,
    process::{Output, Stdio},
    time::Duration,
};

use tokio::process::Command;

use super::paths::Paths;

/// Where programs are looked for; the environment has no say.
const PROGRAMS: &str = "/usr/sbin:/usr/bin:/sbin:/bin";
/// Longer than any program that we run takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// The machine, or a directory that looks like one.
#[derive(Clone, Debug)]
pub struct Host {
    paths: Paths,
    programs: String,
    patience: Duration,
}

impl Default for Host {
    fn default() -> Self {
        Self { paths: Paths::default(), programs: PROGRAMS.to_owned(), patience: PATIENCE }
    }
}

impl Host {
    /// A machine below another root, whose programs are looked for in
    /// `programs` first.
    pub fn below(root: impl Into<PathBuf>, programs: &std::path::Path) -> Self {
        let programs = format!("{}:{PROGRAMS}", programs.display());
        Self { paths: Paths::below(root), programs, patience: PATIENCE }
    }

    /// Its files.
    pub fn paths(&self) -> &Paths {
        &self.paths
    }

    /// Runs a program to its end. An error is one of running it, or of time;
    /// what the program thinks of it is in the answer.
    pub async fn run<A: AsRef<OsStr>>(
        &self,
        program: &str,
        arguments: impl IntoIterator<Item = A>,
    ) -> io::Result<Output> {
        let mut command = Command::new("/usr/bin/env");
        command.arg("-i").arg(format!("PATH={}", self.programs)).arg("LC_ALL=C.UTF-8");
        command.arg(program).args(arguments);
        command.stdin(Stdio::null()).kill_on_drop(true);
        match tokio::time::timeout(self.patience, command.output()).await {
            Ok(output) => output,
            Err(_) => Err(io::Error::new(
                io::ErrorKind::TimedOut,
                format!("{program} has not ended after {} s", self.patience.as_secs()),
            )),
        }
    }

    /// Runs a program that has to succeed.
    pub async fn must<A: AsRef<OsStr>>(
        &self,
        program: &str,
        arguments: impl IntoIterator<Item = A>,
    ) -> io::Result<()> {
        let output = self.run(program, arguments).await?;
        if output.status.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&output.stderr);
        let last = said.lines().rfind(|line| !line.trim().is_empty()).unwrap_or("nothing");
        Err(io::Error::other(format!("{program} ended with {} and said: {last}", output.status)))
    }
}
