//! TLS 1.3 towards the daemon: with a credential, or, at enrolment, trusting only the authority whose
//! fingerprint the token carries.
//!
//! Invariant: nothing is sent before the other side has shown that it is the daemon.

use std::sync::Arc;

use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, OtherError, RootCertStore, SignatureScheme,
    client::{
        Resumption, WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{CryptoProvider, aws_lc_rs, verify_tls13_signature},
    version::TLS13,
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use sha2::{Digest as _, Sha256};

/// The protocol asked for in TLS (RFC 9113, section 3.2).
pub(super) const ALPN: &[u8] = b"h2";

/// Shows a credential, and trusts its authorities alone. Fails where the key is not the certificate's.
pub(super) fn with_credential(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    authorities: Vec<CertificateDer<'static>>,
) -> Result<ClientConfig, Error> {
    let mut roots = RootCertStore::empty();
    for authority in authorities {
        roots.add(authority)?;
    }
    if roots.is_empty() {
        return Err(Error::General("it trusts no authority".to_owned()));
    }
    let config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])?
        .with_root_certificates(roots)
        .with_client_auth_cert(chain, key)?;
    Ok(finish(config))
}

/// Shows nothing, and trusts only the authority with this fingerprint.
pub(super) fn pinned(ca_fingerprint: [u8; 32]) -> Result<ClientConfig, Error> {
    let provider = provider();
    let verifier = PinnedAuthority {
        ca_fingerprint,
        provider: Arc::clone(&provider),
    };
    let config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    Ok(finish(config))
}

/// SHA-256 of a certificate (DER).
pub(super) fn fingerprint(certificate: &CertificateDer<'_>) -> [u8; 32] {
    Sha256::digest(certificate).into()
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

fn finish(mut config: ClientConfig) -> ClientConfig {
    config.alpn_protocols = vec![ALPN.to_vec()];
    // A resumed session would be one that nobody checked.
    config.resumption = Resumption::disabled();
    config
}

/// Whoever answers is not of the deployment that made the token.
#[derive(Debug, thiserror::Error)]
#[error("its authority is not the one that the token names: this may be another deployment, or an impostor")]
struct OtherAuthority;

/// Trusts a server whose last certificate is the authority with the pinned fingerprint, and whose first one
/// is signed by it, for the right name, and in date.
#[derive(Debug)]
struct PinnedAuthority {
    ca_fingerprint: [u8; 32],
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for PinnedAuthority {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let other = || CertificateError::Other(OtherError(Arc::new(OtherAuthority)));
        let (authority, between) = intermediates.split_last().ok_or_else(other)?;
        if fingerprint(authority) != self.ca_fingerprint {
            return Err(other().into());
        }
        let mut roots = RootCertStore::empty();
        roots.add(authority.clone().into_owned())?;
        let webpki = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&self.provider))
            .build()
            .map_err(|e| Error::General(e.to_string()))?;
        webpki.verify_server_cert(end_entity, between, server_name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::General("TLS 1.2 is not spoken".to_owned()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(
            message,
            cert,
            dss,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};

    use super::*;

    fn authority() -> CertifiedIssuer<'static, KeyPair> {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
    }

    fn leaf(of: &CertifiedIssuer<'static, KeyPair>, name: &str) -> CertificateDer<'static> {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.signed_by(&key, of).unwrap().der().clone()
    }

    fn verdict(pin: [u8; 32], leaf: &CertificateDer<'_>, rest: &[CertificateDer<'_>]) -> bool {
        let verifier = PinnedAuthority {
            ca_fingerprint: pin,
            provider: provider(),
        };
        let name = ServerName::try_from("handfast.example").unwrap();
        // 2026-11-23.
        let now = UnixTime::since_unix_epoch(Duration::from_secs(1_795_392_000));
        verifier.verify_server_cert(leaf, rest, &name, &[], now).is_ok()
    }

    #[test]
    fn only_the_pinned_authority_and_what_it_signed_is_trusted() {
        let (ours, theirs) = (authority(), authority());
        let pin = fingerprint(ours.der());
        let good = leaf(&ours, "handfast.example");
        assert!(verdict(pin, &good, &[ours.der().clone()]));
        assert!(!verdict(pin, &good, &[]), "no authority was sent");
        let forged = leaf(&theirs, "handfast.example");
        assert!(
            !verdict(pin, &forged, &[theirs.der().clone()]),
            "another authority"
        );
        assert!(
            !verdict(pin, &forged, &[ours.der().clone()]),
            "the right authority beside a leaf it never signed"
        );
        assert!(
            !verdict(pin, &leaf(&ours, "other.example"), &[ours.der().clone()]),
            "another name"
        );
        assert!(
            !verdict(pin, &good, &[ours.der().clone(), theirs.der().clone()]),
            "the authority is not last"
        );
    }

    #[test]
    fn a_key_that_is_not_the_certificates_is_refused() {
        let ours = authority();
        let other = PrivateKeyDer::try_from(KeyPair::generate().unwrap().serialize_der()).unwrap();
        let chain = vec![leaf(&ours, "handfast.example")];
        assert!(with_credential(chain, other, vec![ours.der().clone()]).is_err());
    }
}
