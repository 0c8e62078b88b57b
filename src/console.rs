//! The machine's own screen: `palisade console` on tty1 and ttyS0.
//!
//! Owns: what is shown, what keys do, and the terminal.
//! Must not know: how anything is done; the node daemon does it. Without the
//! daemon the screen shows what it can read itself.
//!
//! ```text
//! keys -> state -> effects -> the daemon -> news -> state     (run)
//!           |
//!         frame -> paint -> the terminal
//! ```
//!
//! [`State`] and [`frame`] are pure: what a key leads to and how it looks is
//! tested without a terminal. A frame has 16 colours and the glyphs of code
//! page 437, so that it looks the same on a virtual machine's screen and on a
//! serial line. Rows are painted whole: what stands in one row of the screen is
//! one piece in the log of a serial line.

mod frame;
mod glyphs;
mod input;
mod keys;
mod paint;
mod run;
mod state;
mod terminal;
#[cfg(test)]
mod tests;

pub use frame::{frame, text};
pub use run::{look, run};
pub use state::State;
