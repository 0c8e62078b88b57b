//! What makes nodes one management cluster. Pure, but for the file of the members.
//!
//! Owns: who the members are ([`members`]), the configuration of the engines
//! that follows from them ([`render`]), and how one more node is let in by a
//! code ([`join`]).
//! Must not know: SQL, HTTP routes, NATS, or how an engine is started and
//! watched. It elects nobody and replicates nothing: the engines do.

pub mod join;
pub mod members;
pub mod place;
pub mod render;
