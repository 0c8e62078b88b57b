//! Whether a certificate that an administrator brings will work.
//!
//! Owns: every check before an imported certificate is used, and the sentence
//! that explains each failure.
//! Must not know: who imports it or where it is kept afterwards.
//!
//! Our own checks exist to explain. The last word has the verification that
//! clients do: rustls' own, with the chain's last certificate as the anchor.

use std::sync::Arc;

use rustls::{
    RootCertStore,
    client::{WebPkiServerVerifier, danger::ServerCertVerifier, verify_server_name},
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, ServerName, UnixTime},
    server::ParsedCertificate,
};

use super::{pem, server::ServerCertificate};
use crate::{clock::Timestamp, config::HostName, error::Error, secret::Secret};

mod chain;
mod key;
mod quality;

use chain::Chain;

/// The field of the certificate and its chain in the import request.
const CERTIFICATE: &str = "certificate";
/// The field of the private key in the import request.
const PRIVATE_KEY: &str = "privateKey";

/// An imported certificate that passed every check.
#[derive(Debug)]
pub struct ImportedCertificate {
    /// Ready to serve and to store.
    pub certificate: ServerCertificate,
    /// What still deserves attention, as full sentences; nothing here is an obstacle.
    pub notes: Vec<String>,
}

/// What is wrong, by field: ends of sentences.
#[derive(Debug, Default)]
struct Problems(Vec<(&'static str, String)>);

impl Problems {
    fn add(&mut self, field: &'static str, message: impl Into<String>) {
        self.0.push((field, message.into()));
    }

    /// What has been found so far and one thing more, which ends the checks.
    fn and(&self, field: &'static str, message: String) -> Error {
        self.0.iter().fold(Error::invalid(field, message), |error, (field, message)| {
            error.with_field(*field, message)
        })
    }

    fn into_result(mut self) -> Result<(), Error> {
        match self.0.pop() {
            Some((field, message)) => Err(self.and(field, message)),
            None => Ok(()),
        }
    }
}

/// Checks a certificate with its chain and its key as an administrator pasted
/// them: that they are readable, belong together, form a chain up to a CA, are
/// valid at `now`, strong enough, meant for servers, and cover every name in
/// `wanted`. `Kind::Invalid` with the fields `certificate` and `privateKey`,
/// one entry for each problem. The error never repeats the key.
pub fn validate_import(
    chain_pem: &str,
    key_pem: &Secret<String>,
    wanted: &[HostName],
    now: Timestamp,
) -> Result<ImportedCertificate, Error> {
    let mut problems = Problems::default();
    let key = key::read(key_pem).map_err(|message| problems.add(PRIVATE_KEY, message)).ok();
    let ders = chain::read(chain_pem).map_err(|message| problems.and(CERTIFICATE, message))?;
    let chain = Chain::parse(&ders).map_err(|message| problems.and(CERTIFICATE, message))?;
    let own = key.as_ref().map(key::Key::public_spki);
    // Only where the first certificate is the server's can its names be wrong.
    if chain.check_structure(own, &mut problems) {
        quality::check(&chain, now, &mut problems);
        check_names(&chain, wanted, &mut problems);
    }
    problems.into_result()?;
    let Some(key) = key else { return Err(Error::internal("a missing key is no problem")) };

    final_verdict(&ders, wanted, now)?;
    let notes = chain.notes(wanted);
    let anchor_pem = pem::encode("CERTIFICATE", chain.anchor_der());
    // Clients have the root already, or do not trust it: sending it is waste.
    let sent = chain.without_root();
    let certificate = ServerCertificate::new(ders[..sent].to_vec(), key.into_der(), anchor_pem)?;
    Ok(ImportedCertificate { certificate, notes })
}

/// Asks rustls about every name, so that the answer is the one that clients give.
fn check_names(chain: &Chain<'_>, wanted: &[HostName], problems: &mut Problems) {
    let parsed = match ParsedCertificate::try_from(chain.leaf_der()) {
        Ok(parsed) => parsed,
        Err(error) => return problems.add(CERTIFICATE, refusal(&error)),
    };
    let is_covered = |name: &&HostName| {
        ServerName::try_from(name.as_str())
            .is_ok_and(|name| verify_server_name(&parsed, &name).is_ok())
    };
    let missing: Vec<&str> =
        wanted.iter().filter(|name| !is_covered(name)).map(HostName::as_str).collect();
    if missing.is_empty() {
        return;
    }
    let covered = match chain.leaf_names() {
        [] => "no names at all: browsers look at the subject alternative names only, not at the \
               common name"
            .to_owned(),
        names => names.join(", "),
    };
    let missing = missing.join(", ");
    problems
        .add(CERTIFICATE, format!("the certificate does not cover {missing}; it covers {covered}"));
}

fn refusal(error: &rustls::Error) -> String {
    format!("clients would refuse the certificate or one of its chain: {error}")
}

/// What a client with the chain's last certificate as its only anchor says.
fn final_verdict(
    ders: &[CertificateDer<'static>],
    wanted: &[HostName],
    now: Timestamp,
) -> Result<(), Error> {
    let [leaf, above @ ..] = ders else { return Err(Error::internal("an empty chain")) };
    let refused = |error: rustls::Error| Error::invalid(CERTIFICATE, refusal(&error));
    let mut roots = RootCertStore::empty();
    let anchor = above.last().unwrap_or(leaf);
    roots.add(anchor.clone()).map_err(refused)?;
    let provider = Arc::new(aws_lc_rs::default_provider());
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider)
        .build()
        .map_err(Error::internal)?;
    let seconds = u64::try_from(now.as_seconds()).unwrap_or(0);
    let at = UnixTime::since_unix_epoch(std::time::Duration::from_secs(seconds));
    for name in wanted {
        let name = ServerName::try_from(name.as_str()).map_err(Error::internal)?;
        verifier.verify_server_cert(leaf, above, &name, &[], at).map_err(refused)?;
    }
    Ok(())
}
