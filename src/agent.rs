//! The agent: a pod in each managed cluster that dials out to management.
//!
//! Owns: enrolment with the one-time token, the agent's key and its renewal,
//! watching the cluster in little memory, and what a report says of it.
//! Must not know: the store, the HTTP server, or how the bus is dialled.
//!
//! The parts without I/O are [`quantity`], [`tables`], [`health`], [`state`],
//! [`proxy`] and [`settings`].

pub mod health;
pub mod objects;
pub mod proxy;
pub mod quantity;
pub mod settings;
pub mod state;
pub mod tables;
