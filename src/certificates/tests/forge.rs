//! Makes certificates, good ones and bad ones.

use rcgen::{
    BasicConstraints, Certificate, CertificateParams, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, PublicKeyData,
};

use crate::{
    clock::{SystemRandom, Timestamp},
    config::HostName,
    secret::Secret,
};

/// The moment in which the tests take place.
pub(super) fn now() -> Timestamp {
    "2026-11-22T06:00:00Z".parse().unwrap()
}

pub(super) const RANDOM: SystemRandom = SystemRandom;

pub(super) fn host(name: &str) -> HostName {
    name.parse().unwrap()
}

fn dates(params: &mut CertificateParams, from: (i32, u8, u8), to: (i32, u8, u8)) {
    params.not_before = rcgen::date_time_ymd(from.0, from.1, from.2);
    params.not_after = rcgen::date_time_ymd(to.0, to.1, to.2);
}

/// A CA and its key.
pub(super) struct Authority {
    pub(super) certificate: Certificate,
    params: CertificateParams,
    key: KeyPair,
}

impl Authority {
    fn params(name: &str) -> CertificateParams {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        dates(&mut params, (2026, 1, 1), (2036, 1, 1));
        params
    }

    /// A root.
    pub(super) fn root(name: &str) -> Self {
        let (params, key) = (Self::params(name), KeyPair::generate().unwrap());
        let certificate = params.self_signed(&key).unwrap();
        Self { certificate, params, key }
    }

    /// A CA below this one.
    pub(super) fn intermediate(&self, name: &str) -> Self {
        self.intermediate_with(name, |_| {})
    }

    /// A CA below this one that differs by `change`.
    pub(super) fn intermediate_with(
        &self,
        name: &str,
        change: impl FnOnce(&mut CertificateParams),
    ) -> Self {
        let (mut params, key) = (Self::params(name), KeyPair::generate().unwrap());
        change(&mut params);
        let certificate = params.signed_by(&key, &self.issuer()).unwrap();
        Self { certificate, params, key }
    }

    fn issuer(&self) -> Issuer<'_, &KeyPair> {
        Issuer::from_params(&self.params, &self.key)
    }

    pub(super) fn pem(&self) -> String {
        self.certificate.pem()
    }

    pub(super) fn key_pem(&self) -> Secret<String> {
        Secret::new(self.key.serialize_pem())
    }

    /// A server's certificate that differs from a good one by `change`.
    pub(super) fn leaf_with(
        &self,
        key: &impl PublicKeyData,
        change: impl FnOnce(&mut CertificateParams),
    ) -> Certificate {
        let mut params = CertificateParams::new(vec!["palisade.test".to_owned()]).unwrap();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, "palisade.test");
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        dates(&mut params, (2026, 11, 1), (2027, 11, 1));
        change(&mut params);
        params.signed_by(key, &self.issuer()).unwrap()
    }

    /// A good server's certificate and its key, both PEM.
    pub(super) fn leaf(&self) -> (String, Secret<String>) {
        let key = KeyPair::generate().unwrap();
        (self.leaf_with(&key, |_| {}).pem(), Secret::new(key.serialize_pem()))
    }

    /// A server's certificate that differs from a good one, and its key, both PEM.
    pub(super) fn odd_leaf(
        &self,
        change: impl FnOnce(&mut CertificateParams),
    ) -> (String, Secret<String>) {
        let key = KeyPair::generate().unwrap();
        (self.leaf_with(&key, change).pem(), Secret::new(key.serialize_pem()))
    }
}

/// Changes the dates of a leaf.
pub(super) fn valid(from: (i32, u8, u8), to: (i32, u8, u8)) -> impl FnOnce(&mut CertificateParams) {
    move |params| dates(params, from, to)
}
