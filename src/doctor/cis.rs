//! How well the appliance is closed: our own list of checks for this image.
//!
//! Owns: the checks, their numbers, reasons and remedies, and the [`Report`].
//! Must not know: how a fact was found out.
//!
//! A check is a row in a table of its group; [`Look`] says what it looks at.
//! Evaluating is pure. A check that could not be evaluated has failed, and says
//! why: nothing that nobody saw is called good.

mod accounts;
mod boot;
mod files;
mod kernel;
mod logging;
mod looks;
mod network;
mod own;
mod services;
#[cfg(test)]
mod tests;
mod wanted;

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

use super::facts::Facts;
pub(super) use wanted::{
    ENTRIES, FILES, LISTS, MODULES, PROGRAMS, TEXTS_BELOW, UNWANTED_PROGRAMS, commands, sysctl_file,
};

/// One check.
#[derive(Clone, Copy, Debug)]
pub struct Check {
    /// Our own number, `group.place`.
    pub number: &'static str,
    /// What should be so, as a short sentence.
    pub title: &'static str,
    /// What it protects from.
    pub reason: &'static str,
    /// What to do when it is not so.
    pub fix: &'static str,
    /// 1: must be so; 2: defence in depth.
    pub level: u8,
    /// What it looks at.
    pub look: Look,
}

/// What a check looks at.
#[derive(Clone, Copy, Debug)]
pub enum Look {
    /// Each setting of the kernel has one of its values.
    Sysctl(&'static [(&'static str, &'static [&'static str])]),
    /// The file system at a path has all these options.
    Mount(&'static str, &'static [&'static str]),
    /// The kernel was started with this argument.
    Argument(&'static str),
    /// None of these modules can be loaded.
    NoModules(&'static [&'static str]),
    /// These files belong to `user:group` and have no more than the mode.
    Access(&'static [(&'static str, &'static str, u32)]),
    /// Anything else.
    Facts(fn(&Facts) -> Seen),
}

/// What a look found. An error is the reason why nothing could be seen.
pub type Seen = Result<Verdict, String>;

/// Good or not, with what was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// As it should be.
    Pass(String),
    /// Not as it should be.
    Fail(String),
    /// There is nothing to look at.
    NotApplicable(String),
}

impl Verdict {
    /// Good when `wrong` is empty, otherwise not, with all of it.
    fn unless(wrong: &[String], good: impl Into<String>) -> Self {
        if wrong.is_empty() {
            return Self::Pass(good.into());
        }
        let shown = wrong.iter().take(12).cloned().collect::<Vec<_>>().join("; ");
        let more = wrong.len().saturating_sub(12);
        Self::Fail(if more == 0 { shown } else { format!("{shown}; and {more} more") })
    }
}

/// What an operator can do about a part of the image. There is no shell on the
/// appliance, its root cannot be written, and the version that runs cannot be
/// installed again.
const IMAGE: &str = "It is part of the image, which nobody can change here: install a newer \
                     version under Appliance, Updates. If it stays so, report it.";

/// The same about what is made anew at every start.
const RESTART: &str = "Restart the appliance (console F12), which makes it anew. If it stays so, \
                       install a newer version under Appliance, Updates, and report it.";

/// The groups of checks: number, name and rows.
const GROUPS: &[(&str, &str, &[Check])] = &[
    ("1", "File systems", files::FILE_SYSTEMS),
    ("2", "Boot", boot::CHECKS),
    ("3", "Kernel", kernel::CHECKS),
    ("4", "Network", network::CHECKS),
    ("5", "Services", services::CHECKS),
    ("6", "Accounts", accounts::CHECKS),
    ("7", "Files", files::FILES),
    ("8", "Records and access control", logging::CHECKS),
    ("9", "Palisade", own::CHECKS),
];

/// Every check, in the order of the report.
pub fn checks() -> impl Iterator<Item = &'static Check> {
    GROUPS.iter().flat_map(|(_, _, checks)| *checks)
}

/// What became of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Outcome {
    /// As it should be.
    Pass,
    /// Not as it should be, or it could not be seen.
    Fail,
    /// There is nothing to look at.
    NotApplicable,
}

/// A check and what became of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Item {
    /// Our own number.
    pub number: String,
    /// The group's name.
    pub group: String,
    /// What should be so.
    pub title: String,
    /// What it protects from.
    pub reason: String,
    /// What to do when it is not so.
    pub fix: String,
    /// 1: must be so; 2: defence in depth.
    pub level: u8,
    /// What became of it.
    pub outcome: Outcome,
    /// What was seen.
    pub evidence: String,
}

/// All checks of one machine at one moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// How many are as they should be.
    pub passed: usize,
    /// How many are not.
    pub failed: usize,
    /// How many had nothing to look at.
    pub not_applicable: usize,
    /// Passed of those that apply, in per cent, rounded down.
    pub score: usize,
    /// The checks in the order of their numbers.
    pub items: Vec<Item>,
}

/// Evaluates every check.
pub fn evaluate(facts: &Facts) -> Report {
    let mut items = Vec::new();
    for (_, group, checks) in GROUPS {
        items.extend(checks.iter().map(|check| item(group, check, facts)));
    }
    let count = |outcome| items.iter().filter(|item| item.outcome == outcome).count();
    let (passed, failed) = (count(Outcome::Pass), count(Outcome::Fail));
    Report {
        passed,
        failed,
        not_applicable: count(Outcome::NotApplicable),
        score: (passed * 100).checked_div(passed + failed).unwrap_or(0),
        items,
    }
}

fn item(group: &str, check: &Check, facts: &Facts) -> Item {
    let seen = looks::look(check.look, facts);
    let (outcome, evidence) = match seen {
        Ok(Verdict::Pass(evidence)) => (Outcome::Pass, evidence),
        Ok(Verdict::Fail(evidence)) => (Outcome::Fail, evidence),
        Ok(Verdict::NotApplicable(evidence)) => (Outcome::NotApplicable, evidence),
        Err(why) => (Outcome::Fail, format!("could not be evaluated: {why}")),
    };
    Item {
        number: check.number.to_owned(),
        group: group.to_owned(),
        title: check.title.to_owned(),
        reason: check.reason.to_owned(),
        fix: check.fix.to_owned(),
        level: check.level,
        outcome,
        evidence,
    }
}

impl Report {
    /// For a terminal: failures in full, the rest in a line each.
    pub fn text(&self) -> String {
        let mut text = String::new();
        let mut group = "";
        for item in &self.items {
            if item.group != group {
                group = &item.group;
                let _ = writeln!(text, "{group}");
            }
            let word = match item.outcome {
                Outcome::Pass => "pass",
                Outcome::Fail => "FAIL",
                Outcome::NotApplicable => "n/a ",
            };
            let _ = writeln!(text, "  {word} {:<5} {}", item.number, item.title);
            if item.outcome == Outcome::Fail {
                let _ = writeln!(text, "             seen  {}", item.evidence);
                let _ = writeln!(text, "             why   {}", item.reason);
                let _ = writeln!(text, "             fix   {}", item.fix);
            }
        }
        let _ = write!(text, "\n{}", self.summary());
        text
    }

    /// The counts in one line.
    pub fn summary(&self) -> String {
        format!(
            "{} checks: {} passed, {} failed, {} not applicable; score {} %",
            self.items.len(),
            self.passed,
            self.failed,
            self.not_applicable,
            self.score
        )
    }
}
