//! The part of a cloud-init seed that is understood. Pure.
//!
//! * `meta-data`: `local-hostname`.
//! * `user-data`, when it begins with `#cloud-config`: `fqdn` or `hostname`
//!   (they win over `meta-data`); the first of `ssh_authorized_keys`;
//!   `ntp.servers`; and `palisade`, a map of the appliance's own properties,
//!   which win over everything else.
//! * `network-config` of version 2, with or without `network:` around it: of
//!   the first entry of `ethernets` in alphabetical order, for the first
//!   network card whatever it matches: `addresses` (the first of each family),
//!   `gateway4`, `gateway6`, `routes` to `default`, `0.0.0.0/0` or `::/0`, and
//!   `nameservers` with `addresses` and `search`. `dhcp4` and `dhcp6` mean the
//!   same as no address.
//!
//! Everything else of cloud-init, scripts above all, is left alone.

use serde_yaml_ng::Value;

use crate::node::properties::RawAnswers;

/// Reads the three files of a seed; what is missing is empty. An error says
/// which file cannot be understood and why.
pub fn read(meta: &str, user: &str, network: &str) -> Result<RawAnswers, String> {
    let mut answers = RawAnswers::default();
    let meta = yaml("meta-data", meta)?;
    put(&mut answers, "hostname", &meta["local-hostname"]);
    if user.lines().next().is_some_and(|first| first.trim() == "#cloud-config") {
        let user = yaml("user-data", user)?;
        put(&mut answers, "hostname", &user["hostname"]);
        put(&mut answers, "hostname", &user["fqdn"]);
        put(&mut answers, "ssh_public_key", &user["ssh_authorized_keys"][0]);
        put(&mut answers, "ntp", &user["ntp"]["servers"]);
        network_of(&mut answers, network)?;
        for (key, value) in user["palisade"].as_mapping().into_iter().flatten() {
            let Some(key) = key.as_str() else {
                return Err("user-data: palisade has a key that is no text".to_owned());
            };
            // An empty value takes back what the rest of the seed says.
            answers.set(key, text(value).unwrap_or_default());
        }
    } else {
        network_of(&mut answers, network)?;
    }
    Ok(answers)
}

fn network_of(answers: &mut RawAnswers, network: &str) -> Result<(), String> {
    let document = yaml("network-config", network)?;
    let network = if document["network"].is_null() { &document } else { &document["network"] };
    if network.is_null() {
        return Ok(());
    }
    if network["version"].as_u64() != Some(2) {
        return Err("network-config: only version 2 is understood".to_owned());
    }
    let cards = network["ethernets"].as_mapping().into_iter().flatten();
    let mut cards: Vec<_> = cards.filter_map(|(name, card)| Some((name.as_str()?, card))).collect();
    cards.sort_by_key(|(name, _)| *name);
    let Some((_, card)) = cards.first() else { return Ok(()) };
    for address in card["addresses"].as_sequence().into_iter().flatten() {
        let Some(address) = address.as_str() else { continue };
        let key = if address.contains(':') { "ipv6" } else { "ipv4" };
        if answers.get(key).is_none() {
            answers.set(key, address);
        }
    }
    put(answers, "gateway", &card["gateway4"]);
    put(answers, "gateway6", &card["gateway6"]);
    for route in card["routes"].as_sequence().into_iter().flatten() {
        let to_all = matches!(route["to"].as_str(), Some("default" | "0.0.0.0/0" | "::/0"));
        if let (true, Some(via)) = (to_all, route["via"].as_str()) {
            answers.set(if via.contains(':') { "gateway6" } else { "gateway" }, via);
        }
    }
    put(answers, "dns", &card["nameservers"]["addresses"]);
    put(answers, "search_domain", &card["nameservers"]["search"]);
    Ok(())
}

/// Nothing in it counts as nothing, not as a mistake.
fn yaml(name: &str, text: &str) -> Result<Value, String> {
    if text.trim().is_empty() {
        return Ok(Value::Null);
    }
    let document: Value = serde_yaml_ng::from_str(text)
        .map_err(|error| format!("{name} is no YAML (line {})", line(&error)))?;
    match document {
        Value::Mapping(_) | Value::Null => Ok(document),
        _ => Err(format!("{name} is no map")),
    }
}

/// The error's text would repeat what is in the file.
fn line(error: &serde_yaml_ng::Error) -> usize {
    error.location().map_or(0, |place| place.line())
}

fn put(answers: &mut RawAnswers, key: &str, value: &Value) {
    if let Some(text) = text(value).filter(|text| !text.is_empty()) {
        answers.set(key, text);
    }
}

/// A scalar, or a list of them with commas between.
fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        // YAML takes an unquoted off for a word, and true and false for these.
        Value::Bool(value) => Some(value.to_string()),
        Value::Sequence(items) => {
            items.iter().map(text).collect::<Option<Vec<_>>>().map(|items| items.join(", "))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NETWORK: &str = "version: 2\nethernets:\n  b: {addresses: [198.51.100.9/24]}\n  a:\n    \
        addresses: [192.0.2.10/24, 192.0.2.11/24, '2001:db8::10/64']\n    \
        routes: [{to: default, via: 192.0.2.1}, {to: 10.0.0.0/8, via: 192.0.2.2}]\n    \
        nameservers: {addresses: [192.0.2.53, '2001:db8::53'], search: [example.com]}\n";

    fn pairs(answers: &RawAnswers) -> Vec<(&str, &str)> {
        answers.iter().collect()
    }

    #[test]
    fn a_seed_gives_name_key_and_the_first_card() {
        let user = "#cloud-config\nfqdn: one.example.com\nssh_authorized_keys:\n  - first\n  - second\nruncmd: [reboot]\n";
        let answers = read("instance-id: i\nlocal-hostname: other\n", user, NETWORK).expect("read");
        assert_eq!(
            pairs(&answers),
            [
                ("dns", "192.0.2.53, 2001:db8::53"),
                ("gateway", "192.0.2.1"),
                ("hostname", "one.example.com"),
                ("ipv4", "192.0.2.10/24"),
                ("ipv6", "2001:db8::10/64"),
                ("search_domain", "example.com"),
                ("ssh_public_key", "first"),
            ]
        );
        let wrapped = format!("network:\n  {}", NETWORK.replace('\n', "\n  "));
        assert_eq!(read("local-hostname: other", user, &wrapped).expect("read"), answers);
    }

    #[test]
    fn own_properties_win() {
        let user = "#cloud-config\nhostname: two\npalisade: {hostname: three.example.com, \
                    agent_port: 4222, gateway: ''}\n";
        let answers = read("", user, NETWORK).expect("read");
        assert_eq!(answers.get("hostname"), Some("three.example.com"));
        assert_eq!(answers.get("agent_port"), Some("4222"));
        assert_eq!(answers.get("gateway"), None);
    }

    #[test]
    fn what_is_no_cloud_config_is_left_alone() {
        let answers = read("local-hostname: one", "#!/bin/sh\nhostname: two\n", "").expect("read");
        assert_eq!(pairs(&answers), [("hostname", "one")]);
        assert!(read("", "", "").expect("read").is_empty());
        let dhcp = "version: 2\nethernets: {a: {dhcp4: true}}";
        assert!(read("", "", dhcp).expect("read").is_empty());
    }

    #[test]
    fn what_cannot_be_understood_is_named_without_its_content() {
        let broken = read("a: [hunter2", "", "").expect_err("no YAML");
        assert!(broken.starts_with("meta-data is no YAML") && !broken.contains("hunter2"));
        let old = read("", "", "version: 1\nconfig: []").expect_err("an older version");
        assert_eq!(old, "network-config: only version 2 is understood");
        assert!(read("- a list", "", "").is_err());
    }
}
