//! Looking at the machine, at everything at once and at nothing for long.

use std::{
    fs,
    net::{IpAddr, SocketAddr},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::Duration,
};

use futures_util::future::join_all;
use tokio::{net::UdpSocket, runtime::Handle, task::spawn_blocking, time::timeout};

use super::{
    dns, local,
    observed::{
        Certificates, ClockState, Gateway, MistakeOf, Observed, OwnName, OwnPort, ProxyState,
        Server, Unit,
    },
    proxy, sntp,
};
use crate::{
    bus::dial::is_direct,
    clock::{Clock, Timestamp},
    config::{BusMode, Config, Seal},
    doctor::{
        Machine, facts,
        machine::{LIMIT, unit_names},
        tls,
    },
    node::{
        answers,
        machine::{OS_RELEASE, image},
        paths::Paths,
        properties,
        update::{Mirror, MirrorSettings, TrustedKeys},
    },
    secret::Secret,
};

/// A step within a look: several have to fit into one.
const STEP: Duration = Duration::from_millis(1_400);

/// What is looked at besides the machine itself.
#[derive(Clone, Debug, Default)]
pub struct Targets {
    /// The URL of the proxy, with its credentials.
    pub proxy: Option<Secret<String>>,
    /// Names and networks that need none, separated by commas.
    pub no_proxy: String,
    /// The mirror and the way to it.
    pub mirror: Option<MirrorSettings>,
    /// The data directory, when the settings cannot be used.
    pub data_dir: Option<PathBuf>,
}

impl Targets {
    /// What the operator of the appliance has answered, as far as it can be used.
    pub fn of_node(paths: &Paths) -> Self {
        // Without answers there is nothing to look at.
        let Ok(Some(kept)) = answers::load(paths) else { return Self::default() };
        let answers = properties::salvage(&kept.given).answers;
        Self {
            mirror: MirrorSettings::of(&answers),
            no_proxy: answers.no_proxy.join(","),
            proxy: answers.http_proxy.map(|proxy| proxy.url().clone()),
            data_dir: None,
        }
    }

    /// The host and port of the mirror, if it is reached through the proxy.
    fn mirror_behind_proxy(&self) -> Option<(String, u16)> {
        let (host, port) = authority(&self.mirror.as_ref()?.url)?;
        (!is_direct(&host, &self.no_proxy)).then_some((host, port))
    }
}

/// Looks at everything. `config` is what `palisade serve` would run with.
pub async fn observe(
    machine: &Machine,
    config: &Result<Config, String>,
    targets: &Targets,
    clock: &dyn Clock,
) -> Observed {
    let mut observed = Observed {
        now: clock.now(),
        appliance: machine.paths().serve_settings().exists(),
        settings: config.as_ref().err().cloned(),
        ..Observed::default()
    };
    let config = config.as_ref().ok();
    let (network, clock_state, local, port, certificates, proxy, mirror, units, names) = tokio::join!(
        limited("the gateways", gateways(machine)),
        limited("the clock", clock_state(machine, clock)),
        limited("disks and memory", local_facts(machine, data_dir(config, targets))),
        limited("our own port", own_port(machine, config)),
        limited("our certificate", certificates(config)),
        limited("the proxy", look_at_proxy(targets)),
        limited("the mirror", look_at_mirror(machine, targets)),
        limited("failed services", units(machine)),
        limited("name servers", names(machine, config)),
    );
    let unseen = &mut observed.unseen;
    if let Some((links, gateways)) = keep(network, unseen) {
        (observed.links, observed.gateways) = (links, gateways);
    }
    if let Some(state) = keep(clock_state, unseen) {
        observed.clock = state;
    }
    if let Some(found) = keep(local, unseen) {
        observed.built = found.built;
        observed.mistakes = found.mistakes;
        observed.disks = found.disks;
        observed.memory = found.memory;
        unseen.extend(found.unseen);
    }
    observed.port = keep(port, unseen).flatten();
    observed.certificates = keep(certificates, unseen).unwrap_or_default();
    observed.proxy = keep(proxy, unseen).flatten();
    observed.mirror = keep(mirror, unseen).flatten();
    observed.units = keep(units, unseen).unwrap_or_default();
    if let Some((servers, own_name)) = keep(names, unseen) {
        (observed.servers, observed.own_name) = (servers, own_name);
    }
    observed.beyond_answers = observed.servers.iter().any(|s| s.beyond && s.answer.is_ok())
        || matches!(observed.mirror, Some((_, Ok(()))));
    observed.sealed = config.and_then(|config| sealed(config, observed.port.as_ref()));
    observed.broker = config.filter(|config| config.bus.mode == BusMode::Managed).and_then(|_| {
        let ours = observed.port.as_ref().is_some_and(|port| port.checks.is_some());
        ours.then(|| local::runs(machine, "nats-server"))
    });
    observed
}

/// One look, with its limit.
async fn limited<T>(
    what: &str,
    look: impl Future<Output = Result<T, String>>,
) -> Result<T, String> {
    match timeout(LIMIT, look).await {
        Ok(found) => found.map_err(|why| format!("{what}: {why}")),
        Err(_) => Err(format!("{what}: it took more than {} s", LIMIT.as_secs())),
    }
}

fn keep<T>(found: Result<T, String>, unseen: &mut Vec<String>) -> Option<T> {
    found.map_err(|why| unseen.push(why)).ok()
}

fn data_dir(config: Option<&Config>, targets: &Targets) -> Option<PathBuf> {
    config.map(|config| config.storage.data_dir.clone()).or_else(|| targets.data_dir.clone())
}

async fn gateways(machine: &Machine) -> Result<(Vec<super::observed::Link>, Vec<Gateway>), String> {
    let links = local::links(machine)?;
    let mut gateways = local::gateways(machine)?;
    // Whoever is sent something has to be looked for in the local network.
    for gateway in &gateways {
        let any = if gateway.address.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
        if let Ok(socket) = UdpSocket::bind(any).await {
            let _ = socket.send_to(&[0], SocketAddr::new(gateway.address, 9)).await;
        }
    }
    let start = tokio::time::Instant::now();
    while start.elapsed() < STEP + STEP / 2 {
        let asked = machine.run("ip -j neigh show").await;
        let table = machine.read("/proc/net/arp")?.unwrap_or_default();
        for gateway in &mut gateways {
            let address = gateway.address;
            gateway.answers = match &asked {
                Ok(Some(rows)) => local::neighbour(rows, address),
                _ => local::arp(&table, address),
            };
        }
        // The kernel tries for a while before it gives up.
        if gateways.iter().all(|gateway| gateway.answers == Some(true)) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    Ok((links, gateways))
}

async fn clock_state(machine: &Machine, clock: &dyn Clock) -> Result<ClockState, String> {
    let (state, service) =
        tokio::join!(machine.run("timedatectl show"), machine.run("timedatectl show-timesync"));
    let value = |text: &str, name: &str| {
        text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('=')).map(str::to_owned)
    };
    let synchronised = state?.and_then(|text| value(&text, "NTPSynchronized")).map(|v| v == "yes");
    let mut found = ClockState { synchronised, ..ClockState::default() };
    let Ok(Some(service)) = service else { return Ok(found) };
    let lists = ["LinkNTPServers", "SystemNTPServers", "FallbackNTPServers"];
    let first = lists.iter().find_map(|name| value(&service, name).filter(|list| !list.is_empty()));
    let names: Vec<_> = first.iter().flat_map(|list| list.split_whitespace()).take(4).collect();
    let answers = join_all(names.into_iter().map(|name| async move {
        let resolved = timeout(STEP, tokio::net::lookup_host((name, 123))).await;
        let address = resolved.ok().and_then(Result::ok).and_then(|mut all| all.next());
        let offset = match address {
            Some(address) => sntp::offset(address, clock, STEP).await,
            None => Err("its name cannot be resolved".to_owned()),
        };
        (name.to_owned(), offset)
    }));
    for (name, offset) in answers.await {
        if let Ok(offset) = offset {
            found.offset.get_or_insert(offset);
        }
        found.servers.push((name, offset.map(drop)));
    }
    Ok(found)
}

#[derive(Debug, Default)]
struct Local {
    built: Option<Timestamp>,
    mistakes: Vec<MistakeOf>,
    disks: Vec<super::observed::Disk>,
    memory: Option<super::observed::Memory>,
    unseen: Vec<String>,
}

async fn local_facts(machine: &Machine, data_dir: Option<PathBuf>) -> Result<Local, String> {
    let victims = machine.run("journalctl -k -b -o cat --no-pager -n 5 --grep Killed.process");
    let machine_of_task = machine.clone();
    // A dead disk may keep this waiting for ever: in a thread of its own.
    let look = spawn_blocking(move || {
        let machine = &machine_of_task;
        let mut found = Local { built: built(machine), ..Local::default() };
        match read_mistakes(machine) {
            Ok(mistakes) => found.mistakes = mistakes,
            Err(why) => found.unseen.push(why),
        }
        let mut places: Vec<PathBuf> = data_dir.into_iter().collect();
        places.extend(["/var", "/var/log", "/tmp"].map(PathBuf::from));
        let mut devices = Vec::new();
        for place in places {
            // Two directories of one file system are one finding.
            let device = fs::metadata(machine.at(&place)).ok().map(|found| found.dev());
            if device.is_some() && devices.contains(&device) {
                continue;
            }
            devices.push(device);
            match local::disk(machine, &place) {
                Ok(disk) => found.disks.extend(disk),
                Err(why) => found.unseen.push(why),
            }
        }
        match local::memory(machine) {
            Ok(memory) => found.memory = memory,
            Err(why) => found.unseen.push(why),
        }
        found
    });
    let (victims, found) = tokio::join!(victims, look);
    let mut found = found.map_err(|error| error.to_string())?;
    if let (Some(memory), Ok(Some(victims))) = (&mut found.memory, victims) {
        let lines = victims.lines().filter(|line| line.contains("Killed process"));
        memory.victims = lines.map(str::to_owned).collect();
    }
    Ok(found)
}

/// When this version was built: builds give all files of the image one date.
fn built(machine: &Machine) -> Option<Timestamp> {
    // Elsewhere the file is of another system.
    image(machine.paths())?;
    let file = fs::metadata(machine.at(OS_RELEASE)).ok()?;
    Some(Timestamp::from_seconds(file.mtime()))
}

fn read_mistakes(machine: &Machine) -> Result<Vec<MistakeOf>, String> {
    let Some(text) = machine.read("/run/palisade-node/mistakes.json")? else {
        return Ok(Vec::new());
    };
    let unreadable = |error| format!("mistakes.json cannot be understood: {error}");
    let document: serde_json::Value = serde_json::from_str(&text).map_err(unreadable)?;
    let list = document.get("mistakes").unwrap_or(&document).clone();
    serde_json::from_value(list).map_err(unreadable)
}

async fn own_port(machine: &Machine, config: Option<&Config>) -> Result<Option<OwnPort>, String> {
    let Some(config) = config else { return Ok(None) };
    let address = config.server.listen;
    let looking = machine.clone();
    let look = spawn_blocking(move || {
        let listeners = facts::listeners(&looking)?;
        Ok::<_, String>(local::holder(&looking, &listeners, address))
    });
    let (holder, checks) = tokio::join!(look, readiness(address));
    let mut holder = holder.map_err(|error| error.to_string())??;
    // Whose files cannot be seen may still say who it is.
    if checks.is_some() && holder == super::observed::Holder::Other(None) {
        holder = super::observed::Holder::Us;
    }
    Ok(Some(OwnPort { address: address.to_string(), holder, checks }))
}

async fn readiness(listen: SocketAddr) -> Option<Vec<(String, bool, String)>> {
    // Its certificate is looked at elsewhere; here the answer counts.
    let client = tls::client()
        .tls_danger_accept_invalid_certs(true)
        .no_proxy()
        .timeout(STEP)
        .build()
        .ok()?;
    let url = format!("https://{}/readyz", tls::own_address(listen));
    let answer: serde_json::Value = client.get(url).send().await.ok()?.json().await.ok()?;
    let checks = answer.get("checks")?.as_array()?.iter().map(|check| {
        let text = |name: &str| check[name].as_str().unwrap_or_default().to_owned();
        (text("name"), check["ok"] == true, text("detail"))
    });
    Some(checks.collect())
}

async fn certificates(config: Option<&Config>) -> Result<Certificates, String> {
    let Some(config) = config else { return Ok(Certificates::default()) };
    let server = &config.server;
    let own = tls::certificate(tls::own_address(server.listen), None, STEP);
    let by_name = async {
        let name = server.fqdn.as_str();
        if name == "localhost" || server.fqdn.address().is_some() {
            return None;
        }
        let resolved = timeout(STEP / 2, tokio::net::lookup_host((name, server.public_port)));
        let address = resolved.await.ok()?.ok()?.next()?;
        tls::connects(address, STEP / 2).await.ok()?;
        tls::certificate(address, Some(name), STEP / 2).await.ok()
    };
    let (own, by_name) = tokio::join!(own, by_name);
    let names = server.names().iter().map(ToString::to_string).collect();
    Ok(Certificates { own: own.ok(), by_name, names })
}

async fn look_at_proxy(targets: &Targets) -> Result<Option<ProxyState>, String> {
    let Some(url) = &targets.proxy else { return Ok(None) };
    proxy::look(url, targets.mirror_behind_proxy(), STEP).await.map(Some)
}

/// Host and port of a URL.
fn authority(url: &str) -> Option<(String, u16)> {
    let url = reqwest::Url::parse(url).ok()?;
    Some((url.host_str()?.to_owned(), url.port_or_known_default()?))
}

/// Asks the mirror for its newest release, as an update does.
async fn look_at_mirror(
    machine: &Machine,
    targets: &Targets,
) -> Result<Option<(String, Result<(), String>)>, String> {
    let Some(settings) = targets.mirror.clone() else { return Ok(None) };
    let url = settings.url.clone();
    let keys = machine.paths().image().join("update-keys");
    // A mirror may be a directory, and that on a dead disk: in a thread of its own.
    let runtime = Handle::current();
    let ask = spawn_blocking(move || {
        let keys = TrustedKeys::read(&keys)?;
        let mirror = Mirror::new(&settings)?;
        runtime.block_on(mirror.newest(&keys)).map(drop)
    });
    let limit = STEP + STEP / 2;
    let answer = match timeout(limit, ask).await {
        Ok(Ok(answer)) => answer.map_err(|error| error.message().to_owned()),
        Ok(Err(error)) => return Err(error.to_string()),
        Err(_) => Err(format!("it does not answer in {:.1} s", limit.as_secs_f32())),
    };
    Ok(Some((url, answer)))
}

async fn units(machine: &Machine) -> Result<Vec<Unit>, String> {
    let failed = machine.run("systemctl list-units --failed --plain --no-legend --no-pager --full");
    let Some(failed) = failed.await? else { return Ok(Vec::new()) };
    let units = unit_names(&failed).take(10).map(|name| async move {
        let show = format!("systemctl show --property=Result --value {name}");
        let log = format!("journalctl -u {name} -b -n 6 -o cat --no-pager");
        let (result, log) = tokio::join!(machine.run(&show), machine.run(&log));
        let lines = log.ok().flatten().unwrap_or_default();
        let harmless = |line: &str| line.chars().filter(|c| !c.is_control()).take(300).collect();
        Unit {
            name: name.to_owned(),
            result: result.ok().flatten().unwrap_or_default().trim().to_owned(),
            last: lines.lines().filter(|line| !line.trim().is_empty()).map(harmless).collect(),
        }
    });
    Ok(join_all(units).await)
}

async fn names(
    machine: &Machine,
    config: Option<&Config>,
) -> Result<(Vec<Server>, Option<OwnName>), String> {
    let fqdn = config.map(|config| &config.server.fqdn);
    let fqdn = fqdn.filter(|name| name.address().is_none() && name.as_str() != "localhost");
    // Any question does to see whether a server answers.
    let question = fqdn.map_or("localhost", |name| name.as_str());
    let addresses = local::name_servers(machine)?;
    let asked = join_all(addresses.into_iter().map(|address| async move {
        let reply = dns::ask(SocketAddr::new(address, 53), question, STEP).await;
        (address, reply)
    }))
    .await;
    let mut known: Vec<IpAddr> = Vec::new();
    let mut servers = Vec::new();
    for (address, reply) in asked {
        let answer = match reply {
            Ok(dns::Reply::Addresses(addresses)) => {
                known.extend(addresses);
                Ok(())
            }
            Ok(dns::Reply::Refused(5)) => Err("it refuses to answer us".to_owned()),
            Ok(dns::Reply::Refused(code)) => Err(format!("it answers with the error {code}")),
            Err(why) => Err(why),
        };
        servers.push(Server { address, beyond: !local::is_local(machine, address), answer });
    }
    known.sort_unstable();
    known.dedup();
    let own = fqdn.filter(|_| !servers.is_empty()).map(|name| OwnName {
        name: name.to_string(),
        addresses: known,
        own: local::own_addresses(machine),
    });
    Ok((servers, own))
}

/// Why the keys cannot be opened, as far as files show it.
fn sealed(config: &Config, port: Option<&OwnPort>) -> Option<String> {
    let keystore = &config.keystore;
    // A server that answers has opened them.
    if port.is_some_and(|port| port.checks.is_some()) || !has_files(&keystore.dir) {
        return None;
    }
    match (&keystore.seal, &keystore.seal_key_file, &keystore.passphrase_file) {
        (Seal::Unattended, Some(file), _) if !file.path().exists() => {
            Some(format!("the seal's key {} is missing", file.path().display()))
        }
        (Seal::Unattended, None, _) if !keystore.dir.join("seal.key").exists() => {
            Some("the seal's key is not beside it".to_owned())
        }
        (Seal::Passphrase, _, None) => {
            Some("it waits for a passphrase, which nobody has typed".to_owned())
        }
        (Seal::Passphrase, _, Some(file)) if !file.path().exists() => {
            Some(format!("the file of the passphrase {} is missing", file.path().display()))
        }
        _ => None,
    }
}

fn has_files(directory: &Path) -> bool {
    fs::read_dir(directory).is_ok_and(|mut entries| entries.next().is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(url: String) -> Targets {
        let mirror = MirrorSettings { url, proxy: None, no_proxy: Vec::new(), ca_pem: None };
        Targets { mirror: Some(mirror), ..Targets::default() }
    }

    #[tokio::test]
    async fn a_mirror_without_a_release_cannot_be_used() {
        let root = tempfile::tempdir().expect("a directory");
        let machine = Machine::below(root.path());
        // The directory is there, and was good enough once.
        let targets = settings(format!("file://{}", root.path().display()));
        let (url, answer) = look_at_mirror(&machine, &targets).await.expect("looked").expect("one");
        assert!(url.starts_with("file://"), "{url}");
        let why = answer.expect_err("there is no release");
        assert!(why.contains("has no palisade/latest.json"), "{why}");
        assert!(look_at_mirror(&machine, &Targets::default()).await.expect("looked").is_none());
    }

    #[test]
    fn a_mirror_that_needs_no_proxy_is_not_asked_of_it() {
        let mut targets = settings("https://mirror.example.com/x".to_owned());
        let behind = Some(("mirror.example.com".to_owned(), 443));
        assert_eq!(targets.mirror_behind_proxy(), behind);
        targets.no_proxy = ".example.com".to_owned();
        assert_eq!(targets.mirror_behind_proxy(), None);
    }
}
