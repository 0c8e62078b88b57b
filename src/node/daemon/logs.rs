//! The last lines of a log, from the journal.
//!
//! Which entries belong to a log is fixed here: nothing that a caller sends
//! becomes an argument but a number.

use super::Context;
use crate::{
    error::Result,
    node::protocol::{LogLines, LogSource, Logs},
};

/// What the journal is asked for.
fn selection(source: LogSource) -> &'static [&'static str] {
    match source {
        LogSource::ManagementPlane => &["--unit=palisade.service"],
        LogSource::Broker => &["--unit=palisade.service", "--grep=message broker"],
        LogSource::Node => &["--unit=palisade-node.service"],
        LogSource::Kernel => &["--dmesg"],
        LogSource::FirstBoot => &["--unit=palisade-first-boot.service", "--boot"],
    }
}

/// The last lines of `ask.source`.
pub(super) async fn read(context: &Context, ask: Logs) -> Result<LogLines> {
    let lines = ask.lines.clamp(1, Logs::MOST);
    let run = context
        .programs()
        .run("journalctl")
        .args(["--no-pager", "--quiet", "--output=short-iso", "--no-hostname"])
        .args(selection(ask.source))
        .args([format!("--lines={lines}")]);
    let text = run.output().await?.or_failure("Reading the journal")?;
    Ok(LogLines { lines: text.lines().map(harmless).collect() })
}

/// A line without anything that could command a terminal.
fn harmless(line: &str) -> String {
    line.chars().filter(|character| !character.is_control()).take(1_000).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_a_log_commands_no_terminal() {
        assert_eq!(harmless("a\u{1b}[2Jb\u{9b}c\td\u{7f}"), "a[2Jbcd");
        assert_eq!(harmless(&"x".repeat(5_000)).len(), 1_000);
    }

    #[test]
    fn each_log_is_another_selection() {
        let all = LogSource::ALL.map(selection);
        for (position, one) in all.iter().enumerate() {
            assert!(!all[..position].contains(one), "{one:?}");
        }
    }
}
