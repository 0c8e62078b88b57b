//! What can be asked of the node daemon, and how it answers.
//!
//! Owns: the requests, what each of them needs, the answers and the failures,
//! as lines of JSON.
//! Must not know: how anything is done, or who is asking.
//!
//! One connection carries one [`Envelope`] in one line and then [`Reply`]
//! lines: any number of `progress`, and `done` or `failed` as the last.
//!
//! ```text
//! > {"request":{"logs":{"source":"kernel","lines":20}}}
//! < {"done":{"lines":["..."]}}
//! ```
//!
//! # Adding a request
//!
//! 1. Here (or in a file below `protocol/`): a struct for the request and one
//!    for its answer, `impl Ask`, and a variant of [`Request`] that holds it.
//! 2. [`Request::need`]: whether it reads, changes something (which permission,
//!    under which name it is recorded), or is for the management plane only.
//!    The compiler asks for it.
//! 3. `daemon/<group>.rs`: `async fn(&Context, your struct) -> Result<your answer>`.
//! 4. `daemon/dispatch.rs`: one line that joins both. The compiler asks for it.
//!
//! Access, credentials, limits, the record for the audit trail and the answer's
//! form then come by themselves. Callers write `client.ask(YourRequest { … })`.

mod cluster;
mod recovery;
mod status;
mod support;
mod update;

use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Serialize, Serializer, de::DeserializeOwned};

use crate::{
    clock::Timestamp,
    error::{Error, FieldError, Kind},
    secret::Secret,
};

pub use cluster::{
    AskStep, ClusterProgress, ClusterState, ClusterView, CompleteCluster, Failover, Invitation,
    Invite, JoinCluster, Joined, MemberReport, MemberState, MemberStep, NodeView, OpenInvitation,
    Quorum, RecoverAlone, RemoveNode, SwitchOver, SwitchedOver,
};
pub use recovery::{
    Bundle, CertificateRenewal, DataBefore, KeepBundle, KeystoreRecovered, RecoverKeystore,
    RenewCertificate, ResetAdministrator, ResetLink, RestoreData, RestorePoint,
};
pub use status::{
    Check, Health, Interface, Mistake, Pairing, SetUp, Share, Status, StatusRequest, UnitState,
};
pub use support::{BundleBytes, BundleMade, BundlePart, MachineChecks, MachineSeen, SupportBundle};
pub use update::{
    CheckMirror, CheckUpload, InstallUpdate, MirrorAnswer, OfVersion, RestartIntoUpdate,
    UpdateSource, UpdateState,
};

/// The longest request line, in bytes.
pub const LONGEST_REQUEST: usize = 128 * 1024;
/// The longest reply line, in bytes.
pub const LONGEST_REPLY: usize = 4 * 1024 * 1024;

/// A request with its own type of answer.
pub trait Ask: Into<Request> + Send {
    /// What `done` carries.
    type Answer: Serialize + DeserializeOwned + Send;
}

macro_rules! asks {
    ($($(#[$doc:meta])* $variant:ident($ask:ty) -> $answer:ty;)*) => {
        /// Everything that can be asked.
        #[derive(Debug, Serialize, Deserialize)]
        #[serde(rename_all = "camelCase")]
        pub enum Request {
            $($(#[$doc])* $variant($ask),)*
        }

        $(
            impl Ask for $ask {
                type Answer = $answer;
            }

            impl From<$ask> for Request {
                fn from(ask: $ask) -> Self {
                    Self::$variant(ask)
                }
            }
        )*
    };
}

asks! {
    /// How the node does.
    Status(StatusRequest) -> Status;
    /// The last lines of a log.
    Logs(Logs) -> LogLines;
    /// What the operator has answered, and the mistakes in it.
    Answers(Answers) -> AnswersView;
    /// Other answers: checked, kept and put into effect.
    Amend(Amend) -> AnswersView;
    /// Start again, or end.
    Power(Power) -> Done;
    /// A one-time link for an administrator who cannot log in.
    ResetAdministrator(ResetAdministrator) -> ResetLink;
    /// Another certificate of the installation's own authority.
    RenewCertificate(RenewCertificate) -> CertificateRenewal;
    /// Open the keystore with its recovery kit.
    RecoverKeystore(RecoverKeystore) -> KeystoreRecovered;
    /// Which data of before an update there is.
    RestorePoint(RestorePoint) -> DataBefore;
    /// Put that data back.
    RestoreData(RestoreData) -> DataBefore;
    /// Make a support bundle and leave it in the node's own directory.
    KeepBundle(KeepBundle) -> Bundle;
    /// What was done through the daemon, for the audit trail.
    Events(Events) -> EventList;
    /// Forget those events: they are in the audit trail.
    EventsTaken(EventsTaken) -> Done;
    /// What is wrong with the machine, and how well it is closed.
    MachineChecks(MachineChecks) -> MachineSeen;
    /// Make a support bundle.
    SupportBundle(SupportBundle) -> BundleMade;
    /// Fetch some of it.
    BundlePart(BundlePart) -> BundleBytes;
    /// What runs, and what becomes of an update.
    UpdateState(UpdateState) -> crate::node::update::Status;
    /// Whether an uploaded file is good.
    CheckUpload(CheckUpload) -> crate::node::update::Offer;
    /// What the mirror offers.
    CheckMirror(CheckMirror) -> MirrorAnswer;
    /// Install an update into the other slot.
    InstallUpdate(InstallUpdate) -> OfVersion;
    /// Restart into what was installed.
    RestartIntoUpdate(RestartIntoUpdate) -> OfVersion;
    /// What is known of the cluster.
    ClusterState(ClusterState) -> ClusterView;
    /// A code for one more node.
    Invite(Invite) -> Invitation;
    /// Become a member by a code.
    JoinCluster(JoinCluster) -> Joined;
    /// Do the steps that make the cluster run.
    CompleteCluster(CompleteCluster) -> Done;
    /// Take a node out.
    RemoveNode(RemoveNode) -> Done;
    /// Let another node's database lead.
    SwitchOver(SwitchOver) -> SwitchedOver;
    /// Work with this node alone.
    RecoverAlone(RecoverAlone) -> Done;
    /// What a node tells another one about itself.
    MemberState(MemberState) -> MemberReport;
    /// One step that another node asks for.
    AskStep(AskStep) -> Done;
}

/// What a request needs before it is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// Reads what is no secret on the machine's own screen.
    Read,
    /// Changes something: recorded as `action`, and a person at the screen has
    /// to hold the platform's `permission`.
    Change {
        /// The name of the record in the audit trail.
        action: &'static str,
        /// What the person has to be allowed to.
        permission: &'static str,
    },
    /// Only for the management plane, and not recorded: it works by itself.
    ManagementPlane,
    /// Only for another node of the cluster, and recorded where it was decided.
    Member,
}

impl Request {
    /// What it needs. How long it may take follows from [`Request::patience`].
    pub fn need(&self) -> Need {
        let change = |action, permission| Need::Change { action, permission };
        match self {
            Self::Status(_)
            | Self::Logs(_)
            | Self::Answers(_)
            | Self::MachineChecks(_)
            | Self::ClusterState(_)
            | Self::RestorePoint(_)
            | Self::UpdateState(_) => Need::Read,
            Self::Invite(_) => cluster::FORM,
            Self::JoinCluster(_) => cluster::JOIN,
            Self::CompleteCluster(_) => cluster::COMPLETE,
            Self::RemoveNode(_) => cluster::REMOVE,
            Self::SwitchOver(_) => cluster::SWITCH,
            Self::RecoverAlone(_) => cluster::ALONE,
            Self::MemberState(_) | Self::AskStep(_) => Need::Member,
            Self::InstallUpdate(_) => update::INSTALL,
            Self::RestartIntoUpdate(_) => update::RESTART,
            Self::Amend(_) => change("node.amend", "platform.update"),
            Self::Power(Power::Reboot) => change("node.reboot", "platform.update"),
            Self::Power(Power::ShutDown) => change("node.shutDown", "platform.update"),
            Self::ResetAdministrator(_) => change("node.resetAdministrator", "user.update"),
            Self::RenewCertificate(_) => change("node.renewCertificate", "certificate.update"),
            Self::RecoverKeystore(_) => change("node.recoverKeystore", "platform.update"),
            Self::RestoreData(_) => change("node.restoreData", "platform.update"),
            Self::KeepBundle(_) => change("node.supportBundle", "platform.get"),
            // Reading hundreds of megabytes, and calls to the outside, are not for everybody.
            Self::CheckUpload(_)
            | Self::CheckMirror(_)
            | Self::Events(_)
            | Self::EventsTaken(_)
            | Self::SupportBundle(_)
            | Self::BundlePart(_) => Need::ManagementPlane,
        }
    }

    /// The proof that a request carries in itself: whoever has the recovery kit
    /// could open everything without us, and nothing else can be checked while
    /// the keystore does not open.
    pub fn proof(&self) -> Option<Credentials> {
        match self {
            Self::RecoverKeystore(ask) => Some(Credentials::RecoveryKit(ask.kit.clone())),
            _ => None,
        }
    }

    /// How long the daemon works on it before it gives up.
    pub fn patience(&self) -> Duration {
        match self {
            // A mirror behind a slow line, and a slow disk.
            Self::InstallUpdate(_) => return Duration::from_hours(3),
            Self::CheckUpload(_) | Self::CheckMirror(_) => return Duration::from_mins(10),
            Self::RestorePoint(_) => return Duration::from_mins(1),
            Self::MachineChecks(_) | Self::SupportBundle(_) => return Duration::from_mins(3),
            _ => {}
        }
        match self.need() {
            Need::Change { .. } => Duration::from_mins(10),
            Need::Read | Need::ManagementPlane => Duration::from_secs(20),
            Need::Member => Duration::from_mins(5),
        }
    }
}

/// One line of a caller.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Envelope {
    /// What is asked.
    pub request: Request,
    /// Who asks, when it is a person at the machine's own screen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials: Option<Credentials>,
    /// For whom the management plane asks: the uid of a user, for the record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_behalf_of: Option<String>,
}

/// Proof that a person at the screen may change something.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Credentials {
    /// Of a system administrator.
    #[serde(rename_all = "camelCase")]
    Password {
        /// To log in with.
        email: String,
        /// Checked by the management plane.
        #[serde(serialize_with = "exposed")]
        password: Secret<String>,
    },
    /// The text of the installation's recovery kit, or its code alone.
    RecoveryKit(#[serde(serialize_with = "exposed")] Secret<String>),
}

/// A secret goes through the socket in plain: both ends are on this machine.
fn exposed<S: Serializer>(secret: &Secret<String>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(secret.expose())
}

/// One line of the daemon.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Reply {
    /// It goes on.
    Progress(Progress),
    /// It was done; the answer of the request's own type.
    Done(serde_json::Value),
    /// It was refused, or did not work.
    Failed(Failure),
}

/// How far something is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Progress {
    /// What is being done, as a short sentence.
    pub text: String,
    /// How much of it, from 0 to 100, if that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub percent: Option<u8>,
}

/// Why something was not done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Failure {
    /// The kind, as [`Failure::kind`] reads it.
    pub kind: String,
    /// The stable name of the failure.
    pub code: String,
    /// A sentence for a person.
    pub message: String,
    /// What to do next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// Fields at fault and what is wrong with them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<(String, String)>,
}

/// Nothing to say but that it was done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Done {}

/// The last lines of one of a fixed list of logs.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Logs {
    /// Which.
    pub source: LogSource,
    /// How many lines, at most [`Logs::MOST`].
    pub lines: u16,
}

impl Logs {
    /// More lines are not given at once.
    pub const MOST: u16 = 1_000;
}

/// A log that can be looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum LogSource {
    /// `palisade serve`.
    ManagementPlane,
    /// The message broker, which the management plane runs.
    Broker,
    /// The node daemon.
    Node,
    /// The kernel.
    Kernel,
    /// The set-up of the machine at this boot.
    FirstBoot,
}

impl LogSource {
    /// All of them, in the order of the screen.
    pub const ALL: [Self; 5] =
        [Self::ManagementPlane, Self::Broker, Self::Node, Self::Kernel, Self::FirstBoot];
}

/// Lines of a log, the oldest first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LogLines {
    /// The lines, without anything that could command a terminal.
    pub lines: Vec<String>,
}

/// What the operator has answered.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Answers {}

/// The operator's answers by the name of the property, without secrets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AnswersView {
    /// As they count now; a property that was not answered is absent.
    pub properties: BTreeMap<String, String>,
    /// What is wrong with what was answered.
    pub mistakes: Vec<Mistake>,
}

/// Other answers to some properties. An empty text takes an answer back.
/// Nothing is changed when one of them is wrong: `Invalid`, with the fields.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Amend {
    /// By the name of the property.
    pub properties: BTreeMap<String, String>,
}

/// What becomes of the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Power {
    /// It starts again.
    Reboot,
    /// It ends.
    ShutDown,
}

/// Events after this one; 0 for all. At most [`Events::MOST`].
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Events {
    /// The number of the last event that the caller has.
    pub after: u64,
}

impl Events {
    /// More events are not given at once.
    pub const MOST: usize = 200;
}

/// Events up to this one are in the audit trail.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct EventsTaken {
    /// The number of the last of them.
    pub through: u64,
}

/// Events in the order of their numbers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EventList {
    /// The random name of this list; numbers count within it.
    pub outbox: String,
    /// The events.
    pub events: Vec<NodeEvent>,
}

/// One thing that was done, or tried, through the daemon.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeEvent {
    /// Counts up from 1 and never comes again.
    pub number: u64,
    /// When it began.
    pub at: Timestamp,
    /// What, e.g. `node.reboot`.
    pub action: String,
    /// `success`, `denied` or `failed`.
    pub outcome: String,
    /// `console`, `root` or `managementPlane`.
    pub origin: String,
    /// How the person proved who he is: `password`, `recoveryKit` or, before
    /// set-up is complete and for programs, nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proof: Option<String>,
    /// The uid of the user, if one is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Why it did not work, as the stable name of the failure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

const KINDS: &[(&str, Kind)] = &[
    ("malformed", Kind::Malformed),
    ("unauthenticated", Kind::Unauthenticated),
    ("forbidden", Kind::Forbidden),
    ("notFound", Kind::NotFound),
    ("conflict", Kind::Conflict),
    ("stale", Kind::Stale),
    ("versionRequired", Kind::VersionRequired),
    ("tooLarge", Kind::TooLarge),
    ("invalid", Kind::Invalid),
    ("rateLimited", Kind::RateLimited),
    ("unavailable", Kind::Unavailable),
    ("storageFull", Kind::StorageFull),
    ("internal", Kind::Internal),
];

impl Failure {
    /// The kind; an unknown one is our fault.
    pub fn kind(&self) -> Kind {
        let known = KINDS.iter().find(|(name, _)| *name == self.kind);
        known.map_or(Kind::Internal, |(_, kind)| *kind)
    }
}

impl From<&Error> for Failure {
    /// What the caller may know of an error.
    fn from(error: &Error) -> Self {
        let kind = KINDS.iter().find(|(_, kind)| *kind == error.kind());
        Self {
            kind: kind.map_or("internal", |(name, _)| name).to_owned(),
            code: error.code().to_owned(),
            message: error.message().to_owned(),
            hint: error.hint().map(str::to_owned),
            fields: error
                .fields()
                .iter()
                .map(|FieldError { field, message }| (field.clone(), message.clone()))
                .collect(),
        }
    }
}

impl From<Failure> for Error {
    /// For those who ask on behalf of somebody else. It keeps its name.
    fn from(failure: Failure) -> Self {
        let mut error = Self::new(failure.kind(), "node", failure.message).with_code(failure.code);
        if let Some(hint) = failure.hint {
            error = error.with_hint(hint);
        }
        failure
            .fields
            .into_iter()
            .fold(error, |error, (field, message)| error.with_field(field, message))
    }
}

#[cfg(test)]
mod tests;
