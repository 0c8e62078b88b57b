//! The terminal: its size, its mode, and its keys.

use std::io::{self, IsTerminal, Write};

use ratatui::crossterm::{
    cursor::Show,
    event::{self, Event},
    execute,
    style::ResetColor,
    terminal::{Clear, ClearType, disable_raw_mode, enable_raw_mode},
};
use tokio::sync::mpsc;

use crate::error::{Error, Kind, Result};

/// What a serial line is taken for: it does not say how large its other end is.
const SERIAL: (u16, u16) = (80, 24);

/// Columns and rows. A terminal that does not know them has those of a serial line.
pub(super) fn size() -> (u16, u16) {
    let known = terminal_size::terminal_size();
    known.map_or(SERIAL, |(width, height)| (width.0, height.0))
}

/// While it lives, keys come one by one and are not shown.
#[derive(Debug)]
pub(super) struct Raw;

impl Raw {
    /// `Invalid` when there is no terminal.
    pub(super) fn enter() -> Result<Self> {
        let refuse = || {
            Error::new(Kind::Invalid, "no-terminal", "The screen needs a terminal.")
                .with_hint("To print one picture of it: palisade console --once")
        };
        if !io::stdin().is_terminal() || !io::stdout().is_terminal() {
            return Err(refuse());
        }
        enable_raw_mode().map_err(|error| refuse().caused_by(error))?;
        Ok(Self)
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        let mut out = io::stdout();
        // A terminal that has gone cannot be put in order.
        let _ = execute!(out, ResetColor, Clear(ClearType::All), Show);
        let _ = disable_raw_mode();
        let _ = out.write_all(b"\r").and_then(|()| out.flush());
    }
}

/// What happens at the terminal, until it goes away.
pub(super) fn events() -> mpsc::Receiver<Event> {
    let (sender, receiver) = mpsc::channel(64);
    std::thread::spawn(move || {
        while let Ok(event) = event::read() {
            if sender.blocking_send(event).is_err() {
                return;
            }
        }
    });
    receiver
}
