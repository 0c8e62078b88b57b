//! Content for clusters.
//!
//! Owns: the container image of our own agent, made from this very program, so
//! that a cluster behind the firewall needs no other registry.
//! Must not know: HTTP, tenants, who asks.

mod own_image;

pub use own_image::{Blob, OwnImage};
