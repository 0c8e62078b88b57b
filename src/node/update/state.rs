//! What became of an update, from what was recorded and what the boot loader left.
//!
//! Owns: [`derive`], a pure function, and the words for each outcome.
//! Must not know: where either comes from.

use serde::{Deserialize, Serialize};

use super::boot::{Entry, Tries};
use crate::{clock::Timestamp, release::Version};

/// What was last installed. Kept durably.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Record {
    /// What was installed.
    pub version: Version,
    /// What ran then.
    pub from: Version,
    /// When.
    pub at: Timestamp,
    /// Whether systemd-sysupdate has finished.
    pub complete: bool,
    /// The day of its release.
    pub released: String,
    /// What is new in it.
    pub notes: String,
}

/// What runs and what could.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct State {
    /// What runs.
    pub version: Version,
    /// What is in the other slot and can be started.
    pub other: Option<Version>,
    /// Whether what runs still has to prove itself.
    pub trial: bool,
    /// What became of the last update.
    pub last: Option<Outcome>,
}

/// What became of an update.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Outcome {
    /// What was installed.
    pub version: Version,
    /// What ran then.
    pub from: Version,
    /// When it was installed.
    pub at: Timestamp,
    /// How it went.
    pub result: Verdict,
    /// The same as a sentence.
    pub message: String,
    /// What is new in it.
    pub notes: String,
}

/// How an update went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Verdict {
    /// Installed; the next restart starts it.
    Waiting,
    /// It runs, and its health check has not decided yet.
    Trial,
    /// It runs and is good.
    Good,
    /// A try has failed and another follows with the next restart.
    Failing,
    /// It failed every try; what ran before runs again.
    RolledBack,
    /// It was good, and somebody went back.
    Left,
    /// The installation did not end.
    Interrupted,
    /// It was installed, and is in no slot any more.
    Gone,
}

/// Puts together what `running` is, which kernels there are, and what was installed last.
pub(super) fn derive(running: &Version, entries: &[Entry], record: Option<&Record>) -> State {
    let entry = |version: &Version| entries.iter().find(|entry| entry.version == *version);
    let other = entries.iter().find(|entry| entry.version != *running && !entry.is_given_up());
    State {
        version: running.clone(),
        other: other.map(|entry| entry.version.clone()),
        trial: entry(running).is_some_and(|entry| entry.tries.is_some()),
        last: record.map(|record| {
            let (result, message) = judge(running, entry(&record.version), record);
            Outcome {
                version: record.version.clone(),
                from: record.from.clone(),
                at: record.at,
                result,
                message,
                notes: record.notes.clone(),
            }
        }),
    }
}

fn judge(running: &Version, entry: Option<&Entry>, record: &Record) -> (Verdict, String) {
    let Record { version, from, .. } = record;
    let runs = version == running;
    match entry.map(|entry| entry.tries) {
        Some(Some(_)) if runs => (
            Verdict::Trial,
            format!("{version} runs on trial: its health check decides whether it stays."),
        ),
        // Without its kernel it could not run; the boot partition may be out of reach.
        _ if runs => (Verdict::Good, format!("{version} was installed over {from} and is good.")),
        Some(Some(Tries { left: 0, done })) => (
            Verdict::RolledBack,
            format!("{version} failed its health check {} and {running} runs again.", times(done)),
        ),
        Some(Some(Tries { done: 0, .. })) => {
            (Verdict::Waiting, format!("{version} is installed and starts with the next restart."))
        }
        Some(Some(Tries { done, .. })) => (
            Verdict::Failing,
            format!(
                "{version} failed its health check {}; the next restart tries it again.",
                times(done)
            ),
        ),
        Some(None) => {
            (Verdict::Left, format!("{version} was good, and {running} was started again."))
        }
        None if !record.complete => (
            Verdict::Interrupted,
            format!(
                "The installation of {version} was interrupted and {running} runs unchanged: \
                 install it again."
            ),
        ),
        None => (Verdict::Gone, format!("{version} is in no slot any more; {running} runs.")),
    }
}

fn times(count: u32) -> String {
    match count {
        1 => "once".to_owned(),
        2 => "twice".to_owned(),
        count => format!("{count} times"),
    }
}

#[cfg(test)]
mod tests {
    use super::{
        Verdict::{Failing, Gone, Good, Interrupted, Left, RolledBack, Trial, Waiting},
        *,
    };

    /// Installed over 1.1.0 (or 1.0.0), whether completely, what runs, the kernels; the other
    /// slot, whether on trial, the outcome, its words.
    type Case = (
        &'static str,
        bool,
        &'static str,
        &'static [&'static str],
        &'static str,
        bool,
        Verdict,
        &'static str,
    );

    const CASES: &[Case] = &[
        (
            "1.2.0",
            true,
            "1.1.0",
            &["1.1.0", "1.2.0+2-0"],
            "1.2.0",
            false,
            Waiting,
            "1.2.0 is installed and starts with the next restart.",
        ),
        (
            "1.2.0",
            true,
            "1.2.0",
            &["1.1.0", "1.2.0+1-1"],
            "1.1.0",
            true,
            Trial,
            "1.2.0 runs on trial: its health check decides whether it stays.",
        ),
        (
            "1.2.0",
            true,
            "1.2.0",
            &["1.1.0", "1.2.0+0-2"],
            "1.1.0",
            true,
            Trial,
            "1.2.0 runs on trial: its health check decides whether it stays.",
        ),
        (
            "1.2.0",
            true,
            "1.2.0",
            &["1.1.0", "1.2.0"],
            "1.1.0",
            false,
            Good,
            "1.2.0 was installed over 1.1.0 and is good.",
        ),
        (
            "1.2.0",
            true,
            "1.1.0",
            &["1.1.0", "1.2.0+1-1"],
            "1.2.0",
            false,
            Failing,
            "1.2.0 failed its health check once; the next restart tries it again.",
        ),
        (
            "1.2.0",
            true,
            "1.1.0",
            &["1.1.0", "1.2.0+0-2"],
            "",
            false,
            RolledBack,
            "1.2.0 failed its health check twice and 1.1.0 runs again.",
        ),
        (
            "1.2.0",
            true,
            "1.1.0",
            &["1.1.0", "1.2.0+0-3"],
            "",
            false,
            RolledBack,
            "1.2.0 failed its health check 3 times and 1.1.0 runs again.",
        ),
        (
            "1.2.0",
            true,
            "1.1.0",
            &["1.1.0", "1.2.0"],
            "1.2.0",
            false,
            Left,
            "1.2.0 was good, and 1.1.0 was started again.",
        ),
        (
            "1.2.0",
            false,
            "1.1.0",
            &["1.1.0"],
            "",
            false,
            Interrupted,
            "The installation of 1.2.0 was interrupted and 1.1.0 runs unchanged: install it again.",
        ),
        // Cut after the kernel was there: it is complete all the same.
        (
            "1.2.0",
            false,
            "1.1.0",
            &["1.1.0", "1.2.0+2-0"],
            "1.2.0",
            false,
            Waiting,
            "1.2.0 is installed and starts with the next restart.",
        ),
        (
            "1.2.0",
            true,
            "1.1.0",
            &["1.1.0"],
            "",
            false,
            Gone,
            "1.2.0 is in no slot any more; 1.1.0 runs.",
        ),
        // Back on purpose: the newer kernel is given up by hand.
        (
            "1.1.0",
            true,
            "1.1.0",
            &["1.1.0", "1.2.0+0-1"],
            "",
            false,
            Good,
            "1.1.0 was installed over 1.0.0 and is good.",
        ),
    ];

    #[test]
    fn the_outcome_follows_from_what_was_installed_what_runs_and_the_names_of_the_kernels() {
        for (installed, complete, runs, kernels, other, trial, verdict, words) in CASES {
            let version = |text: &str| text.parse::<Version>().expect("a version");
            let record = Record {
                version: version(installed),
                from: version(if *installed == "1.1.0" { "1.0.0" } else { "1.1.0" }),
                at: Timestamp::from_seconds(1),
                complete: *complete,
                released: "2026-11-22".to_owned(),
                notes: String::new(),
            };
            let entry = |name: &&str| Entry::parse(&format!("palisade_{name}.efi")).expect("ours");
            let entries: Vec<_> = kernels.iter().map(entry).collect();
            let state = derive(&version(runs), &entries, Some(&record));
            let told = state.other.map(|version| version.to_string()).unwrap_or_default();
            assert_eq!((told.as_str(), state.trial), (*other, *trial), "{kernels:?}");
            let last = state.last.expect("an outcome");
            assert_eq!((last.result, last.message.as_str()), (*verdict, *words), "{kernels:?}");
        }
    }

    #[test]
    fn without_a_record_nothing_is_said_of_an_update() {
        let version: Version = "1.1.0".parse().expect("a version");
        let state = derive(&version, &[], None);
        assert_eq!(state, State { version, other: None, trial: false, last: None });
    }
}
