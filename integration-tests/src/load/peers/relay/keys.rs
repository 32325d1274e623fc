//! The certificates of a relay and its clients, of an authority made for them.

use std::{fs, path::Path};

use anyhow::Context as _;
use rcgen::{
    CertificateParams, ExtendedKeyUsagePurpose, Issuer, KeyPair, KeyUsagePurpose, SanType, date_time_ymd,
};

use crate::harness::{Identity, foreign_authority};

/// Files of the server in its folder.
pub(super) const CA: &str = "ca.pem";
pub(super) const CERT: &str = "cert.pem";
pub(super) const KEY: &str = "key.pem";

/// Writes the server's files into a folder, and returns what its clients show.
pub(super) fn make(dir: &Path) -> anyhow::Result<Identity> {
    let (ca_pem, ca_key) = foreign_authority()?;
    let server = leaf(&ca_pem, &ca_key, ExtendedKeyUsagePurpose::ServerAuth)?;
    for (name, text) in [(CA, &ca_pem), (CERT, &server.chain_pem), (KEY, &server.key_pem)] {
        let path = dir.join(name);
        fs::write(&path, text).with_context(|| format!("write {}", path.display()))?;
    }
    leaf(&ca_pem, &ca_key, ExtendedKeyUsagePurpose::ClientAuth)
}

fn leaf(ca_pem: &str, ca_key: &str, usage: ExtendedKeyUsagePurpose) -> anyhow::Result<Identity> {
    let ca_key = KeyPair::from_pem(ca_key).context("read the authority's key")?;
    let issuer = Issuer::from_ca_cert_pem(ca_pem, ca_key).context("read the authority")?;
    let key = KeyPair::generate().context("make a key")?;
    let mut params = CertificateParams::default();
    params.subject_alt_names = vec![SanType::IpAddress([127, 0, 0, 1].into())];
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = date_time_ymd(2090, 1, 1);
    params.extended_key_usages = vec![usage];
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    let cert = params.signed_by(&key, &issuer).context("sign")?;
    Ok(Identity {
        key_pem: key.serialize_pem(),
        chain_pem: cert.pem(),
        ca_pem: ca_pem.to_owned(),
    })
}
