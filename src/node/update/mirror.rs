//! Asking a mirror for the newest release, and fetching it.
//!
//! Owns: the addresses on a mirror, the limits of what is read from it, and
//! words for what goes wrong.
//! Must not know: who asks. Nothing here runs unless somebody asks for it.
//!
//! A mirror serves `palisade/latest.json`, `palisade/latest.json.sig` and
//! `palisade/palisade-VERSION.update` as plain files. Only what is signed is
//! believed: a mirror can hide a release, it cannot make one.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    time::Duration,
};

use reqwest::{Certificate, Client, NoProxy, Proxy, StatusCode, Url};
use tokio::time::timeout;

use super::{
    format::{INDEX, INDEX_SIGNATURE, MOST_MANIFEST_BYTES, MOST_SIGNATURE_BYTES, file_name},
    keep::io_failure,
    keys::TrustedKeys,
    verify::{Checked, file_bytes, verify_head},
};
use crate::{
    error::{Error, Kind, Result, chain},
    node::properties::Answers,
    secret::Secret,
};

/// How long it may take to connect to a mirror.
const TIME_TO_CONNECT: Duration = Duration::from_secs(10);
/// How long its index may take, so that whoever asks over the API, which gives
/// half a minute, hears why there is none.
const TIME_FOR_INDEX: Duration = Duration::from_secs(20);
/// How long it may be silent within a file.
const SILENCE: Duration = Duration::from_secs(30);

/// Where the mirror is and how it is reached.
#[derive(Clone, Debug)]
pub struct MirrorSettings {
    /// `https://…` or, for a directory of this machine, `file:///…`.
    pub url: String,
    /// The proxy in between, with its credentials.
    pub proxy: Option<Secret<String>>,
    /// What is reached without it.
    pub no_proxy: Vec<String>,
    /// Authorities that are trusted besides the system's, PEM.
    pub ca_pem: Option<String>,
}

impl MirrorSettings {
    /// The mirror that the operator has named, and the way to it.
    pub fn of(answers: &Answers) -> Option<Self> {
        Some(Self {
            url: answers.mirror_url.clone()?,
            proxy: answers.http_proxy.as_ref().map(|proxy| proxy.url().clone()),
            no_proxy: answers.no_proxy.clone(),
            ca_pem: answers.proxy_ca.clone(),
        })
    }
}

/// A mirror.
#[derive(Debug)]
pub struct Mirror {
    place: Place,
    /// A test says what it likes.
    pub(super) time_for_index: Duration,
}

#[derive(Debug)]
enum Place {
    Web(Box<Client>, Url),
    Directory(PathBuf),
}

/// The newest release of a mirror.
#[derive(Clone, Debug)]
pub struct Newest {
    /// What its manifest says; the signature is good.
    pub checked: Checked,
    bytes: u64,
}

impl Newest {
    /// How long its file is.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }
}

impl Mirror {
    /// A mirror. `Invalid` (`mirror-settings`) when the settings cannot be used.
    pub fn new(settings: &MirrorSettings) -> Result<Self> {
        let base = format!("{}/palisade/", settings.url.trim_end_matches('/'));
        let url = Url::parse(&base).map_err(|error| unusable("its URL", &error.to_string()))?;
        if url.scheme() == "file" {
            let path =
                url.to_file_path().map_err(|()| unusable("its URL", "it names no directory"))?;
            return Ok(Self::at(Place::Directory(path)));
        }
        Ok(Self::at(Place::Web(Box::new(client(settings)?), url)))
    }

    fn at(place: Place) -> Self {
        Self { place, time_for_index: TIME_FOR_INDEX }
    }

    /// The newest release that it has.
    ///
    /// `Unavailable` (`mirror-unreachable`, `mirror-refuses`), `NotFound`
    /// (`mirror-empty`), or as a signature that does not count.
    pub async fn newest(&self, keys: &TrustedKeys) -> Result<Newest> {
        let index = async {
            let text = self.small(INDEX, MOST_MANIFEST_BYTES).await?;
            let line = self.small(INDEX_SIGNATURE, MOST_SIGNATURE_BYTES).await?;
            Ok::<_, Error>((text, line))
        };
        let Ok(index) = timeout(self.time_for_index, index).await else {
            let limit = self.time_for_index.as_secs();
            return Err(not_reached(&self.host(), &format!("no answer within {limit} s")));
        };
        let (text, line) = index?;
        let checked = verify_head(text, &line, keys)?;
        let bytes = file_bytes(&checked, &line);
        Ok(Newest { checked, bytes })
    }

    /// Writes its file to `into`, which must not exist. Whatever came is to be
    /// verified as a whole: only its length is certain.
    pub async fn fetch(
        &self,
        newest: &Newest,
        into: &Path,
        percent: &mut (dyn FnMut(u8) + Send),
    ) -> Result<()> {
        let opened = OpenOptions::new().write(true).create_new(true).mode(0o600).open(into);
        let mut file = opened.map_err(unwritable)?;
        let name = file_name(&newest.checked.manifest.version);
        let (mut came, mut told) = (0_u64, 0);
        let mut source = self.open(&name).await?;
        while let Some(piece) = source.next().await? {
            came += piece.len() as u64;
            if came > newest.bytes {
                break;
            }
            // Pages go to the disk behind this call; it waits only when that cannot keep up.
            file.write_all(&piece).map_err(unwritable)?;
            let now = u8::try_from(came * 100 / newest.bytes.max(1)).unwrap_or(100);
            if now > told {
                told = now;
                percent(now);
            }
        }
        if came != newest.bytes {
            let message = format!("{name} on the mirror is not as long as its manifest says.");
            return Err(Error::new(Kind::Unavailable, "mirror-damaged", message)
                .with_hint("Try again later, or tell whoever keeps the mirror."));
        }
        file.sync_all().map_err(unwritable)
    }

    async fn small(&self, name: &str, most: u64) -> Result<Vec<u8>> {
        let mut source = self.open(name).await?;
        let mut bytes = Vec::new();
        while let Some(piece) = source.next().await? {
            bytes.extend_from_slice(&piece);
            if bytes.len() as u64 > most {
                let message = format!("{name} on the mirror is larger than it can be.");
                return Err(Error::new(Kind::Unavailable, "mirror-damaged", message));
            }
        }
        Ok(bytes)
    }

    fn host(&self) -> String {
        match &self.place {
            Place::Directory(directory) => directory.display().to_string(),
            Place::Web(_, base) => base.host_str().unwrap_or_default().to_owned(),
        }
    }

    async fn open(&self, name: &str) -> Result<Source> {
        match &self.place {
            Place::Directory(directory) => match File::open(directory.join(name)) {
                Ok(file) => Ok(Source::File(file)),
                Err(error) if error.kind() == io::ErrorKind::NotFound => Err(empty(name)),
                Err(error) => Err(io_failure("The mirror's directory cannot be read.", error)),
            },
            Place::Web(client, base) => {
                let url = base.join(name).map_err(Error::internal)?;
                let host = url.host_str().unwrap_or_default().to_owned();
                let response = client.get(url).send().await.map_err(|e| unreachable(&host, e))?;
                match response.status() {
                    StatusCode::OK => Ok(Source::Web(host, response)),
                    StatusCode::NOT_FOUND => Err(empty(name)),
                    status => {
                        let message = format!("The mirror {host} answers {status} for {name}.");
                        Err(Error::new(Kind::Unavailable, "mirror-refuses", message))
                    }
                }
            }
        }
    }
}

enum Source {
    File(File),
    Web(String, reqwest::Response),
}

impl Source {
    async fn next(&mut self) -> Result<Option<bytes::Bytes>> {
        match self {
            Self::Web(host, response) => {
                response.chunk().await.map_err(|error| unreachable(host, error))
            }
            Self::File(file) => {
                let mut piece = vec![0; 256 * 1024];
                let length = file
                    .read(&mut piece)
                    .map_err(|error| io_failure("The mirror's directory cannot be read.", error))?;
                piece.truncate(length);
                Ok((length > 0).then(|| piece.into()))
            }
        }
    }
}

/// Trusts the system's authorities and the given ones; goes through the given
/// proxy and no other; follows nobody elsewhere.
fn client(settings: &MirrorSettings) -> Result<Client> {
    let mut roots = Vec::new();
    for der in rustls_native_certs::load_native_certs().certs {
        // What the library cannot read it could not verify with either.
        roots.extend(Certificate::from_der(&der));
    }
    if let Some(pem) = &settings.ca_pem {
        let found = Certificate::from_pem_bundle(pem.as_bytes());
        roots.extend(found.map_err(|error| unusable("the CA of the proxy", &chain(&error)))?);
    }
    let mut builder = Client::builder()
        .https_only(true)
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(TIME_TO_CONNECT)
        .read_timeout(SILENCE)
        .tls_certs_only(roots)
        .user_agent(concat!("palisade/", env!("CARGO_PKG_VERSION")));
    if let Some(url) = &settings.proxy {
        let proxy = Proxy::all(url.expose().as_str())
            // The text of the error may repeat the password.
            .map_err(|_| unusable("its proxy", "the URL is none of a proxy"))?;
        builder = builder.proxy(proxy.no_proxy(NoProxy::from_string(&settings.no_proxy.join(","))));
    }
    builder.build().map_err(|error| unusable("its TLS", &chain(&error)))
}

fn unusable(what: &str, why: &str) -> Error {
    let message = format!("The mirror cannot be used: {what}: {why}.");
    Error::new(Kind::Invalid, "mirror-settings", message)
        .with_hint("Change it on the console of the appliance.")
}

fn unreachable(host: &str, error: reqwest::Error) -> Error {
    let error = error.without_url();
    let mut innermost: &dyn std::error::Error = &error;
    while let Some(inner) = innermost.source() {
        innermost = inner;
    }
    not_reached(host, &innermost.to_string())
}

fn not_reached(host: &str, why: &str) -> Error {
    let message = format!("The mirror {host} was not reached: {why}.");
    Error::new(Kind::Unavailable, "mirror-unreachable", message)
        .with_hint("Check its address, the proxy and the CA on the console of the appliance.")
}

fn empty(name: &str) -> Error {
    Error::new(Kind::NotFound, "mirror-empty", format!("The mirror has no palisade/{name}."))
        .with_hint("Ask whoever keeps the mirror to put a release there.")
}

fn unwritable(error: io::Error) -> Error {
    io_failure("The update cannot be written.", error)
}
