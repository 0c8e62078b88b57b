//! `palisade node healthy`: whether this version of the appliance works.
//!
//! A new version is kept only when this says so; otherwise the machine starts
//! the old one again. So it must not wait for what cannot happen any more, and
//! must not blame a version for what the operator has not answered yet.

use std::{path::PathBuf, time::Duration};

use clap::Args;
use reqwest::{Client, redirect::Policy};
use serde::Deserialize;
use tokio::time::{Instant, sleep};

use super::Layout;
use crate::{
    cli::{
        duration,
        failure::{Exit, Failure, Result},
        output::{emit, harmless},
        trust::{Shown, Trust, tls},
    },
    config::{Config, Sources},
    node::{answers, host::Host},
};

/// The unit of the management plane.
const UNIT: &str = "palisade.service";
const PAUSE: Duration = Duration::from_secs(1);
const TIMEOUT: Duration = Duration::from_secs(5);
/// A unit that has ended so often will go on to.
const MOST_RESTARTS: u32 = 8;
/// What has to be reported as good, whatever else is.
const NEEDED: [&str; 2] = ["store", "bus"];

/// Arguments of `palisade node healthy`.
#[derive(Debug, Args)]
pub(super) struct HealthyArgs {
    /// For how long to wait at most, e.g. 90s, 3m.
    #[arg(long, default_value = "0s", value_name = "DURATION", value_parser = duration::parse)]
    wait: Duration,
    #[command(flatten)]
    layout: Layout,
}

/// The answer of `/readyz`.
#[derive(Clone, Debug, Deserialize)]
struct Ready {
    ready: bool,
    checks: Vec<Check>,
}

#[derive(Clone, Debug, Deserialize)]
struct Check {
    name: String,
    ok: bool,
    detail: String,
}

/// What there is to say after one look.
#[derive(Debug)]
enum Look {
    /// It works, or nothing is to be started.
    Good(Vec<Check>),
    /// It does not work yet.
    NotYet(Vec<Check>),
    /// It cannot work any more.
    Never(Vec<Check>),
}

pub(super) async fn run(args: HealthyArgs) -> Result<()> {
    let host = args.layout.host();
    let until = Instant::now() + args.wait;
    loop {
        let (checks, why) = match look(&host).await {
            Look::Good(checks) => return print(&checks),
            Look::Never(checks) => (checks, "This version of the appliance does not work."),
            Look::NotYet(_) if Instant::now() + PAUSE < until => {
                sleep(PAUSE).await;
                continue;
            }
            Look::NotYet(checks) => (checks, "The appliance is not healthy in time."),
        };
        print(&checks)?;
        return Err(
            Failure::new(Exit::Failed, why).with_hint("`journalctl -b -u palisade` has more.")
        );
    }
}

fn print(checks: &[Check]) -> Result<()> {
    for Check { name, ok, detail } in checks {
        let word = if *ok { "good" } else { "BAD" };
        emit(&format!("{word:<5} {:<12} {}", harmless(name), harmless(detail)))?;
    }
    Ok(())
}

fn one(name: &str, ok: bool, detail: impl Into<String>) -> Vec<Check> {
    vec![Check { name: name.to_owned(), ok, detail: detail.into() }]
}

async fn look(host: &Host) -> Look {
    let settings = host.paths().serve_settings();
    if !settings.exists() {
        return match answers::read_report(host.paths()) {
            Ok(Some(answers::Report { waiting: Some(waiting), .. })) => {
                Look::Good(one("management", true, format!("is not to be started: {waiting}")))
            }
            _ => Look::Never(one("first boot", false, "has not come to its end")),
        };
    }
    let unit = host.run("systemctl", ["show", "--property=ActiveState,NRestarts", UNIT]).await;
    if let Some(why) = unit.ok().and_then(|unit| hopeless(&unit.stdout)) {
        return Look::Never(one(UNIT, false, why));
    }
    match ask(settings).await {
        Ok(ready) => judge(ready),
        Err(why) => Look::NotYet(one("readyz", false, why)),
    }
}

/// Why a unit will not come up any more, by what systemd says of it.
fn hopeless(shown: &str) -> Option<String> {
    let value = |name: &str| shown.lines().find_map(|line| line.strip_prefix(name));
    if value("ActiveState=") == Some("failed") {
        return Some("has failed".to_owned());
    }
    let restarts: u32 = value("NRestarts=")?.parse().ok()?;
    (restarts >= MOST_RESTARTS).then(|| format!("has ended {restarts} times"))
}

/// All that is checked has to be good, and what is needed has to be checked.
fn judge(Ready { ready, mut checks }: Ready) -> Look {
    // Nothing is served before the keystore is open.
    checks.extend(one("keystore", true, "is open"));
    for needed in NEEDED {
        if !checks.iter().any(|check| check.name == needed) {
            checks.extend(one(needed, false, "is not reported"));
        }
    }
    if ready && checks.iter().all(|check| check.ok) {
        Look::Good(checks)
    } else {
        Look::NotYet(checks)
    }
}

/// Asks the management plane of this machine, over its own addresses only.
async fn ask(settings: PathBuf) -> std::result::Result<Ready, String> {
    let sources = Sources { file: Some(settings), ..Sources::default() };
    let config = Config::load(sources).map_err(|error| crate::error::chain(&error))?;
    let ca = config.storage.data_dir.join("ca.pem");
    let ca = std::fs::read_to_string(ca).map_err(|_| "has no certificate yet".to_owned())?;
    let trust = Trust::Own(ca);
    let tls = tls(&trust, &Shown::default()).map_err(|_| "the certificate cannot be read")?;
    let port = config.server.listen.port();
    // A name is not looked up, and no address is asked: they may lead to a load
    // balancer or to another node.
    let fqdn = match config.server.fqdn.address() {
        Some(_) => "localhost",
        None => config.server.fqdn.as_str(),
    };
    let loopback = std::net::SocketAddr::from(([127, 0, 0, 1], port));
    let client = Client::builder()
        .tls_backend_preconfigured(tls)
        .no_proxy()
        .resolve(fqdn, loopback)
        .redirect(Policy::none())
        .timeout(TIMEOUT)
        .build()
        .map_err(|error| crate::error::chain(&error))?;
    let answer = client.get(format!("https://{fqdn}:{port}/readyz")).send().await;
    let answer = answer.map_err(|error| crate::error::chain(&error))?;
    answer.json().await.map_err(|_| "is not understood".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ready(ready: bool, names: &[&str]) -> Ready {
        let checks = names.iter().flat_map(|name| one(name, true, "works")).collect();
        Ready { ready, checks }
    }

    #[test]
    fn a_unit_that_has_failed_or_keeps_ending_is_not_waited_for() {
        assert_eq!(hopeless("ActiveState=active\nNRestarts=0\n"), None);
        assert_eq!(hopeless("ActiveState=activating\nNRestarts=3\n"), None);
        let failed = hopeless("NRestarts=0\nActiveState=failed\n");
        assert_eq!(failed.as_deref(), Some("has failed"));
        let ends = hopeless("ActiveState=activating\nNRestarts=8\n");
        assert_eq!(ends.as_deref(), Some("has ended 8 times"));
        assert_eq!(hopeless(""), None, "systemd does not answer");
    }

    #[test]
    fn an_appliance_is_good_when_all_that_is_needed_is_reported_good() {
        assert!(matches!(judge(ready(true, &NEEDED)), Look::Good(_)));
        assert!(matches!(judge(ready(false, &NEEDED)), Look::NotYet(_)));
        assert!(matches!(judge(ready(true, &["store"])), Look::NotYet(_)));
        let mut one_is_bad = ready(true, &NEEDED);
        one_is_bad.checks[1].ok = false;
        assert!(matches!(judge(one_is_bad), Look::NotYet(_)));
    }
}
