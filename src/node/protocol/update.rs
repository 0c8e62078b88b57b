//! Requests about updates of the image.

use serde::{Deserialize, Serialize};

use super::Need;
use crate::{node::update::Offer, release::Version};

/// What runs, what became of the last update, and how far the current one is.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct UpdateState {}

/// Whether an uploaded file is good and fits; nothing is written.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct CheckUpload {
    /// Its name in the upload directory.
    pub file: String,
    /// Whether it may be older than what runs.
    pub allow_downgrade: bool,
}

/// What the configured mirror offers. An outgoing call.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct CheckMirror {}

/// The answer to [`CheckMirror`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MirrorAnswer {
    /// What is newer than what runs, if anything.
    pub offer: Option<Offer>,
}

/// Install an update into the other slot. Tells how far it is.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct InstallUpdate {
    /// Where it comes from.
    pub from: UpdateSource,
    /// Whether it may be older than what runs.
    pub allow_downgrade: bool,
}

/// Where an update comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum UpdateSource {
    /// A file of the upload directory, by its name.
    Upload(String),
    /// The newest release of the configured mirror.
    Mirror,
}

/// Restart into what was installed last.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct RestartIntoUpdate {}

/// The version that it was about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OfVersion {
    /// The version.
    pub version: Version,
}

/// What installing needs.
pub(super) const INSTALL: Need =
    Need::Change { action: "node.installUpdate", permission: "platform.update" };
/// What restarting into an update needs.
pub(super) const RESTART: Need =
    Need::Change { action: "node.restartIntoUpdate", permission: "platform.update" };
