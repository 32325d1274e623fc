//! A new key with its certificate signing request, and what comes back for it.

use handfast_proto::{
    ids::{Holder, OdsCode},
    v1::{EnrolResponse, enrol_response},
};
use rcgen::{CertificateParams, DistinguishedName, KeyPair, PKCS_ECDSA_P256_SHA256};
use rustls_pki_types::CertificateDer;
use zeroize::Zeroizing;

use super::{DaemonUrl, IdentityError, Profile};

/// A key made here, and the request for a certificate for it. The key never travels.
pub struct NewKey {
    /// PKCS#8 in PEM.
    pub key_pem: Zeroizing<String>,
    /// PKCS#10 (RFC 2986), DER. Names nobody: the daemon sets every name.
    pub csr_der: Vec<u8>,
}

impl NewKey {
    /// Makes an ECDSA P-256 key.
    pub fn make() -> Result<Self, IdentityError> {
        let failed = |e: rcgen::Error| IdentityError::Broken(format!("a new key could not be made: {e}"));
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(failed)?;
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        let csr = params.serialize_request(&key).map_err(failed)?;
        Ok(Self {
            key_pem: Zeroizing::new(key.serialize_pem()),
            csr_der: csr.der().to_vec(),
        })
    }
}

/// What the daemon issued, sorted.
#[derive(Debug)]
pub struct Issued {
    /// The new profile.
    pub profile: Profile,
    /// The holder's certificate first.
    pub chain: Vec<CertificateDer<'static>>,
    /// The authorities to trust.
    pub authorities: Vec<CertificateDer<'static>>,
}

impl Issued {
    /// Reads an answer to Enrol or Renew.
    pub fn read(answer: EnrolResponse, daemon: &DaemonUrl) -> Result<Self, IdentityError> {
        let unit: OdsCode = match &answer.holder {
            Some(enrol_response::Holder::Unit(ods)) => ods
                .parse()
                .map_err(|e| IdentityError::Broken(format!("the daemon names the unit {ods:?}: {e}")))?,
            Some(enrol_response::Holder::Person(_)) => {
                return Err(IdentityError::Broken(
                    "it is a person's; people enrol with 'handfastctl enrol'".to_owned(),
                ));
            }
            None => {
                return Err(IdentityError::Broken(
                    "the daemon does not say whose it is".to_owned(),
                ));
            }
        };
        let owned = |der: Vec<bytes::Bytes>| {
            der.into_iter()
                .map(|d| CertificateDer::from(Vec::from(d)))
                .collect()
        };
        Ok(Self {
            profile: Profile {
                daemon: daemon.to_string(),
                holder: Holder::Unit(unit).to_uri(&answer.trust_domain),
                trust_domain: answer.trust_domain,
            },
            chain: owned(answer.chain_der),
            authorities: owned(answer.ca_der),
        })
    }
}
