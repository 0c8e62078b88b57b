//! The agent: a pod in each managed cluster that dials out to management.
//!
//! Owns: enrolment with the one-time token, the agent's key and its renewal,
//! watching the cluster in little memory, and what a report says of it.
//! Must not know: the store, the HTTP server, or how the bus is dialled.
//!
//! The parts without I/O are [`quantity`], [`tables`], [`health`], [`pace`],
//! [`patience`] and [`state`]. Start at [`run()`].

pub mod enrol;
pub mod health;
pub mod identity;
pub mod objects;
pub mod observed;
pub mod pace;
pub mod patience;
pub mod quantity;
pub mod run;
pub mod session;
pub mod settings;
pub mod state;
pub mod store;
pub mod tables;
#[cfg(test)]
mod testing;
pub mod watch;

pub use run::{Agent, run};
pub use settings::{AgentSettings, TokenSource, Transport};
