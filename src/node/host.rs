//! The operating system, as far as first boot needs it.
//!
//! Owns: the layout together with the programs, and the one place where a test
//! puts scripts in front of the real ones.
//! Must not know: why a program is run.

use std::{ffi::OsStr, io, path::PathBuf};

use super::{
    paths::Paths,
    programs::{Output, Programs},
};

/// The machine, or a directory that looks like one.
#[derive(Clone, Debug)]
pub struct Host {
    paths: Paths,
    programs: Programs,
}

impl Default for Host {
    fn default() -> Self {
        let paths = Paths::default();
        Self { programs: Programs::of(&paths), paths }
    }
}

impl Host {
    /// A machine below another root, whose programs are looked for in
    /// `programs` first.
    pub fn below(root: impl Into<PathBuf>, programs: &std::path::Path) -> Self {
        let paths = Paths::below(root);
        Self { programs: Programs::of(&paths).after(programs.to_owned()), paths }
    }

    /// The machine of this layout, with these programs.
    pub fn of(paths: Paths, programs: Programs) -> Self {
        Self { paths, programs }
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
        self.programs.run(program).args(arguments).output().await.map_err(io::Error::other)
    }

    /// Runs a program that has to succeed.
    pub async fn must<A: AsRef<OsStr>>(
        &self,
        program: &str,
        arguments: impl IntoIterator<Item = A>,
    ) -> io::Result<()> {
        let output = self.run(program, arguments).await?;
        output.or_failure(program).map(drop).map_err(io::Error::other)
    }
}
