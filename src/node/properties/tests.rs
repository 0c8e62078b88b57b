//! What operators write, and what they are told.

use data_encoding::BASE64;

use super::{
    LINE_LENGTH, Mistake, OPTIONS, RawAnswers, Role, Scheme, Shape, TABLE, check, find, salvage,
};

fn given(answers: &[(&str, &str)]) -> RawAnswers {
    answers.iter().copied().collect()
}

fn right(answers: &[(&str, &str)]) -> super::Answers {
    check(&given(answers)).expect("no mistake")
}

/// The lines about `answers`, every one of them short and without secrets.
fn wrong(answers: &[(&str, &str)]) -> Vec<String> {
    let mistakes = check(&given(answers)).expect_err("a mistake");
    let lines: Vec<_> = mistakes.iter().map(ToString::to_string).collect();
    for line in &lines {
        assert!(line.chars().count() <= LINE_LENGTH, "{} characters: {line}", line.len());
        assert!(!line.chars().any(char::is_control), "{line:?}");
        assert!(!line.contains("hunter2"), "{line}");
    }
    lines
}

fn one_line(key: &str, value: &str) -> String {
    let lines = wrong(&[(key, value)]);
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].starts_with(&format!("{key}: ")), "{}", lines[0]);
    lines[0].clone()
}

/// A key of OpenSSH made of these fields.
fn key(fields: &[&[u8]]) -> String {
    let kind = String::from_utf8(fields[0].to_vec()).expect("a name");
    let mut blob = Vec::new();
    for field in fields {
        blob.extend(u32::try_from(field.len()).expect("short").to_be_bytes());
        blob.extend(*field);
    }
    format!("{kind} {} ada@example.com", BASE64.encode(&blob))
}

fn rsa(bits: usize) -> String {
    // As in a real key, a zero keeps the highest bit from being a sign.
    let mut modulus = vec![0xff; bits / 8 + 1];
    modulus[0] = 0;
    key(&[b"ssh-rsa", &[1, 0, 1], &modulus])
}

#[test]
fn nothing_has_to_be_answered() {
    let answers = right(&[]);
    assert_eq!(answers.role, Role::Standalone);
    assert_eq!(answers.ipv4, None);
    assert!(answers.notes.is_empty());
}

#[test]
fn all_defaults_of_the_table_are_accepted() {
    let choices = |shape| if let Shape::Choice(choices) = shape { choices } else { &[] };
    for property in TABLE {
        assert_eq!(TABLE.iter().filter(|other| other.key == property.key).count(), 1);
        for value in [property.default].iter().chain(property.default_of.iter().map(|(_, v)| v)) {
            let known = choices(property.shape).iter().any(|choice| choice.0 == *value);
            assert!(value.is_empty() || known, "{}: {value}", property.key);
        }
        for (option, _) in property.default_of {
            assert!(OPTIONS.iter().any(|known| known.id == *option), "{option}");
        }
    }
    let roles: Vec<_> = choices(find("role").expect("known").shape).iter().map(|c| c.0).collect();
    assert_eq!(roles, Role::ALL.map(Role::as_str));
}

#[test]
fn a_full_set_of_answers_is_accepted() {
    let answers = right(&[
        ("role", "ha-first"),
        ("hostname", "One.Example.com"),
        ("ipv4", "192.0.2.10/24"),
        ("gateway", "192.0.2.1"),
        ("ipv6", "2001:db8::10/64"),
        ("gateway6", "fe80::1"),
        ("dns", "192.0.2.53, 2001:db8::53"),
        ("ntp", "ntp.example.com 192.0.2.123"),
        ("search_domain", "example.com;corp.example.com"),
        ("cluster_ipv4", "10.9.0.11/24"),
        ("virtual_ip", "192.0.2.20"),
        ("admin_email", "ada@example.com"),
        ("agent_port", "4222"),
        ("http_proxy", "socks5://proxy.example.com:1080"),
        ("no_proxy", ".example.com, 10.0.0.0/8, *.corp, 192.0.2.9"),
        ("mirror_url", "https://mirror.example.com/palisade/"),
    ]);
    assert_eq!(answers.hostname.expect("a name").as_str(), "one.example.com");
    assert_eq!(answers.ipv4.expect("an address").to_string(), "192.0.2.10/24");
    assert_eq!(answers.ntp.len(), 2);
    assert_eq!(answers.no_proxy, [".example.com", "10.0.0.0/8", "*.corp", "192.0.2.9"]);
    assert_eq!(answers.http_proxy.expect("a proxy").scheme, Scheme::Socks5);
    assert_eq!(answers.mirror_url.as_deref(), Some("https://mirror.example.com/palisade"));
    assert!(answers.agent_port);
    assert!(answers.notes.is_empty(), "{:?}", answers.notes);
}

#[test]
fn all_mistakes_are_reported_at_once_in_the_order_of_the_table() {
    let lines = wrong(&[
        ("mirror_url", "http://mirror.example.com"),
        ("role", "queen"),
        ("colour", "blue"),
        ("ipv4", "192.0.2.10"),
        ("dns", "ns1.example.com"),
    ]);
    assert_eq!(
        lines,
        [
            "role: \"queen\" is no role; choose one of standalone, ha-first, ha-join, pcg",
            "ipv4: \"192.0.2.10\" has no prefix length; write e.g. 192.0.2.10/24",
            "dns: \"ns1.example.com\" is no address; DNS servers have no names; \
             write e.g. 192.0.2.53, 192.0.2.54",
            "mirror_url: \"http://mirror.example.com\" is not encrypted; \
             write https://.. or the path of a directory",
            "colour: is no property of this appliance; leave it out",
        ]
    );
}

#[test]
fn an_address_is_one_of_a_host_with_its_prefix() {
    for (value, said) in [
        ("192.0.2.300/24", "is no IPv4 address"),
        ("192.0.2.10/33", "has no prefix length from 1 to 32"),
        ("192.0.2.10/+8", "has no prefix length from 1 to 32"),
        ("192.0.2.10/0", "has no prefix length from 1 to 32"),
        ("192.0.2.10/255.255.255.0", "write 192.0.2.10/24"),
        ("192.0.2.0/24", "is the address of the network itself"),
        ("192.0.2.255/24", "is the broadcast address"),
        ("127.0.0.1/8", "loopback"),
        ("224.0.0.1/4", "multicast"),
        ("0.0.0.0/8", "no address at all"),
        ("255.255.255.255/8", "no address that a host can have"),
        ("2001:db8::10/64", "write it into ipv6"),
        ("palisade.example.com", "is no IPv4 address"),
    ] {
        let line = one_line("ipv4", value);
        assert!(line.contains(said), "{line}");
    }
    for (value, said) in [
        ("192.0.2.10/24", "write it into ipv4"),
        ("2001:db8::10", "write e.g. 2001:db8::10/64"),
        ("2001:db8::/64", "the network itself"),
        ("::ffff:192.0.2.10/96", "in disguise"),
        ("2001:db8::10/129", "from 1 to 128"),
    ] {
        let line = one_line("ipv6", value);
        assert!(line.contains(said), "{line}");
    }
    for value in ["192.0.2.10/31", "192.0.2.10/32", "10.0.0.255/16"] {
        right(&[("ipv4", value)]);
    }
}

#[test]
fn a_gateway_is_inside_the_network_and_no_other_host() {
    let with = |gateway| wrong(&[("ipv4", "192.0.2.10/24"), ("gateway", gateway)]).concat();
    assert_eq!(
        with("198.51.100.1"),
        "gateway: \"198.51.100.1\" is outside the network 192.0.2.0/24; write an address inside"
    );
    assert!(with("192.0.2.255").contains("broadcast"));
    assert!(with("192.0.2.10").contains("is the address in ipv4 too"));
    assert!(with("2001:db8::1").contains("write it into gateway6"));
    assert!(one_line("gateway", "192.0.2.1").contains("ipv4 is empty"));
    let line = wrong(&[("ipv6", "2001:db8::10/64"), ("gateway6", "2001:db8:1::1")]).concat();
    assert!(line.contains("outside the network 2001:db8::/64"), "{line}");
    right(&[("ipv6", "2001:db8::10/64"), ("gateway6", "fe80::1")]);
    let alone = right(&[("ipv4", "192.0.2.10/24")]);
    assert!(alone.notes.is_empty(), "a network without a way out is a choice");
}

#[test]
fn a_role_says_what_it_needs() {
    let joining = right(&[("role", "ha-join"), ("cluster_ipv4", "10.9.0.12/24")]);
    assert_eq!(joining.join_code, None, "a code lives shorter than a deployment takes");
    let line = wrong(&[("role", "pcg")]).concat();
    assert!(line.starts_with("management_url: is empty, but role is pcg"), "{line}");
    let line = wrong(&[("role", "ha-first")]).concat();
    assert_eq!(
        line,
        "cluster_ipv4: is empty, and so is ipv4, but role is ha-first; fill in one of them, e.g. \
         10.9.0.11/24"
    );
    right(&[("role", "ha-first"), ("ipv4", "192.0.2.10/24")]);
    let answers = right(&[
        ("role", "ha-join"),
        ("cluster_ipv4", "10.9.0.12/24"),
        ("join_code", "alder-birch-cedar"),
    ]);
    assert_eq!(answers.role, Role::HaJoin);
    assert!(!format!("{answers:?}").contains("alder"), "a code is never shown");
    let pcg = right(&[("role", "pcg"), ("management_url", "https://palisade.example.com/")]);
    assert_eq!(pcg.management_url.as_deref(), Some("https://palisade.example.com"));
}

#[test]
fn what_a_role_has_no_use_for_is_noted() {
    let answers = right(&[("virtual_ip", "192.0.2.20"), ("ipv4", "192.0.2.10/24")]);
    assert_eq!(answers.notes[0].key, "virtual_ip");
    assert_eq!(answers.notes[0].text, "has no effect until this node is one of three");
    let pcg = right(&[
        ("role", "pcg"),
        ("management_url", "https://palisade.example.com"),
        ("cluster_ipv4", "10.9.0.11/24"),
    ]);
    assert_eq!(pcg.notes[0].key, "cluster_ipv4");
    assert_eq!(pcg.notes[0].text, "has no effect with role pcg");
    assert!(right(&[("cluster_ipv4", "10.9.0.11/24")]).notes.is_empty(), "it may found a cluster");
}

#[test]
fn the_addresses_of_a_cluster_of_three_fit_together() {
    let base = [("role", "ha-first"), ("ipv4", "192.0.2.10/24")];
    let with = |more: &[(&str, &str)]| wrong(&[&base, more].concat()).concat();
    let cluster = ("cluster_ipv4", "10.9.0.11/24");
    let outside = with(&[cluster, ("virtual_ip", "198.51.100.20")]);
    assert!(outside.contains("is outside the network 192.0.2.0/24 of ipv4"), "{outside}");
    let own = with(&[cluster, ("virtual_ip", "192.0.2.10")]);
    assert!(own.contains("is the address in ipv4 too"), "{own}");
    let broadcast = with(&[cluster, ("virtual_ip", "192.0.2.255")]);
    assert!(broadcast.contains("broadcast"), "{broadcast}");
    let prefix = with(&[cluster, ("virtual_ip", "192.0.2.20/24")]);
    assert!(prefix.contains("write the address alone"), "{prefix}");
    let same = with(&[("cluster_ipv4", "192.0.2.11/25")]);
    assert!(same.contains("use a network of its own"), "{same}");
}

#[test]
fn a_host_name_is_a_name() {
    for (value, said) in [
        ("192.0.2.10", "is an address, not a name"),
        ("palisade_1", "underscore"),
        ("https://palisade.example.com", "is no name but a URL"),
        ("palisade.example.com.", "ends with a dot"),
        ("localhost", "every machine"),
        ("-palisade", "is no DNS name"),
        ("a..b", "is no DNS name"),
        (&"a".repeat(64), "more than 63"),
        (&format!("{}.example.com", "a.".repeat(200)), "more than 253"),
        ("pali\u{7}sade", "cannot be seen"),
    ] {
        let line = one_line("hostname", value);
        assert!(line.contains(said), "{line}");
    }
}

#[test]
fn lists_name_the_entry_that_is_wrong() {
    let line = one_line("dns", "192.0.2.53, 192.0.2.53");
    assert_eq!(line, "dns: \"192.0.2.53\" is named twice; name it once");
    assert!(one_line("dns", "192.0.2.53,0.0.0.0").contains("\"0.0.0.0\""));
    assert!(one_line("ntp", "ntp.example.com, 192.0.2").contains("\"192.0.2\" is neither"));
    assert!(one_line("search_domain", "example.com 10.0.0.1").contains("\"10.0.0.1\""));
    assert!(one_line("no_proxy", "10.0.0.0/40").contains("is no name, .domain"));
    let many: Vec<_> = (1..20).map(|n| format!("192.0.2.{n}")).collect();
    assert!(one_line("dns", &many.join(",")).contains("8 are allowed"));
}

#[test]
fn weak_and_broken_ssh_keys_are_refused() {
    let ed25519 = key(&[b"ssh-ed25519", &[7; 32]]);
    let answers = right(&[("ssh_public_key", &ed25519)]);
    assert_eq!(answers.ssh_public_key.expect("a key").to_string(), ed25519);
    right(&[("ssh_public_key", &rsa(3_072))]);
    let point = [&[4][..], &[9; 64]].concat();
    right(&[("ssh_public_key", &key(&[b"ecdsa-sha2-nistp256", b"nistp256", &point]))]);
    let token = key(&[b"sk-ssh-ed25519@openssh.com", &[7; 32], b"ssh:"]);
    right(&[("ssh_public_key", &token)]);
    let cut = &ed25519[..ed25519.len() - 30];
    let renamed = ed25519.replace("ssh-ed25519", "ssh-rsa");
    for (value, said) in [
        (&*rsa(2_048), "is an RSA key of 2048 bits, which is too weak"),
        (&key(&[b"ssh-dss", &[1; 128]]), "is a DSA key"),
        (&key(&[b"ssh-ed25519", &[7; 31]]), "cut off or damaged"),
        (&key(&[b"ssh-ed25519", &[7; 32], b"more"]), "cut off or damaged"),
        (&key(&[b"ecdsa-sha2-nistp256", b"nistp384", &point]), "cut off or damaged"),
        (&key(&[b"ssh-quantum", &[7; 32]]), "no kind of key"),
        (cut, "cut off or damaged"),
        ("ssh-ed25519 AAAA", "cut off or damaged"),
        (&renamed, "not the kind of key"),
        (&format!("{ed25519}\n{ed25519}"), "more than one line"),
        (&format!("command=\"sh\" {ed25519}"), "options"),
        ("hunter2", "is no SSH public key"),
        ("-----BEGIN OPENSSH PRIVATE KEY-----\nhunter2", "is a private key"),
    ] {
        let line = one_line("ssh_public_key", value);
        assert!(line.contains(said), "{line}");
    }
}

#[test]
fn a_proxy_has_a_scheme_a_host_and_a_port_and_no_password_is_shown() {
    for url in
        ["http://proxy.example.com:3128", "https://192.0.2.8:3129/", "socks5h://[2001:db8::8]:1080"]
    {
        assert!(right(&[("http_proxy", url)]).notes.is_empty());
    }
    let answers = right(&[("http_proxy", "http://ada:hunter2@proxy.example.com:3128")]);
    assert_eq!(answers.notes[0].key, "http_proxy");
    assert!(!format!("{answers:?}").contains("hunter2"));
    for (value, said) in [
        ("proxy.example.com:3128", "has no scheme"),
        ("ftp://proxy.example.com:21", "is none of http://"),
        ("http://proxy.example.com", "has no port"),
        ("http://proxy.example.com:0", "has no port from 1"),
        ("http://ada:hunter2@proxy.example.com", "\"http://(hidden)@proxy.example.com\""),
        ("ada:hunter2@proxy.example.com:3128", "has no scheme"),
        ("http://ada:hunter2@proxy.example.com:3128/path", "has a path"),
        ("http://:hunter2@proxy.example.com:3128", "no user name"),
        ("http://2001:db8::8:3128", "without [ and ]"),
    ] {
        let line = one_line("http_proxy", value);
        assert!(line.contains(said), "{line}");
    }
}

#[test]
fn a_mirror_is_encrypted_or_a_directory() {
    let of = |url| right(&[("mirror_url", url)]).mirror_url;
    assert_eq!(of("/srv/mirror/").as_deref(), Some("file:///srv/mirror"));
    assert_eq!(of("file:///srv/mirror").as_deref(), Some("file:///srv/mirror"));
    for (value, said) in [
        ("http://mirror.example.com", "is not encrypted"),
        ("ftp://mirror.example.com", "neither https nor a directory"),
        ("https://ada:hunter2@mirror.example.com", "has a user name"),
        ("https://mirror.example.com/?token=hunter2", "has a ? or #"),
        ("/srv/../etc", "no absolute path"),
        ("file://srv", "no absolute path"),
    ] {
        let line = one_line("mirror_url", value);
        assert!(line.contains(said), "{line}");
    }
}

#[test]
fn certificates_are_read_however_the_wizard_mangled_them() {
    let pem = authority(true);
    let tidy = right(&[("proxy_ca", &pem)]).proxy_ca.expect("certificates");
    for form in [
        pem.replace('\n', " "),
        pem.replace('\n', "\\n"),
        pem.replace('\n', "\r\n"),
        BASE64.encode(pem.as_bytes()),
    ] {
        assert_eq!(right(&[("proxy_ca", &form)]).proxy_ca.as_ref(), Some(&tidy), "{form}");
    }
    let two = right(&[("proxy_ca", &format!("{pem}{}", authority(true)))]).proxy_ca;
    assert_eq!(two.expect("both").matches("BEGIN").count(), 2);
    for (value, said) in [
        (authority(false), "of no authority"),
        (pem.replace("MII", "MIX"), "cannot be read"),
        (pem.replace("-----END", "-----ENDE"), "cut off"),
        ("hunter2!".to_owned(), "is no PEM and no Base64"),
        (BASE64.encode(b"hello"), "has no certificate"),
        (format!("{pem}-----BEGIN PRIVATE KEY-----"), "has a private key"),
    ] {
        let line = one_line("proxy_ca", &value);
        assert!(line.contains(said), "{line}");
    }
}

/// A certificate, of an authority or not.
fn authority(is_ca: bool) -> String {
    let mut params = rcgen::CertificateParams::new(Vec::new()).expect("parameters");
    if is_ca {
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    }
    let key = rcgen::KeyPair::generate().expect("a key");
    params.self_signed(&key).expect("a certificate").pem()
}

#[test]
fn a_misspelt_property_is_named_with_what_was_meant_and_without_its_value() {
    let lines = wrong(&[("jion_code", "hunter2")]);
    assert_eq!(lines, ["jion_code: is no property of this appliance; did you mean join_code?"]);
}

#[test]
fn a_long_answer_is_cut_so_that_the_line_stays_short() {
    let mistake = Mistake::new("ipv4", &"x".repeat(500), "is no address", "write one");
    let line = mistake.to_string();
    assert_eq!(line.chars().count(), LINE_LENGTH);
    assert!(line.contains("x..\" is no address"), "{line}");
}

#[test]
fn a_wrong_network_means_dhcp_and_leaves_the_rest() {
    let salvaged = salvage(&given(&[
        ("hostname", "one.example.com"),
        ("ipv4", "192.0.2.10/24"),
        ("gateway", "198.51.100.1"),
        ("ipv6", "2001:db8::10/64"),
        ("dns", "192.0.2.53"),
    ]));
    assert_eq!(salvaged.mistakes.len(), 1);
    assert_eq!(salvaged.answers.ipv4, None, "without its gateway the address is of no use");
    assert!(salvaged.answers.ipv6.is_some());
    assert!(salvaged.answers.hostname.is_some());
    assert_eq!(salvaged.role(), Ok(Role::Standalone));
}

#[test]
fn a_machine_whose_role_is_not_clear_waits() {
    for answers in [
        &[("role", "queen")][..],
        &[("role", "ha-join"), ("cluster_ipv4", "nonsense")],
        &[("role", "pcg"), ("management_url", "http://palisade.example.com")],
    ] {
        let salvaged = salvage(&given(answers));
        let why = salvaged.role().expect_err("it must not begin an installation of its own");
        assert!(why.contains("not clear"), "{why}");
    }
    let alone = salvage(&given(&[("role", "standalone"), ("virtual_ip", "nonsense")]));
    assert_eq!(alone.role(), Ok(Role::Standalone), "a node on its own needs no virtual IP");
}

#[test]
fn a_role_that_this_version_does_not_have_is_named() {
    let salvaged =
        salvage(&given(&[("role", "pcg"), ("management_url", "https://palisade.example.com")]));
    assert!(salvaged.mistakes.is_empty());
    let why = salvaged.role().expect_err("not yet");
    assert_eq!(why, "The role pcg is not available in this version yet.");
}
