//! Looking at the machine, and the support bundle.

use serde::{Deserialize, Serialize};

/// Looks at the machine: what is wrong, and how well it is closed.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct MachineChecks {}

/// What was seen: the reports of `palisade doctor`, with and without `--cis`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MachineSeen {
    /// What is wrong.
    pub doctor: serde_json::Value,
    /// How well it is closed.
    pub hardening: serde_json::Value,
}

/// Makes a support bundle, which replaces the one before.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct SupportBundle {
    /// Texts that only the management plane knows: name and content.
    #[serde(default)]
    pub extra: Vec<(String, String)>,
}

/// A bundle that lies ready.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BundleMade {
    /// By which its parts are asked for.
    pub id: String,
    /// Its size in bytes.
    pub size: u64,
}

/// The bytes of a bundle from `offset` on. With the last of them it is removed.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct BundlePart {
    /// Which bundle.
    pub id: String,
    /// Where the part begins.
    pub offset: u64,
}

/// Some bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BundleBytes {
    /// As Base64.
    pub base64: String,
}
