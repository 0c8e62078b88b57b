//! The last lines of a log, from the journal.
//!
//! Which entries belong to a log is fixed here: nothing that a caller sends
//! becomes an argument but a number.

use super::Context;
use crate::{
    error::Result,
    node::protocol::{LogLines, LogSource, Logs},
};

/// What is in each line about the message broker, which writes through the
/// management plane. The journal could look for it, but then turns lines round.
const BROKER: &str = "message broker";
/// In how many lines of the management plane it is looked for.
const FURTHER: u16 = 5_000;

/// What the journal is asked for.
fn selection(source: LogSource) -> &'static [&'static str] {
    match source {
        LogSource::ManagementPlane => &["--unit=palisade.service"],
        LogSource::Broker => &["--unit=palisade.service", "--boot"],
        LogSource::Node => &["--unit=palisade-node.service"],
        LogSource::Kernel => &["--dmesg"],
        LogSource::FirstBoot => &["--unit=palisade-first-boot.service", "--boot"],
    }
}

/// The last lines of `ask.source`.
pub(super) async fn read(context: &Context, ask: Logs) -> Result<LogLines> {
    let lines = ask.lines.clamp(1, Logs::MOST);
    let read = if ask.source == LogSource::Broker { FURTHER } else { lines };
    let run = context
        .programs()
        .run("journalctl")
        .args(["--no-pager", "--quiet", "--output=short-iso", "--no-hostname"])
        .args(selection(ask.source))
        .args([format!("--lines={read}")]);
    let text = run.output().await?.or_failure("Reading the journal")?;
    Ok(LogLines { lines: newest(&text, ask.source, usize::from(lines)) })
}

/// The last `most` lines that belong to the log, the newest at the end.
fn newest(text: &str, source: LogSource, most: usize) -> Vec<String> {
    let wanted = |line: &&str| source != LogSource::Broker || line.contains(BROKER);
    let found: Vec<_> = text.lines().filter(wanted).collect();
    let superfluous = found.len().saturating_sub(most);
    found[superfluous..].iter().map(|line| harmless(line)).collect()
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
    fn the_log_of_the_broker_is_its_lines_among_the_management_planes_newest_last() {
        let text = "1 message broker: a\n2 a request\n3 message broker: b\n4 message broker: c\n";
        let broker = newest(text, LogSource::Broker, 2);
        assert_eq!(broker, ["3 message broker: b", "4 message broker: c"]);
        assert_eq!(newest(text, LogSource::ManagementPlane, 2)[0], "3 message broker: b");
        assert_eq!(newest("nothing else\n", LogSource::Broker, 2), Vec::<String>::new());
    }

    #[test]
    fn each_log_is_another_selection() {
        let all = LogSource::ALL.map(selection);
        for (position, one) in all.iter().enumerate() {
            assert!(!all[..position].contains(one), "{one:?}");
        }
    }
}
