//! One identity as it is used: checked when it is made, so that a key which does not fit its certificate
//! is found at the start and not at the first connection.

use std::{fmt, io, path::PathBuf, sync::Arc};

use handfast_proto::ids::{Holder, OdsCode};
use rustls::{ClientConfig, RootCertStore, client::Resumption, crypto::aws_lc_rs, version::TLS13};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use serde::{Deserialize, Serialize};
use x509_parser::{
    extensions::{GeneralName, ParsedExtension},
    prelude::{FromDer as _, X509Certificate},
};

use super::DaemonUrl;

/// The protocol asked for in TLS (RFC 9113, section 3.2).
pub const ALPN: &[u8] = b"h2";

/// Why there is no identity.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// The state folder was never enrolled.
    #[error(
        "{} holds no identity: get a token for the unit and run 'handfast-agent enrol' first",
        dir.display()
    )]
    Missing {
        /// The folder that was looked for.
        dir: PathBuf,
    },
    /// The file system said no.
    #[error("{what} {}: {source}", path.display())]
    Io {
        /// What was tried: `read`, `write` …
        what: &'static str,
        /// With which file.
        path: PathBuf,
        /// What was answered.
        source: io::Error,
    },
    /// What is there cannot be used.
    #[error("the identity cannot be used: {0}. Enrol again with a new token and --replace")]
    Broken(String),
}

/// `profile.toml`: what the certificate does not say.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// `https://HOST[:PORT]`.
    pub daemon: String,
    /// The deployment's trust domain.
    pub trust_domain: String,
    /// The URI that the certificate carries: `spiffe://<trust domain>/unit/<ODS code>`.
    pub holder: String,
}

/// A unit's agent: its certificate and key, and the authorities that it trusts.
pub struct Identity {
    unit: OdsCode,
    daemon: DaemonUrl,
    profile: Profile,
    not_before_ms: i64,
    not_after_ms: i64,
    tls: Arc<ClientConfig>,
}

impl Identity {
    /// Checks that all parts fit: the key and the certificate, the certificate's one URI and the
    /// profile's holder, and that the holder is a unit.
    pub fn new(
        profile: Profile,
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
        authorities: Vec<CertificateDer<'static>>,
    ) -> Result<Self, IdentityError> {
        let broken = |why: String| IdentityError::Broken(why);
        let leaf = chain
            .first()
            .ok_or_else(|| broken("it has no certificate".to_owned()))?;
        let (uri, not_before_ms, not_after_ms) = read_leaf(leaf)?;
        if uri != profile.holder {
            return Err(broken(format!(
                "the certificate names {uri}, the profile {}",
                profile.holder
            )));
        }
        let unit = match Holder::from_uri(&uri, &profile.trust_domain) {
            Ok(Holder::Unit(unit)) => unit,
            Ok(Holder::Person(_)) => {
                return Err(broken("it is a person's, not a unit's agent's".to_owned()));
            }
            Err(e) => return Err(broken(format!("{uri}: {e}"))),
        };
        let daemon = profile.daemon.parse().map_err(|e| broken(format!("{e}")))?;
        Ok(Self {
            unit,
            daemon,
            tls: Arc::new(client_config(chain, key, authorities)?),
            profile,
            not_before_ms,
            not_after_ms,
        })
    }

    /// The unit that this agent stands beside.
    pub fn unit(&self) -> OdsCode {
        self.unit
    }

    /// Where its daemon is.
    pub fn daemon(&self) -> &DaemonUrl {
        &self.daemon
    }

    /// As it stands in `profile.toml`.
    pub fn profile(&self) -> &Profile {
        &self.profile
    }

    /// From when the certificate is valid, milliseconds since 1970-01-01T00:00:00Z.
    pub fn not_before_ms(&self) -> i64 {
        self.not_before_ms
    }

    /// Until when the certificate is valid, milliseconds since 1970-01-01T00:00:00Z.
    pub fn not_after_ms(&self) -> i64 {
        self.not_after_ms
    }

    /// When it is due for renewal: at two thirds of its life.
    pub fn renew_at_ms(&self) -> i64 {
        let life = self.not_after_ms.saturating_sub(self.not_before_ms).max(0);
        self.not_before_ms.saturating_add(life - life / 3)
    }

    /// TLS 1.3 with this certificate, trusting its authorities and nobody else.
    pub fn tls(&self) -> Arc<ClientConfig> {
        Arc::clone(&self.tls)
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity")
            .field("holder", &self.profile.holder)
            .field("daemon", &self.profile.daemon)
            .finish_non_exhaustive()
    }
}

fn client_config(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    authorities: Vec<CertificateDer<'static>>,
) -> Result<ClientConfig, IdentityError> {
    let mut roots = RootCertStore::empty();
    for authority in authorities {
        roots
            .add(authority)
            .map_err(|e| IdentityError::Broken(format!("an authority in ca.pem: {e}")))?;
    }
    if roots.is_empty() {
        return Err(IdentityError::Broken("it trusts no authority".to_owned()));
    }
    let mut config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(&[&TLS13])
        .map_err(|e| IdentityError::Broken(e.to_string()))?
        .with_root_certificates(roots)
        .with_client_auth_cert(chain, key)
        .map_err(|e| IdentityError::Broken(format!("the key and the certificate: {e}")))?;
    config.alpn_protocols = vec![ALPN.to_vec()];
    // A resumed session would be one that nobody checked.
    config.resumption = Resumption::disabled();
    Ok(config)
}

/// The one URI that a certificate carries, and its validity in milliseconds since 1970-01-01T00:00:00Z.
fn read_leaf(leaf: &CertificateDer<'_>) -> Result<(String, i64, i64), IdentityError> {
    let broken = |why: &str| IdentityError::Broken(format!("the certificate {why}"));
    let (_, cert) = X509Certificate::from_der(leaf).map_err(|_| broken("cannot be read"))?;
    let mut uris = cert
        .extensions()
        .iter()
        .filter_map(|e| match e.parsed_extension() {
            ParsedExtension::SubjectAlternativeName(names) => Some(&names.general_names),
            _ => None,
        })
        .flatten()
        .filter_map(|name| match name {
            GeneralName::URI(uri) => Some(*uri),
            _ => None,
        });
    let uri = uris.next().ok_or_else(|| broken("names nobody"))?;
    if uris.next().is_some() {
        return Err(broken("names more than one holder"));
    }
    let ms = |seconds: i64| seconds.saturating_mul(1000);
    let validity = cert.validity();
    Ok((
        uri.to_owned(),
        ms(validity.not_before.timestamp()),
        ms(validity.not_after.timestamp()),
    ))
}
