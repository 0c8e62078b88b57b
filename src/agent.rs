//! The agent mode.
