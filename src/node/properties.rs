//! What an operator can answer when the appliance is deployed.
//!
//! Owns: the one table of properties, from which the OVF descriptor is made and
//! against which answers are checked; what is wrong with an answer and what to
//! write instead.
//! Must not know: where answers come from or where they are kept. Pure.
//!
//! Start at [`check`]. [`salvage`] takes what can be used of answers with
//! mistakes, so that a first boot ends in a state that can be repaired.

mod address;
mod check;
mod given;
mod mistake;
mod pem;
mod proxy;
mod salvage;
mod ssh_key;
mod table;
#[cfg(test)]
mod tests;
mod text;
mod url;

pub use address::Interface;
pub use check::{Answers, Note, check};
pub use given::{HIDDEN, RawAnswers};
pub use mistake::{LINE_LENGTH, Mistake};
pub use proxy::{Proxy, Scheme};
pub use salvage::{Salvaged, salvage};
pub use ssh_key::SshKey;
pub use table::{Choice, DeploymentOption, OPTIONS, Property, Role, Shape, TABLE, find};
