//! What makes nodes one management cluster.
//!
//! Owns: who the members are ([`members`]), what a node keeps of that
//! ([`place`]), the configuration of the engines that follows from it
//! ([`render`]), their certificates on disk ([`keys`]), how one more node is let
//! in by a code ([`join`]), what the engines say ([`engines`]), and what all of
//! that means for an operator ([`outlook`], [`standing`]).
//! Must not know: SQL, HTTP routes or NATS. It elects nobody and replicates
//! nothing: the engines do. In which order nodes do things is for the node
//! daemon.

pub mod engines;
pub mod join;
pub mod keys;
pub mod local;
pub mod members;
pub mod outlook;
pub mod peer;
pub mod place;
pub mod render;
pub mod standing;
