//! The certificates of an import and how they hang together.

use rustls::pki_types::{CertificateDer, pem::PemObject};
use x509_parser::{certificate::X509Certificate, prelude::FromDer};

use super::{CERTIFICATE, PRIVATE_KEY, Problems};
use crate::{certificates::info::CertificateInfo, config::HostName};

/// More certificates than any real chain has.
const LONGEST: usize = 10;

/// Reads all certificates in `pem`; the error is the end of a sentence.
pub(super) fn read(pem: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    if !pem.contains("-----BEGIN ") {
        return Err("this is not PEM: it must start with -----BEGIN CERTIFICATE-----; convert \
                    other forms with openssl x509 or openssl pkcs12"
            .into());
    }
    let ders = CertificateDer::pem_slice_iter(pem.as_bytes())
        .collect::<Result<Vec<_>, _>>()
        .map_err(|_| {
            "the PEM text is damaged; copy the whole file, its first and last lines \
                      included"
        })?;
    match ders.len() {
        0 if pem.contains("CERTIFICATE REQUEST-----") => {
            Err("this is a request for a certificate; send it to your CA and import its answer"
                .into())
        }
        0 => Err("there is no certificate in it".into()),
        1..=LONGEST => Ok(ders),
        more => Err(format!("there are {more} certificates in it; a chain has at most {LONGEST}")),
    }
}

/// One certificate of the chain.
pub(super) struct Link<'a> {
    pub(super) der: &'a CertificateDer<'static>,
    pub(super) parsed: X509Certificate<'a>,
    pub(super) info: CertificateInfo,
}

impl Link<'_> {
    pub(super) fn is_self_issued(&self) -> bool {
        self.parsed.subject().as_raw() == self.parsed.issuer().as_raw()
    }

    fn is_issued_by(&self, issuer: &Self) -> bool {
        self.parsed.issuer().as_raw() == issuer.parsed.subject().as_raw()
    }
}

/// The certificates in the order of the file; the first is the leaf.
pub(super) struct Chain<'a>(pub(super) Vec<Link<'a>>);

impl<'a> Chain<'a> {
    /// Parses certificates, of which there is at least one.
    pub(super) fn parse(ders: &'a [CertificateDer<'static>]) -> Result<Self, String> {
        let links = ders.iter().enumerate().map(|(position, der)| {
            let unreadable = || format!("certificate {} in the file cannot be read", position + 1);
            let (rest, parsed) = X509Certificate::from_der(der).map_err(|_| unreadable())?;
            let info = CertificateInfo::from_der(der).map_err(|_| unreadable())?;
            if rest.is_empty() { Ok(Link { der, parsed, info }) } else { Err(unreadable()) }
        });
        links.collect::<Result<_, _>>().map(Self)
    }

    pub(super) fn leaf(&self) -> &Link<'a> {
        &self.0[0]
    }

    pub(super) fn leaf_der(&self) -> &'a CertificateDer<'static> {
        self.leaf().der
    }

    pub(super) fn leaf_names(&self) -> &[String] {
        &self.leaf().info.names
    }

    fn last(&self) -> &Link<'a> {
        &self.0[self.0.len() - 1]
    }

    /// The certificate that clients have to trust.
    pub(super) fn anchor_der(&self) -> &'a CertificateDer<'static> {
        self.last().der
    }

    /// How many certificates are left without the root at the end.
    pub(super) fn without_root(&self) -> usize {
        let ends_in_root = self.0.len() > 1 && self.last().is_self_issued();
        self.0.len() - usize::from(ends_in_root)
    }

    /// `certificate 2 (CN=Example CA)`.
    pub(super) fn title(&self, position: usize) -> String {
        match &*self.0[position].info.subject {
            "" => format!("certificate {}", position + 1),
            subject => format!("certificate {} ({subject})", position + 1),
        }
    }

    /// Whether the leaf comes first and each certificate is signed by the next
    /// one. That the key is somebody else's is a problem of its own.
    pub(super) fn check_structure(&self, own_spki: Option<&[u8]>, problems: &mut Problems) -> bool {
        let owner = own_spki
            .map(|spki| self.0.iter().position(|link| link.parsed.public_key().raw == spki));
        if owner == Some(None) {
            problems.add(
                PRIVATE_KEY,
                "the key does not belong to the first certificate in the file, nor to any other",
            );
        }
        let problem = self.wrong_leaf(owner.flatten()).or_else(|| self.broken_link());
        let is_sound = problem.is_none();
        problems.0.extend(problem.map(|problem| (CERTIFICATE, problem)));
        is_sound
    }

    /// Why the first certificate cannot be the server's; `owner` is the
    /// position of the one that belongs to the key.
    fn wrong_leaf(&self, owner: Option<usize>) -> Option<String> {
        let title = self.title(0);
        if let Some(owner) = owner.filter(|owner| *owner > 0) {
            return Some(format!(
                "the order is wrong: {} belongs to the key and must come first, followed by the \
                 certificate that signed it, and so on",
                self.title(owner)
            ));
        }
        if self.leaf().is_self_issued() {
            return Some(format!(
                "{title} is signed by itself, which TLS clients refuse even when they know it: \
                 make a CA, let it sign a certificate for this server, and import that one \
                 followed by the CA's"
            ));
        }
        self.leaf()
            .parsed
            .is_ca()
            .then(|| format!("{title} is a CA's; the certificate of this server must come first"))
    }

    /// Why the certificates are no chain.
    fn broken_link(&self) -> Option<String> {
        // The last one is the anchor: whoever trusts it needs nobody above it.
        let to_check = self.0.len().saturating_sub(1).max(1);
        let (position, link) =
            self.0.iter().enumerate().take(to_check).find(|(position, link)| {
                !self.0.get(position + 1).is_some_and(|next| link.is_issued_by(next))
            })?;
        let title = self.title(position);
        if link.is_self_issued() {
            return Some(format!(
                "{title} is the end of the chain, but {} follows; remove what does not belong to it",
                self.title(position + 1)
            ));
        }
        Some(match self.0.iter().position(|other| link.is_issued_by(other)) {
            Some(issuer) => format!(
                "the order is wrong: {title} must be followed by {}, which signed it",
                self.title(issuer)
            ),
            None => format!(
                "the chain is incomplete: the certificate of {} is missing, which signed {title}; \
                 append it",
                link.info.issuer
            ),
        })
    }

    /// What is worth knowing although it is no obstacle.
    pub(super) fn notes(&self, wanted: &[HostName]) -> Vec<String> {
        let mut notes = Vec::new();
        if !self.last().is_self_issued() {
            notes.push(format!(
                "The chain ends with {}, which {} signed. Browsers accept it if they trust that \
                 issuer; agents trust the last certificate of the chain.",
                self.last().info.subject,
                self.last().info.issuer
            ));
        }
        let fqdn = wanted.iter().find(|name| name.address().is_none());
        if let Some(fqdn) = fqdn
            && !self.leaf_names().iter().any(|name| *name == format!("*.{fqdn}"))
        {
            notes.push(format!(
                "It does not cover *.{fqdn}, so tenants cannot be reached under addresses of their own."
            ));
        }
        notes
    }
}
