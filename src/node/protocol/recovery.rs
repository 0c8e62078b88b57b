//! Requests for when somebody cannot get in any more, or asks for help.

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;

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

/// Make a support bundle and keep it on the machine's disk: for a person at the
/// screen, when the pages of the appliance cannot be reached.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeepBundle {}

/// Where the bundle is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct KeptBundle {
    /// The file.
    pub path: String,
    /// Its size in bytes.
    pub size: u64,
}
