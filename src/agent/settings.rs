//! What the agent is told when it starts.
//!
//! Owns: the settings, reading the files that they name, and saying which
//! setting cannot be used and why.
//! Must not know: the command line or the environment.

use std::path::{Path, PathBuf};

use reqwest::Url;

use crate::{
    bus::{
        agent::BusAddress,
        dial::{Proxy, ProxyCredentials, Tls, is_direct},
    },
    error::{Error, Kind, Result},
    secret::Secret,
};

/// The name of the ConfigMap that keeps the agent's identity.
pub const STATE_NAME: &str = "palisade-agent-state";

/// The namespace of the agent unless the settings name another: the one that
/// the import manifest creates. A test holds the two together.
pub const NAMESPACE: &str = "palisade-system";

/// Everything that `palisade agent` can be told.
#[derive(Clone, Debug)]
pub struct AgentSettings {
    /// `https://fqdn[:port]` of management.
    pub management_url: String,
    /// The one-time token of the import.
    pub token: TokenSource,
    /// The CA that signed management's certificate, as PEM; without one the
    /// system's CAs count.
    pub ca_file: Option<PathBuf>,
    /// `http://host:port` or `socks5://host:port`. User and password may stand
    /// in the URL, but a URL ends up in process lists: a file is better.
    pub proxy: Option<Secret<String>>,
    /// A file with `user:password` for the proxy; goes before the URL's.
    pub proxy_credentials_file: Option<PathBuf>,
    /// Names and networks that are reached without the proxy.
    pub no_proxy: String,
    /// How the bus is reached.
    pub transport: Transport,
    /// The namespace of the agent and its ConfigMap.
    pub namespace: String,
    /// A kubeconfig; without one the pod's service account counts.
    pub kubeconfig: Option<PathBuf>,
    /// The name of the ConfigMap that keeps the agent's identity.
    pub state_name: String,
}

impl AgentSettings {
    /// The settings of an agent in a pod, with nothing out of the ordinary.
    pub fn new(management_url: impl Into<String>, token: TokenSource) -> Self {
        Self {
            management_url: management_url.into(),
            token,
            ca_file: None,
            proxy: None,
            proxy_credentials_file: None,
            no_proxy: String::new(),
            transport: Transport::default(),
            namespace: NAMESPACE.to_owned(),
            kubeconfig: None,
            state_name: STATE_NAME.to_owned(),
        }
    }
}

/// Where the one-time token comes from.
#[derive(Clone, Debug)]
pub enum TokenSource {
    /// A file, usually of a mounted Secret.
    File(PathBuf),
    /// The token itself.
    Value(Secret<String>),
}

impl TokenSource {
    /// Reads the token, cutting white space around it.
    ///
    /// Errors: `Invalid`, naming the field `token`.
    pub fn read(&self) -> Result<Secret<String>> {
        let text = match self {
            Self::File(path) => Secret::new(read_file("token", path)?),
            Self::Value(value) => value.clone(),
        };
        let token = text.expose().trim();
        if token.is_empty() {
            return Err(Error::invalid("token", "the token is empty"));
        }
        Ok(Secret::new(token.to_owned()))
    }
}

/// How the bus is reached.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Transport {
    /// A WebSocket at `/bus` of the management URL.
    #[default]
    WebSocket,
    /// TLS straight to the broker. There is no way through a proxy.
    Tls {
        /// `host` or `host:port`; the port is usually 4222.
        address: String,
    },
}

/// Management as the settings describe it, checked and read.
#[derive(Clone, Debug)]
pub struct Management {
    /// `https://fqdn[:port]/`.
    pub url: Url,
    /// PEM certificates to trust, and nothing else; `None` trusts the system's.
    pub ca_pem: Option<String>,
    /// The proxy on the way to the HTTP API and to the bus, if any.
    pub proxy: Option<Proxy>,
    /// Where the bus is.
    pub bus: BusAddress,
    /// Whom the bus client believes: `ca_pem`.
    pub tls: Tls,
}

impl Management {
    /// Checks the settings and reads the files that they name.
    ///
    /// Errors: `Invalid`, naming the setting.
    pub fn from_settings(settings: &AgentSettings) -> Result<Self> {
        let url = management_url(&settings.management_url)?;
        let ca_pem = settings.ca_file.as_deref().map(|path| read_file("ca-file", path));
        let ca_pem = ca_pem.transpose()?;
        let tls = Tls::new(ca_pem.as_deref())
            .map_err(|cause| Error::invalid("ca-file", cause.to_string()))?;
        let host = url.host_str().unwrap_or_default();
        let bus = match &settings.transport {
            Transport::WebSocket => bus_address("management-url", "wss", &authority(&url))?,
            Transport::Tls { address } => bus_address("transport", "tls", address)?,
        };
        let proxy = match &settings.proxy {
            Some(proxy) if !is_direct(host, &settings.no_proxy) => {
                Some(read_proxy(proxy, settings.proxy_credentials_file.as_deref())?)
            }
            _ => None,
        };
        if proxy.is_some() && matches!(bus, BusAddress::Tls { .. }) {
            return Err(Error::invalid(
                "transport",
                "the broker is not reached through a proxy; leave the transport out, so that \
                 the bus goes through the management URL, or name the host in no-proxy",
            ));
        }
        Ok(Self { url, ca_pem, proxy, bus, tls })
    }
}

/// `host` or `host:port`, with brackets around an IPv6 address.
fn authority(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

fn bus_address(field: &'static str, scheme: &str, address: &str) -> Result<BusAddress> {
    let address: Result<BusAddress, _> = format!("{scheme}://{address}").parse();
    address.map_err(|_| Error::invalid(field, "expected a host and at most a port"))
}

fn read_proxy(url: &Secret<String>, credentials: Option<&Path>) -> Result<Proxy> {
    let mut proxy =
        Proxy::parse(url.expose()).map_err(|cause| Error::invalid("proxy", cause.to_string()))?;
    if let Some(path) = credentials {
        let text = Secret::new(read_file("proxy-credentials-file", path)?);
        proxy.credentials = Some(user_and_password(text.expose()).ok_or_else(|| {
            Error::invalid("proxy-credentials-file", "expected one line with user:password")
        })?);
    }
    Ok(proxy)
}

/// Reads `user:password`; the password may contain colons, one newline at the
/// end is cut off.
fn user_and_password(text: &str) -> Option<ProxyCredentials> {
    let line = text.strip_suffix('\n').unwrap_or(text);
    let line = line.strip_suffix('\r').unwrap_or(line);
    let (user, password) = line.split_once(':')?;
    if user.is_empty() || line.contains(char::is_control) {
        return None;
    }
    Some(ProxyCredentials { user: user.to_owned(), password: Secret::new(password.to_owned()) })
}

fn management_url(text: &str) -> Result<Url> {
    let invalid = |message: &str| {
        Error::invalid("management-url", format!("{message}; expected https://fqdn[:port]"))
    };
    let url: Url = text.trim().parse().map_err(|_| invalid("it is no URL"))?;
    if url.scheme() != "https" {
        return Err(invalid("it must be https"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(invalid("it must not contain a user or password"));
    }
    if url.path() != "/" || url.query().is_some() || url.fragment().is_some() {
        return Err(invalid("it must end after the host"));
    }
    Ok(url)
}

fn read_file(field: &'static str, path: &Path) -> Result<String> {
    std::fs::read_to_string(path).map_err(|cause| {
        let message = format!("{} cannot be read: {cause}", path.display());
        Error::new(Kind::Invalid, "invalid", "The agent's settings cannot be used.")
            .with_field(field, message)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(url: &str) -> AgentSettings {
        AgentSettings::new(url, TokenSource::Value(Secret::new("t".to_owned())))
    }

    fn refusal(settings: &AgentSettings) -> String {
        let error = Management::from_settings(settings).unwrap_err();
        assert_eq!(error.kind(), Kind::Invalid);
        error.to_string()
    }

    fn file(content: &str) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        std::fs::write(&path, content).unwrap();
        (folder, path)
    }

    #[test]
    fn a_management_url_is_https_and_a_host() {
        let management =
            Management::from_settings(&settings("https://m.example.test:8443")).unwrap();
        assert_eq!(management.url.as_str(), "https://m.example.test:8443/");
        for (url, why) in [
            ("m.example.test", "it is no URL"),
            ("http://m.example.test", "it must be https"),
            ("https://me:hunter2@m.example.test", "user or password"),
            ("https://m.example.test/ui", "end after the host"),
            ("https://m.example.test/?a", "end after the host"),
            ("https://", "it is no URL"),
        ] {
            let text = refusal(&settings(url));
            assert!(text.contains(why) && text.contains("management-url"), "{url}: {text}");
            assert!(!text.contains("hunter2"));
        }
    }

    #[test]
    fn a_file_that_cannot_be_read_is_named_with_its_setting() {
        let mut settings = settings("https://m");
        settings.ca_file = Some("/no/such/ca.crt".into());
        let text = refusal(&settings);
        assert!(text.contains("ca-file: /no/such/ca.crt cannot be read"), "{text}");
    }

    #[test]
    fn a_ca_file_without_a_certificate_is_refused() {
        let (_folder, path) = file("not a certificate");
        let settings = AgentSettings { ca_file: Some(path), ..settings("https://m") };
        assert!(refusal(&settings).contains("ca-file: the CA bundle has no usable"));
    }

    #[test]
    fn a_token_is_read_from_its_file_without_the_newline() {
        let (_folder, path) = file(" abc\n");
        assert_eq!(TokenSource::File(path).read().unwrap().expose(), "abc");
        let (_folder, path) = file(" \n");
        let error = TokenSource::File(path).read().unwrap_err();
        assert!(error.to_string().contains("token: the token is empty"));
    }

    #[test]
    fn the_proxy_is_used_unless_no_proxy_names_the_host() {
        let (_folder, path) = file("me:secret\n");
        let mut settings = AgentSettings {
            proxy: Some("http://proxy:3128".to_owned().into()),
            proxy_credentials_file: Some(path),
            ..settings("https://m.example.test")
        };
        let proxy = Management::from_settings(&settings).unwrap().proxy.unwrap();
        assert_eq!(proxy.credentials.unwrap().user, "me");
        settings.no_proxy = "example.test".to_owned();
        assert!(Management::from_settings(&settings).unwrap().proxy.is_none());
    }

    #[test]
    fn credentials_of_the_proxy_that_cannot_be_read_are_not_shown() {
        let (_folder, path) = file("hunter2\n");
        let settings = AgentSettings {
            proxy: Some("http://proxy:3128".to_owned().into()),
            proxy_credentials_file: Some(path),
            ..settings("https://m")
        };
        let text = refusal(&settings);
        assert!(text.contains("user:password") && !text.contains("hunter2"), "{text}");
    }

    #[test]
    fn credentials_are_one_line_with_a_colon() {
        let read = |text| user_and_password(text).map(|c| (c.user, c.password.expose().clone()));
        assert_eq!(read("me:a:b\n"), Some(("me".to_owned(), "a:b".to_owned())));
        assert_eq!(read("me: \r\n"), Some(("me".to_owned(), " ".to_owned())));
        for text in ["", "me", ":secret", "me:a\nyou:b\n"] {
            assert_eq!(read(text), None, "{text:?}");
        }
    }

    #[test]
    fn the_bus_is_at_the_management_url_unless_the_broker_is_named() {
        let bus = |settings: &AgentSettings| Management::from_settings(settings).unwrap().bus;
        let mut settings = settings("https://m.example.test:8443");
        assert_eq!(bus(&settings).to_string(), "wss://m.example.test:8443/bus");
        settings.transport = Transport::Tls { address: "bus.example.test".to_owned() };
        assert_eq!(bus(&settings).to_string(), "tls://bus.example.test:4222");
        settings.management_url = "https://[fd00::1]".to_owned();
        settings.transport = Transport::WebSocket;
        assert_eq!(bus(&settings).to_string(), "wss://[fd00::1]:443/bus");
    }

    #[test]
    fn a_broker_that_cannot_be_dialled_is_refused() {
        for address in ["", ":4222", "m:99999", "m/x", "u@m"] {
            let transport = Transport::Tls { address: address.to_owned() };
            let settings = AgentSettings { transport, ..settings("https://m") };
            assert!(refusal(&settings).contains("transport"), "{address:?}");
        }
        let through_proxy = AgentSettings {
            transport: Transport::Tls { address: "m:4222".to_owned() },
            proxy: Some("http://proxy:3128".to_owned().into()),
            ..settings("https://m")
        };
        assert!(refusal(&through_proxy).contains("no-proxy"));
    }

    #[test]
    fn the_agent_looks_for_itself_where_the_manifest_puts_it() {
        assert_eq!(NAMESPACE, crate::clusters::manifest::NAMESPACE);
    }

    #[test]
    fn settings_show_no_token() {
        assert!(!format!("{:?}", settings("https://m")).contains("\"t\""));
    }
}
