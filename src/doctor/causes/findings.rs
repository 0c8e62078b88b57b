//! What follows from each single observation. Pure.

use std::time::Duration;

use super::{
    Cause, Finding, Severity,
    observed::{Holder, Observed, OwnName, ProxyAnswer, Unit},
};
use crate::certificates::CertificateInfo;

const DAY: Duration = Duration::from_hours(24);

/// More than this and certificates, sessions and records suffer.
const LARGEST_OFFSET: f64 = 5.0;

/// Everything that is wrong, one by one.
pub(super) fn all(observed: &Observed) -> Vec<Finding> {
    let mut found = Vec::new();
    for look in [
        properties,
        settings,
        disks,
        memory,
        clock,
        network,
        names,
        proxy,
        port,
        keystore,
        units,
        certificates,
        mirror,
        readiness,
    ] {
        look(observed, &mut found);
    }
    found
}

fn error(cause: Cause, what: impl Into<String>, next: impl Into<String>) -> Finding {
    let (what, next) = (what.into(), next.into());
    let severity = Severity::Error;
    Finding { cause, severity, what, evidence: Vec::new(), next, consequences: Vec::new() }
}

impl Finding {
    fn because(mut self, evidence: impl Into<String>) -> Self {
        self.evidence.push(evidence.into());
        self
    }

    fn warning(mut self) -> Self {
        self.severity = Severity::Warning;
        self
    }
}

/// What to do about the network.
fn network_screen(observed: &Observed) -> &'static str {
    if observed.appliance {
        "the console, F2 Network"
    } else {
        "the settings of this machine's network"
    }
}

fn properties(observed: &Observed, found: &mut Vec<Finding>) {
    for mistake in &observed.mistakes {
        let given = mistake.given.as_ref().map(|given| format!("\"{given}\" ")).unwrap_or_default();
        let wish = if mistake.instead.is_empty() { "correct it" } else { &mistake.instead };
        let what = format!("The property {} is wrong: {given}{}.", mistake.key, mistake.wrong);
        let next = format!("On the console, F2: {wish}. Or correct it in the vApp and restart.");
        found.push(
            error(Cause::WrongProperty, what, next)
                .because("first boot has refused it (/run/palisade-node/mistakes.json)"),
        );
    }
}

fn settings(observed: &Observed, found: &mut Vec<Finding>) {
    let Some(why) = &observed.settings else { return };
    let next = if observed.appliance {
        "Correct what it names on the console, F2 Network, or in the vApp's properties; restart."
    } else {
        "Run `palisade config check` with the same file and correct what it names."
    };
    found.push(error(Cause::WrongSettings, "The settings cannot be used.", next).because(why));
}

fn disks(observed: &Observed, found: &mut Vec<Finding>) {
    for disk in &observed.disks {
        let room = if observed.appliance {
            "Make the virtual disk larger and restart: the data partition grows by itself."
        } else {
            "Make room, or make the file system larger."
        };
        let share =
            |free: u64, of: u64| (free.saturating_mul(1_000)).checked_div(of).unwrap_or(1_000);
        let (space, files) = (share(disk.free, disk.size), share(disk.files_free, disk.files));
        let left = format!("{} of {} MiB are free", disk.free >> 20, disk.size >> 20);
        if disk.read_only {
            let next =
                "Look for errors of the disk in the kernel's log, mend its storage, restart.";
            let what = format!("{} cannot be written: it is read-only.", disk.path);
            found.push(error(Cause::Disk, what, next).because("it is mounted `ro`"));
        } else if space < 10 || disk.free < 64 << 20 {
            let what = format!("{} is full.", disk.path);
            found.push(error(Cause::Disk, what, room).because(left));
        } else if files < 10 {
            let what = format!("{} can hold no more files.", disk.path);
            let seen = format!("{} of {} inodes are free", disk.files_free, disk.files);
            found.push(error(Cause::Disk, what, room).because(seen));
        } else if space < 100 {
            let what = format!("{} is nearly full.", disk.path);
            found.push(error(Cause::DiskNearlyFull, what, room).because(left).warning());
        } else if files < 100 {
            let what = format!("{} can soon hold no more files.", disk.path);
            let seen = format!("{} of {} inodes are free", disk.files_free, disk.files);
            found.push(error(Cause::DiskNearlyFull, what, room).because(seen).warning());
        }
    }
}

fn memory(observed: &Observed, found: &mut Vec<Finding>) {
    let Some(memory) = &observed.memory else { return };
    let next = "Give the machine more memory (README, Sizing).";
    let left = format!("{} of {} MiB are available", memory.available >> 20, memory.size >> 20);
    if memory.kills > 0 {
        let what = "Memory was used up: the kernel has ended processes.";
        let seen = format!("{} since the start; now {left}", memory.kills);
        let mut finding = error(Cause::Memory, what, next).because(seen);
        finding.evidence.extend(memory.victims.iter().cloned());
        // What was is over when there is room and nothing has failed.
        let over = observed.units.is_empty() && memory.available > memory.size / 5;
        found.push(if over { finding.warning() } else { finding });
    } else if memory.available < memory.size / 20 {
        let what = "Memory is nearly used up.";
        found.push(error(Cause::Memory, what, next).because(left).warning());
    }
}

fn clock(observed: &Observed, found: &mut Vec<Finding>) {
    let time = if observed.appliance {
        "Set the clock of the host, and name time servers on the console, F2 Network."
    } else {
        "Set the clock, and let a service keep it (e.g. systemd-timesyncd)."
    };
    if let Some(built) = observed.built.filter(|built| observed.now.plus(DAY) < *built) {
        let what = "The clock cannot be right: it is before this version was built.";
        let seen = format!("it shows {}, the version is of {built}", observed.now);
        found.push(error(Cause::Clock, what, time).because(seen));
    } else if let Some(own) =
        observed.certificates.own.as_ref().filter(|own| observed.now.plus(DAY) < own.not_before)
    {
        let what = "The clock cannot be right: it is before our certificate was made.";
        let seen = format!("it shows {}, the certificate is of {}", observed.now, own.not_before);
        found.push(error(Cause::Clock, what, time).because(seen));
    } else if let Some(offset) =
        observed.clock.offset.filter(|offset| offset.abs() > LARGEST_OFFSET)
    {
        let way = if offset > 0.0 { "slow" } else { "fast" };
        let what = format!("The clock is {:.0} s {way}.", offset.abs());
        let seen = "a time server says so".to_owned();
        found.push(error(Cause::Clock, what, time).because(seen));
    }
    let silent: Vec<_> =
        observed.clock.servers.iter().filter(|(_, answer)| answer.is_err()).collect();
    let none_answers = !silent.is_empty() && silent.len() == observed.clock.servers.len();
    if observed.clock.synchronised == Some(false) || none_answers {
        let what = if none_answers {
            "No time server answers."
        } else {
            "The clock is not set from the network."
        };
        let next = format!("Name time servers that answer: {}.", network_screen(observed));
        let mut finding = error(Cause::TimeNotSet, what, next);
        for (name, answer) in silent {
            if let Err(why) = answer {
                finding = finding.because(format!("{name}: {why}"));
            }
        }
        if observed.clock.synchronised == Some(false) {
            finding = finding.because("timedatectl says NTPSynchronized=no");
        }
        // As long as the time is right it is no problem yet.
        found.push(finding.warning());
    }
}

fn network(observed: &Observed, found: &mut Vec<Finding>) {
    let screen = network_screen(observed);
    if !observed.links.is_empty() && observed.links.iter().all(|link| !link.up) {
        let what = "No network interface is connected.";
        let next = "Connect the virtual machine's network adapter to a network.";
        let names: Vec<_> = observed.links.iter().map(|link| link.name.as_str()).collect();
        found.push(
            error(Cause::NoLink, what, next).because(format!("{}: no carrier", names.join(", "))),
        );
    }
    if observed.gateways.is_empty() && !observed.links.is_empty() {
        let next =
            format!("Set the gateway: {screen}. Without one only the local network is reached.");
        let finding = error(Cause::NoGateway, "There is no default gateway.", next);
        found.push(finding.because("no default route in /proc/net/route and ipv6_route").warning());
    }
    let silent: Vec<_> =
        observed.gateways.iter().filter(|gateway| gateway.answers == Some(false)).collect();
    let any_good = observed.gateways.iter().any(|gateway| gateway.answers == Some(true));
    if !silent.is_empty() && !any_good && !observed.beyond_answers {
        let names: Vec<_> = silent.iter().map(|gateway| gateway.address.to_string()).collect();
        let what = format!("The default gateway {} does not answer.", names.join(" and "));
        let next = format!(
            "Check address, prefix and gateway ({screen}) and the network or VLAN of the adapter."
        );
        let mut finding = error(Cause::GatewaySilent, what, next);
        for gateway in silent {
            finding = finding.because(format!(
                "{} on {}: nobody has this address",
                gateway.address, gateway.link
            ));
        }
        found.push(finding);
    }
}

fn names(observed: &Observed, found: &mut Vec<Finding>) {
    let screen = network_screen(observed);
    if observed.servers.is_empty() && !observed.links.is_empty() {
        let next = format!("Name DNS servers: {screen}.");
        let finding = error(Cause::NoNameServer, "No DNS server is set.", next);
        found.push(
            finding
                .because("/run/systemd/resolve/resolv.conf and /etc/resolv.conf name none")
                .warning(),
        );
    }
    let silent: Vec<_> = observed.servers.iter().filter(|server| server.answer.is_err()).collect();
    if !silent.is_empty() {
        let all = silent.len() == observed.servers.len();
        let names: Vec<_> = silent.iter().map(|server| server.address.to_string()).collect();
        let names = names.join(" and ");
        let what = if all {
            format!("DNS does not answer: {names}.")
        } else {
            format!("The DNS server {names} does not answer; another does.")
        };
        let next = format!("Name DNS servers that answer: {screen}. A firewall may drop port 53.");
        let mut finding = error(Cause::NameServerSilent, what, next);
        for server in silent {
            if let Err(why) = &server.answer {
                finding = finding.because(format!("{}: {why}", server.address));
            }
        }
        found.push(if all { finding } else { finding.warning() });
    }
    if let Some(name) = &observed.own_name {
        own_name(observed, name, found);
    }
}

fn own_name(observed: &Observed, name: &OwnName, found: &mut Vec<Finding>) {
    let answered = observed.servers.iter().any(|server| server.answer.is_ok());
    let own: Vec<_> = name.own.iter().map(ToString::to_string).collect();
    let own = own.join(", ");
    if name.addresses.is_empty() {
        if answered {
            let what = format!("The DNS does not know {}.", name.name);
            let next = format!("Add a record for {} that leads to {own}.", name.name);
            let finding = error(Cause::OwnName, what, next);
            found.push(finding.because("the server answers that there is no address").warning());
        }
        return;
    }
    if name.addresses.iter().any(|address| name.own.contains(address)) {
        return;
    }
    let there: Vec<_> = name.addresses.iter().map(ToString::to_string).collect();
    let seen = format!("{} is {}; this machine has {own}", name.name, there.join(", "));
    let (own_shown, shown) = (&observed.certificates.own, &observed.certificates.by_name);
    match (own_shown, shown) {
        // A load balancer or a translating firewall before us.
        (Some(own), Some(shown)) if own.fingerprint == shown.fingerprint => {}
        (_, Some(shown)) => {
            let what = format!("The name {} leads to another machine.", name.name);
            let next =
                format!("Correct the DNS record of {}, or end what answers there.", name.name);
            let finding = error(Cause::OwnName, what, next).because(seen);
            found.push(finding.because(format!(
                "there a certificate of {} with the fingerprint {} is shown",
                shown.issuer, shown.fingerprint
            )));
        }
        (_, None) => {
            let what = format!("The name {} leads to an address that is not ours.", name.name);
            let next = format!(
                "If no load balancer is meant to be there: correct the DNS record of {}.",
                name.name
            );
            found.push(error(Cause::OwnName, what, next).because(seen).warning());
        }
    }
}

fn proxy(observed: &Observed, found: &mut Vec<Finding>) {
    let Some(proxy) = &observed.proxy else { return };
    let screen = network_screen(observed);
    let at = &proxy.address;
    let finding = match &proxy.answer {
        ProxyAnswer::Works => return,
        ProxyAnswer::Unreachable(why) => {
            let next = format!("Correct the proxy's address ({screen}), or start the proxy.");
            error(Cause::Proxy, format!("The proxy {at} cannot be reached."), next).because(why)
        }
        ProxyAnswer::WantsCredentials => {
            let what = format!("The proxy {at} wants a user and a password.");
            let next =
                format!("Write them into the proxy's URL ({screen}): http://USER:PASSWORD@{at}.");
            error(Cause::Proxy, what, next)
                .because("it lets nobody through without them, or these are wrong")
        }
        ProxyAnswer::Refuses(answer) => {
            let what = format!("The proxy {at} does not let us through.");
            let next = "Ask whoever runs the proxy to allow the destination for this machine.";
            error(Cause::Proxy, what, next).because(format!("it answers: {answer}"))
        }
        ProxyAnswer::Intercepts(issuer) => {
            let what = format!("The proxy {at} opens encrypted connections.");
            let next = "Give the appliance the proxy's CA (property proxy_ca), or exempt its \
                        destinations from inspection.";
            error(Cause::Proxy, what, next)
                .because(format!("it shows certificates of its own, signed by {issuer}"))
        }
    };
    found.push(finding);
}

fn port(observed: &Observed, found: &mut Vec<Finding>) {
    let Some(port) = &observed.port else { return };
    match &port.holder {
        Holder::Us => {}
        Holder::Other(who) => {
            let who = who.as_ref().map_or_else(
                || "a process that cannot be seen from here".to_owned(),
                |process| format!("{} (process {})", process.name, process.pid),
            );
            let what = format!("Another program has our port {}: {who}.", port.address);
            let next = if observed.appliance {
                HELP_OF_OTHERS
            } else {
                "Stop that program, or choose another port (server.listen)."
            };
            found.push(
                error(Cause::PortInUse, what, next).because("it listens there (/proc/net/tcp)"),
            );
        }
        Holder::Nobody => {
            let next = if observed.appliance {
                "The console, F3 Logs, says why; then restart: console F12."
            } else {
                "Start it: `palisade serve`."
            };
            let what = "The management plane does not run.";
            let seen = format!("nobody listens on {}", port.address);
            found.push(error(Cause::NotRunning, what, next).because(seen));
        }
    }
}

fn keystore(observed: &Observed, found: &mut Vec<Finding>) {
    let Some(why) = &observed.sealed else { return };
    let next = open_keystore(observed);
    found.push(error(Cause::KeystoreSealed, "The keystore is sealed.", next).because(why));
}

/// On the appliance: what is wrong there nobody can mend from outside.
const HELP_OF_OTHERS: &str = "Restart: console F12. If it stays so, make a support bundle \
                              (console F8 Recovery) for whoever helps you.";

fn open_keystore(observed: &Observed) -> &'static str {
    if observed.appliance {
        "Open it with the printed recovery kit: console F8 Recovery, Open the keystore."
    } else {
        "Bring the seal's key or passphrase back, or open the keystore with its recovery kit: \
         `palisade keys recover`."
    }
}

fn units(observed: &Observed, found: &mut Vec<Finding>) {
    for unit in &observed.units {
        let next = if observed.appliance {
            "The console, F3 Logs, says why; then restart: console F12.".to_owned()
        } else {
            format!("`journalctl -u {}`; then `systemctl restart {}`.", unit.name, unit.name)
        };
        let what = format!("The service {} has failed.", unit.name);
        let mut finding = error(Cause::ServiceFailed, what, next);
        if !unit.result.is_empty() {
            finding = finding.because(format!("result: {}", unit.result));
        }
        finding.evidence.extend(unit.last.iter().cloned());
        found.push(finding);
        found.extend(from_log(observed, unit));
    }
}

/// What the last words of a service give away: text, cause, sentence, remedy.
const LAST_WORDS: &[(&str, Cause, &str, &str)] = &[
    (
        "No space left on device",
        Cause::Disk,
        "A service had no room on the disk.",
        "Make the virtual disk larger and restart: the data partition grows by itself.",
    ),
    (
        "Read-only file system",
        Cause::Disk,
        "A service could not write to the disk.",
        "Look for errors of the disk in the kernel's log, mend its storage, restart.",
    ),
    (
        "Address already in use",
        Cause::PortInUse,
        "A service found its port taken.",
        "Stop the program that listens there; `palisade doctor` names it while it runs.",
    ),
    (
        "recovery kit",
        Cause::KeystoreSealed,
        "A service could not open the keystore.",
        "Open it with its recovery kit.",
    ),
    (
        "InconsistentKeys",
        Cause::CertificateKey,
        "The kept certificate does not belong to its key.",
        "Go back to a certificate of the internal CA: console F8 Recovery, Renew the certificate.",
    ),
];

fn from_log(observed: &Observed, unit: &Unit) -> Option<Finding> {
    let (line, (_, cause, what, next)) = unit.last.iter().rev().find_map(|line| {
        let words = LAST_WORDS.iter().find(|(text, ..)| line.contains(text))?;
        Some((line, words))
    })?;
    let next = match cause {
        Cause::KeystoreSealed => open_keystore(observed),
        Cause::PortInUse if observed.appliance => HELP_OF_OTHERS,
        _ => *next,
    };
    Some(error(*cause, *what, next).because(format!("{} wrote: {line}", unit.name)))
}

fn certificates(observed: &Observed, found: &mut Vec<Finding>) {
    let Some(own) = &observed.certificates.own else { return };
    let renew = if observed.appliance {
        "Import another one (Appliance, Certificate), or renew it: console F8 Recovery."
    } else {
        "Import another one, or go back to one of the internal CA: Appliance, Certificate."
    };
    let now = observed.now;
    let until = format!("valid from {} to {}", own.not_before, own.not_after);
    if own.not_after < now {
        let what = "The certificate has expired.";
        found.push(error(Cause::Certificate, what, renew).because(until));
    } else if now < own.not_before {
        let what = "The certificate is not valid yet.";
        found.push(error(Cause::Certificate, what, renew).because(until));
    } else if own.not_after.since(now) < 30 * DAY && !is_renewed_by_itself(own) {
        let what = format!("The certificate expires in {} days.", own.days_left(now));
        found.push(error(Cause::CertificateEnding, what, renew).because(until).warning());
    }
    let names = observed.certificates.names.iter();
    let missing: Vec<_> = names.filter(|name| !own.covers(name)).cloned().collect();
    if !missing.is_empty() {
        let what = format!("The certificate does not cover {}.", missing.join(", "));
        let seen = format!("it covers {}", own.names.join(", "));
        found.push(error(Cause::Certificate, what, renew).because(seen));
    }
    let by_name = observed.certificates.by_name.as_ref();
    let own_address = observed
        .own_name
        .as_ref()
        .is_some_and(|name| name.addresses.iter().any(|address| name.own.contains(address)));
    if let Some(shown) = by_name.filter(|shown| own_address && shown.fingerprint != own.fingerprint)
    {
        let what = "Under our name another certificate is shown than ours.";
        let next = "Look for a proxy or load balancer that ends TLS before this machine.";
        found.push(error(Cause::Certificate, what, next).because(format!(
            "signed by {}, fingerprint {}; ours is {}",
            shown.issuer, shown.fingerprint, own.fingerprint
        )));
    }
}

/// The internal certificate is renewed when a third of its life is left.
fn is_renewed_by_itself(info: &CertificateInfo) -> bool {
    info.issuer.contains("Palisade")
}

fn mirror(observed: &Observed, found: &mut Vec<Finding>) {
    if let Some((url, Err(why))) = &observed.mirror {
        let what = format!("The mirror {url} cannot be used.");
        let place = if observed.appliance {
            "the property mirror_url: the console, F2 Network, or the vApp's properties"
        } else {
            "the property mirror_url"
        };
        let next = format!(
            "Check its URL ({place}) and that it runs; without it, updates come from a file."
        );
        found.push(error(Cause::Mirror, what, next).because(why));
    }
}

fn readiness(observed: &Observed, found: &mut Vec<Finding>) {
    let port = observed.port.as_ref();
    let checks = port.and_then(|port| port.checks.as_deref()).unwrap_or_default();
    for (name, _, detail) in checks.iter().filter(|(_, ok, _)| !ok) {
        let cause = match name.as_str() {
            "bus" => Cause::Broker,
            "keystore" => Cause::KeystoreSealed,
            _ => Cause::NotReady,
        };
        let what = match cause {
            Cause::Broker => "The message broker does not work: no agent can connect.".to_owned(),
            Cause::KeystoreSealed => "The keystore is sealed.".to_owned(),
            _ => format!("The management plane lacks something: {name}."),
        };
        let next = if observed.appliance {
            "Look at the log of the management plane: console F3; then restart: console F12."
        } else {
            "Look at the log of the management plane: `journalctl -u palisade`."
        };
        found.push(error(cause, what, next).because(format!("/readyz says of {name}: {detail}")));
    }
    let reported = checks.iter().any(|(name, ok, _)| name == "bus" && !ok);
    if observed.broker == Some(false) && !reported {
        let what = "The message broker does not run: no agent can connect.";
        let next = "Restart the management plane; it starts the broker. Its log says why it ended.";
        found.push(error(Cause::Broker, what, next).because("there is no process nats-server"));
    }
}
