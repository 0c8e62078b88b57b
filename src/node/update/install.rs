//! The way of an update from a file to the other slot, and the restart into it.
//!
//! Owns: the order of the steps. Nothing is written before the whole file was
//! found good and fits what runs; the kernel, which makes a version bootable,
//! comes last; what is left of an installation that was cut off is removed at
//! the next start.
//! Must not know: who asked, or over which protocol.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Seek},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::Arc,
};

use rustix::fs::OFlags;
use serde::{Deserialize, Serialize};

use super::{
    boot::{self, Entry, Tries},
    format::Manifest,
    keep::{self, Lock, Progress, Step, io_failure},
    keys::TrustedKeys,
    mirror::Mirror,
    stage::{self, Stage},
    state::{self, Record, State},
    system,
    verify::{self, Checked, Running, admit},
};
use crate::{
    clock::Clock,
    error::{Error, Kind, Result},
    files::sync_directory,
    node::{machine, not_an_appliance, paths::Paths},
    release::Version,
};

/// The updates of one appliance.
#[derive(Clone, Debug)]
pub struct Updates {
    paths: Paths,
    clock: Arc<dyn Clock>,
    /// How much room there is below a directory; a test says what it likes.
    pub(super) free: fn(&Path) -> io::Result<u64>,
}

/// What there is to say about updates.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    /// What runs and what became of the last update.
    #[serde(flatten)]
    pub state: State,
    /// How far the current installation is, or how the last one since the start ended.
    pub progress: Option<Progress>,
}

/// An update that could be installed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Offer {
    /// Its version.
    pub version: Version,
    /// The day of its release.
    pub released: String,
    /// What is new in it.
    pub notes: String,
    /// The key that signed it.
    pub signed_by: String,
}

impl From<&Checked> for Offer {
    fn from(checked: &Checked) -> Self {
        let Manifest { version, released, notes, .. } = &checked.manifest;
        Self {
            version: version.clone(),
            released: released.clone(),
            notes: notes.clone(),
            signed_by: checked.signed_by.clone(),
        }
    }
}

impl Updates {
    /// The updates of the appliance with this layout.
    pub fn new(paths: Paths, clock: Arc<dyn Clock>) -> Self {
        Self { paths, clock, free: stage::free_bytes }
    }

    pub(super) fn paths(&self) -> &Paths {
        &self.paths
    }

    /// The version of the image that runs. `Conflict` (`not-an-appliance`)
    /// where the operating system is not our image.
    pub fn running(&self) -> Result<Version> {
        let version = machine::image(&self.paths).and_then(|image| image.version);
        version.and_then(|text| text.parse().ok()).ok_or_else(not_an_appliance)
    }

    /// The keys of the image.
    pub fn keys(&self) -> Result<TrustedKeys> {
        TrustedKeys::read(&self.paths.image().join("update-keys"))
    }

    /// What runs, what became of the last update, and how far the current one is.
    pub fn status(&self) -> Result<Status> {
        let record = keep::read_record(&self.paths)?;
        let state = state::derive(&self.running()?, &self.entries()?, record.as_ref());
        Ok(Status { state, progress: Progress::read(&self.paths)? })
    }

    fn entries(&self) -> Result<Vec<Entry>> {
        boot::entries(&self.kernels())
            .map_err(|error| io_failure("The boot partition cannot be read.", error))
    }

    fn kernels(&self) -> PathBuf {
        self.paths.at("/boot/EFI/Linux")
    }

    /// At the start: removes what a power cut has left.
    pub fn tidy(&self) -> Result<()> {
        if Lock::try_take(&self.paths)?.is_none() {
            return Ok(());
        }
        if let Some(progress) = Progress::read(&self.paths)?
            && progress.is_running()
        {
            Progress::forget(&self.paths);
        }
        Download(self.paths.state().join("update-download")).remove();
        Stage::of(&self.paths).remove()
    }

    /// What a mirror offers: `None` when nothing is newer than what runs.
    pub async fn check_mirror(&self, mirror: &Mirror) -> Result<Option<Offer>> {
        let running = self.running()?;
        let newest = mirror.newest(&self.keys()?).await?;
        let newer = newest.checked.manifest.version > running;
        Ok(newer.then(|| Offer::from(&newest.checked)))
    }

    /// Checks an uploaded file to its last byte, and whether it fits what runs.
    /// Writes nothing. Blocks.
    pub fn check_upload(&self, name: &str, allow_downgrade: bool) -> Result<Offer> {
        let mut file = self.upload(name)?;
        Ok(Offer::from(&self.check(&mut file, allow_downgrade, &mut |_| ())?))
    }

    fn check(
        &self,
        file: &mut File,
        allow_downgrade: bool,
        percent: &mut dyn FnMut(u8),
    ) -> Result<Checked> {
        let running = Running::image(self.running()?);
        let checked = verify::verify(io::BufReader::new(file), &self.keys()?, percent)?;
        admit(&checked.manifest, &running, allow_downgrade)?;
        Ok(checked)
    }

    /// Opens a file of the upload directory, which belongs to the unprivileged
    /// management plane: a link in it leads nowhere.
    fn upload(&self, name: &str) -> Result<File> {
        let usual = |c: char| c.is_ascii_alphanumeric() || "._-~".contains(c);
        if !(1..=128).contains(&name.len()) || !name.chars().all(usual) || name.starts_with('.') {
            return Err(Error::invalid("file", "must be the plain name of an uploaded file"));
        }
        let directory = uploads(&self.paths);
        let real = directory.symlink_metadata().is_ok_and(|found| found.is_dir());
        let opened = OpenOptions::new()
            .read(true)
            .custom_flags((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed())
            .open(directory.join(name));
        match opened {
            Ok(file) if real && file.metadata().is_ok_and(|found| found.is_file()) => Ok(file),
            _ => Err(Error::not_found("uploaded file")),
        }
    }

    /// Begins an installation. `Conflict` (`update-in-progress`) while another runs.
    pub fn begin(&self) -> Result<Job> {
        let lock = Lock::take(&self.paths)?;
        let job = Job { updates: self.clone(), version: None, _lock: lock };
        job.tell(Step::Checking, 0)?;
        Ok(job)
    }

    /// Restarts into what was installed last.
    ///
    /// `Conflict`: `update-in-progress`, `no-update` when nothing waits.
    pub async fn restart(&self) -> Result<Version> {
        let _lock = Lock::take(&self.paths)?;
        let state = self.status()?.state;
        let waiting = state.last.as_ref().filter(|last| {
            matches!(last.result, state::Verdict::Waiting | state::Verdict::Failing)
        });
        let Some(version) = waiting.map(|last| last.version.clone()) else {
            let message = "There is no installed update that waits for a restart.";
            return Err(Error::new(Kind::Conflict, "no-update", message));
        };
        let aside = if version < state.version { self.step_aside(&state.version)? } else { None };
        let asked = system::reboot(&self.paths).await;
        if let (Err(_), Some((own, aside))) = (&asked, &aside) {
            // What runs must not count as given up when nothing came of it.
            self.rename_kernel(aside, own)?;
        }
        asked.map(|()| version)
    }

    /// The boot loader prefers the newest kernel that is not given up. To start
    /// an older one on trial, the newer one counts as given up: it is still what
    /// is started when the older one fails as well.
    /// Answers what it was and what it is now, if there is such a kernel.
    fn step_aside(&self, running: &Version) -> Result<Option<(Entry, Entry)>> {
        let Some(own) = self.entries()?.into_iter().find(|entry| entry.version == *running) else {
            return Ok(None);
        };
        let aside = Entry { tries: Some(Tries { left: 0, done: 1 }), ..own.clone() };
        self.rename_kernel(&own, &aside)?;
        Ok(Some((own, aside)))
    }

    fn rename_kernel(&self, from: &Entry, to: &Entry) -> Result<()> {
        let directory = self.kernels();
        fs::rename(directory.join(from.file_name()), directory.join(to.file_name()))
            .and_then(|()| sync_directory(&directory))
            .map_err(|error| io_failure("The kernels cannot be put into another order.", error))
    }
}

/// What a file says about itself that was verified when it came. Nothing may be
/// decided by it: an installation verifies the file itself.
pub fn offered(file: impl io::Read) -> Result<Offer> {
    let (manifest, line) = verify::inspect(file)?;
    let signed_by = line.split(' ').nth(1).unwrap_or_default().to_owned();
    let Manifest { version, released, notes, .. } = manifest;
    Ok(Offer { version, released, notes, signed_by })
}

/// Where the management plane puts what is uploaded.
pub fn uploads(paths: &Paths) -> PathBuf {
    paths.data().join("uploads")
}

/// An installation under way. No other begins while it lives.
#[derive(Debug)]
pub struct Job {
    updates: Updates,
    version: Option<Version>,
    _lock: Lock,
}

impl Job {
    pub(super) fn tell(&self, step: Step, percent: u8) -> Result<()> {
        let version = self.version.clone();
        Progress { step, percent, version, failure: None }.write(self.updates.paths())
    }

    /// Installs an uploaded file into the other slot.
    pub async fn install_upload(self, name: &str, allow_downgrade: bool) -> Result<Version> {
        let file = self.updates.upload(name);
        self.conclude(async |job| job.install(file?, allow_downgrade).await).await
    }

    /// Fetches the newest release of a mirror and installs it into the other slot.
    pub async fn install_newest(self, mirror: &Mirror) -> Result<Version> {
        self.conclude(async |job| {
            let updates = job.updates.clone();
            let newest = mirror.newest(&updates.keys()?).await?;
            // Before hundreds of megabytes are fetched for nothing.
            admit(&newest.checked.manifest, &Running::image(updates.running()?), false)?;
            job.version = Some(newest.checked.manifest.version.clone());
            let free = (updates.free)(&updates.paths.state()).map_err(no_room_known)?;
            Stage::require_room(&newest.checked.manifest, free.saturating_sub(newest.bytes()))?;
            job.tell(Step::Downloading, 0)?;
            let place = Download::new(&updates.paths)?;
            let told = job.teller();
            let mut tell = |percent| told(Step::Downloading, percent);
            mirror.fetch(&newest, &place.file(), &mut tell).await?;
            let file = File::open(place.file())
                .map_err(|error| io_failure("The download cannot be read.", error))?;
            job.install(file, false).await
        })
        .await
    }

    /// Runs the steps and leaves word of how they ended.
    pub(super) async fn conclude(
        mut self,
        steps: impl AsyncFnOnce(&mut Self) -> Result<Version>,
    ) -> Result<Version> {
        let outcome = steps(&mut self).await;
        let removed = Stage::of(self.updates.paths()).remove();
        let outcome = outcome.and_then(|version| removed.map(|()| version));
        match &outcome {
            Ok(_) => self.tell(Step::Done, 100)?,
            Err(error) => {
                let (version, failure) = (self.version.clone(), Some(error.into()));
                let progress = Progress { step: Step::Failed, percent: 0, version, failure };
                progress.write(self.updates.paths())?;
            }
        }
        outcome
    }

    /// From an open file to the other slot.
    pub(super) async fn install(
        &mut self,
        mut file: File,
        allow_downgrade: bool,
    ) -> Result<Version> {
        let updates = self.updates.clone();
        let status = updates.status()?;
        if status.state.trial {
            let message = format!(
                "{} runs on trial; the other slot holds what runs if it fails.",
                status.state.version
            );
            return Err(Error::new(Kind::Conflict, "update-on-trial", message)
                .with_hint("Wait until its health check has passed."));
        }
        self.tell(Step::Checking, 0)?;
        let told = self.teller();
        let (checked, file) = blocking({
            let updates = updates.clone();
            move || {
                let mut tell = |percent| told(Step::Checking, percent);
                let checked = updates.check(&mut file, allow_downgrade, &mut tell)?;
                Ok((checked, file))
            }
        })
        .await?;
        let version = checked.manifest.version.clone();
        self.version = Some(version.clone());
        let free = (updates.free)(&updates.paths.state()).map_err(no_room_known)?;
        Stage::require_room(&checked.manifest, free)?;

        self.tell(Step::Unpacking, 0)?;
        let told = self.teller();
        blocking({
            let (updates, checked) = (updates.clone(), checked.clone());
            move || updates.unpack(file, &checked, &mut |percent| told(Step::Unpacking, percent))
        })
        .await?;

        self.tell(Step::Writing, 0)?;
        updates.make_way(&version, &status.state.version)?;
        let record = Record {
            version: version.clone(),
            from: status.state.version,
            at: updates.clock.now(),
            complete: false,
            released: checked.manifest.released,
            notes: checked.manifest.notes,
        };
        keep::write_record(&updates.paths, &record)?;
        system::sysupdate(&updates.paths, &version).await?;
        if !updates.entries()?.iter().any(|entry| entry.version == version) {
            let message = "The other slot was written, but its kernel is not there.";
            return Err(Error::new(Kind::Unavailable, "update-not-written", message)
                .with_hint("Install it again."));
        }
        keep::write_record(&updates.paths, &Record { complete: true, ..record })?;
        Ok(version)
    }

    /// For a thread that works: tells how far it is.
    fn teller(&self) -> impl Fn(Step, u8) + Send + 'static {
        let (paths, version) = (self.updates.paths.clone(), self.version.clone());
        move |step, percent| {
            // Who watches sees the next one.
            let progress = Progress { step, percent, version: version.clone(), failure: None };
            if let Err(error) = progress.write(&paths) {
                tracing::debug!(error = %error.chain(), "progress was not written");
            }
        }
    }
}

impl Updates {
    fn unpack(&self, mut file: File, checked: &Checked, percent: &mut dyn FnMut(u8)) -> Result<()> {
        let stage = Stage::of(&self.paths);
        stage.make()?;
        file.rewind().map_err(|error| io_failure("The file cannot be read again.", error))?;
        let reader = io::BufReader::new(file);
        verify::walk(reader, &self.keys()?, &mut stage.unpacking(checked), percent).map(drop)
    }

    /// A version lies in the other slot already, from before the last update or
    /// given up: with its kernel there systemd-sysupdate would skip it, and one
    /// that was given up would never be tried.
    fn make_way(&self, version: &Version, running: &Version) -> Result<()> {
        let failed = |error| io_failure("The kernel in the other slot cannot be removed.", error);
        let directory = self.kernels();
        for entry in self.entries()? {
            if entry.version == *version && entry.version != *running {
                fs::remove_file(directory.join(entry.file_name())).map_err(failed)?;
                sync_directory(&directory).map_err(failed)?;
            }
        }
        Ok(())
    }
}

fn no_room_known(error: io::Error) -> Error {
    io_failure("The room on the data disk cannot be found out.", error)
}

/// Where a download lies until it is installed; gone when this is dropped.
#[derive(Debug)]
struct Download(PathBuf);

impl Download {
    fn new(paths: &Paths) -> Result<Self> {
        let place = Self(paths.state().join("update-download"));
        place.remove();
        let made = fs::DirBuilder::new().mode(0o700).create(&place.0);
        made.map_err(|error| io_failure("The download has no place.", error))?;
        Ok(place)
    }

    fn file(&self) -> PathBuf {
        self.0.join("update")
    }

    fn remove(&self) {
        // What stays is removed by the next download, and at the next start.
        let _ = fs::remove_dir_all(&self.0);
    }
}

impl Drop for Download {
    fn drop(&mut self) {
        self.remove();
    }
}

/// Runs what blocks on a thread of its own.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(Error::internal)?
}

#[cfg(test)]
mod tests;
