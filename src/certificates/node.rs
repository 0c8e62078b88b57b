//! The certificates by which the nodes of a cluster and their programs know
//! each other.
//!
//! Owns: their profiles, and when one is to be replaced.
//! Must not know: where they are kept, or which engine reads them.
//!
//! A node's certificate is a server's and a client's: every engine both calls
//! and is called by its peers. A user's certificate is a client's only; its
//! common name is the user that PostgreSQL lets in. A node's common name is no
//! user's, so a node's certificate alone opens no database.

use std::{fmt, net::IpAddr, time::Duration};

use rcgen::ExtendedKeyUsagePurpose::{ClientAuth, ServerAuth};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};

use super::{
    authority::{InternalCa, Profile, alternative_names},
    info::CertificateInfo,
    pem,
};
use crate::{
    clock::{Random, Timestamp},
    config::HostName,
    error::{Error, Result},
    secret::Secret,
};

/// Short: they are replaced without anybody's help.
const LIFE: Duration = Duration::from_hours(90 * 24);

/// Who a program of a node is to the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ClusterUser {
    /// PostgreSQL's superuser.
    Postgres,
    /// Whoever streams the changes of the primary.
    Replicator,
    /// Whoever turns a former primary back to the point where it went astray.
    Rewind,
    /// The management plane: owner of its database, client of etcd and Patroni.
    Palisade,
}

impl ClusterUser {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Postgres, Self::Replicator, Self::Rewind, Self::Palisade];

    /// The name of the user, and of the files of its certificate.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Postgres => "postgres",
            Self::Replicator => "replicator",
            Self::Rewind => "rewind",
            Self::Palisade => "palisade",
        }
    }
}

/// Why a certificate is to be replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Renewal {
    /// A third of its life or less is left, or it is not valid yet.
    Due,
    /// The node has another name or address now.
    Names,
    /// Another CA has issued it.
    Authority,
}

/// A certificate of a node or of one of its users, with its key.
#[derive(Clone)]
pub struct NodeCertificate {
    certificate_pem: String,
    key_pem: Secret<String>,
    info: CertificateInfo,
    /// What names the CA's key in it.
    issued_by: Option<Vec<u8>>,
}

impl fmt::Debug for NodeCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("NodeCertificate").field(&self.info).finish()
    }
}

impl InternalCa {
    /// Issues the certificate of a node, for its name, its address on the
    /// cluster's network and its loopback. It lives 90 days.
    pub fn issue_node(
        &self,
        name: &HostName,
        address: IpAddr,
        now: Timestamp,
        random: &dyn Random,
    ) -> Result<NodeCertificate> {
        // RFC 5280 allows 64 characters there; the names that count come below.
        let common_name = Some(format!("node {name}")).filter(|name| name.len() <= 64);
        let profile = Profile {
            common_name: Some(common_name.as_deref().unwrap_or("node")),
            names: alternative_names(&names_of(name, address)?, None)?,
            purposes: vec![ServerAuth, ClientAuth],
            life: LIFE,
        };
        self.issue_for_cluster(profile, now, random)
    }

    /// Issues the certificate by which a program of a node is this user to the
    /// engines. It lives 90 days.
    pub fn issue_user(
        &self,
        user: ClusterUser,
        now: Timestamp,
        random: &dyn Random,
    ) -> Result<NodeCertificate> {
        let profile = Profile {
            common_name: Some(user.name()),
            names: Vec::new(),
            purposes: vec![ClientAuth],
            life: LIFE,
        };
        self.issue_for_cluster(profile, now, random)
    }

    fn issue_for_cluster(
        &self,
        profile: Profile<'_>,
        now: Timestamp,
        random: &dyn Random,
    ) -> Result<NodeCertificate> {
        let (leaf, key) = self.issue(profile, now, random)?;
        let key = Secret::new(key);
        let PrivateKeyDer::Pkcs8(der) = key.expose() else {
            return Err(Error::internal("a new key is not in PKCS#8"));
        };
        let key_pem = Secret::new(pem::encode("PRIVATE KEY", der.secret_pkcs8_der()));
        NodeCertificate::from_parts(&pem::encode("CERTIFICATE", &leaf), &key_pem)
    }
}

impl NodeCertificate {
    /// Makes one of stored parts, as [`Self::certificate_pem`] and
    /// [`Self::key_pem`] returned them; an expired one too. `Kind::Internal`
    /// when the parts are broken or do not belong together.
    pub fn from_parts(certificate_pem: &str, key_pem: &Secret<String>) -> Result<Self> {
        let der =
            CertificateDer::from_pem_slice(certificate_pem.as_bytes()).map_err(Error::internal)?;
        let key = Secret::new(rcgen::KeyPair::from_pem(key_pem.expose()).map_err(Error::internal)?);
        let (_, parsed) = x509_parser::parse_x509_certificate(&der).map_err(Error::internal)?;
        if key.expose().public_key_raw() != &*parsed.public_key().subject_public_key.data {
            return Err(Error::internal("the key of a node does not fit its certificate"));
        }
        Ok(Self {
            certificate_pem: pem::encode("CERTIFICATE", &der),
            key_pem: key_pem.clone(),
            info: CertificateInfo::from_der(&der).map_err(Error::internal)?,
            issued_by: authority_key(&parsed),
        })
    }

    /// The certificate.
    pub fn certificate_pem(&self) -> &str {
        &self.certificate_pem
    }

    /// Its private key.
    pub fn key_pem(&self) -> &Secret<String> {
        &self.key_pem
    }

    /// The certificate, readable.
    pub fn info(&self) -> &CertificateInfo {
        &self.info
    }

    /// Why this certificate of a node that now has this name and address is to
    /// be replaced; nothing when it is not.
    pub fn renewal_of_node(
        &self,
        name: &HostName,
        address: IpAddr,
        authority: &InternalCa,
        now: Timestamp,
    ) -> Result<Option<Renewal>> {
        let fits = names_of(name, address)?.iter().all(|name| self.info.covers(name.as_str()));
        Ok(self.renewal(authority, now).or((!fits).then_some(Renewal::Names)))
    }

    /// Why this certificate is to be replaced whatever it is for; nothing when it is not.
    pub fn renewal(&self, authority: &InternalCa, now: Timestamp) -> Option<Renewal> {
        if self.issued_by.as_deref() == authority.key_identifier() {
            self.info.is_due_for_renewal(now).then_some(Renewal::Due)
        } else {
            Some(Renewal::Authority)
        }
    }
}

/// What a node is called by its peers, and by itself.
fn names_of(name: &HostName, address: IpAddr) -> Result<[HostName; 3]> {
    let host = |address: IpAddr| address.to_string().parse::<HostName>().map_err(Error::internal);
    Ok([name.clone(), host(address)?, host(IpAddr::from([127, 0, 0, 1]))?])
}

/// The identifier of the CA's key in a certificate.
fn authority_key(certificate: &x509_parser::certificate::X509Certificate<'_>) -> Option<Vec<u8>> {
    certificate.iter_extensions().find_map(|extension| match extension.parsed_extension() {
        x509_parser::extensions::ParsedExtension::AuthorityKeyIdentifier(found) => {
            found.key_identifier.as_ref().map(|key| key.0.to_vec())
        }
        _ => None,
    })
}
