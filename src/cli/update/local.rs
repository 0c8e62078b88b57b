//! Updates on the machine itself, through its node daemon.

use std::{
    fs::{self, File},
    io::{self, ErrorKind},
    os::unix::fs::{DirBuilderExt, MetadataExt, chown},
    path::{Path, PathBuf},
};

use serde_json::Value;

use crate::{
    cli::{
        failure::{Exit, Failure, Result},
        output::say,
    },
    error::Error,
    files,
    node::{
        client::{Client, NoAnswer},
        paths::Paths,
        protocol::{CheckMirror, InstallUpdate, RestartIntoUpdate, UpdateSource, UpdateState},
        update,
    },
};

/// The name under which a file lies while it is installed.
const FILE: &str = "local.update";

/// The node daemon of this machine.
#[derive(Debug)]
pub(super) struct Local {
    paths: Paths,
    node: Client,
}

impl Local {
    pub(super) fn new() -> Self {
        let paths = Paths::default();
        Self { node: Client::of(&paths), paths }
    }

    pub(super) async fn status(&self) -> Result<Value> {
        value(&self.node.ask(UpdateState {}).await.map_err(refused)?)
    }

    pub(super) async fn check(&self) -> Result<Value> {
        value(&self.node.ask(CheckMirror {}).await.map_err(refused)?)
    }

    pub(super) async fn install(&self, file: Option<&Path>, downgrade: bool) -> Result<String> {
        let copy = file.map(|file| Copy::of(file, &self.paths)).transpose()?;
        let from = match &copy {
            Some(_) => UpdateSource::Upload(FILE.to_owned()),
            None => UpdateSource::Mirror,
        };
        let ask = InstallUpdate { from, allow_downgrade: downgrade };
        let tell = |news: crate::node::protocol::Progress| say(&news.text);
        let done = self.node.ask_as(ask, None, None, tell).await.map_err(refused)?;
        drop(copy);
        Ok(done.version.to_string())
    }

    pub(super) async fn restart(&self) -> Result<String> {
        let done = self.node.ask(RestartIntoUpdate {}).await.map_err(refused)?;
        Ok(done.version.to_string())
    }
}

/// A copy in the upload directory, the only place from which the daemon takes
/// files; gone when it is dropped.
struct Copy(PathBuf);

impl Copy {
    fn of(file: &Path, paths: &Paths) -> Result<Self> {
        let directory = update::uploads(paths);
        let copy = Self(directory.join(FILE));
        // The directory belongs to the management plane: no link in it is followed.
        let copied = make(&directory).and_then(|()| {
            files::remove(&copy.0)?;
            io::copy(&mut File::open(file)?, &mut File::create_new(&copy.0)?)
        });
        copied.map_err(|error| {
            let message = format!("{} cannot be copied: {error}.", file.display());
            Failure::new(Exit::Failed, message).with_hint("Run this as root on the appliance.")
        })?;
        Ok(copy)
    }
}

/// Makes the directory as the management plane would, for itself alone.
fn make(directory: &Path) -> io::Result<()> {
    match fs::DirBuilder::new().mode(0o700).create(directory) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
        Ok(()) => {
            let owner = fs::metadata(directory.parent().unwrap_or(directory))?;
            chown(directory, Some(owner.uid()), Some(owner.gid()))
        }
    }
}

impl Drop for Copy {
    fn drop(&mut self) {
        // The next one replaces it.
        let _ = fs::remove_file(&self.0);
    }
}

fn value(answer: &impl serde::Serialize) -> Result<Value> {
    serde_json::to_value(answer).map_err(|error| Failure::new(Exit::Failed, error.to_string()))
}

fn refused(no_answer: NoAnswer) -> Failure {
    Error::from(no_answer).into()
}
