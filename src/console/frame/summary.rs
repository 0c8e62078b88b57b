//! The first page: where to go, what to type there, and how the machine does.

use ratatui::{
    style::Style,
    text::{Line, Span},
};

use super::{Rows, style};
use crate::{
    console::{
        glyphs::wrap,
        state::{Seen, State},
    },
    node::{
        ha::standing::{Standing, standing},
        machine::Machine,
        protocol::{Check, ClusterView, Health, Mistake, SetUp, Share, Status},
    },
};

/// The column where what a label names begins.
const COLUMN: usize = 15;
const GIB: u64 = 1 << 30;

pub(super) fn summary(state: &State, width: usize) -> Rows {
    let mut page = Page { rows: Rows::default(), width };
    match &state.seen {
        Seen::Nothing => page.row("", "Asking the node service...", style::PLAIN),
        Seen::Daemon(status) => page.status(status, state.cluster.as_deref()),
        Seen::Alone(machine, reason) => page.alone(machine, reason),
    }
    page.rows
}

struct Page {
    rows: Rows,
    width: usize,
}

impl Page {
    /// A label and what it names, broken into as many rows as it takes.
    fn row(&mut self, label: &str, text: &str, style: Style) {
        let room = self.width.saturating_sub(COLUMN);
        for (position, part) in wrap(text, room).into_iter().enumerate() {
            let label = if position == 0 { label } else { "" };
            self.rows.add(Line::from(vec![
                Span::styled(format!("{label:<COLUMN$}"), style::LABEL),
                Span::styled(part, style),
            ]));
        }
    }

    fn gap(&mut self) {
        self.rows.add("");
    }

    fn status(&mut self, status: &Status, cluster: Option<&ClusterView>) {
        for (position, url) in status.urls.iter().enumerate() {
            self.row(if position == 0 { "Open" } else { "" }, url, style::STRONG);
        }
        if status.urls.is_empty() {
            self.row("Open", "no address yet", style::WARN);
        }
        if let Some(fingerprint) = &status.fingerprint {
            self.fingerprint(fingerprint);
        }
        match &status.set_up {
            SetUp::Open { code: Some(code) } => {
                self.row("Set-up code", code, style::GOOD);
                self.row("", "Type it there to make the first administrator.", style::PLAIN);
            }
            SetUp::Open { code: None } => {
                self.row("Set-up code", "comes when the management plane has started", style::WARN);
            }
            SetUp::Done => {}
        }
        self.gap();
        self.health(status);
        self.mistakes(&status.mistakes);
        self.gap();
        let role = status.role.as_deref().unwrap_or("not chosen");
        self.row("Role", role, style::PLAIN);
        if let Some(cluster) = cluster {
            self.cluster(cluster);
        }
        let clock = match status.clock_synchronised {
            Some(true) => ("set by a time server", style::PLAIN),
            Some(false) => ("not set by a time server yet", style::WARN),
            None => ("no time server is asked", style::PLAIN),
        };
        self.row("Clock", clock.0, clock.1);
        self.load(status.processors, status.load, status.uptime_seconds);
        self.memory(status.memory);
        self.disk(status.data_disk);
    }

    /// 32 pairs in two rows of one length, to be compared with what a browser shows.
    fn fingerprint(&mut self, fingerprint: &str) {
        const HALF: usize = 16 * 3;
        let (first, rest) = fingerprint.split_at_checked(HALF - 1).unwrap_or((fingerprint, ""));
        self.row("Certificate", first, style::PLAIN);
        if !rest.is_empty() {
            self.row("  SHA-256", rest.trim_start_matches(':'), style::PLAIN);
        }
    }

    fn health(&mut self, status: &Status) {
        match &status.health {
            Health::Answers { ready: true, .. } => self.row("Health", "ready", style::GOOD),
            Health::Answers { ready: false, checks } => {
                self.row("Health", "not ready", style::BAD);
                for Check { name, detail, .. } in checks.iter().filter(|check| !check.ok) {
                    self.row("", &format!("{name}: {detail}"), style::BAD);
                }
            }
            Health::Silent { reason } => {
                self.row("Health", "the management plane does not answer", style::BAD);
                self.row("", reason, style::BAD);
            }
        }
        for unit in status.units.iter().filter(|unit| unit.state == "failed") {
            self.row("", &format!("{} has failed: see the logs", unit.unit), style::BAD);
        }
    }

    fn cluster(&mut self, cluster: &ClusterView) {
        let (standing, sentence) = standing(cluster);
        let style = match standing {
            // The role says it already.
            Standing::Alone => return,
            Standing::Forming => style::PLAIN,
            Standing::Good => style::GOOD,
            Standing::Degraded => style::WARN,
            Standing::Bad => style::BAD,
        };
        self.row("Cluster", &sentence, style);
        if let Some(progress) = cluster.progress.as_ref().filter(|progress| progress.running) {
            self.row("", &format!("{}: {} %", progress.step, progress.percent), style::PLAIN);
        }
        let failure = cluster.progress.as_ref().and_then(|progress| progress.failure.as_ref());
        if let Some(failure) = failure {
            self.row("", failure, style::BAD);
        }
    }

    /// Each mistake is one line of text; it begins with the property's name.
    fn mistakes(&mut self, mistakes: &[Mistake]) {
        if mistakes.is_empty() {
            return;
        }
        self.gap();
        self.rows.add(Line::styled("Mistakes in the answers (repair them with F2/2):", style::BAD));
        for Mistake { property, message } in mistakes {
            let rows = wrap(&format!("{property}: {message}"), self.width.saturating_sub(2));
            for (position, row) in rows.into_iter().enumerate() {
                let mark = if position == 0 { "\u{b7} " } else { "  " };
                self.rows.add(Line::styled(format!("{mark}{row}"), style::BAD));
            }
        }
    }

    fn load(&mut self, processors: u16, load: Option<f64>, uptime: u64) {
        let load = load.map(|load| format!(", load {load:.2}")).unwrap_or_default();
        let noun = if processors == 1 { "processor" } else { "processors" };
        let text = format!("{processors} {noun}{load}, up {}", duration(uptime));
        self.row("CPU", &text, style::PLAIN);
    }

    fn memory(&mut self, share: Option<Share>) {
        let text = share.map(|share| {
            let (used, total) = (share.used >> 20, share.total >> 20);
            (format!("{used} of {total} MiB used"), crowded(share, 95))
        });
        self.share("Memory", text);
    }

    fn disk(&mut self, share: Option<Share>) {
        let text = share.map(|share| {
            let gib = |bytes: u64| bytes as f64 / GIB as f64;
            let text = format!("{:.1} of {:.1} GiB used", gib(share.used), gib(share.total));
            (text, crowded(share, 85))
        });
        self.share("Data disk", text);
    }

    fn share(&mut self, label: &str, text: Option<(String, bool)>) {
        match text {
            Some((text, false)) => self.row(label, &text, style::PLAIN),
            Some((text, true)) => self.row(label, &format!("{text}: nearly full"), style::BAD),
            None => self.row(label, "unknown", style::PLAIN),
        }
    }

    fn alone(&mut self, machine: &Machine, reason: &str) {
        self.row("Node service", "does not answer", style::BAD);
        self.row("", reason, style::BAD);
        self.row("", "This is what the screen sees by itself; it asks again.", style::PLAIN);
        self.gap();
        for (position, address) in machine.addresses().iter().enumerate() {
            let label = if position == 0 { "Open" } else { "" };
            self.row(label, &format!("https://{address}"), style::STRONG);
        }
        if machine.addresses().is_empty() {
            self.row("Open", "no address yet", style::WARN);
        }
        self.gap();
        self.load(machine.processors, machine.load, machine.uptime_seconds);
        self.memory(machine.memory);
        self.disk(machine.data_disk);
    }
}

/// Whether more than `percent` of it is used.
fn crowded(share: Share, percent: u64) -> bool {
    u128::from(share.used) * 100 > u128::from(share.total) * u128::from(percent)
}

/// The largest unit of which there is at least one.
fn duration(seconds: u64) -> String {
    let (count, unit) = match seconds {
        0..60 => return "less than a minute".to_owned(),
        60..3_600 => (seconds / 60, "minute"),
        3_600..86_400 => (seconds / 3_600, "hour"),
        _ => (seconds / 86_400, "day"),
    };
    format!("{count} {unit}{}", if count == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_said_in_its_largest_unit() {
        for (seconds, text) in [
            (59, "less than a minute"),
            (60, "1 minute"),
            (7_199, "1 hour"),
            (86_400 * 3, "3 days"),
        ] {
            assert_eq!(duration(seconds), text);
        }
    }
}
