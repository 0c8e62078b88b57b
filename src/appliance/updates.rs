//! Updates of the appliance's image, as its administrators do them.
//!
//! Owns: the file that is uploaded, what is recorded, and which of the node
//! daemon's answers become which errors.
//! Must not know: signatures, slots or the boot loader. The node daemon checks
//! everything itself; this side is not believed by it.

use std::{
    io,
    path::{Path, PathBuf},
    pin::pin,
    sync::Arc,
    time::Duration,
};

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
        paths::Paths,
        protocol::{
            CheckMirror, CheckUpload, Failure, InstallUpdate, RestartIntoUpdate, UpdateSource,
            UpdateState,
        },
        update::{MOST_FILE_BYTES, Offer, Status},
    },
    rbac::{
        Actor, Permit,
        rights::{PlatformGet, PlatformUpdate},
    },
    release::Version,
};

/// The one file that is kept, once it is complete and good.
const FILE: &str = "upload.update";
/// How long the sender of a file may be silent.
const SILENCE: Duration = Duration::from_mins(1);

/// The updates of the appliance that we run on, if we run on one.
#[derive(Debug)]
pub struct Updates {
    ledger: Ledger,
    node: Client,
    socket: PathBuf,
    directory: PathBuf,
    /// Held while a file comes in.
    incoming: Arc<Mutex<()>>,
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
    /// The updates of the node with this layout; files come into `data_dir`.
    pub fn new(ledger: Ledger, paths: &Paths, data_dir: &Path) -> Self {
        Self {
            ledger,
            node: Client::of(paths),
            socket: paths.socket(),
            directory: data_dir.join("uploads"),
            incoming: Arc::default(),
        }
    }

    /// What runs, and what becomes of an update.
    ///
    /// `Conflict` (`not-an-appliance`) where no node daemon runs.
    pub async fn view(&self, _permit: &Permit<PlatformGet>) -> Result<UpdatesNow> {
        self.require_node()?;
        let status = self.node.ask(UpdateState {}).await.map_err(refusal)?;
        Ok(UpdatesNow { status, uploaded: self.uploaded().await })
    }

    /// What the mirror offers; `None` when nothing is newer. An outgoing call of
    /// the appliance, made only here and when somebody installs from the mirror.
    pub async fn check(&self, permit: &Permit<PlatformUpdate>) -> Result<Option<Offer>> {
        let asked = async {
            self.require_node()?;
            self.node.ask(CheckMirror {}).await.map_err(refusal)
        };
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
        self.require_node()?;
        let Ok(_incoming) = Arc::clone(&self.incoming).try_lock_owned() else {
            let message = "Another update file is being uploaded.";
            return Err(Error::new(Kind::Conflict, "upload-in-progress", message));
        };
        if length.is_some_and(|length| length > MOST_FILE_BYTES) {
            return Err(too_large());
        }
        self.forget().await?;
        let place = self.directory.join(FILE);
        let outcome = async {
            let file = self.make(&place).await?;
            write(file, content).await?;
            let ask = CheckUpload { file: FILE.to_owned(), allow_downgrade };
            self.node.ask(ask).await.map_err(refusal)
        };
        let outcome = outcome.await;
        if outcome.is_err() {
            self.forget().await?;
        }
        outcome
    }

    async fn make(&self, place: &Path) -> Result<File> {
        let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.directory).await;
        made.map_err(unwritable)?;
        let mut options = OpenOptions::new();
        options.write(true).create_new(true).mode(0o600).open(place).await.map_err(unwritable)
    }

    /// Removes what was uploaded.
    async fn forget(&self) -> Result<()> {
        match fs::remove_file(self.directory.join(FILE)).await {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(unwritable(error)),
            _ => Ok(()),
        }
    }

    /// What the uploaded file says about itself, if there is one. It was found
    /// good when it came; it is verified again when it is installed.
    async fn uploaded(&self) -> Option<Offer> {
        // A file that is still coming says nothing yet.
        let _complete = self.incoming.try_lock().ok()?;
        let path = self.directory.join(FILE);
        let read = tokio::task::spawn_blocking(move || {
            let file = std::fs::File::open(path).ok()?;
            crate::node::update::offered(io::BufReader::new(file)).ok()
        });
        read.await.ok().flatten()
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
        self.require_node()?;
        if from == InstallFrom::Mirror || self.uploaded().await.is_some() {
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
        let installed = self.node.ask_as(ask, None, user, progress).await.map_err(refusal);
        let event = match &installed {
            Ok(done) => event.with("version", done.version.to_string()),
            Err(_) => event,
        };
        self.recorded(actor, event, installed).await?;
        if matches!(from, InstallFrom::Upload { .. }) {
            self.forget().await?;
        }
        Ok(())
    }

    /// Restarts the appliance into what was installed.
    pub async fn restart(&self, permit: &Permit<PlatformUpdate>) -> Result<Version> {
        let user = permit.actor().principal.uid();
        let asked = async {
            self.require_node()?;
            // The machine goes down when open requests have ended, this one with its record.
            self.node.ask_as(RestartIntoUpdate {}, None, user, |_| ()).await.map_err(refusal)
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

    fn require_node(&self) -> Result<()> {
        if self.socket.exists() {
            return Ok(());
        }
        Err(Error::new(
            Kind::Conflict,
            "not-an-appliance",
            "This is not an appliance made from Palisade's image: there is nothing to update here.",
        )
        .with_hint("Update the program in the way in which you installed it."))
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
    file.flush().await.map_err(unwritable)
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
