//! What the agent is told when it starts.
//!
//! Owns: the settings, reading the files that they name, and saying which
//! setting cannot be used and why.
//! Must not know: the command line or the environment.

use std::path::{Path, PathBuf};

use reqwest::Url;

use super::proxy::{Proxy, ProxyCredentials, is_direct};
use crate::{
    error::{Error, Kind, Result},
    secret::Secret,
};

/// The name of the ConfigMap that keeps the agent's identity.
pub const STATE_NAME: &str = "palisade-agent-state";
/// The namespace that the import manifest creates.
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
    /// `http://host:port` or `socks5://host:port`.
    pub proxy: Option<String>,
    /// A file with `user:password` for the proxy.
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
    /// TLS straight to the broker at `host:port`.
    Tls {
        /// `host:port`, usually port 4222.
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
    /// How the bus is reached.
    pub transport: Transport,
    proxy: Option<Proxy>,
    no_proxy: String,
}

impl Management {
    /// Checks the settings and reads the files that they name.
    ///
    /// Errors: `Invalid`, naming the setting.
    pub fn from_settings(settings: &AgentSettings) -> Result<Self> {
        let url = management_url(&settings.management_url)?;
        let ca_pem = settings.ca_file.as_deref().map(|path| read_file("ca-file", path));
        let ca_pem = ca_pem.transpose()?;
        if ca_pem.as_deref().is_some_and(|pem| !pem.contains("-----BEGIN CERTIFICATE-----")) {
            return Err(Error::invalid("ca-file", "there is no PEM certificate in it"));
        }
        if let Transport::Tls { address } = &settings.transport {
            broker_host(address).ok_or_else(|| {
                Error::invalid("transport", "expected host:port for the broker, e.g. fqdn:4222")
            })?;
        }
        let proxy = match &settings.proxy {
            Some(proxy) => Some(Proxy::parse(proxy, proxy_credentials(settings)?)?),
            None => None,
        };
        let (transport, no_proxy) = (settings.transport.clone(), settings.no_proxy.clone());
        Ok(Self { url, ca_pem, transport, proxy, no_proxy })
    }

    /// The proxy on the way to the HTTP API, if any.
    pub fn api_proxy(&self) -> Option<&Proxy> {
        self.proxy_to(self.url.host_str().unwrap_or_default())
    }

    /// The proxy on the way to the bus, if any.
    pub fn bus_proxy(&self) -> Option<&Proxy> {
        match &self.transport {
            Transport::WebSocket => self.api_proxy(),
            Transport::Tls { address } => self.proxy_to(broker_host(address).unwrap_or_default()),
        }
    }

    fn proxy_to(&self, host: &str) -> Option<&Proxy> {
        self.proxy.as_ref().filter(|_| !is_direct(host, &self.no_proxy))
    }
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

fn broker_host(address: &str) -> Option<&str> {
    let (host, port) = address.rsplit_once(':')?;
    let usable = !host.is_empty() && port.parse::<u16>().is_ok_and(|port| port != 0);
    usable.then_some(host)
}

fn proxy_credentials(settings: &AgentSettings) -> Result<Option<ProxyCredentials>> {
    let Some(path) = &settings.proxy_credentials_file else { return Ok(None) };
    let text = Secret::new(read_file("proxy-credentials-file", path)?);
    let credentials = ProxyCredentials::parse(text.expose()).ok_or_else(|| {
        Error::invalid("proxy-credentials-file", "expected one line with user:password")
    })?;
    Ok(Some(credentials))
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
        assert!(refusal(&settings).contains("no PEM certificate"));
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
    fn the_proxy_is_used_unless_no_proxy_names_the_host_that_is_dialled() {
        let (_folder, path) = file("me:secret\n");
        let mut settings = AgentSettings {
            proxy: Some("http://proxy:3128".to_owned()),
            proxy_credentials_file: Some(path),
            ..settings("https://m.example.test")
        };
        let management = Management::from_settings(&settings).unwrap();
        let credentials = management.api_proxy().unwrap().credentials.clone();
        assert_eq!(credentials.unwrap().user, "me");
        settings.no_proxy = "example.test".to_owned();
        settings.transport = Transport::Tls { address: "bus.other.test:4222".to_owned() };
        let management = Management::from_settings(&settings).unwrap();
        assert!(management.api_proxy().is_none() && management.bus_proxy().is_some());
    }

    #[test]
    fn credentials_of_the_proxy_that_cannot_be_read_are_not_shown() {
        let (_folder, path) = file("hunter2\n");
        let settings = AgentSettings {
            proxy: Some("http://proxy:3128".to_owned()),
            proxy_credentials_file: Some(path),
            ..settings("https://m")
        };
        let text = refusal(&settings);
        assert!(text.contains("user:password") && !text.contains("hunter2"), "{text}");
    }

    #[test]
    fn the_brokers_address_needs_a_port() {
        for address in ["", "m", "m:", ":4222", "m:0", "m:99999"] {
            let transport = Transport::Tls { address: address.to_owned() };
            let settings = AgentSettings { transport, ..settings("https://m") };
            assert!(refusal(&settings).contains("transport"), "{address:?}");
        }
    }

    #[test]
    fn settings_show_no_token() {
        assert!(!format!("{:?}", settings("https://m")).contains("\"t\""));
    }
}
