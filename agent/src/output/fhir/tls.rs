//! Trust in the server: an authority of its own, or those that the machine trusts. TLS 1.3.

use std::{path::Path, sync::Arc};

use rustls::{ClientConfig, RootCertStore, crypto::aws_lc_rs, version::TLS13};
use rustls_pki_types::{CertificateDer, pem::PemObject as _};

use super::credentials::Credentials;

/// Why the client cannot be made. The texts are for people.
#[derive(Debug, thiserror::Error)]
pub(super) enum TlsError {
    #[error("the server's authority {0} cannot be read as PEM certificates; check ca_file")]
    Authority(String),
    #[error("this machine trusts no authority; give the server's own as ca_file")]
    NoRoots,
    #[error("the client certificate does not fit its key, or cannot be used: {0}; check credentials_file")]
    Client(rustls::Error),
}

/// The client's side of TLS. Blocking.
pub(super) fn config(ca_file: Option<&Path>, credentials: &Credentials) -> Result<ClientConfig, TlsError> {
    let roots = match ca_file {
        Some(path) => own_authority(path)?,
        None => machine_roots()?,
    };
    let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(&[&TLS13])
        .map_err(TlsError::Client)?
        .with_root_certificates(roots);
    match credentials {
        Credentials::Certificate(chain, key) => builder
            .with_client_auth_cert(chain.clone(), key.clone_key())
            .map_err(TlsError::Client),
        Credentials::None | Credentials::Header(_) => Ok(builder.with_no_client_auth()),
    }
}

fn own_authority(path: &Path) -> Result<RootCertStore, TlsError> {
    let fault = || TlsError::Authority(path.display().to_string());
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(path).map_err(|_| fault())? {
        let certificate = certificate.map_err(|_| fault())?;
        roots.add(certificate).map_err(|_| fault())?;
    }
    if roots.is_empty() { Err(fault()) } else { Ok(roots) }
}

fn machine_roots() -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        Err(TlsError::NoRoots)
    } else {
        Ok(roots)
    }
}

/// For a server without TLS: the connector wants a configuration, and no certificate passes it.
pub(super) fn nothing_trusted() -> Result<ClientConfig, TlsError> {
    Ok(
        ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_protocol_versions(&[&TLS13])
            .map_err(TlsError::Client)?
            .with_root_certificates(RootCertStore::empty())
            .with_no_client_auth(),
    )
}
