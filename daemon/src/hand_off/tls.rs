//! Trust in the webhook's server: an authority of its own, or those that the machine trusts. TLS 1.3.

use std::{path::Path, sync::Arc};

use anyhow::{Context as _, bail};
use rustls::{ClientConfig, RootCertStore, crypto::aws_lc_rs, version::TLS13};
use rustls_pki_types::{CertificateDer, pem::PemObject as _};

/// The client's side of TLS to a server. Blocking.
pub(super) fn config(ca_file: Option<&Path>) -> anyhow::Result<ClientConfig> {
    let roots = match ca_file {
        Some(path) => own_authority(path)?,
        None => machine_roots()?,
    };
    trusting(roots)
}

/// For a server without TLS: the connector wants a configuration, and no certificate passes it.
pub(super) fn nothing_trusted() -> anyhow::Result<ClientConfig> {
    trusting(RootCertStore::empty())
}

fn trusting(roots: RootCertStore) -> anyhow::Result<ClientConfig> {
    let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()));
    let builder = builder.with_protocol_versions(&[&TLS13]).context("set TLS up")?;
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

fn own_authority(path: &Path) -> anyhow::Result<RootCertStore> {
    let what = || {
        format!(
            "read {} as PEM certificates: check alerts.webhook_ca_file",
            path.display()
        )
    };
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(path).with_context(what)? {
        roots.add(certificate.with_context(what)?).with_context(what)?;
    }
    if roots.is_empty() {
        bail!(
            "{} holds no certificate: check alerts.webhook_ca_file",
            path.display()
        );
    }
    Ok(roots)
}

fn machine_roots() -> anyhow::Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        bail!("this machine trusts no authority: give the webhook's own as alerts.webhook_ca_file");
    }
    Ok(roots)
}
