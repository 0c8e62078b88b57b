//! Checks every answer, and how they fit together.

use std::net::IpAddr;

use serde::Serialize;

use super::{
    address::{Family, Fault, Interface},
    given::{HIDDEN, RawAnswers},
    mistake::Mistake,
    pem,
    proxy::Proxy,
    ssh_key::SshKey,
    table::{Role, TABLE, find},
    text, url,
};
use crate::{
    config::{HostName, nearest},
    secret::Secret,
};

const IPV4: Family = Family::v4(Some("ipv6"), "192.0.2.10/24, or nothing for DHCP");
const IPV6: Family = Family::v6(Some("ipv4"), "2001:db8::10/64, or nothing");
const GATEWAY: Family = Family::v4(Some("gateway6"), "192.0.2.1");
const GATEWAY6: Family = Family::v6(Some("gateway"), "2001:db8::1 or fe80::1");
const CLUSTER_IPV4: Family = Family::v4(None, "10.9.0.11/24");

/// Answers that fit together. `Debug` hides secrets.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the table of the properties describes them")]
pub struct Answers {
    pub role: Role,
    pub join_code: Option<JoinCode>,
    pub management_url: Option<String>,
    pub hostname: Option<HostName>,
    pub ipv4: Option<Interface>,
    pub gateway: Option<IpAddr>,
    pub ipv6: Option<Interface>,
    pub gateway6: Option<IpAddr>,
    pub dns: Vec<IpAddr>,
    pub ntp: Vec<HostName>,
    pub search_domain: Vec<HostName>,
    pub cluster_ipv4: Option<Interface>,
    pub virtual_ip: Option<IpAddr>,
    pub admin_email: Option<String>,
    pub ssh_public_key: Option<SshKey>,
    /// Whether agents may come through port 4222 too.
    pub agent_port: bool,
    pub http_proxy: Option<Proxy>,
    pub no_proxy: Vec<String>,
    /// Certificates of authorities, PEM.
    pub proxy_ca: Option<String>,
    /// Without a slash at its end; a directory as `file:///…`.
    pub mirror_url: Option<String>,
    /// What is allowed and worth a thought.
    pub notes: Vec<Note>,
}

/// A code that is compared by its text and never shown.
#[derive(Clone, Debug)]
pub struct JoinCode(pub Secret<String>);

impl PartialEq for JoinCode {
    fn eq(&self, other: &Self) -> bool {
        self.0.expose() == other.0.expose()
    }
}

impl Eq for JoinCode {}

/// Something that works as it was answered and may not be what was meant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Note {
    /// The property.
    pub key: &'static str,
    /// A sentence without a capital and full stop.
    pub text: String,
}

/// Checks all answers and says everything that is wrong with them at once, in
/// the order of the table; unknown properties come last.
pub fn check(given: &RawAnswers) -> Result<Answers, Vec<Mistake>> {
    let mut checker = Checker { given, mistakes: Vec::new(), notes: Vec::new() };
    let answers = checker.answers();
    checker.relations(&answers);
    checker.unknown();
    let Checker { mut mistakes, notes, .. } = checker;
    let place = |key: &str| TABLE.iter().position(|property| property.key == key);
    mistakes.sort_by_key(|mistake| place(&mistake.key).unwrap_or(usize::MAX));
    if mistakes.is_empty() { Ok(Answers { notes, ..answers }) } else { Err(mistakes) }
}

struct Checker<'a> {
    given: &'a RawAnswers,
    mistakes: Vec<Mistake>,
    notes: Vec<Note>,
}

impl<'a> Checker<'a> {
    /// What each answer says on its own; a wrong one counts as none.
    fn answers(&mut self) -> Answers {
        Answers {
            role: self.one("role", role).unwrap_or(Role::Standalone),
            join_code: self.one("join_code", join_code),
            management_url: self.one("management_url", url::management),
            hostname: self.one("hostname", text::name),
            ipv4: self.one("ipv4", |text| IPV4.interface(text)),
            gateway: self.one("gateway", |text| GATEWAY.address(text)),
            ipv6: self.one("ipv6", |text| IPV6.interface(text)),
            gateway6: self.one("gateway6", |text| GATEWAY6.address(text)),
            dns: self.list("dns", 8, text::dns_server),
            ntp: self.list("ntp", 8, text::server),
            search_domain: self.list("search_domain", 8, text::name),
            cluster_ipv4: self.one("cluster_ipv4", |text| CLUSTER_IPV4.interface(text)),
            virtual_ip: self.one("virtual_ip", virtual_ip),
            admin_email: self.one("admin_email", text::email),
            ssh_public_key: self.one("ssh_public_key", SshKey::read),
            agent_port: self.one("agent_port", agent_port).unwrap_or(false),
            http_proxy: self.one("http_proxy", Proxy::read),
            no_proxy: self.list("no_proxy", 64, text::direct),
            proxy_ca: self.one("proxy_ca", pem::authorities),
            mirror_url: self.one("mirror_url", url::mirror),
            notes: Vec::new(),
        }
    }

    fn relations(&mut self, answers: &Answers) {
        self.role(answers);
        self.gateways(answers);
        self.cluster(answers);
        self.duplicates(answers);
        let proxy = answers.http_proxy.as_ref();
        if proxy.is_some_and(|proxy| proxy.has_credentials) {
            self.note("http_proxy", "its password is kept on this machine as it is");
        }
        if !answers.no_proxy.is_empty() && self.given.get("http_proxy").is_none() {
            self.note("no_proxy", "has no effect without http_proxy");
        }
    }

    /// What a role needs, and what it has no use for.
    fn role(&mut self, answers: &Answers) {
        // Without knowing the role nothing can be said.
        if self.is_wrong("role") {
            return;
        }
        let role = answers.role;
        let name = role.as_str();
        if role == Role::Pcg && self.given.get("management_url").is_none() {
            let wrong = "is empty, but role is pcg";
            self.hidden("management_url", wrong, "write e.g. https://palisade.example.com");
        }
        let is_empty = |key| self.given.get(key).is_none();
        if role.is_ha() && is_empty("cluster_ipv4") && is_empty("ipv4") {
            let wrong = format!("is empty, and so is ipv4, but role is {name}");
            self.hidden("cluster_ipv4", wrong, "fill in one of them, e.g. 10.9.0.11/24");
        }
        let used = [
            ("join_code", matches!(role, Role::HaJoin | Role::Pcg)),
            ("management_url", matches!(role, Role::HaJoin | Role::Pcg)),
            ("cluster_ipv4", role != Role::Pcg),
            ("virtual_ip", role != Role::Pcg),
        ];
        for (key, used) in used {
            if !used && self.given.get(key).is_some() {
                self.note(key, &format!("has no effect with role {name}"));
            }
        }
        if role == Role::Standalone && self.given.get("virtual_ip").is_some() {
            self.note("virtual_ip", "has no effect until this node is one of three");
        }
    }

    fn gateways(&mut self, answers: &Answers) {
        let pairs = [
            ("gateway", answers.gateway, "ipv4", answers.ipv4),
            ("gateway6", answers.gateway6, "ipv6", answers.ipv6),
        ];
        for (key, gateway, of, interface) in pairs {
            let (Some(gateway), Some(interface)) = (gateway, interface) else {
                if gateway.is_some() && self.given.get(of).is_none() {
                    let wrong = format!("is given, but {of} is empty");
                    self.wrong(key, &wrong, &format!("fill in {of} too, or clear it"));
                }
                continue;
            };
            if is_link_local(gateway) {
                continue;
            }
            if !interface.contains(gateway) {
                let wrong = format!("is outside the network {}", interface.network_text());
                self.wrong(key, &wrong, "write an address inside");
            } else if let Some(wrong) = interface.reserved(gateway) {
                self.wrong(key, wrong, "write the router's address");
            }
        }
    }

    fn cluster(&mut self, answers: &Answers) {
        if let (Some(cluster), Some(first)) = (answers.cluster_ipv4, answers.ipv4)
            && cluster.overlaps(&first)
        {
            let wrong = format!("is in the network {} of ipv4 too", first.network_text());
            self.wrong("cluster_ipv4", &wrong, "use a network of its own");
        }
        let Some(address) = answers.virtual_ip else { return };
        let own = if address.is_ipv4() { ("ipv4", answers.ipv4) } else { ("ipv6", answers.ipv6) };
        let (key, Some(interface)) = own else { return };
        if !interface.contains(address) {
            let wrong = format!("is outside the network {} of {key}", interface.network_text());
            self.wrong("virtual_ip", &wrong, "write an address inside");
        } else if let Some(wrong) = interface.reserved(address) {
            self.wrong("virtual_ip", wrong, "write a free address");
        }
    }

    /// No two of these may be the same.
    fn duplicates(&mut self, answers: &Answers) {
        let own = |interface: Option<Interface>| interface.map(|interface| interface.address);
        let all = [
            ("ipv4", own(answers.ipv4)),
            ("gateway", answers.gateway),
            ("ipv6", own(answers.ipv6)),
            ("gateway6", answers.gateway6),
            ("cluster_ipv4", own(answers.cluster_ipv4)),
            ("virtual_ip", answers.virtual_ip),
        ];
        for (later, (key, address)) in all.iter().enumerate() {
            let same = all[..later].iter().find(|(_, other)| other.is_some() && other == address);
            if let Some((first, _)) = same {
                self.wrong(key, &format!("is the address in {first} too"), "write another one");
            }
        }
    }

    fn unknown(&mut self) {
        for (key, _) in self.given.iter() {
            if find(key).is_none() {
                let keys = TABLE.iter().map(|property| property.key.to_owned());
                let meant = nearest(key, keys);
                let wrong = "is no property of this appliance";
                let instead = meant.map_or_else(
                    || "leave it out".to_owned(),
                    |meant| format!("did you mean {meant}?"),
                );
                // Its value may be a secret under a misspelt name.
                self.mistakes.push(Mistake::hidden(key, wrong, instead));
            }
        }
    }

    fn one<T>(&mut self, key: &str, read: impl Fn(&str) -> Result<T, Fault>) -> Option<T> {
        let text = self.sound(key)?;
        match read(text) {
            Ok(value) => Some(value),
            Err((wrong, instead)) => {
                self.wrong(key, &wrong, &instead);
                None
            }
        }
    }

    fn list<T: PartialEq>(
        &mut self,
        key: &str,
        most: usize,
        read: impl Fn(&str) -> Result<T, Fault>,
    ) -> Vec<T> {
        let Some(text) = self.sound(key) else { return Vec::new() };
        text::list(text, most, read).unwrap_or_else(|(entry, (wrong, instead))| {
            self.mistakes.push(Mistake::new(key, &entry, wrong, instead));
            Vec::new()
        })
    }

    /// The answer, unless it is too long or has control characters in it.
    fn sound(&mut self, key: &str) -> Option<&'a str> {
        let text = self.given.get(key)?;
        let property = find(key)?;
        let most = property.most();
        let lines_are_fine = matches!(key, "proxy_ca" | "ssh_public_key");
        if text.chars().count() > most {
            let wrong = format!("has more than {most} characters");
            self.wrong(key, &wrong, "write less");
        } else if text.contains(HIDDEN) {
            let wrong = format!("has {HIDDEN} in it, which stands for a secret");
            self.mistakes.push(Mistake::hidden(key, wrong, "type the whole answer again"));
        } else if text.chars().any(|c| c.is_control() && !(lines_are_fine && c.is_whitespace())) {
            self.wrong(key, "has characters that cannot be seen in it", "type it again");
        } else {
            return Some(text);
        }
        None
    }

    fn is_wrong(&self, key: &str) -> bool {
        self.mistakes.iter().any(|mistake| mistake.key == key)
    }

    fn wrong(&mut self, key: &str, wrong: &str, instead: &str) {
        let given = self.given.shown(key).filter(|_| may_be_shown(key));
        self.mistakes.push(Mistake::new(key, &given.unwrap_or_default(), wrong, instead));
    }

    fn hidden(&mut self, key: &str, wrong: impl Into<String>, instead: &str) {
        self.mistakes.push(Mistake::hidden(key, wrong, instead));
    }

    fn note(&mut self, key: &'static str, text: &str) {
        self.notes.push(Note { key, text: text.to_owned() });
    }
}

fn role(text: &str) -> Result<Role, Fault> {
    Role::named(text).ok_or_else(|| {
        let names = Role::ALL.map(Role::as_str).join(", ");
        ("is no role".to_owned(), format!("choose one of {names}"))
    })
}

fn agent_port(text: &str) -> Result<bool, Fault> {
    match text {
        "off" => Ok(false),
        "4222" => Ok(true),
        _ => Err(("is neither off nor 4222".to_owned(), "choose one of them".to_owned())),
    }
}

fn join_code(text: &str) -> Result<JoinCode, Fault> {
    let wrong = if text.len() < 8 {
        "is too short for a code"
    } else if !text.chars().all(|c| c.is_ascii_graphic() || c == ' ') {
        "has characters that no code has"
    } else {
        return Ok(JoinCode(Secret::new(text.to_owned())));
    };
    Err((wrong.to_owned(), "copy the whole code from the first node or the management".to_owned()))
}

fn virtual_ip(text: &str) -> Result<IpAddr, Fault> {
    if text.contains('/') {
        let wrong = "has a prefix length".to_owned();
        return Err((wrong, "write the address alone, e.g. 192.0.2.20".to_owned()));
    }
    let family = if text.contains(':') {
        Family::v6(None, "2001:db8::20")
    } else {
        Family::v4(None, "192.0.2.20")
    };
    family.address(text)
}

fn is_link_local(address: IpAddr) -> bool {
    matches!(address, IpAddr::V6(address) if address.is_unicast_link_local())
}

/// Keys and certificates say nothing when they are cut; a private one in the
/// wrong field must not be shown.
fn may_be_shown(key: &str) -> bool {
    !matches!(key, "ssh_public_key" | "proxy_ca" | "join_code")
}
