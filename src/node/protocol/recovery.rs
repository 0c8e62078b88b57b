//! Requests for when somebody cannot get in any more, or asks for help.

use serde::{Deserialize, Serialize};

use crate::{clock::Timestamp, release::Version, secret::Secret};

/// Make a one-time link for a system administrator. Links made before stop
/// working; a disabled one is enabled.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct ResetAdministrator {
    /// Whose; not needed when there is only one.
    #[serde(default)]
    pub email: Option<String>,
}

/// The link. Whoever has it can become that administrator.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ResetLink {
    /// To open in a browser.
    pub url: String,
    /// Whose it is.
    pub email: String,
    /// Until when it works.
    pub expires_at: Timestamp,
    /// Whether the account had been disabled.
    pub enabled: bool,
}

impl std::fmt::Debug for ResetLink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ResetLink").field("expires_at", &self.expires_at).finish_non_exhaustive()
    }
}

/// Make another certificate of the installation's own authority.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RenewCertificate {}

/// The new certificate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CertificateRenewal {
    /// Its SHA-256 fingerprint.
    pub fingerprint: String,
    /// Until when it is valid.
    pub not_after: Timestamp,
}

/// Collect what helps to find a fault, without secrets, and leave it in the
/// node's own directory.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeepBundle {}

/// Where the bundle is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Bundle {
    /// The file.
    pub path: String,
    /// Its size in bytes.
    pub size: u64,
}

/// Open the keystore with its recovery kit and seal it anew, after its seal was
/// lost, or from the database's copy when it is lost itself or too old.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct RecoverKeystore {
    /// The text of the kit, or its code alone. It is the proof as well.
    #[serde(serialize_with = "super::exposed")]
    pub kit: Secret<String>,
}

/// It opens again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct KeystoreRecovered {
    /// Of which installation.
    pub installation: String,
    /// The number of the kit, which stays valid.
    pub recovery_kit: String,
}

/// Which data can be put back? `NotFound` when none can.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RestorePoint {}

/// Data as it was when a version was about to run on it for the first time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DataBefore {
    /// The version.
    pub version: Version,
    /// When that was.
    pub at: Timestamp,
}

/// Put the data back as it was before a version first ran on it. What was done
/// since then is lost.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct RestoreData {
    /// The version, as [`RestorePoint`] has named it.
    pub before: Version,
}
