//! Who a test is: certificates enrolled as an agent's are, and certificates that no one should accept.

use std::{fs, path::Path};

use anyhow::Context as _;
use handfast_proto::{
    ids::Holder,
    v1::{EnrolRequest, enrolment_client::EnrolmentClient},
};
use rcgen::{
    BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    SanType, date_time_ymd,
};

use super::tls::connect_anonymous;

/// A key with its certificate, and the authority it trusts; all PEM.
#[derive(Clone)]
pub struct Identity {
    /// PKCS#8.
    pub key_pem: String,
    /// The holder's certificate first.
    pub chain_pem: String,
    /// The authorities to trust.
    pub ca_pem: String,
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Identity(…)")
    }
}

impl Identity {
    /// Reads a profile (`key.pem`, `cert.pem`, `ca.pem`).
    pub fn load(profile: &Path) -> anyhow::Result<Self> {
        let read = |name: &str| {
            let path = profile.join(name);
            fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))
        };
        Ok(Self {
            key_pem: read("key.pem")?,
            chain_pem: read("cert.pem")?,
            ca_pem: read("ca.pem")?,
        })
    }

    /// Exchanges a token for a certificate, as an agent does, with a key made here.
    pub async fn enrol(url: &str, ca_pem: &str, token: &str) -> anyhow::Result<Self> {
        let key = KeyPair::generate().context("make a key")?;
        let csr = CertificateParams::default()
            .serialize_request(&key)
            .context("make a signing request")?;
        let channel = connect_anonymous(url, ca_pem).await.context("connect to enrol")?;
        let request = EnrolRequest {
            token: token.to_owned(),
            csr_der: csr.der().to_vec().into(),
        };
        let answer = EnrolmentClient::new(channel)
            .enrol(request)
            .await
            .context("enrol")?
            .into_inner();
        Ok(Self {
            key_pem: key.serialize_pem(),
            chain_pem: answer.chain_der.iter().map(|der| pem(der)).collect(),
            ca_pem: answer.ca_der.iter().map(|der| pem(der)).collect(),
        })
    }
}

fn pem(der: &[u8]) -> String {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    let mut out = String::from("-----BEGIN CERTIFICATE-----\n");
    for line in STANDARD.encode(der).as_bytes().chunks(64) {
        out.push_str(&String::from_utf8_lossy(line));
        out.push('\n');
    }
    out + "-----END CERTIFICATE-----\n"
}

/// What is wrong with a forged certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Forged {
    /// It ran out in 2021.
    Expired,
    /// It begins in 2090.
    NotYetValid,
    /// It has a second URI that names another unit.
    TwoNames,
    /// Nothing is wrong but its names.
    Sound,
}

/// A certificate signed by an authority, as no daemon would issue it.
pub fn forge(
    authority: (&str, &str),
    holder: &Holder,
    trust_domain: &str,
    how: Forged,
    trusts_ca_pem: &str,
) -> anyhow::Result<Identity> {
    let (ca_pem, ca_key_pem) = authority;
    let ca_key = KeyPair::from_pem(ca_key_pem).context("read the authority's key")?;
    let issuer = Issuer::from_ca_cert_pem(ca_pem, ca_key).context("read the authority")?;
    let key = KeyPair::generate().context("make a key")?;
    let mut params = CertificateParams::default();
    let mut names = vec![holder.to_uri(trust_domain)];
    if how == Forged::TwoNames {
        names.push(format!("spiffe://{trust_domain}/unit/Z09999"));
    }
    for name in names {
        params.subject_alt_names.push(SanType::URI(name.try_into()?));
    }
    let (from, to) = match how {
        Forged::Expired => (2020, 2021),
        Forged::NotYetValid => (2090, 2091),
        Forged::TwoNames | Forged::Sound => (2020, 2090),
    };
    params.not_before = date_time_ymd(from, 1, 1);
    params.not_after = date_time_ymd(to, 1, 1);
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    let cert = params.signed_by(&key, &issuer).context("sign")?;
    Ok(Identity {
        key_pem: key.serialize_pem(),
        chain_pem: format!("{}{ca_pem}", cert.pem()),
        ca_pem: trusts_ca_pem.to_owned(),
    })
}

/// Another authority, of the test's own: certificate and key.
pub fn foreign_authority() -> anyhow::Result<(String, String)> {
    let key = KeyPair::generate().context("make a key")?;
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = date_time_ymd(2090, 1, 1);
    let cert = params.self_signed(&key).context("sign")?;
    Ok((cert.pem(), key.serialize_pem()))
}
