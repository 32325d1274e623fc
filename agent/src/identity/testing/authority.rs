//! An authority of a test's own.

use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, CertifiedIssuer, DnType,
    ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose, SanType, date_time_ymd,
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use sha2::{Digest as _, Sha256};

use crate::{
    clock::{Clock as _, SystemClock},
    identity::{Identity, Profile},
};

pub(crate) const TRUST_DOMAIN: &str = "care.example";

/// For which names a server's certificate is.
pub(crate) type Names<'a> = &'a [&'a str];

/// When a certificate is valid, in days from now.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Validity(pub(crate) i64, pub(crate) i64);

impl Validity {
    pub(crate) const NOW: Self = Self(-1, 29);
    pub(crate) const PAST: Self = Self(-40, -10);

    fn set(self, params: &mut CertificateParams) {
        let day = |days: i64| {
            let seconds = SystemClock.now_ms() / 1000 + days * 86_400;
            date_time_ymd(1970, 1, 1) + Duration::from_secs(u64::try_from(seconds).unwrap())
        };
        (params.not_before, params.not_after) = (day(self.0), day(self.1));
    }
}

pub(crate) struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    pub(crate) fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        Self { issuer }
    }

    pub(crate) fn der(&self) -> CertificateDer<'static> {
        self.issuer.der().clone()
    }

    pub(crate) fn fingerprint(&self) -> [u8; 32] {
        Sha256::digest(self.der()).into()
    }

    /// A server's chain (leaf, authority) and key.
    pub(crate) fn server(
        &self,
        names: Names<'_>,
        validity: Validity,
    ) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        validity.set(&mut params);
        self.issue(&params)
    }

    /// The identity of a unit's agent, as the daemon at `url` would have issued it.
    pub(crate) fn agent(&self, ods: &str, url: &str, validity: Validity) -> Identity {
        let holder = format!("spiffe://{TRUST_DOMAIN}/unit/{ods}");
        let mut params = CertificateParams::default();
        params.subject_alt_names = vec![SanType::URI(holder.clone().try_into().unwrap())];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        validity.set(&mut params);
        let (chain, key) = self.issue(&params);
        let profile = Profile {
            daemon: url.to_owned(),
            trust_domain: TRUST_DOMAIN.to_owned(),
            holder,
        };
        Identity::new(profile, chain, key, vec![self.der()]).unwrap()
    }

    /// A client's certificate for a request.
    pub(crate) fn sign(&self, csr_der: &[u8], ods: &str, validity: Validity) -> CertificateDer<'static> {
        let mut csr = CertificateSigningRequestParams::from_der(&csr_der.to_vec().into()).unwrap();
        let holder = format!("spiffe://{TRUST_DOMAIN}/unit/{ods}");
        csr.params.subject_alt_names = vec![SanType::URI(holder.try_into().unwrap())];
        csr.params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        validity.set(&mut csr.params);
        csr.signed_by(&self.issuer).unwrap().der().clone()
    }

    fn issue(&self, params: &CertificateParams) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
        let key = KeyPair::generate().unwrap();
        let leaf = params.signed_by(&key, &self.issuer).unwrap();
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        (vec![leaf.der().clone(), self.der()], key)
    }
}
