//! Whether this node can do its work, as named checks.
//!
//! Owns: the registry and its summary.
//! Must not know: what is checked or how; whoever owns a part reports on it.
//!
//! A check belongs to the task that holds its [`Reporter`]. It starts as "not
//! ready" and becomes "not ready" again when the reporter is dropped, so that a
//! task that died cannot leave a good report behind.

use std::{
    borrow::Cow,
    sync::{Arc, Mutex, PoisonError},
};

use serde::Serialize;

/// The state of one part.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Check {
    /// The part, e.g. `store`, `bus` or `keystore`.
    pub name: &'static str,
    /// Whether it works.
    pub ok: bool,
    /// What is missing, or how it does, as a short sentence without secrets:
    /// anybody can read it.
    pub detail: Cow<'static, str>,
}

/// All checks at one moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Snapshot {
    /// Whether every check is good. Without any check the answer is no:
    /// nothing has started yet.
    pub ready: bool,
    /// The checks in the order of their registration.
    pub checks: Vec<Check>,
}

/// The checks of this node. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Readiness(Arc<Mutex<Vec<Check>>>);

impl Readiness {
    /// Adds a check, not ready until its reporter says so. A check of the same
    /// name is replaced, and its reporter no longer counts as its owner.
    pub fn register(&self, name: &'static str) -> Reporter {
        let check = Check { name, ok: false, detail: "has not started yet".into() };
        self.update(check);
        Reporter { readiness: self.clone(), name }
    }

    /// All checks as they are now.
    pub fn snapshot(&self) -> Snapshot {
        let checks = self.checks().clone();
        Snapshot { ready: !checks.is_empty() && checks.iter().all(|check| check.ok), checks }
    }

    /// Whether the check `name` is good.
    pub fn is_ok(&self, name: &str) -> bool {
        self.checks().iter().any(|check| check.name == name && check.ok)
    }

    /// Sets a check and answers whether it changed from good to bad or back.
    fn update(&self, new: Check) -> bool {
        let mut checks = self.checks();
        if let Some(check) = checks.iter_mut().find(|check| check.name == new.name) {
            let flipped = check.ok != new.ok;
            *check = new;
            return flipped;
        }
        checks.push(new);
        true
    }

    /// A panic while the lock is held cannot leave a check half written.
    fn checks(&self) -> std::sync::MutexGuard<'_, Vec<Check>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The right to say how one part does.
#[derive(Debug)]
pub struct Reporter {
    readiness: Readiness,
    name: &'static str,
}

impl Reporter {
    /// The part works. Answers whether that is news, which is worth a log line.
    pub fn good(&self, detail: impl Into<Cow<'static, str>>) -> bool {
        self.report(true, detail.into())
    }

    /// The part does not work, and `detail` says what is missing. Answers
    /// whether that is news.
    pub fn bad(&self, detail: impl Into<Cow<'static, str>>) -> bool {
        self.report(false, detail.into())
    }

    fn report(&self, ok: bool, detail: Cow<'static, str>) -> bool {
        self.readiness.update(Check { name: self.name, ok, detail })
    }
}

impl Drop for Reporter {
    fn drop(&mut self) {
        self.bad("has stopped");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_ready_when_every_check_is_good() {
        let readiness = Readiness::default();
        assert!(!readiness.snapshot().ready, "nothing has started");
        let store = readiness.register("store");
        let bus = readiness.register("bus");
        assert!(store.good("answers"));
        assert!(!store.good("answers in 1 ms"), "no news");
        assert!(!readiness.snapshot().ready, "the bus is missing");
        assert!(bus.good("connected"));
        assert!(readiness.snapshot().ready);
        assert!(bus.bad("nats-server does not answer"));
        let snapshot = readiness.snapshot();
        assert!(!snapshot.ready);
        assert_eq!(
            serde_json::to_value(&snapshot.checks[1]).unwrap(),
            serde_json::json!({"name": "bus", "ok": false, "detail": "nats-server does not answer"})
        );
    }

    #[test]
    fn a_task_that_died_leaves_no_good_report_behind() {
        let readiness = Readiness::default();
        let thread = std::thread::spawn({
            let store = readiness.register("store");
            move || {
                store.good("answers");
                panic!("deliberate: this task dies");
            }
        });
        assert!(thread.join().is_err());
        assert!(!readiness.is_ok("store"));
        assert_eq!(readiness.snapshot().checks[0].detail, "has stopped");
    }
}
