//! Updates of the appliance's image, as its administrators do them.
//!
//! Owns: the file that is uploaded, what is recorded, and which of the node
//! daemon's answers become which errors.
//! Must not know: signatures, slots or the boot loader. The node daemon checks
//! everything itself; this side is not believed by it.

use std::{io, path::PathBuf, pin::pin, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use tokio::{
    fs::{self, File, OpenOptions},
    io::AsyncWriteExt,
    sync::{Mutex, oneshot},
    time::timeout,
};
use tokio_util::task::TaskTracker;

use crate::{
    audit::{Event, Ledger, Outcome},
    error::{Error, Kind, Result},
    files,
    node::{
        client::{Client, NoAnswer},
        not_an_appliance,
        paths::Paths,
        protocol::{
            CheckMirror, CheckUpload, Failure, InstallUpdate, RestartIntoUpdate, UpdateSource,
            UpdateState,
        },
        update::{MOST_FILE_BYTES, Offer, Status, offered, uploads},
    },
    rbac::{
        Actor, Permit,
        rights::{PlatformGet, PlatformUpdate},
    },
    release::Version,
};

/// The one file that is kept: complete, and found good.
const FILE: &str = "upload.update";
/// Its name until then.
const PART: &str = "upload.part";
/// How long the sender of a file may be silent.
const SILENCE: Duration = Duration::from_mins(1);

/// The updates of the appliance that we run on, if we run on one.
#[derive(Debug)]
pub struct Updates {
    ledger: Ledger,
    machine: Option<Machine>,
    /// Held by whoever changes the uploaded file, and while it is installed.
    /// Readers need it not: what has its name is whole.
    changing: Arc<Mutex<()>>,
}

/// The node daemon, and the place from which it takes files.
#[derive(Debug)]
struct Machine {
    node: Client,
    uploads: PathBuf,
}

/// Where an update to be installed comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InstallFrom {
    /// The file that was uploaded.
    Upload {
        /// Whether it may be older than what runs.
        allow_downgrade: bool,
    },
    /// The newest release of the mirror.
    Mirror,
}

/// What there is to see.
#[derive(Clone, Debug)]
pub struct UpdatesNow {
    /// What runs, and what becomes of an update.
    pub status: Status,
    /// The file that was uploaded and waits to be installed.
    pub uploaded: Option<Offer>,
}

impl Updates {
    /// The updates of the node with this layout, if we run on an appliance.
    /// What a crash has left of an upload goes.
    pub fn new(ledger: Ledger, paths: Option<&Paths>) -> Self {
        let machine =
            paths.map(|paths| Machine { node: Client::of(paths), uploads: uploads(paths) });
        if let Some(machine) = &machine
            && let Err(error) = files::remove(&machine.uploads.join(PART))
        {
            tracing::warn!(%error, "the remains of an upload stay; the next one replaces them");
        }
        Self { ledger, machine, changing: Arc::default() }
    }

    /// What runs, and what becomes of an update.
    ///
    /// `Conflict` (`not-an-appliance`) elsewhere than on an appliance.
    pub async fn view(&self, _permit: &Permit<PlatformGet>) -> Result<UpdatesNow> {
        let machine = self.machine()?;
        let status = machine.node.ask(UpdateState {}).await.map_err(refusal)?;
        Ok(UpdatesNow { status, uploaded: machine.uploaded().await })
    }

    /// What the mirror offers; `None` when nothing is newer. An outgoing call of
    /// the appliance, made only here and when somebody installs from the mirror.
    pub async fn check(&self, permit: &Permit<PlatformUpdate>) -> Result<Option<Offer>> {
        let asked = async { self.machine()?.node.ask(CheckMirror {}).await.map_err(refusal) };
        let event = Event::new("platform.checkForUpdate");
        let answer = self.recorded(permit.actor(), event, asked.await).await?;
        Ok(answer.offer)
    }

    /// Takes in an update file of `length` bytes, if that is known. The file is
    /// kept when the node daemon finds it good, and removed otherwise.
    ///
    /// `TooLarge`, `StorageFull`, `Conflict` (`upload-in-progress`), or as the
    /// daemon refuses it.
    pub async fn upload<E: std::fmt::Display + Send>(
        &self,
        permit: &Permit<PlatformUpdate>,
        length: Option<u64>,
        allow_downgrade: bool,
        content: impl Stream<Item = Result<Bytes, E>> + Send,
    ) -> Result<Offer> {
        let received = self.receive(length, allow_downgrade, content).await;
        let event = Event::new("platform.uploadUpdate");
        let event = match &received {
            Ok(offer) => event.with("version", offer.version.to_string()),
            Err(_) => event,
        };
        self.recorded(permit.actor(), event, received).await
    }

    async fn receive<E: std::fmt::Display + Send>(
        &self,
        length: Option<u64>,
        allow_downgrade: bool,
        content: impl Stream<Item = Result<Bytes, E>> + Send,
    ) -> Result<Offer> {
        let machine = self.machine()?;
        let Ok(_alone) = Arc::clone(&self.changing).try_lock_owned() else {
            let message = "Another update file is being uploaded, or the last one is installed.";
            return Err(Error::new(Kind::Conflict, "upload-in-progress", message)
                .with_hint("Wait until it has ended."));
        };
        if length.is_some_and(|length| length > MOST_FILE_BYTES) {
            return Err(too_large());
        }
        // Both at once may not have room.
        machine.forget(FILE).await?;
        machine.forget(PART).await?;
        let part = Part(machine.uploads.join(PART));
        write(machine.make(&part).await?, content).await?;
        let ask = CheckUpload { file: PART.to_owned(), allow_downgrade };
        let offer = machine.node.ask(ask).await.map_err(refusal)?;
        fs::rename(&part.0, machine.uploads.join(FILE)).await.map_err(unwritable)?;
        Ok(offer)
    }

    fn machine(&self) -> Result<&Machine> {
        self.machine.as_ref().ok_or_else(not_an_appliance)
    }

    /// Begins to install into the other slot; how far it is, [`Updates::view`]
    /// says. How it ended is recorded.
    ///
    /// `Conflict`: `no-upload`, `no-mirror`, `update-in-progress`, `not-an-appliance`.
    pub async fn install(
        self: &Arc<Self>,
        permit: &Permit<PlatformUpdate>,
        from: InstallFrom,
        tasks: &TaskTracker,
    ) -> Result<()> {
        let event = Event::new("platform.installUpdate").with("from", from.word());
        if let Err(error) = self.installable(from).await {
            return self.recorded(permit.actor(), event, Err(error)).await;
        }
        let (begun, is_under_way) = oneshot::channel();
        let (updates, actor) = (Arc::clone(self), permit.actor().clone());
        let work = tasks.spawn(async move { updates.carry_out(&actor, from, event, begun).await });
        // Whichever comes first: word that it goes on, or its end.
        tokio::select! {
            biased;
            Ok(()) = is_under_way => Ok(()),
            ended = work => ended.map_err(Error::internal)?,
        }
    }

    async fn installable(&self, from: InstallFrom) -> Result<()> {
        let machine = self.machine()?;
        if from == InstallFrom::Mirror || machine.uploaded().await.is_some() {
            return Ok(());
        }
        Err(Error::new(Kind::Conflict, "no-upload", "No update file was uploaded."))
    }

    async fn carry_out(
        &self,
        actor: &Actor,
        from: InstallFrom,
        event: Event,
        begun: oneshot::Sender<()>,
    ) -> Result<()> {
        let machine = self.machine()?;
        let alone = match from {
            InstallFrom::Upload { .. } => {
                let alone = Arc::clone(&self.changing).try_lock_owned();
                Some(alone.map_err(|_| being_installed()))
            }
            InstallFrom::Mirror => None,
        };
        let _alone = match alone.transpose() {
            Ok(alone) => alone,
            Err(error) => return self.recorded(actor, event, Err(error)).await,
        };
        let ask = match from {
            InstallFrom::Upload { allow_downgrade } => {
                InstallUpdate { from: UpdateSource::Upload(FILE.to_owned()), allow_downgrade }
            }
            InstallFrom::Mirror => {
                InstallUpdate { from: UpdateSource::Mirror, allow_downgrade: false }
            }
        };
        let user = actor.principal.uid();
        let mut begun = Some(begun);
        let progress = move |_| {
            // Nobody listens any more when the caller has gone.
            let _ = begun.take().map(|begun| begun.send(()));
        };
        let installed = machine.node.ask_as(ask, None, user, progress).await.map_err(refusal);
        let event = match &installed {
            Ok(done) => event.with("version", done.version.to_string()),
            Err(_) => event,
        };
        self.recorded(actor, event, installed).await?;
        if matches!(from, InstallFrom::Upload { .. }) {
            machine.forget(FILE).await?;
        }
        Ok(())
    }

    /// Restarts the appliance into what was installed.
    pub async fn restart(&self, permit: &Permit<PlatformUpdate>) -> Result<Version> {
        let user = permit.actor().principal.uid();
        let asked = async {
            let node = &self.machine()?.node;
            // The machine goes down when open requests have ended, this one with its record.
            node.ask_as(RestartIntoUpdate {}, None, user, |_| ()).await.map_err(refusal)
        };
        let outcome = asked.await;
        let event = Event::new("platform.restartIntoUpdate");
        let event = match &outcome {
            Ok(done) => event.with("version", done.version.to_string()),
            Err(_) => event,
        };
        Ok(self.recorded(permit.actor(), event, outcome).await?.version)
    }

    /// Notes how something ended, and hands it on.
    async fn recorded<T>(&self, actor: &Actor, event: Event, outcome: Result<T>) -> Result<T> {
        let event = match &outcome {
            Ok(_) => event,
            Err(error) => event.outcome(Outcome::Failed).with("reason", error.code()),
        };
        self.ledger.note(actor, event).await?;
        outcome
    }
}

impl Machine {
    /// A new file in the place of uploads.
    async fn make(&self, part: &Part) -> Result<File> {
        let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.uploads).await;
        made.map_err(unwritable)?;
        let mut options = OpenOptions::new();
        options.write(true).create_new(true).mode(0o600).open(&part.0).await.map_err(unwritable)
    }

    /// Removes an uploaded file if it is there.
    async fn forget(&self, name: &str) -> Result<()> {
        match fs::remove_file(self.uploads.join(name)).await {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(unwritable(error)),
            _ => Ok(()),
        }
    }

    /// What the uploaded file says about itself, if there is one. It was found
    /// good when it came; it is verified again when it is installed.
    async fn uploaded(&self) -> Option<Offer> {
        let path = self.uploads.join(FILE);
        let read = tokio::task::spawn_blocking(move || {
            let file = std::fs::File::open(path).ok()?;
            offered(io::BufReader::new(file)).ok()
        });
        read.await.ok().flatten()
    }
}

/// A file that is not known to be good; gone when this is dropped, also because
/// its sender has left. Once it is good it has another name.
struct Part(PathBuf);

impl Drop for Part {
    fn drop(&mut self) {
        // What stays is removed by the next upload, and at the next start.
        let _ = std::fs::remove_file(&self.0);
    }
}

impl InstallFrom {
    fn word(self) -> &'static str {
        match self {
            Self::Upload { .. } => "upload",
            Self::Mirror => "mirror",
        }
    }
}

async fn write<E: std::fmt::Display + Send>(
    mut file: File,
    content: impl Stream<Item = Result<Bytes, E>> + Send,
) -> Result<()> {
    let mut content = pin!(content);
    let cut_off = |why: String| {
        Error::new(Kind::Malformed, "cut-off", "The file ended before it was complete.")
            .caused_by(why)
    };
    let mut came = 0_u64;
    loop {
        let next = timeout(SILENCE, content.next()).await;
        match next.map_err(|_| cut_off(format!("silent for {} s", SILENCE.as_secs())))? {
            None => break,
            Some(Err(error)) => return Err(cut_off(error.to_string())),
            Some(Ok(piece)) => {
                came += piece.len() as u64;
                if came > MOST_FILE_BYTES {
                    return Err(too_large());
                }
                file.write_all(&piece).await.map_err(unwritable)?;
            }
        }
    }
    file.flush().await.map_err(unwritable)?;
    // Its name says that it is whole: that must hold after a power cut, too.
    file.sync_all().await.map_err(unwritable)
}

fn being_installed() -> Error {
    let message = "The uploaded file is being installed, or replaced, already.";
    Error::new(Kind::Conflict, "update-in-progress", message).with_hint("Wait until it has ended.")
}

fn too_large() -> Error {
    let message = format!("An update file has at most {} MiB.", MOST_FILE_BYTES / (1024 * 1024));
    Error::new(Kind::TooLarge, "too-large", message)
}

fn unwritable(error: io::Error) -> Error {
    if files::is_full(&error) {
        return crate::store::full().caused_by(error);
    }
    Error::new(Kind::Unavailable, "upload-storage", "The upload cannot be written.")
        .caused_by(error)
}

/// The daemon's refusal as ours, under its own name.
fn refusal(no_answer: NoAnswer) -> Error {
    match no_answer {
        // To be forbidden here is about the file, not about the caller.
        NoAnswer::Failed(failure) if failure.kind() == Kind::Forbidden => {
            Failure { kind: "invalid".to_owned(), ..failure }.into()
        }
        no_answer => no_answer.into(),
    }
}
