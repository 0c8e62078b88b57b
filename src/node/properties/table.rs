//! The table of the properties and of the deployment options.

use serde::{Deserialize, Serialize};

/// What this machine is to become.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// The only node of an installation.
    Standalone,
    /// The first of three nodes; it makes the installation.
    HaFirst,
    /// A further node; it joins with a code.
    HaJoin,
    /// A gateway to a private cloud.
    Pcg,
}

impl Role {
    /// All roles in the order in which they are offered.
    pub const ALL: [Self; 4] = [Self::Standalone, Self::HaFirst, Self::HaJoin, Self::Pcg];

    /// The roles that this version carries out. A role that is added here is
    /// switched on everywhere.
    pub const AVAILABLE: &[Self] = &[Self::Standalone, Self::HaFirst, Self::HaJoin];

    /// As it is written in the property.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Standalone => "standalone",
            Self::HaFirst => "ha-first",
            Self::HaJoin => "ha-join",
            Self::Pcg => "pcg",
        }
    }

    /// The role that is written like this.
    pub fn named(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.as_str() == text)
    }

    /// Whether this version carries it out.
    pub fn is_available(self) -> bool {
        Self::AVAILABLE.contains(&self)
    }

    /// Whether it is one of several nodes of an installation.
    pub fn is_ha(self) -> bool {
        matches!(self, Self::HaFirst | Self::HaJoin)
    }
}

/// One of the values that a property can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Choice(pub &'static str);

/// What a property's value looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// One of these.
    Choice(&'static [Choice]),
    /// Text of at most so many characters.
    Text(usize),
    /// Text that must not be shown, of at most so many characters.
    Password(usize),
}

/// One question to the operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Property {
    /// Its name in the OVF environment.
    pub key: &'static str,
    /// The group in which it is shown.
    pub category: &'static str,
    /// A few words.
    pub label: &'static str,
    /// What to write, with an example.
    pub description: &'static str,
    /// What its value looks like.
    pub shape: Shape,
    /// What counts when nothing is answered; empty for nothing.
    pub default: &'static str,
    /// Other defaults, by the id of a deployment option.
    pub default_of: &'static [(&'static str, &'static str)],
    /// Whether it is, or may contain, something that nobody else may read.
    pub secret: bool,
}

impl Property {
    /// The type that the OVF descriptor states.
    pub fn ovf_type(&self) -> &'static str {
        "string"
    }

    /// The qualifiers that the OVF descriptor states.
    pub fn qualifiers(&self) -> String {
        match self.shape {
            Shape::Choice(choices) => {
                let quoted: Vec<_> =
                    choices.iter().map(|choice| format!("\"{}\"", choice.0)).collect();
                format!("ValueMap{{{}}}", quoted.join(","))
            }
            Shape::Text(most) | Shape::Password(most) => format!("MaxLen({most})"),
        }
    }

    /// Whether a deployment wizard hides what is typed.
    pub fn is_password(&self) -> bool {
        matches!(self.shape, Shape::Password(_))
    }

    /// The most characters that it takes.
    pub(super) fn most(&self) -> usize {
        match self.shape {
            Shape::Choice(_) => 64,
            Shape::Text(most) | Shape::Password(most) => most,
        }
    }
}

/// A size and kind of virtual machine to choose from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeploymentOption {
    /// Its name in the OVF descriptor.
    pub id: &'static str,
    /// A few words.
    pub label: &'static str,
    /// What it is for.
    pub description: &'static str,
    /// Virtual processors.
    pub processors: u32,
    /// Memory in MiB.
    pub memory: u32,
    /// Whether there is a second network adapter, to the other nodes.
    pub cluster_network: bool,
}

/// The deployment options; the first is the default.
pub const OPTIONS: &[DeploymentOption] = &[
    DeploymentOption {
        id: "standalone-small",
        label: "Standalone, small",
        description: "One node for up to 100 clusters: 2 vCPU, 4 GB of memory.",
        processors: 2,
        memory: 4_096,
        cluster_network: false,
    },
    DeploymentOption {
        id: "standalone-medium",
        label: "Standalone, medium",
        description: "One node for up to 1000 clusters: 4 vCPU, 8 GB of memory.",
        processors: 4,
        memory: 8_192,
        cluster_network: false,
    },
    DeploymentOption {
        id: "ha",
        label: "Node of three (HA)",
        description: "Deploy it three times: 4 vCPU, 8 GB of memory, a second network adapter.",
        processors: 4,
        memory: 8_192,
        cluster_network: true,
    },
    DeploymentOption {
        id: "pcg",
        label: "Private cloud gateway",
        description: "A gateway beside a private cloud: 2 vCPU, 2 GB of memory.",
        processors: 2,
        memory: 2_048,
        cluster_network: false,
    },
];

const ROLES: &[Choice] =
    &[Choice("standalone"), Choice("ha-first"), Choice("ha-join"), Choice("pcg")];
const OFF_OR_4222: &[Choice] = &[Choice("off"), Choice("4222")];

const ROLE: &str = "1. Role";
const NETWORK: &str = "2. Network";
const CLUSTER: &str = "3. Cluster of three";
const ADMINISTRATION: &str = "4. Administration";
const OUTSIDE: &str = "5. Way out";

/// A property without default and secrets.
const fn text(
    key: &'static str,
    category: &'static str,
    most: usize,
    label: &'static str,
    description: &'static str,
) -> Property {
    let shape = Shape::Text(most);
    Property {
        key,
        category,
        label,
        description,
        shape,
        default: "",
        default_of: &[],
        secret: false,
    }
}

/// All properties in the order in which they are asked.
pub const TABLE: &[Property] = &[
    Property {
        key: "role",
        category: ROLE,
        label: "Role",
        description: "standalone; ha-first for the first of three nodes, ha-join for the others; \
                      pcg for a private cloud gateway.",
        shape: Shape::Choice(ROLES),
        default: "standalone",
        default_of: &[("ha", "ha-first"), ("pcg", "pcg")],
        secret: false,
    },
    Property {
        key: "join_code",
        category: ROLE,
        label: "Join or pairing code",
        description: "For ha-join and pcg: the code that the first node or the management shows. \
                      Empty for ha-join: it is typed on the console.",
        shape: Shape::Password(512),
        default: "",
        default_of: &[],
        secret: true,
    },
    text(
        "management_url",
        ROLE,
        512,
        "Management URL",
        "For pcg: where the management is reached, e.g. https://palisade.example.com.",
    ),
    text(
        "hostname",
        NETWORK,
        253,
        "Host name",
        "The full name, e.g. palisade.example.com. It goes into the certificate and into links. \
         Empty: palisade.",
    ),
    text(
        "ipv4",
        NETWORK,
        32,
        "IPv4 address",
        "With the length of the prefix, e.g. 192.0.2.10/24. Empty: DHCP.",
    ),
    text("gateway", NETWORK, 32, "IPv4 gateway", "E.g. 192.0.2.1. Empty with DHCP."),
    text(
        "ipv6",
        NETWORK,
        64,
        "IPv6 address",
        "With the length of the prefix, e.g. 2001:db8::10/64. Empty: what routers announce.",
    ),
    text("gateway6", NETWORK, 64, "IPv6 gateway", "E.g. 2001:db8::1 or fe80::1."),
    text(
        "dns",
        NETWORK,
        255,
        "DNS servers",
        "Addresses, separated by commas, e.g. 192.0.2.53, 192.0.2.54. Empty: those of DHCP.",
    ),
    text(
        "ntp",
        NETWORK,
        255,
        "Time servers",
        "Names or addresses, separated by commas. Empty: those of DHCP.",
    ),
    text(
        "search_domain",
        NETWORK,
        255,
        "Search domains",
        "Domains that complete short names, separated by commas.",
    ),
    text(
        "cluster_ipv4",
        CLUSTER,
        32,
        "Address among the nodes",
        "The address of the second network adapter, e.g. 10.9.0.11/24. Empty: the three nodes \
         speak to each other over the first one.",
    ),
    text(
        "virtual_ip",
        CLUSTER,
        64,
        "Virtual IP",
        "For ha-first: a free address in the network of the first adapter, which is then always \
         at a node that works.",
    ),
    text(
        "admin_email",
        ADMINISTRATION,
        254,
        "Administrator's e-mail",
        "Offered when the first administrator is made.",
    ),
    text(
        "ssh_public_key",
        ADMINISTRATION,
        4_096,
        "SSH public key",
        "For the user admin: Ed25519, ECDSA, or RSA of at least 3072 bits. Empty: SSH stays off.",
    ),
    Property {
        key: "agent_port",
        category: ADMINISTRATION,
        label: "Port for agents",
        description: "4222 lets agents connect without the HTTPS port as well; they do not need it.",
        shape: Shape::Choice(OFF_OR_4222),
        default: "off",
        default_of: &[],
        secret: false,
    },
    Property {
        key: "http_proxy",
        category: OUTSIDE,
        label: "Proxy",
        description: "http://, https:// or socks5:// with host and port, e.g. \
                      http://proxy.example.com:3128.",
        shape: Shape::Text(1_024),
        default: "",
        default_of: &[],
        // It may have a password in it.
        secret: true,
    },
    text(
        "no_proxy",
        OUTSIDE,
        1_024,
        "Without proxy",
        "Names, .domains, addresses and networks that are reached directly, separated by commas.",
    ),
    text(
        "proxy_ca",
        OUTSIDE,
        32_768,
        "CA certificates",
        "PEM, or its Base64 on one line: authorities to trust beside the public ones, e.g. that \
         of an inspecting proxy.",
    ),
    text(
        "mirror_url",
        OUTSIDE,
        1_024,
        "Mirror of packs and updates",
        "Where updates are found, https://…. Empty: none is asked.",
    ),
];

/// The property with this key.
pub fn find(key: &str) -> Option<&'static Property> {
    TABLE.iter().find(|property| property.key == key)
}
