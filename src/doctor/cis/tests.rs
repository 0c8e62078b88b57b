//! Every check with facts on which it passes and facts on which it fails.

mod good;
mod mutants;

use std::{collections::BTreeSet, fs, os::unix::fs::PermissionsExt, path::Path};

use super::*;
use crate::{
    clock::TestClock,
    doctor::{
        Machine,
        facts::{Entry, Facts, gather},
    },
};
use good::{NOW, good};
use mutants::MUTANTS;

fn failed(facts: &Facts) -> Vec<String> {
    let failed = evaluate(facts).items.into_iter().filter(|item| item.outcome == Outcome::Fail);
    failed.map(|item| format!("{} ({})", item.number, item.evidence)).collect()
}

fn outcome(facts: &Facts, number: &str) -> (Outcome, String) {
    let item = evaluate(facts).items.into_iter().find(|item| item.number == number);
    let item = item.unwrap_or_else(|| panic!("there is no check {number}"));
    (item.outcome, item.evidence)
}

#[test]
fn there_are_at_least_sixty_checks_with_numbers_of_their_own() {
    assert!(checks().count() >= 60, "{}", checks().count());
    let numbers: BTreeSet<_> = checks().map(|check| check.number).collect();
    assert_eq!(numbers.len(), checks().count(), "a number stands twice");
    for (group, _, checks) in GROUPS {
        for (place, check) in checks.iter().enumerate() {
            assert_eq!(check.number, format!("{group}.{}", place + 1));
            assert!(
                check.title.len() > 10 && check.reason.ends_with('.') && check.fix.ends_with('.'),
                "{}",
                check.number
            );
            assert!((1..=2).contains(&check.level), "{}", check.number);
            // Nobody has a shell there, and the running version cannot be installed.
            for impossible in
                ["`", "systemctl", "chmod", "passwd", ".service", ".conf", "unaltered", "Mount "]
            {
                assert!(!check.fix.contains(impossible), "{}: {}", check.number, check.fix);
            }
        }
    }
}

#[test]
fn a_machine_as_it_should_be_passes_everything() {
    let facts = good();
    let report = evaluate(&facts);
    assert_eq!(failed(&facts), Vec::<String>::new());
    assert_eq!((report.failed, report.score), (0, 100));
    let not: Vec<_> = report
        .items
        .iter()
        .filter(|i| i.outcome == Outcome::NotApplicable)
        .map(|i| &i.number)
        .collect();
    assert_eq!(
        not,
        Vec::<&String>::new(),
        "the good facts have something to look at for every check"
    );
}

/// Files and directories of a machine as the facts tell of them.
fn tree(facts: &Facts) -> tempfile::TempDir {
    let root = tempfile::tempdir().expect("a directory");
    let at = |path: &str| root.path().join(path.trim_start_matches('/'));
    let write = |path: &Path, text: &str| {
        fs::create_dir_all(path.parent().expect("a parent")).expect("made");
        fs::write(path, text).expect("written");
    };
    for (path, answer) in &facts.files {
        if let Ok(Some(text)) = answer {
            write(&at(path), text);
        }
    }
    let modules = facts.names(MODULES).expect("seen").unwrap_or_default();
    let modules: Vec<_> = modules.iter().map(|name| format!("kernel/{name}.ko.xz:")).collect();
    write(&at("/usr/lib/modules/6.12.1/modules.dep"), &modules.join("\n"));
    write(&at("/proc/sys/kernel/osrelease"), "6.12.1\n");
    write(&at("/var/log/journal/0123"), "");
    for (path, answer) in &facts.entries {
        let Ok(Some(entry)) = answer else { continue };
        let path_there = at(path);
        let is_directory = entry.mode & 0o100 != 0 && !path.starts_with("/usr/bin/");
        if is_directory {
            fs::create_dir_all(&path_there).expect("made");
        } else if !path_there.exists() {
            write(&path_there, "x");
        }
    }
    for (path, answer) in &facts.entries {
        let Ok(Some(entry)) = answer else { continue };
        let mode = fs::Permissions::from_mode(entry.mode);
        fs::set_permissions(at(path), mode).expect("set");
    }
    root
}

/// What the good facts hold has to come from somewhere: files, directories and
/// owners are looked for by `gather`, and nothing else is believed.
#[tokio::test]
async fn everything_that_the_checks_want_of_files_is_gathered() {
    let good = good();
    let root = tree(&good);
    let machine = Machine::below(root.path());
    let no_config = Err("there are no settings here".to_owned());
    let mut seen = gather(&machine, &no_config, &TestClock::at(NOW)).await;
    // Only root can give files to others.
    for (path, answer) in &mut seen.entries {
        if let Ok(Some(entry)) = answer {
            let owner = good.entries.get(path).and_then(|answer| *answer.as_ref().ok()?);
            let (uid, gid) = owner.map_or((0, 0), |owner| (owner.uid, owner.gid));
            *entry = Entry { uid, gid, mode: entry.mode };
        }
    }
    let Facts { files, lists, entries, .. } = seen;
    assert_eq!(failed(&Facts { files, lists, entries, ..good }), Vec::<String>::new());
}

#[test]
fn every_check_fails_on_facts_that_break_it_and_no_other_with_it() {
    let mut wrong = Vec::new();
    for check in checks() {
        if !MUTANTS.iter().any(|(number, ..)| *number == check.number) {
            wrong.push(format!("{} has no facts that break it", check.number));
        }
    }
    for (number, also, change) in MUTANTS {
        let mut facts = good();
        change(&mut facts);
        let (outcome, evidence) = outcome(&facts, number);
        if outcome != Outcome::Fail || evidence.starts_with("could not be evaluated") {
            wrong.push(format!("{number} is {outcome:?}: {evidence}"));
        }
        let expected = |item: &Item| item.number == *number || also.contains(&&*item.number);
        let others = evaluate(&facts).items.into_iter();
        let others = others.filter(|item| item.outcome == Outcome::Fail && !expected(item));
        wrong
            .extend(others.map(|item| {
                format!("broken for {number}: {} with {}", item.number, item.evidence)
            }));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_was_not_looked_at_has_failed_and_says_why() {
    let report = evaluate(&Facts::default());
    for item in &report.items {
        assert_eq!(item.outcome, Outcome::Fail, "{}", item.number);
        assert!(item.evidence.starts_with("could not be evaluated: "), "{}", item.evidence);
    }
    assert_eq!((report.passed, report.score), (0, 0));
}

#[test]
fn a_look_that_failed_fails_its_check_with_the_reason() {
    let mut facts = good();
    let key = "/etc/shadow".to_owned();
    facts.files.insert(key, Err("/etc/shadow cannot be read: Permission denied".to_owned()));
    let (outcome, evidence) = outcome(&facts, "6.1");
    assert_eq!(outcome, Outcome::Fail);
    assert!(evidence.ends_with("Permission denied"), "{evidence}");
}

#[test]
fn ssh_that_is_off_is_not_looked_at() {
    let mut facts = good();
    let states =
        facts.programs.get_mut(services::STATES).expect("asked").as_mut().expect("answered");
    *states = states.as_ref().map(|text| {
        text.replace(
            "Id=ssh.service\nLoadState=loaded\nActiveState=active\nUnitFileState=enabled-runtime",
            "Id=ssh.service\nLoadState=loaded\nActiveState=inactive\nUnitFileState=disabled",
        )
    });
    facts.programs.insert(services::SSHD.to_owned(), Err("no host key".to_owned()));
    assert_eq!(outcome(&facts, "5.4").0, Outcome::NotApplicable);
    assert_eq!(failed(&facts), Vec::<String>::new());
}

#[test]
fn the_report_is_readable_and_survives_json() {
    let mut facts = good();
    facts.files.insert("/etc/motd".to_owned(), Ok(Some("Debian GNU/Linux 13".to_owned())));
    let report = evaluate(&facts);
    let text = report.text();
    assert!(text.contains("FAIL 7.12"), "{text}");
    assert!(text.contains("seen  /etc/motd names the system"), "{text}");
    assert!(text.ends_with(&report.summary()));
    assert!(report.summary().contains(" 1 failed"), "{}", report.summary());
    let json = serde_json::to_string(&report).expect("JSON");
    assert_eq!(serde_json::from_str::<Report>(&json).expect("the same"), report);
}
