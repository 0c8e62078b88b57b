//! How the node does: what the machine, systemd and the management plane say.

use std::time::Duration;

use super::{
    Context, Node,
    answers::{self, Summary},
    plane::Plane,
};
use crate::{
    error::Result,
    node::{
        machine::Machine,
        protocol::{Health, SetUp, Status, StatusRequest, UnitState},
    },
};

/// Two screens, the management plane and an administrator ask at about the same time.
pub(super) const FRESH: Duration = Duration::from_secs(3);
/// The services that make an appliance.
const UNITS: [&str; 3] =
    ["palisade-first-boot.service", "palisade-node.service", "palisade.service"];

impl Context {
    /// Whether the installation has administrators, who could prove who they
    /// are. It has none while a file holds the code for set-up, and before the
    /// management plane has started for the first time. In doubt it has.
    pub(super) fn is_set_up(&self) -> bool {
        let data = self.paths().data();
        if data.join("setup-code").exists() {
            return false;
        }
        match std::fs::read_dir(&data) {
            Ok(mut entries) => entries.next().is_some(),
            Err(error) => error.kind() != std::io::ErrorKind::NotFound,
        }
    }
}

/// The status, at most [`FRESH`] old.
pub(super) async fn status(context: &Context, _ask: StatusRequest) -> Result<Status> {
    let mut known = context.node.status.lock().await;
    let now = context.clock().uptime();
    if let Some((at, status)) = &*known
        && now.saturating_sub(*at) < FRESH
    {
        return Ok(Status { now: context.clock().now(), ..status.clone() });
    }
    let status = find_out(context).await;
    *known = Some((context.clock().uptime(), status.clone()));
    Ok(status)
}

async fn find_out(context: &Context) -> Status {
    let node = &*context.node;
    let paths = node.paths.clone();
    let machine = tokio::task::spawn_blocking(move || Machine::read(&paths));
    let (plane, units, Summary { role, waiting, mistakes }) =
        tokio::join!(ask_plane(node), units(node), answers::summary(node.paths.clone()));
    let (origin, port, mut health, fingerprint) = plane;
    if let (Health::Silent { reason }, Some(why)) = (&mut health, &waiting) {
        // It is not even started.
        reason.clone_from(why);
    }
    let machine = machine.await.unwrap_or_else(|_| Machine::read(&node.paths));
    let by_address = machine.addresses().into_iter().map(|host| format!("https://{host}{port}"));
    let mut urls: Vec<String> = origin.into_iter().collect();
    for url in by_address {
        if !urls.contains(&url) {
            urls.push(url);
        }
    }
    let code = tokio::fs::read_to_string(node.paths.data().join("setup-code")).await.ok();
    let set_up = if context.is_set_up() {
        SetUp::Done
    } else {
        SetUp::Open { code: code.map(|code| code.trim().to_owned()) }
    };
    Status {
        version: machine.version,
        host: machine.host,
        role,
        now: context.clock().now(),
        clock_synchronised: machine.clock_synchronised,
        uptime_seconds: machine.uptime_seconds,
        urls,
        interfaces: machine.interfaces,
        fingerprint,
        set_up,
        health,
        units,
        waiting,
        mistakes,
        processors: machine.processors,
        load: machine.load,
        memory: machine.memory,
        data_disk: machine.data_disk,
        pairing: None,
    }
}

async fn ask_plane(node: &Node) -> (Option<String>, String, Health, Option<String>) {
    match Plane::of(&node.paths) {
        Ok(plane) => {
            let (health, fingerprint) = plane.health().await;
            (Some(plane.origin), plane.port, health, fingerprint)
        }
        Err(reason) => (None, String::new(), Health::Silent { reason }, None),
    }
}

async fn units(node: &Node) -> Vec<UnitState> {
    let run = node.programs.run("systemctl").args(["show", "--property=Id,ActiveState"]);
    let output = run.args(UNITS).within(Duration::from_secs(5)).output().await;
    let text = match output.and_then(|output| output.or_failure("Asking systemd")) {
        Ok(text) => text,
        Err(error) => {
            tracing::debug!(error = %error.chain(), "the state of the services is not known");
            return Vec::new();
        }
    };
    let blocks = text.split("\n\n").filter_map(|block| {
        let of = |name: &str| block.lines().find_map(|line| line.strip_prefix(name));
        Some(UnitState { unit: of("Id=")?.to_owned(), state: of("ActiveState=")?.to_owned() })
    });
    blocks.collect()
}
