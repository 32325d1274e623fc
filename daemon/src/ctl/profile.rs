//! A credential on disk: `key.pem` (readable by its owner alone), `cert.pem` (the chain), `ca.pem` and
//! `profile.toml`.
//!
//! Invariants: the key never leaves the folder; a new profile appears whole or not at all; a renewal keeps
//! the key and replaces the chain in one rename, so that key and chain always fit.

use std::{
    fs::{self, DirBuilder},
    io,
    os::unix::fs::{DirBuilderExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use rcgen::{CertificateParams, KeyPair};
use rustls::ClientConfig;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};
use serde::{Deserialize, Serialize};
use x509_parser::prelude::{FromDer as _, X509Certificate};
use zeroize::Zeroizing;

use super::{error::CtlError, files, tls, url::DaemonUrl};

const KEY: &str = "key.pem";
const CHAIN: &str = "cert.pem";
const AUTHORITIES: &str = "ca.pem";
const SETTINGS: &str = "profile.toml";

const DIR_MODE: u32 = 0o700;
const OTHERS_MODE: u32 = 0o077;

/// `profile.toml`: what the certificate does not say.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Settings {
    /// `https://HOST[:PORT]`, if known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) daemon: Option<String>,
    /// The deployment's trust domain.
    pub(super) trust_domain: String,
    /// The URI that the certificate carries.
    pub(super) holder: String,
}

/// A credential.
pub(super) struct Profile {
    dir: PathBuf,
    pub(super) settings: Settings,
    key_pem: Zeroizing<String>,
    chain: Vec<CertificateDer<'static>>,
    authorities: Vec<CertificateDer<'static>>,
    /// Milliseconds since 1970-01-01T00:00:00Z.
    not_before: i64,
    pub(super) not_after: i64,
}

// === impl Profile ===

impl Profile {
    /// Reads a profile.
    pub(super) fn load(dir: &Path) -> Result<Self, CtlError> {
        if !dir.join(KEY).exists() {
            return Err(CtlError::Failed(format!(
                "{} holds no credential: get a token and run 'handfastctl enrol --profile {0}' first, or name \
                 another folder with --profile",
                dir.display()
            )));
        }
        let broken = |file: &str, why: &str| {
            CtlError::Failed(format!(
                "{} cannot be read: {why}. Ask for a new token and enrol into another folder",
                dir.join(file).display()
            ))
        };
        let settings =
            toml::from_str(&files::read(&dir.join(SETTINGS))?).map_err(|e| broken(SETTINGS, e.message()))?;
        let certificates = |file: &str| {
            CertificateDer::pem_slice_iter(files::read(&dir.join(file))?.as_bytes())
                .collect::<Result<Vec<_>, _>>()
                .map_err(|e| broken(file, &e.to_string()))
        };
        let chain = certificates(CHAIN)?;
        let (not_before, not_after) = validity(&chain).ok_or_else(|| broken(CHAIN, "no certificate"))?;
        Ok(Self {
            key_pem: Zeroizing::new(files::read(&dir.join(KEY))?),
            authorities: certificates(AUTHORITIES)?,
            dir: dir.to_owned(),
            settings,
            chain,
            not_before,
            not_after,
        })
    }

    /// The folder.
    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Whether others than the owner may read the key.
    pub(super) fn is_open_to_others(&self) -> bool {
        let meta = fs::metadata(self.dir.join(KEY));
        meta.is_ok_and(|m| m.permissions().mode() & OTHERS_MODE != 0)
    }

    /// Where the daemon is: as given, or else as the profile knows.
    pub(super) fn daemon(&self, given: Option<&str>) -> Result<DaemonUrl, CtlError> {
        let text = given.or(self.settings.daemon.as_deref()).ok_or_else(|| {
            let dir = self.dir.display();
            CtlError::Usage(format!(
                "say where the daemon is: --daemon https://HOST:PORT, HANDFAST_DAEMON, or 'daemon' in \
                 {dir}/{SETTINGS}"
            ))
        })?;
        text.parse()
    }

    /// Whether the certificate no longer holds.
    pub(super) fn has_expired(&self, now: i64) -> bool {
        now >= self.not_after
    }

    /// Whether two thirds of the certificate's life are over.
    pub(super) fn is_due(&self, now: i64) -> bool {
        let life = self.not_after.saturating_sub(self.not_before).max(0);
        now >= self.not_after - life / 3
    }

    /// TLS with this credential.
    pub(super) fn tls(&self) -> Result<ClientConfig, CtlError> {
        client_config(&self.key_pem, &self.chain, &self.authorities)
    }

    /// A certificate signing request for the key of this profile (PKCS#10, DER).
    pub(super) fn request(&self) -> Result<Vec<u8>, CtlError> {
        let key = KeyPair::from_pem(&self.key_pem)
            .map_err(|e| CtlError::Failed(format!("use the key in {}: {e}", self.dir.display())))?;
        request(&key)
    }

    /// Puts a renewed certificate of the same key in place.
    pub(super) fn renewed(
        &self,
        chain: &[CertificateDer<'static>],
        authorities: &[CertificateDer<'static>],
    ) -> Result<(), CtlError> {
        client_config(&self.key_pem, chain, authorities)?;
        files::replace(&self.dir.join(AUTHORITIES), &pem(authorities))?;
        files::replace(&self.dir.join(CHAIN), &pem(chain))
    }
}

/// A certificate signing request (PKCS#10, DER). The daemon takes its public key alone.
pub(super) fn request(key: &KeyPair) -> Result<Vec<u8>, CtlError> {
    let csr = CertificateParams::default().serialize_request(key);
    csr.map(|csr| csr.der().to_vec())
        .map_err(|e| CtlError::Failed(format!("make a certificate signing request: {e}")))
}

fn client_config(
    key_pem: &str,
    chain: &[CertificateDer<'static>],
    authorities: &[CertificateDer<'static>],
) -> Result<ClientConfig, CtlError> {
    let failed = |e: String| CtlError::Failed(format!("the credential cannot be used: {e}"));
    let key = PrivateKeyDer::from_pem_slice(key_pem.as_bytes()).map_err(|e| failed(e.to_string()))?;
    tls::with_credential(chain.to_vec(), key, authorities.to_vec()).map_err(|e| failed(e.to_string()))
}

fn validity(chain: &[CertificateDer<'_>]) -> Option<(i64, i64)> {
    let (_, leaf) = X509Certificate::from_der(chain.first()?).ok()?;
    let ms = |seconds: i64| seconds.saturating_mul(1000);
    let validity = leaf.validity();
    Some((
        ms(validity.not_before.timestamp()),
        ms(validity.not_after.timestamp()),
    ))
}

/// Certificates in PEM (RFC 7468), in the order given.
fn pem(certificates: &[CertificateDer<'_>]) -> String {
    const LINE_CHARS: usize = 64;
    let mut pem = String::new();
    for certificate in certificates {
        pem.push_str("-----BEGIN CERTIFICATE-----\n");
        let coded = STANDARD.encode(certificate);
        let mut rest = coded.as_str();
        while !rest.is_empty() {
            let (line, after) = rest.split_at(rest.len().min(LINE_CHARS));
            pem.push_str(line);
            pem.push('\n');
            rest = after;
        }
        pem.push_str("-----END CERTIFICATE-----\n");
    }
    pem
}

// === Staged ===

/// A profile that is being made beside its place. Dropping it removes it.
pub(super) struct Staged {
    dir: PathBuf,
    target: PathBuf,
    key_pem: Zeroizing<String>,
}

impl Staged {
    /// Begins with the key, which is on disk when this returns. Refused where the folder holds anything.
    pub(super) fn begin(target: &Path, key: &KeyPair) -> Result<Self, CtlError> {
        match fs::read_dir(target).map(|mut entries| entries.next().is_some()) {
            Ok(true) => {
                return Err(CtlError::Failed(format!(
                    "{} is not empty: a credential is never overwritten. Name a new folder with --profile",
                    target.display()
                )));
            }
            Ok(false) => {}
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            Err(e) => return Err(files::failed("read", target, &e)),
        }
        if let Some(parent) = target.parent().filter(|p| !p.as_os_str().is_empty()) {
            fs::create_dir_all(parent).map_err(|e| files::failed("create", parent, &e))?;
        }
        let mut dir = target.as_os_str().to_owned();
        dir.push(format!(".enrolling-{}", std::process::id()));
        let dir = PathBuf::from(dir);
        let created = DirBuilder::new().mode(DIR_MODE).create(&dir);
        created.map_err(|e| files::failed("create", &dir, &e))?;
        let staged = Self {
            dir,
            target: target.to_owned(),
            key_pem: Zeroizing::new(key.serialize_pem()),
        };
        files::write_secret(&staged.dir.join(KEY), &staged.key_pem)?;
        Ok(staged)
    }

    /// Completes the profile, checks that it can be used, and puts it in its place.
    pub(super) fn commit(
        self,
        settings: &Settings,
        chain: &[CertificateDer<'static>],
        authorities: &[CertificateDer<'static>],
    ) -> Result<(), CtlError> {
        client_config(&self.key_pem, chain, authorities)?;
        let text =
            toml::to_string(settings).map_err(|e| CtlError::Failed(format!("write {SETTINGS}: {e}")))?;
        files::write_secret(&self.dir.join(SETTINGS), &text)?;
        files::write_secret(&self.dir.join(CHAIN), &pem(chain))?;
        files::write_secret(&self.dir.join(AUTHORITIES), &pem(authorities))?;
        files::sync_parent(&self.dir.join(KEY))?;
        // Over an empty folder, too (rename(2)).
        fs::rename(&self.dir, &self.target).map_err(|e| files::failed("create", &self.target, &e))?;
        files::sync_parent(&self.target)
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        // Gone already where it was put in its place.
        let _ = fs::remove_dir_all(&self.dir);
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{BasicConstraints, CertifiedIssuer, IsCa, date_time_ymd};

    use super::*;

    fn settings() -> Settings {
        Settings {
            daemon: Some("https://127.0.0.1:1".to_owned()),
            trust_domain: "care.example".to_owned(),
            holder: "spiffe://care.example/person/ann-1".to_owned(),
        }
    }

    fn certificates(key: &KeyPair) -> (CertificateDer<'static>, CertificateDer<'static>) {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let mut leaf = CertificateParams::default();
        leaf.not_before = date_time_ymd(2026, 11, 1);
        leaf.not_after = date_time_ymd(2026, 12, 1);
        (leaf.signed_by(key, &ca).unwrap().der().clone(), ca.der().clone())
    }

    #[test]
    fn a_profile_appears_whole_and_is_read_back() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("new/admin");
        let key = KeyPair::generate().unwrap();
        let (leaf, ca) = certificates(&key);
        drop(Staged::begin(&target, &key).unwrap());
        assert!(!target.exists(), "nothing is left of one that was given up");
        let staged = Staged::begin(&target, &key).unwrap();
        staged.commit(&settings(), &[leaf], &[ca]).unwrap();
        let profile = Profile::load(&target).unwrap();
        assert_eq!(profile.settings, settings());
        assert!(!profile.is_open_to_others());
        assert!(profile.tls().is_ok());
        assert_eq!(fs::read_dir(dir.path().join("new")).unwrap().count(), 1);
        let again = Staged::begin(&target, &key).map(|_| ()).unwrap_err();
        assert!(again.to_string().contains("never overwritten"), "{again}");
    }

    #[test]
    fn it_is_due_after_two_thirds_of_its_life() {
        let dir = tempfile::tempdir().unwrap();
        let key = KeyPair::generate().unwrap();
        let (leaf, ca) = certificates(&key);
        let target = dir.path().join("p");
        let staged = Staged::begin(&target, &key).unwrap();
        staged.commit(&settings(), &[leaf], &[ca]).unwrap();
        let profile = Profile::load(&target).unwrap();
        let day = 24 * 3600 * 1000;
        let begin = profile.not_after - 30 * day;
        assert!(!profile.is_due(begin + 20 * day - 1));
        assert!(profile.is_due(begin + 20 * day));
        assert!(!profile.has_expired(profile.not_after - 1));
        assert!(profile.has_expired(profile.not_after));
    }

    #[test]
    fn a_renewal_keeps_the_key_and_refuses_anothers_certificate() {
        let dir = tempfile::tempdir().unwrap();
        let (key, other) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
        let (leaf, ca) = certificates(&key);
        let target = dir.path().join("p");
        let staged = Staged::begin(&target, &key).unwrap();
        staged.commit(&settings(), &[leaf], &[ca]).unwrap();
        let profile = Profile::load(&target).unwrap();
        let (stranger, ca) = certificates(&other);
        assert!(profile.renewed(&[stranger], &[ca]).is_err());
        let (newer, ca) = certificates(&key);
        profile.renewed(std::slice::from_ref(&newer), &[ca]).unwrap();
        assert_eq!(Profile::load(&target).unwrap().chain, [newer]);
        assert_eq!(fs::read_dir(&target).unwrap().count(), 4);
    }

    #[test]
    fn the_daemon_given_goes_before_the_one_known() {
        let dir = tempfile::tempdir().unwrap();
        let key = KeyPair::generate().unwrap();
        let (leaf, ca) = certificates(&key);
        let target = dir.path().join("p");
        let mut known = settings();
        known.daemon = None;
        let staged = Staged::begin(&target, &key).unwrap();
        staged.commit(&known, &[leaf], &[ca]).unwrap();
        let profile = Profile::load(&target).unwrap();
        assert_eq!(profile.daemon(None).unwrap_err().exit().code(), 2);
        assert_eq!(
            profile.daemon(Some("https://h:7")).unwrap().to_string(),
            "https://h:7"
        );
    }
}
