//! Every file that follows from the answers. Pure.
//!
//! Owns: which files there are, what is in them and who may read them; what
//! has to be done in a machine that runs when some of them have changed.
//! Must not know: how files are written or programs are run.

mod cluster;

use std::{fmt::Write as _, path::PathBuf};

#[cfg(test)]
pub(in crate::node) use cluster::tests::place as place_of;
pub use cluster::{Plane, Standing};

use super::{
    network::{self, Card},
    paths::Paths,
    properties::{Answers, Role, Salvaged},
};
use crate::files::{PRIVATE, PUBLIC};

/// The broker of the image; users have no `/usr/sbin` in their search path.
const NATS_SERVER: &str = "/usr/sbin/nats-server";
/// The broker's own port.
const AGENT_PORT: u16 = 4222;
const SSH_PORT: u16 = 22;
const ETCD_UNIT: &str = "palisade-etcd.service";
const PATRONI_UNIT: &str = "palisade-patroni.service";
const KEEPALIVED_UNIT: &str = "keepalived.service";
/// What is never reached through a proxy.
const ALWAYS_DIRECT: [&str; 3] = ["localhost", "127.0.0.1", "::1"];

/// Which part of the machine reads a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reader {
    /// systemd-networkd.
    Network,
    /// systemd-resolved.
    Names,
    /// systemd-timesyncd.
    Time,
    /// The kernel's host name.
    HostName,
    /// nftables.
    Ports,
    /// sshd.
    Ssh,
    /// etcd.
    Etcd,
    /// Patroni, and PostgreSQL below it.
    Patroni,
    /// keepalived.
    VirtualAddress,
    /// `palisade serve`.
    Management,
    /// Programs that look each time.
    Everybody,
}

/// A file as it has to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Where.
    pub path: PathBuf,
    /// What is in it; `None` when it must not be there.
    pub content: Option<String>,
    /// Who may read it.
    pub mode: u32,
    /// Who reads it.
    pub reader: Reader,
}

/// All files that follow from the answers and from the place in a cluster.
/// `authorities` is the system's own bundle of certificates.
pub fn files(
    paths: &Paths,
    salvaged: &Salvaged,
    standing: &Standing,
    cards: &[Card],
    authorities: &str,
) -> Vec<Wanted> {
    let answers = &salvaged.answers;
    let public = |path, content, reader| Wanted { path, content, mode: PUBLIC, reader };
    let run = |name: &str| paths.run().join(name);
    let network = |name: &str| paths.at("/run/systemd/network").join(name);
    let first = network::first_card(answers, cards.first());
    let cluster = answers.cluster_ipv4.filter(|_| answers.role != Role::Pcg).zip(cards.get(1));
    let cluster = cluster.map(|(cluster, card)| network::cluster_card(cluster, card));
    let bundle = answers.proxy_ca.as_ref().map(|own| format!("{authorities}\n{own}"));
    let bundle_path = run("ca-bundle.pem");
    let environment = environment(answers, bundle.is_some().then_some(&bundle_path));
    let key = answers.ssh_public_key.as_ref().map(|key| format!("{key}\n"));
    let mut wanted = vec![
        public(network("10-palisade.network"), Some(first), Reader::Network),
        public(network("20-palisade-cluster.network"), cluster, Reader::Network),
        public(
            paths.at("/run/systemd/resolved.conf.d/palisade.conf"),
            Some(network::resolved()),
            Reader::Names,
        ),
        public(
            paths.at("/run/systemd/timesyncd.conf.d/palisade.conf"),
            Some(network::timesyncd(answers)),
            Reader::Time,
        ),
        public(run("hosts"), Some(network::hosts(answers)), Reader::Everybody),
        public(
            paths.state().join("hostname"),
            Some(format!("{}\n", network::kernel_name(answers))),
            Reader::HostName,
        ),
        public(run("nftables/ports.nft"), Some(ports(answers)), Reader::Ports),
        public(run("keys/admin"), key, Reader::Ssh),
        public(bundle_path, bundle, Reader::Management),
        Wanted {
            path: run("proxy.env"),
            content: Some(environment),
            mode: PRIVATE,
            reader: Reader::Management,
        },
    ];
    wanted.extend(standing.wanted(paths));
    if !matches!(standing, Standing::Unknown(_)) {
        let serve = standing.plane(salvaged).ok().map(|plane| serve(paths, answers, plane));
        wanted.push(public(paths.serve_settings(), serve, Reader::Management));
    }
    wanted
}

/// The ports that are open beside 443, for the chain that the image's rules
/// leave for it.
fn ports(answers: &Answers) -> String {
    let mut text =
        String::from("# Rendered from the answers; included by the rules of the image.\n");
    let mut open = |port: u16| {
        let _ = writeln!(text, "add rule inet palisade more tcp dport {port} accept");
    };
    if answers.ssh_public_key.is_some() {
        open(SSH_PORT);
    }
    if answers.agent_port {
        open(AGENT_PORT);
    }
    text
}

/// The environment of the management plane, for systemd.
fn environment(answers: &Answers, bundle: Option<&PathBuf>) -> String {
    let mut text = String::from("# Rendered from the answers.\n");
    let mut put = |name: &str, value: &str| {
        let mut quoted = String::new();
        for character in value.chars() {
            if matches!(character, '"' | '\\' | '`' | '$') {
                quoted.push('\\');
            }
            quoted.push(character);
        }
        let _ = writeln!(text, "{name}=\"{quoted}\"");
    };
    if let Some(proxy) = &answers.http_proxy {
        for name in ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"] {
            put(name, proxy.url().expose());
        }
        let direct = ALWAYS_DIRECT.into_iter().chain(answers.no_proxy.iter().map(String::as_str));
        put("NO_PROXY", &direct.collect::<Vec<_>>().join(","));
    }
    if let Some(bundle) = bundle {
        put("SSL_CERT_FILE", &bundle.to_string_lossy());
    }
    text
}

/// The settings of `palisade serve`.
fn serve(paths: &Paths, answers: &Answers, plane: Plane<'_>) -> String {
    let among = match plane {
        Plane::Alone => None,
        Plane::Among(cluster) => Some(cluster),
    };
    let full = network::full_name(answers);
    let moving = among.and_then(|cluster| cluster.virtual_address);
    // Somebody who gave an address and no name wants to use the address; the one
    // that is always at a node that works, if there is one.
    let first = answers.ipv4.or(answers.ipv6).map(|interface| interface.address);
    let name = match (&answers.hostname, moving.or(first)) {
        (None, Some(address)) => address.to_string(),
        _ => full.to_owned(),
    };
    let short = network::short_name(full);
    let mut names: Vec<String> = Vec::new();
    let own = network::own_addresses(answers).into_iter().chain(moving);
    let own = own.map(|address| address.to_string());
    let fixed = [full, short].into_iter().chain(ALWAYS_DIRECT).map(str::to_owned);
    for candidate in own.chain(fixed) {
        if candidate != name && !names.contains(&candidate) {
            names.push(candidate);
        }
    }
    let mut server = toml::Table::new();
    server.insert("listen".into(), "[::]:443".into());
    server.insert("fqdn".into(), name.into());
    server.insert("extra_names".into(), names.into());
    if let Some(email) = &answers.admin_email {
        server.insert("admin_email".into(), email.clone().into());
    }
    let mut storage = toml::Table::new();
    storage.insert("data_dir".into(), paths.data().to_string_lossy().into_owned().into());
    let mut bus = toml::Table::new();
    bus.insert("mode".into(), "managed".into());
    bus.insert("nats_server".into(), NATS_SERVER.into());
    if answers.agent_port {
        bus.insert("listen".into(), format!("[::]:{AGENT_PORT}").into());
    }
    if let Some(place) = among {
        storage.insert("database".into(), "postgres".into());
        storage.insert("postgres".into(), cluster::database(paths, place).into());
        if let Some(brokers) = cluster::brokers(paths, place) {
            bus.insert("cluster".into(), brokers.into());
        }
    }
    let mut all = toml::Table::new();
    all.insert("server".into(), server.into());
    all.insert("storage".into(), storage.into());
    all.insert("bus".into(), bus.into());
    format!("# Rendered from the answers at every boot; change those on the console.\n\n{all}\n")
}

/// What to run, in this order, when this machine starts, apart from services
/// that start by themselves: those find their files.
pub fn at_boot(wanted: &[Wanted], standing: &Standing) -> Vec<Vec<String>> {
    // `/etc/hostname` may not have been readable when systemd looked.
    let mut readers = vec![Reader::HostName];
    if content(wanted, Reader::Ssh, "keys/admin").is_some() {
        readers.push(Reader::Ssh);
    }
    let mut lines = consequences(wanted, readers);
    if standing.is_running() {
        // They wait for the rest of the start, and PostgreSQL for etcd.
        let mut units = vec![ETCD_UNIT, PATRONI_UNIT];
        if content(wanted, Reader::VirtualAddress, "keepalived.conf").is_some() {
            units.push(KEEPALIVED_UNIT);
        }
        let start = |unit: &str| words(&format!("systemctl --no-block start {unit}"));
        lines.extend(units.into_iter().map(start));
    }
    lines
}

fn content<'a>(wanted: &'a [Wanted], reader: Reader, name: &str) -> Option<&'a str> {
    let mut of_reader = wanted.iter().filter(|file| file.reader == reader);
    of_reader.find(|file| file.path.ends_with(name))?.content.as_deref()
}

fn words(line: &str) -> Vec<String> {
    line.split(' ').map(str::to_owned).collect()
}

/// What to run, in this order, in a machine that runs already, when files of
/// these readers have changed.
pub fn consequences(wanted: &[Wanted], mut changed: Vec<Reader>) -> Vec<Vec<String>> {
    changed.sort_unstable();
    changed.dedup();
    let is_there = |reader, name: &str| content(wanted, reader, name).is_some();
    let stop = |unit: &str| words(&format!("systemctl --no-block stop {unit}"));
    changed
        .into_iter()
        .filter_map(|reader| match reader {
            Reader::Network => Some(words("networkctl reload")),
            Reader::Names => Some(words("systemctl try-restart systemd-resolved.service")),
            Reader::Time => Some(words("systemctl try-restart systemd-timesyncd.service")),
            Reader::HostName => {
                let name = content(wanted, reader, "hostname")?.trim().to_owned();
                Some(vec!["hostname".to_owned(), name])
            }
            Reader::Ports => Some(words("systemctl reload nftables.service")),
            Reader::Ssh if is_there(reader, "keys/admin") => {
                Some(words("systemctl --no-block start ssh.service"))
            }
            Reader::Ssh => Some(stop("ssh.service")),
            // It learns of other members from those it has, and of other
            // certificates by itself. What is left counts when it starts again.
            Reader::Etcd if is_there(reader, "etcd.yml") => None,
            Reader::Etcd => Some(stop(ETCD_UNIT)),
            Reader::Patroni if is_there(reader, "patroni.yml") => {
                Some(words(&format!("systemctl try-reload-or-restart {PATRONI_UNIT}")))
            }
            Reader::Patroni => Some(stop(PATRONI_UNIT)),
            Reader::VirtualAddress if is_there(reader, "keepalived.conf") => {
                Some(words(&format!("systemctl --no-block reload-or-restart {KEEPALIVED_UNIT}")))
            }
            Reader::VirtualAddress => Some(stop(KEEPALIVED_UNIT)),
            Reader::Management if is_there(reader, "serve.toml") => {
                Some(words("systemctl --no-block restart palisade.service"))
            }
            Reader::Management => Some(stop("palisade.service")),
            Reader::Everybody => None,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        config::{Config, Sources},
        node::properties::salvage,
    };

    fn rendered(answers: &[(&str, &str)]) -> Vec<Wanted> {
        let cards = ["ens192", "ens224"].map(|name| Card {
            name: name.to_owned(),
            mac: format!("00:50:56:00:01:{}", &name[3..5]),
        });
        let salvaged = salvage(&answers.iter().copied().collect());
        files(&Paths::below("/node"), &salvaged, &Standing::Alone, &cards, "SYSTEM")
    }

    fn content<'a>(files: &'a [Wanted], name: &str) -> Option<&'a str> {
        let file = files.iter().find(|file| file.path.ends_with(name)).expect("a file");
        file.content.as_deref()
    }

    #[test]
    fn the_real_loader_accepts_the_settings_of_the_management_plane() {
        let home = tempfile::tempdir().expect("a directory");
        let path = home.path().join("serve.toml");
        for answers in [
            &[][..],
            &[("hostname", "one.example.com"), ("ipv4", "192.0.2.10/24"), ("agent_port", "4222")],
            &[("ipv4", "192.0.2.10/24"), ("ipv6", "2001:db8::10/64")],
            &[("ipv6", "2001:db8::10/64")],
            &[("admin_email", "ada@example.com")],
        ] {
            let files = rendered(answers);
            std::fs::write(&path, content(&files, "serve.toml").expect("there")).expect("written");
            let config = Config::load(Sources { file: Some(path.clone()), ..Sources::default() })
                .expect("accepted");
            assert_eq!(config.server.listen.to_string(), "[::]:443");
            let email = answers.iter().find(|(key, _)| *key == "admin_email");
            assert_eq!(config.server.admin_email.as_deref(), email.map(|(_, email)| *email));
            assert_eq!(config.storage.data_dir.to_str(), Some("/node/var/lib/palisade"));
            let names: Vec<_> = config.server.names().iter().map(ToString::to_string).collect();
            for loopback in ["localhost", "127.0.0.1", "::1"] {
                assert!(names.contains(&loopback.to_owned()), "{names:?}");
            }
            for (key, value) in answers {
                let address = value.split('/').next().expect("one").to_owned();
                if !["agent_port", "admin_email"].contains(key) {
                    assert!(names.contains(&address), "{address} is not in {names:?}");
                }
            }
            let asked = answers.iter().any(|(key, _)| *key == "agent_port");
            assert_eq!(config.bus.listen.address().is_some(), asked);
        }
        let first = |answers| {
            let files = rendered(answers);
            content(&files, "serve.toml").expect("there").to_owned()
        };
        assert!(first(&[("ipv6", "2001:db8::10/64")]).contains("fqdn = \"2001:db8::10\""));
        assert!(first(&[]).contains("fqdn = \"palisade\""));
    }

    #[test]
    fn a_role_that_is_not_carried_out_starts_no_management_plane() {
        for answers in
            [&[("role", "queen")][..], &[("role", "ha-join"), ("cluster_ipv4", "10.9.0.11/24")]]
        {
            assert_eq!(content(&rendered(answers), "serve.toml"), None);
        }
        let first = rendered(&[("role", "ha-first"), ("cluster_ipv4", "10.9.0.11/24")]);
        assert!(content(&first, "serve.toml").expect("there").contains("fqdn = \"palisade\""));
    }

    #[test]
    fn the_second_card_is_for_other_nodes() {
        let name = "20-palisade-cluster.network";
        let address = ("cluster_ipv4", "10.9.0.11/24");
        for role in ["standalone", "ha-first", "ha-join"] {
            let files = rendered(&[("role", role), address]);
            let text = content(&files, name).expect("there");
            assert!(text.contains("MACAddress=00:50:56:00:01:22"), "{text}");
        }
        let url = ("management_url", "https://palisade.example.com");
        assert_eq!(content(&rendered(&[("role", "pcg"), url, address]), name), None);
    }

    #[test]
    fn ports_are_open_for_what_was_asked_for() {
        let closed = rendered(&[]);
        assert!(!content(&closed, "ports.nft").expect("there").contains("accept"));
        assert_eq!(content(&closed, "keys/admin"), None);
        let open = rendered(&[("agent_port", "4222")]);
        let text = content(&open, "ports.nft").expect("there").to_owned();
        assert!(
            text.contains("more tcp dport 4222 accept\n") && !text.contains("dport 22 "),
            "{text}"
        );
    }

    #[test]
    fn proxy_and_authorities_reach_the_management_plane_and_nobody_else() {
        let files = rendered(&[
            ("http_proxy", "http://ada:hun$ter2@proxy.example.com:3128"),
            ("no_proxy", ".example.com"),
        ]);
        let file = files.iter().find(|file| file.path.ends_with("proxy.env")).expect("there");
        assert_eq!(file.mode, 0o600);
        let text = file.content.as_deref().expect("there");
        assert!(text.contains("HTTPS_PROXY=\"http://ada:hun\\$ter2@proxy.example.com:3128\"\n"));
        assert!(text.contains("NO_PROXY=\"localhost,127.0.0.1,::1,.example.com\"\n"), "{text}");
        assert!(!text.contains("SSL_CERT_FILE"));
        for other in files.iter().filter(|file| file.mode != 0o600) {
            assert!(!other.content.as_deref().unwrap_or_default().contains("ter2"));
        }
    }

    #[test]
    fn only_what_has_changed_is_told() {
        let files = rendered(&[("hostname", "one.example.com")]);
        let run = |readers: &[Reader]| consequences(&files, readers.to_vec());
        assert_eq!(run(&[Reader::Everybody]), Vec::<Vec<String>>::new());
        assert_eq!(run(&[Reader::HostName]), [["hostname", "one.example.com"]]);
        assert_eq!(run(&[Reader::Ssh]), [["systemctl", "--no-block", "stop", "ssh.service"]]);
        let lines: Vec<_> = run(&[Reader::Management, Reader::Network, Reader::Network])
            .into_iter()
            .map(|words| words.join(" "))
            .collect();
        assert_eq!(lines, ["networkctl reload", "systemctl --no-block restart palisade.service"]);
    }
}
