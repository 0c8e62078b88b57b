//! The table: what was measured, beside what, and whether that meets the goal.

use std::fmt;

use crate::measure::Samples;

/// What the number in the column `ratio` (or, without a peer, our own value) has to be.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Goal {
    AtMost(f64),
    AtLeast(f64),
}

impl Goal {
    fn is_met(self, value: f64) -> bool {
        match self {
            Self::AtMost(limit) => value <= limit,
            Self::AtLeast(limit) => value >= limit,
        }
    }
}

/// One comparison, or one value that has a goal of its own.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) path: String,
    pub(crate) unit: &'static str,
    pub(crate) ours: Samples,
    /// Whose value, and the value in the same unit.
    pub(crate) peer: Option<(String, Samples)>,
    pub(crate) goal: Option<Goal>,
}

impl Row {
    /// Ours beside a peer; the goal is for ours divided by the peer's.
    pub(crate) fn beside(
        path: impl Into<String>,
        unit: &'static str,
        ours: &Samples,
        peer: impl Into<String>,
        theirs: &Samples,
        goal: impl Into<Option<Goal>>,
    ) -> Self {
        let peer = Some((peer.into(), theirs.clone()));
        Self { path: path.into(), unit, ours: ours.clone(), peer, goal: goal.into() }
    }

    /// A value of ours alone; the goal is for it.
    pub(crate) fn alone(
        path: impl Into<String>,
        unit: &'static str,
        ours: &Samples,
        goal: Option<Goal>,
    ) -> Self {
        Self { path: path.into(), unit, ours: ours.clone(), peer: None, goal }
    }

    fn judged(&self) -> f64 {
        match &self.peer {
            Some((_, theirs)) => self.ours.median() / theirs.median(),
            None => self.ours.median(),
        }
    }

    /// Whether the goal is met; a row without one meets it.
    pub(crate) fn meets(&self) -> bool {
        self.goal.is_none_or(|goal| goal.is_met(self.judged()))
    }

    fn cells(&self) -> [String; 7] {
        let (peer, theirs, times) = match &self.peer {
            Some((name, theirs)) => (name.clone(), with_spread(theirs), "x"),
            None => (String::new(), String::new(), ""),
        };
        let ratio = self.peer.as_ref().map(|_| format!("{}x", short(self.judged())));
        let goal = self.goal.map_or_else(String::new, |goal| match goal {
            Goal::AtMost(limit) => format!("<= {}{times}", short(limit)),
            Goal::AtLeast(limit) => format!(">= {}{times}", short(limit)),
        });
        let verdict = match self.goal {
            None => "",
            Some(_) if self.meets() => "meets",
            Some(_) => "**misses**",
        };
        [
            format!("{}, {}", self.path, self.unit),
            with_spread(&self.ours),
            peer,
            theirs,
            ratio.unwrap_or_default(),
            goal,
            verdict.to_owned(),
        ]
    }
}

/// All rows, in Markdown that also reads well in a terminal.
#[derive(Debug, Default)]
pub(crate) struct Table(pub Vec<Row>);

const HEADS: [&str; 7] =
    ["hot path, unit", "ours (least–most)", "peer", "peer's", "ratio", "goal", "verdict"];

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut lines = vec![HEADS.map(str::to_owned)];
        lines.extend(self.0.iter().map(Row::cells));
        let mut widths = [0; 7];
        for line in &lines {
            for (width, cell) in widths.iter_mut().zip(line) {
                *width = (*width).max(cell.chars().count());
            }
        }
        for (number, line) in lines.iter().enumerate() {
            for (cell, width) in line.iter().zip(widths) {
                write!(f, "| {cell:width$} ")?;
            }
            writeln!(f, "|")?;
            if number == 0 {
                for width in widths {
                    write!(f, "|{}", "-".repeat(width + 2))?;
                }
                writeln!(f, "|")?;
            }
        }
        Ok(())
    }
}

fn with_spread(samples: &Samples) -> String {
    let (least, most) = (short(samples.least()), short(samples.most()));
    let median = short(samples.median());
    if least == most { median } else { format!("{median} ({least}–{most})") }
}

/// Three digits that count.
fn short(value: f64) -> String {
    match value.abs() {
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        size if size >= 0.1 || size == 0.0 => trimmed(format!("{value:.2}")),
        _ => trimmed(format!("{value:.4}")),
    }
}

fn trimmed(text: String) -> String {
    if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples(values: &[f64]) -> Samples {
        values.iter().copied().collect()
    }

    #[test]
    fn the_verdict_follows_from_the_medians_and_the_goal() {
        let ours = samples(&[10.0, 30.0, 20.0]);
        let row = |goal| Row::beside("x", "µs", &ours, "peer", &samples(&[10.0]), goal);
        assert!(row(Goal::AtMost(2.0)).meets());
        assert!(!row(Goal::AtMost(1.9)).meets());
        assert!(row(Goal::AtLeast(2.0)).meets());
        assert!(!row(Goal::AtLeast(2.1)).meets());
        assert!(!Row::alone("x", "ms", &ours, Some(Goal::AtMost(19.0))).meets());
        let table = Table(vec![row(Goal::AtMost(1.9))]).to_string();
        assert!(table.contains("| 20.0 (10.0–30.0) |") && table.contains("misses"), "{table}");
    }

    #[test]
    fn numbers_have_three_digits_that_count() {
        let shown: Vec<_> = [1234.5, 12.34, 1.5, 2.0, 0.01234].map(short).into();
        assert_eq!(shown, ["1234", "12.3", "1.5", "2", "0.0123"]);
    }
}
