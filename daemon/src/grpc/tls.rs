//! TLS 1.3 with our own authority: who may come in, and which certificate we show.
//!
//! Invariants: nothing but TLS 1.3 and HTTP/2; a client certificate is optional, but one that is given must
//! chain to our authority, hold now, and name one holder of our trust domain; no session is ever resumed,
//! because a resumed session is not verified again; our own leaf can be replaced while serving.

use std::{fmt, sync::Arc, time::Duration};

use parking_lot::RwLock;
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, RootCertStore, ServerConfig, SignatureScheme,
    client::danger::HandshakeSignatureValid,
    crypto::{CryptoProvider, aws_lc_rs},
    server::{
        ClientHello, NoServerSessionStorage, ResolvesServerCert, WebPkiClientVerifier,
        danger::{ClientCertVerified, ClientCertVerifier},
    },
    sign::CertifiedKey,
    time_provider::TimeProvider,
};
use rustls_pki_types::{CertificateDer, UnixTime};

use super::peer::Peer;
use crate::{
    clock::Clock,
    enrolment::{Authority, ServerLeaf},
};

/// Why TLS cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// rustls refused.
    #[error("TLS cannot be set up: {0}")]
    Rustls(#[from] rustls::Error),
    /// The verifier cannot be made.
    #[error("the verifier of client certificates cannot be made: {0}")]
    Verifier(#[from] rustls::server::VerifierBuilderError),
}

/// The server's side of TLS.
pub fn server_config(
    authority: &Authority,
    leaf: Arc<LeafResolver>,
    clock: Arc<dyn Clock>,
) -> Result<ServerConfig, TlsError> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let mut roots = RootCertStore::empty();
    roots.add(authority.certificate().clone())?;
    let chain = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
        .allow_unauthenticated()
        .build()?;
    let verifier = HolderVerifier {
        chain,
        trust_domain: authority.trust_domain().to_owned(),
    };
    let mut config = ServerConfig::builder_with_details(provider, Arc::new(InjectedTime(clock)))
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_client_cert_verifier(Arc::new(verifier))
        .with_cert_resolver(leaf);
    config.alpn_protocols = vec![b"h2".to_vec()];
    config.send_tls13_tickets = 0;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.max_early_data_size = 0;
    Ok(config)
}

// === impl LeafResolver ===

/// Shows our own certificate, which may be replaced at any time.
#[derive(Debug)]
pub struct LeafResolver {
    provider: CryptoProvider,
    current: RwLock<Arc<CertifiedKey>>,
}

impl LeafResolver {
    /// Shows `leaf`.
    pub fn new(leaf: ServerLeaf) -> Result<Self, TlsError> {
        let provider = aws_lc_rs::default_provider();
        let current = RwLock::new(Arc::new(certified(&provider, leaf)?));
        Ok(Self { provider, current })
    }

    /// Shows `leaf` from the next handshake on.
    pub fn replace(&self, leaf: ServerLeaf) -> Result<(), TlsError> {
        let next = Arc::new(certified(&self.provider, leaf)?);
        *self.current.write() = next;
        Ok(())
    }
}

fn certified(provider: &CryptoProvider, leaf: ServerLeaf) -> Result<CertifiedKey, TlsError> {
    Ok(CertifiedKey::from_der(leaf.chain, leaf.key, provider)?)
}

impl ResolvesServerCert for LeafResolver {
    fn resolve(&self, _client_hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.current.read()))
    }
}

// === impl HolderVerifier ===

/// Verifies the chain as rustls-webpki does, then the name, which it cannot.
#[derive(Debug)]
struct HolderVerifier {
    chain: Arc<dyn ClientCertVerifier>,
    trust_domain: String,
}

impl ClientCertVerifier for HolderVerifier {
    fn offer_client_auth(&self) -> bool {
        self.chain.offer_client_auth()
    }

    fn client_auth_mandatory(&self) -> bool {
        self.chain.client_auth_mandatory()
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.chain.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        let verified = self.chain.verify_client_cert(end_entity, intermediates, now)?;
        Peer::from_certificate(end_entity, &self.trust_domain).map_err(|e| {
            let reason = rustls::OtherError(Arc::new(e));
            rustls::Error::InvalidCertificate(CertificateError::Other(reason))
        })?;
        Ok(verified)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.chain.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.chain.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.chain.supported_verify_schemes()
    }
}

// === impl InjectedTime ===

/// The daemon's clock, for rustls.
struct InjectedTime(Arc<dyn Clock>);

impl fmt::Debug for InjectedTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("InjectedTime")
    }
}

impl TimeProvider for InjectedTime {
    fn current_time(&self) -> Option<UnixTime> {
        let now = u64::try_from(self.0.now_ms()).ok()?;
        Some(UnixTime::since_unix_epoch(Duration::from_millis(now)))
    }
}
