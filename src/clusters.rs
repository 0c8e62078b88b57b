//! Clusters: importing them, knowing how they are, and forgetting them.
//!
//! Owns: the import manifest.
//! Must not know: HTTP, SQL, or the agent's side.

pub mod manifest;
