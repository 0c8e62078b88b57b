//! The bus: everything that names NATS.
//!
//! Owns: subjects, messages, the operator/account/user credentials, the
//! supervised `nats-server`, and our client on it.
//! Must not know: the store, HTTP routes or what a heartbeat means for a cluster.

pub mod message;
