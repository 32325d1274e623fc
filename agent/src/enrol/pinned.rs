//! Trust at the first contact: the token carries the fingerprint of the deployment's authority, so that
//! whoever stands in between cannot pass for the daemon.

use std::{fmt, sync::Arc};

use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, OtherError, RootCertStore, SignatureScheme,
    client::{
        Resumption, WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{
        CryptoProvider, WebPkiSupportedAlgorithms, aws_lc_rs, verify_tls12_signature, verify_tls13_signature,
    },
    version::TLS13,
};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use sha2::{Digest as _, Sha256};

use crate::identity::ALPN;

/// The authority that answers is another one.
#[derive(Debug, thiserror::Error)]
#[error(
    "this is not the daemon the token was made for (its authority has another fingerprint), or something \
     between here and the daemon intercepts the connection"
)]
pub(super) struct WrongDaemon;

/// It sends no authority to compare.
#[derive(Debug, thiserror::Error)]
#[error("it does not send its authority's certificate, so it cannot be compared with the token")]
struct NoAuthority;

/// TLS 1.3 without a client certificate, trusting only an authority with this fingerprint (SHA-256 of its
/// certificate, DER).
pub(super) fn client_config(ca_fingerprint: [u8; 32]) -> Result<ClientConfig, Error> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let verifier = Pinned {
        ca_fingerprint,
        algorithms: provider.signature_verification_algorithms,
        provider: Arc::clone(&provider),
    };
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    config.alpn_protocols = vec![ALPN.to_vec()];
    config.resumption = Resumption::disabled();
    Ok(config)
}

/// Whether a certificate is the one with this fingerprint.
pub(super) fn has_fingerprint(certificate: &CertificateDer<'_>, fingerprint: &[u8; 32]) -> bool {
    <[u8; 32]>::from(Sha256::digest(certificate)) == *fingerprint
}

/// Takes the last certificate that the server sends as the authority, if it has the fingerprint; then
/// checks the rest against it as usual, the name included.
struct Pinned {
    ca_fingerprint: [u8; 32],
    algorithms: WebPkiSupportedAlgorithms,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let Some((authority, between)) = intermediates.split_last() else {
            return Err(other(NoAuthority));
        };
        if !has_fingerprint(authority, &self.ca_fingerprint) {
            return Err(other(WrongDaemon));
        }
        let mut roots = RootCertStore::empty();
        roots.add(authority.clone().into_owned())?;
        WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&self.provider))
            .build()
            .map_err(|e| Error::General(e.to_string()))?
            .verify_server_cert(end_entity, between, server_name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

impl fmt::Debug for Pinned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pinned").finish_non_exhaustive()
    }
}

fn other(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(error))))
}
