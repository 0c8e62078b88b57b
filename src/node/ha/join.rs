//! How one more node is let into the cluster by a code.
//!
//! Owns: the code, the messages, the two sides' steps, and carrying messages
//! over a connection.
//! Must not know: who issues certificates or what is in the keystore; both are
//! handed in and out as text and bytes.
//!
//! ```text
//! the node that joins                      a member
//!   Hello: versions, name, address, share ->   invitation open? version fits?
//!                                          <- Answer: the same of the member
//!   Proof: HMAC over both                 ->   a wrong one counts as a try
//!                                          <- Proof: HMAC over both
//!        both show the same fingerprint
//!                                          <- the hand-over, sealed
//!   Receipt: HMAC over what was sealed    ->   now it is a member
//! ```
//!
//! The shares are those of SPAKE2: who does not know the code learns nothing
//! from them but whether one guess was right, and the member counts guesses.
//! The node that joins proves itself first, so whoever guesses has shown it.
//! Every byte of `Hello` and `Answer` goes into all keys and proofs, and what
//! was sealed into the receipt: an altered byte anywhere ends the exchange.
//!
//! Start at [`wire`], or at [`Joining::start`] and [`Receiving::greeted`] for
//! the steps without a connection.

mod code;
mod hand_over;
mod invitation;
mod joining;
mod message;
mod receiving;
mod refusal;
mod session;
#[cfg(test)]
mod tests;
pub mod wire;

/// Where a member listens while an invitation is open.
pub const PORT: u16 = 7443;

pub use code::{JoinCode, Mistyped};
pub(super) use hand_over::parts;
pub use hand_over::{Credential, HandOver};
pub use invitation::{Invitation, LIFETIME, TRIES};
pub use joining::{Joined, Joining, Proving, Waiting};
pub use message::{Introduction, PROTOCOL};
pub use receiving::{Admitted, Handing, Receiving};
pub use refusal::Refusal;
pub use session::Fingerprint;
