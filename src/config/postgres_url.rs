//! Where PostgreSQL is: one server, or several of one cluster.
//!
//! Owns: [`PostgresUrl`], its check, and the URL of each of its servers.
//! Must not know: which server is the primary, or how to connect.

use std::{
    collections::HashSet,
    net::{IpAddr, Ipv6Addr},
};

use super::value::{Problem, Raw, Shape, Value, text};

const EXPECTED: &str = "a URL such as \"postgresql://palisade@db.example.com:5432/palisade\"";
/// Where a server listens that names no port.
const PORT: &str = "5432";

/// Where PostgreSQL is, without a password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PostgresUrl {
    url: String,
    servers: Vec<PostgresServer>,
}

/// One server of a [`PostgresUrl`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PostgresServer {
    /// Host and port as they were written, to speak of it.
    pub name: String,
    /// The URL with this server alone.
    pub url: String,
}

/// The parts of a URL.
struct Parts<'u> {
    /// Up to and including the `@`.
    before: &'u str,
    /// Hosts and ports.
    hosts: &'u str,
    /// From the slash or question mark on.
    after: &'u str,
    /// What follows the question mark.
    parameters: &'u str,
}

impl<'u> Parts<'u> {
    /// `None` without a scheme of PostgreSQL's.
    fn of(url: &'u str) -> Option<Self> {
        let rest = url.strip_prefix("postgresql://").or_else(|| url.strip_prefix("postgres://"))?;
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, after) = rest.split_at(end);
        let hosts = authority.rsplit_once('@').map_or(authority, |(_, hosts)| hosts);
        let before = &url[..url.len() - after.len() - hosts.len()];
        let parameters = after.split_once('?').map_or("", |(_, parameters)| parameters);
        Some(Self { before, hosts, after, parameters })
    }

    fn parameter(&self, name: &str) -> Option<&'u str> {
        let mut pairs = self.parameters.split('&').filter_map(|pair| pair.split_once('='));
        pairs.find_map(|(key, value)| (key == name).then_some(value))
    }
}

impl PostgresUrl {
    /// Checks what was written. No problem repeats the text: somebody may have
    /// put a password into it.
    pub fn parse(url: &str) -> Result<Self, String> {
        let parts = Parts::of(url).ok_or_else(|| format!("must be {EXPECTED}"))?;
        let in_parameters = parts
            .parameters
            .split('&')
            .any(|part| part.to_ascii_lowercase().starts_with("password"));
        // A password may have a slash in it, so the last @ before the parameters counts.
        let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
        let rest = rest.split_once('?').map_or(rest, |(rest, _)| rest);
        let user = rest.rsplit_once('@').map_or("", |(user, _)| user);
        if user.contains(':') || in_parameters {
            return Err("must not contain a password; write it into a file and name that file in \
                        storage.postgres.password_file"
                .into());
        }
        if rest.is_empty() {
            return Err(format!("must be {EXPECTED}"));
        }
        let servers = servers(url, &parts)?;
        Ok(Self { url: url.to_owned(), servers })
    }

    /// The URL as it was written.
    pub fn as_str(&self) -> &str {
        &self.url
    }

    /// The servers in the order of the URL; at least one.
    pub fn servers(&self) -> &[PostgresServer] {
        &self.servers
    }

    /// Whether every server is on this machine, so that nobody can sit between.
    pub fn is_local(&self) -> bool {
        self.servers.iter().all(|server| is_local(&server.url))
    }
}

/// One server stays as it was written: what it means is not for us to change.
fn servers(url: &str, parts: &Parts<'_>) -> Result<Vec<PostgresServer>, Problem> {
    let hosts: Vec<_> = parts.hosts.split(',').collect();
    if let [host] = *hosts {
        let name = parts.parameter("host").filter(|_| host.is_empty()).unwrap_or(host);
        return Ok(vec![PostgresServer { name: name.to_owned(), url: url.to_owned() }]);
    }
    for parameter in ["host", "hostaddr", "port"] {
        if parts.parameter(parameter).is_some() {
            return Err(format!(
                "names several servers and has the parameter {parameter} too; write all of them \
                 as host:port,host:port before the slash and leave the parameter out"
            ));
        }
    }
    let mut known = HashSet::new();
    let mut servers = Vec::new();
    for (position, server) in hosts.into_iter().enumerate() {
        let wrong = |what: &str| {
            let number = position + 1;
            Err(format!("{what} as its server number {number}; write host:port,host:port"))
        };
        let Some((host, port)) = split(server) else {
            return wrong("has something that is neither a host nor an address");
        };
        if port.parse::<u16>().unwrap_or(0) == 0 {
            return wrong("has a port that is not between 1 and 65535");
        }
        if !known.insert((host.to_ascii_lowercase(), port.to_owned())) {
            return wrong("has one that was named before");
        }
        servers.push(PostgresServer {
            name: server.to_owned(),
            url: format!("{}{server}{}", parts.before, parts.after),
        });
    }
    Ok(servers)
}

/// Host and port of one server in a list; an IPv6 address has brackets.
fn split(server: &str) -> Option<(&str, &str)> {
    if let Some(rest) = server.strip_prefix('[') {
        let (address, port) = rest.split_once(']')?;
        address.parse::<Ipv6Addr>().ok()?;
        let port = if port.is_empty() { Some(PORT) } else { port.strip_prefix(':') };
        return port.map(|port| (address, port));
    }
    let (host, port) = server.split_once(':').unwrap_or((server, PORT));
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-._%~".contains(&byte);
    (!host.is_empty() && host.bytes().all(fits)).then_some((host, port))
}

fn is_local(url: &str) -> bool {
    let Some(parts) = Parts::of(url) else { return false };
    let host = match parts.hosts.strip_prefix('[') {
        Some(v6) => v6.split(']').next().unwrap_or_default(),
        None => parts.hosts.rsplit_once(':').map_or(parts.hosts, |(host, _)| host),
    };
    let named = parts.parameter("host").unwrap_or(host);
    let host = percent_encoding::percent_decode_str(named).decode_utf8_lossy();
    let loopback = || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
    host.is_empty() || host.starts_with('/') || host == "localhost" || loopback()
}

impl Value for PostgresUrl {
    const SHAPE: Shape = Shape::Text;

    fn read(raw: &Raw) -> Result<Self, Problem> {
        Self::parse(text(raw, EXPECTED)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn urls(url: &str) -> Vec<String> {
        let url = PostgresUrl::parse(url).expect("a URL");
        url.servers().iter().map(|server| server.url.clone()).collect()
    }

    #[test]
    fn one_server_stays_as_it_was_written() {
        for url in [
            "postgresql://palisade@db:5432/palisade",
            "postgres://palisade@[::1]/palisade?sslmode=require",
            "postgresql:///palisade?host=/run/postgresql",
            "postgresql://palisade@%2Frun%2Fpostgresql:5432/palisade",
        ] {
            assert_eq!(urls(url), [url]);
            assert_eq!(PostgresUrl::parse(url).expect("a URL").as_str(), url);
        }
    }

    #[test]
    fn every_server_of_a_list_has_the_same_user_database_and_parameters() {
        let url = "postgresql://p@db1:5433,db2,[2001:db8::3]:5434/palisade?sslcert=/c.pem";
        assert_eq!(
            urls(url),
            [
                "postgresql://p@db1:5433/palisade?sslcert=/c.pem",
                "postgresql://p@db2/palisade?sslcert=/c.pem",
                "postgresql://p@[2001:db8::3]:5434/palisade?sslcert=/c.pem",
            ]
        );
        let url = PostgresUrl::parse(url).expect("a URL");
        let names: Vec<_> = url.servers().iter().map(|server| &*server.name).collect();
        assert_eq!(names, ["db1:5433", "db2", "[2001:db8::3]:5434"]);
    }

    #[test]
    fn a_list_with_a_mistake_says_which_server_and_repeats_nothing() {
        for (hosts, expected) in [
            ("db1,,db3", "neither a host nor an address as its server number 2"),
            ("db1,", "neither a host nor an address as its server number 2"),
            ("db1,db 2", "neither a host nor an address as its server number 2"),
            ("[db1]:5432,db2", "neither a host nor an address as its server number 1"),
            ("db1,2001:db8::1", "a port that is not between 1 and 65535 as its server number 2"),
            ("db1:0,db2", "a port that is not between 1 and 65535 as its server number 1"),
            ("db1:70000,db2", "a port that is not between 1 and 65535 as its server number 1"),
            ("db1,db2,DB1:5432", "was named before as its server number 3"),
        ] {
            let told = PostgresUrl::parse(&format!("postgresql://p@{hosts}/p")).expect_err(hosts);
            assert!(told.contains(expected), "{hosts} told {told}");
            assert!(!told.contains("db"), "{told}");
        }
        let told = PostgresUrl::parse("postgresql://p@db1,db2/p?port=5432,5433").expect_err("both");
        assert!(told.contains("has the parameter port too"), "{told}");
        let told = PostgresUrl::parse("postgresql://p:hunter2@db1,db2/p").expect_err("a password");
        assert!(told.contains("must not contain a password"), "{told}");
    }

    #[test]
    fn a_list_is_local_when_all_of_it_is() {
        let local = |hosts: &str| {
            PostgresUrl::parse(&format!("postgresql://p@{hosts}/p")).expect("a URL").is_local()
        };
        assert!(local("127.0.0.1:5432,localhost:5433,[::1]:5434"));
        assert!(!local("127.0.0.1:5432,db2.example.com"));
    }
}
