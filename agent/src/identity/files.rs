//! The identity on disk: `identity/` in the state folder, with `key.pem` (0600), `cert.pem` (the chain),
//! `ca.pem` and `profile.toml`.
//!
//! The four change together or not at all: a new set is made whole in `identity.new/`, fsynced, and put in
//! place of the old by one rename. Whatever a crash leaves of `identity.new/` is never read.
//! `identity.old/` is there only on file systems that cannot exchange two names, for as long as the two
//! renames take; a crash between them leaves it as the one in force.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use rustix::{
    fs::{CWD, RenameFlags, renameat_with},
    io::Errno,
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};

use super::{Identity, IdentityError, Profile};

/// The identity's folder within the state folder.
pub const IDENTITY_DIR: &str = "identity";

const STAGED_DIR: &str = "identity.new";
const OLD_DIR: &str = "identity.old";
const KEY: &str = "key.pem";
const CHAIN: &str = "cert.pem";
const AUTHORITIES: &str = "ca.pem";
const PROFILE: &str = "profile.toml";

/// Nobody but the owner may read the key, or list what is beside it.
const FILE_MODE: u32 = 0o600;
const DIR_MODE: u32 = 0o700;

/// Bytes of a file of an identity; no honest one comes near.
const MAX_FILE_BYTES: u64 = 1024 * 1024;

impl Identity {
    /// Whether the state folder was enrolled. A half-made identity does not count.
    pub fn exists(state_dir: &Path) -> bool {
        in_force(state_dir).join(PROFILE).exists()
    }

    /// Reads the identity of a state folder.
    pub fn load(state_dir: &Path) -> Result<Self, IdentityError> {
        let dir = in_force(state_dir);
        if !dir.join(PROFILE).exists() {
            return Err(IdentityError::Missing { dir });
        }
        let broken =
            |file: &str, why: String| IdentityError::Broken(format!("{}: {why}", dir.join(file).display()));
        let profile: Profile = toml::from_str(&read(&dir.join(PROFILE))?)
            .map_err(|e| broken(PROFILE, e.message().to_owned()))?;
        let key = PrivateKeyDer::from_pem_slice(read(&dir.join(KEY))?.as_bytes())
            .map_err(|e| broken(KEY, e.to_string()))?;
        let certificates = |file: &str| {
            CertificateDer::pem_slice_iter(read(&dir.join(file))?.as_bytes())
                .collect::<Result<Vec<_>, _>>()
                .map_err(|e| broken(file, e.to_string()))
        };
        Self::new(profile, certificates(CHAIN)?, key, certificates(AUTHORITIES)?)
    }
}

/// A new identity that is being made. Dropping it leaves the one in force as it was.
#[derive(Debug)]
pub struct Staged {
    state_dir: PathBuf,
    dir: PathBuf,
}

impl Staged {
    /// Begins with the key (PKCS#8, PEM), which is on disk when this returns. What an earlier try left
    /// behind is removed.
    pub fn begin(state_dir: &Path, key_pem: &str) -> Result<Self, IdentityError> {
        let dir = state_dir.join(STAGED_DIR);
        remove(&dir)?;
        DirBuilder::new()
            .mode(DIR_MODE)
            .create(&dir)
            .map_err(|e| io_error("create", &dir, e))?;
        let staged = Self {
            state_dir: state_dir.to_owned(),
            dir,
        };
        staged.write(KEY, key_pem)?;
        sync_dir(&staged.dir)?;
        Ok(staged)
    }

    /// Completes the identity, checks that it can be used, puts it in force on disk and gives it back.
    pub fn commit(
        self,
        profile: &Profile,
        chain: &[CertificateDer<'_>],
        authorities: &[CertificateDer<'_>],
    ) -> Result<Identity, IdentityError> {
        let text = toml::to_string(profile).map_err(|e| IdentityError::Broken(e.to_string()))?;
        self.write(PROFILE, &text)?;
        self.write(CHAIN, &certificates_pem(chain))?;
        self.write(AUTHORITIES, &certificates_pem(authorities))?;
        sync_dir(&self.dir)?;
        let key = PrivateKeyDer::from_pem_slice(read(&self.dir.join(KEY))?.as_bytes())
            .map_err(|e| IdentityError::Broken(e.to_string()))?;
        let owned = |certs: &[CertificateDer<'_>]| certs.iter().map(|c| c.clone().into_owned()).collect();
        let identity = Identity::new(profile.clone(), owned(chain), key, owned(authorities))?;
        self.put_in_place()?;
        Ok(identity)
    }

    fn put_in_place(&self) -> Result<(), IdentityError> {
        let target = self.state_dir.join(IDENTITY_DIR);
        let failed = |e: io::Error| io_error("replace", &target, e);
        let old = self.state_dir.join(OLD_DIR);
        if target.exists() {
            // Both names always stand for a whole folder, so that a crash finds the old or the new.
            match renameat_with(CWD, &self.dir, CWD, &target, RenameFlags::EXCHANGE) {
                Ok(()) => {}
                Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {
                    remove(&old)?;
                    fs::rename(&target, &old).map_err(failed)?;
                    fs::rename(&self.dir, &target).map_err(failed)?;
                }
                Err(e) => return Err(failed(e.into())),
            }
        } else {
            fs::rename(&self.dir, &target).map_err(failed)?;
        }
        sync_dir(&self.state_dir)?;
        remove(&self.dir)?;
        remove(&old)
    }

    fn write(&self, name: &str, text: &str) -> Result<(), IdentityError> {
        let path = self.dir.join(name);
        let written = (|| {
            let mut file = OpenOptions::new()
                .write(true)
                .create_new(true)
                .mode(FILE_MODE)
                .open(&path)?;
            file.write_all(text.as_bytes())?;
            file.sync_all()
        })();
        written.map_err(|e| io_error("write", &path, e))
    }
}

/// Where the identity in force is.
fn in_force(state_dir: &Path) -> PathBuf {
    let (dir, old) = (state_dir.join(IDENTITY_DIR), state_dir.join(OLD_DIR));
    if !dir.exists() && old.exists() { old } else { dir }
}

/// Certificates in PEM (RFC 7468), in the order given.
fn certificates_pem(certificates: &[CertificateDer<'_>]) -> String {
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

fn read(path: &Path) -> Result<String, IdentityError> {
    let bounded = (|| {
        let file = File::open(path)?;
        if file.metadata()?.len() > MAX_FILE_BYTES {
            return Err(io::Error::other("it is far too large for a file of an identity"));
        }
        io::read_to_string(file)
    })();
    bounded.map_err(|e| io_error("read", path, e))
}

fn remove(dir: &Path) -> Result<(), IdentityError> {
    match fs::remove_dir_all(dir) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(io_error("remove", dir, e)),
        _ => Ok(()),
    }
}

fn sync_dir(dir: &Path) -> Result<(), IdentityError> {
    File::open(dir)
        .and_then(|d| d.sync_all())
        .map_err(|e| io_error("sync", dir, e))
}

fn io_error(what: &'static str, path: &Path, source: io::Error) -> IdentityError {
    IdentityError::Io {
        what,
        path: path.to_owned(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;
    use crate::identity::{
        NewKey,
        testing::{Authority, Validity},
    };

    fn put(state_dir: &Path, ca: &Authority, key: &NewKey, ods: &str) -> Result<Identity, IdentityError> {
        let profile = Profile {
            daemon: "https://localhost:7443".to_owned(),
            trust_domain: "care.example".to_owned(),
            holder: format!("spiffe://care.example/unit/{ods}"),
        };
        let leaf = ca.sign(&key.csr_der, "Z00101", Validity::NOW);
        Staged::begin(state_dir, &key.key_pem)?.commit(&profile, &[leaf], &[ca.der()])
    }

    #[test]
    fn what_is_half_made_is_never_read() {
        let (dir, ca) = (TempDir::new().unwrap(), Authority::new("ours"));
        let key = NewKey::make().unwrap();
        let _left_behind = Staged::begin(dir.path(), &key.key_pem).unwrap();
        assert!(!Identity::exists(dir.path()));
        assert!(matches!(
            Identity::load(dir.path()),
            Err(IdentityError::Missing { .. })
        ));
        put(dir.path(), &ca, &key, "Z00101").unwrap();
        let _again = Staged::begin(dir.path(), "another key").unwrap();
        assert_eq!(Identity::load(dir.path()).unwrap().unit().as_str(), "Z00101");
    }

    #[test]
    fn what_does_not_fit_leaves_the_old_in_force() {
        let (dir, ca) = (TempDir::new().unwrap(), Authority::new("ours"));
        let key = NewKey::make().unwrap();
        put(dir.path(), &ca, &key, "Z00101").unwrap();
        let error = put(dir.path(), &ca, &key, "Z00102").unwrap_err().to_string();
        assert!(error.contains("the certificate names"), "{error}");
        let other = NewKey {
            key_pem: NewKey::make().unwrap().key_pem,
            csr_der: key.csr_der,
        };
        let error = put(dir.path(), &ca, &other, "Z00101").unwrap_err().to_string();
        assert!(error.contains("the key and the certificate"), "{error}");
        Identity::load(dir.path()).unwrap();
    }

    #[test]
    fn a_crash_between_two_renames_leaves_the_old_in_force() {
        let (dir, ca) = (TempDir::new().unwrap(), Authority::new("ours"));
        put(dir.path(), &ca, &NewKey::make().unwrap(), "Z00101").unwrap();
        fs::rename(dir.path().join(IDENTITY_DIR), dir.path().join(OLD_DIR)).unwrap();
        Identity::load(dir.path()).unwrap();
        put(dir.path(), &ca, &NewKey::make().unwrap(), "Z00101").unwrap();
        assert!(!dir.path().join(OLD_DIR).exists());
        Identity::load(dir.path()).unwrap();
    }

    #[test]
    fn a_damaged_file_is_named() {
        let (dir, ca) = (TempDir::new().unwrap(), Authority::new("ours"));
        put(dir.path(), &ca, &NewKey::make().unwrap(), "Z00101").unwrap();
        for file in [KEY, CHAIN, AUTHORITIES, PROFILE] {
            let path = dir.path().join(IDENTITY_DIR).join(file);
            let whole = fs::read(&path).unwrap();
            fs::write(&path, "-----BEGIN CERTIFICATE-----\nx").unwrap();
            let error = Identity::load(dir.path()).unwrap_err().to_string();
            assert!(error.contains(file), "{error}");
            fs::write(&path, whole).unwrap();
        }
        Identity::load(dir.path()).unwrap();
    }
}
