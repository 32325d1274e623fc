//! What the authority signs: certificates for units, for persons, and for the daemon itself.
//!
//! Invariants: a holder's certificate has exactly one SAN, the URI that names the holder, and may be used
//! for client authentication only; the daemon's has DNS names and addresses and may be used for server
//! authentication only; neither outlives the authority.

use std::{io, net::IpAddr, ops::Add as _, time::Duration};

use handfast_proto::ids::Holder;
use rcgen::{
    CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, KeyPair, KeyUsagePurpose,
    PKCS_ECDSA_P256_SHA256, PublicKeyData, SanType, SerialNumber, SubjectPublicKeyInfo, date_time_ymd,
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

use super::authority::{Authority, serial};
use crate::random::Random;

/// How far a leaf's beginning is put back, in milliseconds, for machines whose clock is behind.
const LEAF_BACKDATE_MS: i64 = 5 * 60 * 1000;

/// Names by which the daemon is always reached from its own machine.
const LOCAL_NAMES: [&str; 3] = ["localhost", "127.0.0.1", "::1"];

/// Why nothing was signed.
#[derive(Debug, thiserror::Error)]
pub enum IssueError {
    /// A name cannot stand in a certificate.
    #[error("{0:?} cannot stand in a certificate: give a DNS name in ASCII or an IP address")]
    Name(String),
    /// Signing failed.
    #[error("the authority could not sign: {0}")]
    Sign(#[from] rcgen::Error),
    /// No randomness.
    #[error("the machine gives no random bytes: {0}")]
    Random(#[from] io::Error),
}

/// From when until when, in milliseconds since 1970-01-01T00:00:00Z, at whole seconds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Validity {
    /// Its first moment.
    pub not_before: i64,
    /// Its last moment.
    pub not_after: i64,
}

impl Validity {
    /// From `now` (put back a little) for `lifetime_ms`, but not beyond the authority's end.
    fn starting(now: i64, lifetime_ms: i64, authority_end: i64) -> Self {
        let whole = |ms: i64| ms - ms.rem_euclid(1000);
        Self {
            not_before: whole(now - LEAF_BACKDATE_MS),
            not_after: whole(now.saturating_add(lifetime_ms).min(authority_end)),
        }
    }
}

/// A certificate that was signed for a holder.
#[derive(Clone, Debug)]
pub struct Issued {
    /// The holder's certificate first, then the authority's.
    pub chain: Vec<CertificateDer<'static>>,
    /// Big-endian.
    pub serial: Vec<u8>,
    /// How long it holds.
    pub validity: Validity,
}

/// The daemon's own key and certificate. The key never leaves memory.
#[derive(Debug)]
pub struct ServerLeaf {
    /// The leaf first, then the authority's.
    pub chain: Vec<CertificateDer<'static>>,
    /// Made with it.
    pub key: PrivateKeyDer<'static>,
    /// How long it holds.
    pub validity: Validity,
}

impl Authority {
    /// Signs a certificate that names a holder, for a key that the holder has shown to have.
    pub fn issue_holder(
        &self,
        holder: &Holder,
        key: &SubjectPublicKeyInfo,
        now: i64,
        lifetime_ms: i64,
        random: &dyn Random,
    ) -> Result<Issued, IssueError> {
        let uri = holder.to_uri(self.trust_domain());
        let san = uri
            .as_str()
            .try_into()
            .map(SanType::URI)
            .map_err(|_| IssueError::Name(uri.clone()))?;
        let shown = match holder {
            Holder::Unit(ods) => ods.to_string(),
            Holder::Person(id) => id.to_string(),
        };
        let validity = Validity::starting(now, lifetime_ms, self.not_after);
        let usage = ExtendedKeyUsagePurpose::ClientAuth;
        let serial = serial(random)?;
        let leaf = self.sign(key, &shown, vec![san], usage, validity, &serial)?;
        Ok(Issued {
            chain: vec![leaf, self.certificate.clone()],
            serial: serial.to_vec(),
            validity,
        })
    }

    /// Makes a key and a certificate for the daemon under `names`, and those of its own machine.
    pub fn issue_server(
        &self,
        names: &[String],
        now: i64,
        lifetime_ms: i64,
        random: &dyn Random,
    ) -> Result<ServerLeaf, IssueError> {
        let mut sans = Vec::new();
        for name in LOCAL_NAMES
            .iter()
            .copied()
            .chain(names.iter().map(String::as_str))
        {
            let san = server_name(name)?;
            if !sans.contains(&san) {
                sans.push(san);
            }
        }
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let validity = Validity::starting(now, lifetime_ms, self.not_after);
        let usage = ExtendedKeyUsagePurpose::ServerAuth;
        let leaf = self.sign(&key, "handfastd", sans, usage, validity, &serial(random)?)?;
        Ok(ServerLeaf {
            chain: vec![leaf, self.certificate.clone()],
            key: PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der())),
            validity,
        })
    }

    fn sign(
        &self,
        key: &impl PublicKeyData,
        common_name: &str,
        sans: Vec<SanType>,
        usage: ExtendedKeyUsagePurpose,
        validity: Validity,
        serial: &[u8],
    ) -> Result<CertificateDer<'static>, IssueError> {
        let mut name = DistinguishedName::new();
        name.push(DnType::CommonName, common_name);
        let mut params = CertificateParams::default();
        params.distinguished_name = name;
        params.subject_alt_names = sans;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![usage];
        params.use_authority_key_identifier_extension = true;
        params.serial_number = Some(SerialNumber::from_slice(serial));
        set_validity(&mut params, validity);
        let certificate = params.signed_by(key, &self.issuer)?;
        Ok(certificate.der().clone())
    }
}

fn server_name(name: &str) -> Result<SanType, IssueError> {
    if let Ok(address) = name.parse::<IpAddr>() {
        return Ok(SanType::IpAddress(address));
    }
    let refused = || IssueError::Name(name.to_owned());
    // The same check that a client makes of the name that it dials.
    rustls_pki_types::DnsName::try_from(name).map_err(|_| refused())?;
    name.try_into().map(SanType::DnsName).map_err(|_| refused())
}

/// Sets from when until when, in milliseconds since 1970; what lies before 1970 is 1970.
pub(super) fn set_validity(params: &mut CertificateParams, validity: Validity) {
    let moment = |ms: i64| {
        let seconds = u64::try_from(ms / 1000).unwrap_or_default();
        date_time_ymd(1970, 1, 1).add(Duration::from_secs(seconds))
    };
    params.not_before = moment(validity.not_before);
    params.not_after = moment(validity.not_after);
}

#[cfg(test)]
mod tests {
    use x509_parser::prelude::{FromDer as _, GeneralName, X509Certificate};

    use super::*;
    use crate::random::OsRandom;

    const NOW: i64 = 1_790_000_000_123;
    const DAY_MS: i64 = 24 * 3600 * 1000;

    fn authority() -> Authority {
        Authority::create("care.example", NOW, &OsRandom)
            .unwrap()
            .authority
    }

    #[test]
    fn a_holder_is_named_by_one_uri_and_nothing_else() {
        let authority = authority();
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
        let spki = SubjectPublicKeyInfo::from_der(&key.subject_public_key_info()).unwrap();
        let holder = Holder::Unit("Z00101".parse().unwrap());
        let issued = authority
            .issue_holder(&holder, &spki, NOW, 30 * DAY_MS, &OsRandom)
            .unwrap();
        let (_, leaf) = X509Certificate::from_der(&issued.chain[0]).unwrap();
        let sans = leaf.subject_alternative_name().unwrap().unwrap();
        assert_eq!(
            sans.value.general_names,
            vec![GeneralName::URI("spiffe://care.example/unit/Z00101")]
        );
        let usage = leaf.extended_key_usage().unwrap().unwrap().value;
        assert!(usage.client_auth && !usage.server_auth && !usage.any);
        assert!(!leaf.is_ca());
        assert_eq!(leaf.raw_serial(), issued.serial);
        assert_eq!(
            leaf.validity().not_after.timestamp() * 1000,
            issued.validity.not_after
        );
        assert_eq!(issued.validity.not_after, 1_790_000_000_000 + 30 * DAY_MS);
        assert_eq!(issued.chain[1], *authority.certificate());
    }

    #[test]
    fn nothing_outlives_the_authority() {
        let authority = authority();
        let leaf = authority
            .issue_server(&[], NOW, 100 * 365 * DAY_MS, &OsRandom)
            .unwrap();
        assert!(leaf.validity.not_after <= authority.not_after);
    }

    #[test]
    fn the_daemon_is_named_by_what_clients_dial() {
        let names = [
            "daemon.example".to_owned(),
            "192.0.2.7".to_owned(),
            "localhost".to_owned(),
        ];
        let leaf = authority().issue_server(&names, NOW, DAY_MS, &OsRandom).unwrap();
        let (_, parsed) = X509Certificate::from_der(&leaf.chain[0]).unwrap();
        let sans = parsed.subject_alternative_name().unwrap().unwrap();
        let dns: Vec<_> = sans
            .value
            .general_names
            .iter()
            .filter(|n| matches!(n, GeneralName::DNSName(_)))
            .collect();
        assert_eq!(
            dns,
            [
                &GeneralName::DNSName("localhost"),
                &GeneralName::DNSName("daemon.example")
            ]
        );
        assert_eq!(sans.value.general_names.len(), 5);
        for bad in ["", "two words", "https://daemon.example", "dæmon.example"] {
            let names = [bad.to_owned()];
            let refused = authority().issue_server(&names, NOW, DAY_MS, &OsRandom);
            assert!(matches!(refused, Err(IssueError::Name(_))), "{bad}");
        }
    }
}
