//! Users, sessions and credentials.
//!
//! Owns: what a password, an e-mail address, a token and a one-time secret
//! are, how they are checked, and how guessing them is slowed down.
//! Must not know: HTTP. What needs the database sits in files of its own next
//! to these, which are pure.

pub mod email;
pub mod one_time;
pub mod password;
pub mod throttle;
pub mod tokens;
