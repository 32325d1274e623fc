//! The deployment's certificate authority: makes itself at `init`, is loaded at `serve`, and signs leaves.
//!
//! Invariants: its key is ECDSA P-256 and belongs to its certificate; every name in what it signs is set
//! here, never taken from a request.

use std::io;

use aws_lc_rs::digest;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    PKCS_ECDSA_P256_SHA256, SerialNumber,
};
use rustls_pki_types::{CertificateDer, pem::PemObject as _};
use x509_parser::prelude::{FromDer as _, X509Certificate};
use zeroize::Zeroizing;

use super::leaf::{Validity, set_validity};
use crate::random::Random;

/// How long an authority holds, in milliseconds: ten years. Holders get a new bundle with every renewal.
const AUTHORITY_LIFETIME_MS: i64 = 10 * 365 * 24 * 3600 * 1000;

/// How far an authority's beginning is put back, in milliseconds, for machines whose clock is behind.
const AUTHORITY_BACKDATE_MS: i64 = 24 * 3600 * 1000;

/// Bytes of a serial number (RFC 5280 section 4.1.2.2: positive, at most 20).
pub(super) const SERIAL_BYTES: usize = 16;

/// Why an authority cannot be made or used.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    /// The trust domain cannot stand in a SPIFFE id.
    #[error(
        "a trust domain is 1 to 128 small letters, digits, '.', '-' and '_', such as care.example; {0:?} is not"
    )]
    TrustDomain(String),
    /// The certificate or key cannot be read.
    #[error("the authority's {part} cannot be read: {reason}")]
    Unreadable {
        /// Which of the two.
        part: &'static str,
        /// What the reader said.
        reason: String,
    },
    /// The key is another's.
    #[error("the authority's key does not belong to its certificate")]
    KeyMismatch,
    /// The certificate is no authority's.
    #[error("the authority's certificate may not sign certificates")]
    NoAuthority,
    /// It no longer holds.
    #[error("the authority's certificate has expired")]
    Expired,
    /// Signing failed.
    #[error("the authority could not sign: {0}")]
    Sign(#[from] rcgen::Error),
    /// No randomness.
    #[error("the machine gives no random bytes: {0}")]
    Random(#[from] io::Error),
}

/// A deployment's certificate authority.
#[derive(Debug)]
pub struct Authority {
    pub(super) issuer: Issuer<'static, KeyPair>,
    pub(super) certificate: CertificateDer<'static>,
    pub(super) not_after: i64,
    fingerprint: [u8; 32],
    trust_domain: String,
}

/// An authority just made, with what is to be kept of it.
pub struct NewAuthority {
    /// Ready to sign.
    pub authority: Authority,
    /// PKCS#8, PEM. The deployment's root secret.
    pub key_pem: Zeroizing<String>,
    /// PEM.
    pub certificate_pem: String,
}

impl Authority {
    /// Makes a new authority.
    pub fn create(trust_domain: &str, now: i64, random: &dyn Random) -> Result<NewAuthority, AuthorityError> {
        check_trust_domain(trust_domain)?;
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let mut name = DistinguishedName::new();
        // RFC 5280 bounds a common name at 64 characters; the trust domain may be longer.
        let shown: String = trust_domain.chars().take(48).collect();
        name.push(DnType::CommonName, format!("Handfast CA {shown}"));
        let mut params = CertificateParams::default();
        params.distinguished_name = name;
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.serial_number = Some(SerialNumber::from_slice(&serial(random)?));
        let validity = Validity {
            not_before: now - AUTHORITY_BACKDATE_MS,
            not_after: now + AUTHORITY_LIFETIME_MS,
        };
        set_validity(&mut params, validity);
        let certificate = params.self_signed(&key)?;
        let key_pem = Zeroizing::new(key.serialize_pem());
        let certificate_pem = certificate.pem();
        let authority = Self::load(&key_pem, &certificate_pem, trust_domain, now)?;
        Ok(NewAuthority {
            authority,
            key_pem,
            certificate_pem,
        })
    }

    /// Takes up an authority from what was kept, and checks that its parts belong together.
    pub fn load(
        key_pem: &str,
        certificate_pem: &str,
        trust_domain: &str,
        now: i64,
    ) -> Result<Self, AuthorityError> {
        check_trust_domain(trust_domain)?;
        let unreadable = |part: &'static str, reason: String| AuthorityError::Unreadable { part, reason };
        let key = KeyPair::from_pkcs8_pem_and_sign_algo(key_pem, &PKCS_ECDSA_P256_SHA256)
            .map_err(|e| unreadable("key", e.to_string()))?;
        let certificate = read_certificate_pem(certificate_pem)?;
        let (_, parsed) = X509Certificate::from_der(&certificate)
            .map_err(|_| unreadable("certificate", "it is not X.509".to_owned()))?;
        if parsed.public_key().subject_public_key.data.as_ref() != key.public_key_raw() {
            return Err(AuthorityError::KeyMismatch);
        }
        if !parsed.is_ca() {
            return Err(AuthorityError::NoAuthority);
        }
        let not_after = parsed.validity().not_after.timestamp().saturating_mul(1000);
        if not_after <= now {
            return Err(AuthorityError::Expired);
        }
        let issuer = Issuer::from_ca_cert_der(&certificate, key)?;
        let fingerprint = fingerprint(&certificate);
        Ok(Self {
            issuer,
            certificate,
            not_after,
            fingerprint,
            trust_domain: trust_domain.to_owned(),
        })
    }

    /// SHA-256 of its certificate (DER), as every enrolment token carries it.
    pub fn fingerprint(&self) -> &[u8; 32] {
        &self.fingerprint
    }

    /// Its certificate.
    pub fn certificate(&self) -> &CertificateDer<'static> {
        &self.certificate
    }

    /// The SPIFFE trust domain of what it signs.
    pub fn trust_domain(&self) -> &str {
        &self.trust_domain
    }
}

/// The first certificate in a PEM text.
pub fn read_certificate_pem(pem: &str) -> Result<CertificateDer<'static>, AuthorityError> {
    CertificateDer::from_pem_slice(pem.as_bytes()).map_err(|e| AuthorityError::Unreadable {
        part: "certificate",
        reason: e.to_string(),
    })
}

/// Checks that a name can be a trust domain (SPIFFE-ID section 2.1; shorter than it allows, so that every
/// id fits).
pub fn check_trust_domain(name: &str) -> Result<(), AuthorityError> {
    let fits = (1..=128).contains(&name.len())
        && name
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'-' | b'_'));
    if fits {
        Ok(())
    } else {
        Err(AuthorityError::TrustDomain(name.to_owned()))
    }
}

/// SHA-256 of a certificate (DER).
fn fingerprint(certificate: &CertificateDer<'_>) -> [u8; 32] {
    let mut out = [0; 32];
    let digest = digest::digest(&digest::SHA256, certificate);
    out.copy_from_slice(digest.as_ref());
    out
}

/// A random serial number, positive and of full length.
pub(super) fn serial(random: &dyn Random) -> io::Result<[u8; SERIAL_BYTES]> {
    let mut serial = [0; SERIAL_BYTES];
    random.fill(&mut serial)?;
    serial[0] = serial[0] & 0x7f | 0x40;
    Ok(serial)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::OsRandom;

    const NOW: i64 = 1_790_000_000_000;

    #[test]
    fn an_authority_is_taken_up_again_as_it_was_kept() {
        let new = Authority::create("care.example", NOW, &OsRandom).unwrap();
        let again = Authority::load(&new.key_pem, &new.certificate_pem, "care.example", NOW).unwrap();
        assert_eq!(again.fingerprint(), new.authority.fingerprint());
    }

    #[test]
    fn what_does_not_belong_together_is_refused() {
        let one = Authority::create("care.example", NOW, &OsRandom).unwrap();
        let two = Authority::create("care.example", NOW, &OsRandom).unwrap();
        let load = |key: &str, certificate: &str, now| Authority::load(key, certificate, "care.example", now);
        assert!(matches!(
            load(&one.key_pem, &two.certificate_pem, NOW),
            Err(AuthorityError::KeyMismatch)
        ));
        assert!(matches!(
            load(&one.key_pem, &one.certificate_pem, NOW + AUTHORITY_LIFETIME_MS),
            Err(AuthorityError::Expired)
        ));
        assert!(matches!(
            load("", &one.certificate_pem, NOW),
            Err(AuthorityError::Unreadable { part: "key", .. })
        ));
    }

    #[test]
    fn trust_domains_are_checked() {
        for bad in [
            "",
            "Care.example",
            "care example",
            "care/example",
            &"a".repeat(129),
        ] {
            assert!(check_trust_domain(bad).is_err(), "{bad}");
        }
        assert!(check_trust_domain("care-1.example_x").is_ok());
    }
}
