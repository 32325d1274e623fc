//! The identity on disk: `identity/` in the state folder, with `key.pem` (0600), `cert.pem` (the chain),
//! `ca.pem` and `profile.toml`.
//!
//! The four change together or not at all: a new set is made whole in `identity.new/`, fsynced, and put in
//! place of the old by one rename. Whatever a crash leaves of `identity.new/` is never read.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};

use super::{Identity, IdentityError, Profile};

/// The identity's folder within the state folder.
pub const IDENTITY_DIR: &str = "identity";

const STAGED_DIR: &str = "identity.new";
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
        state_dir.join(IDENTITY_DIR).join(PROFILE).exists()
    }

    /// Reads the identity of a state folder.
    pub fn load(state_dir: &Path) -> Result<Self, IdentityError> {
        let dir = state_dir.join(IDENTITY_DIR);
        if !Self::exists(state_dir) {
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
        if target.exists() {
            // Both names always stand for a whole folder, so that a crash finds the old or the new.
            renameat_with(CWD, &self.dir, CWD, &target, RenameFlags::EXCHANGE)
                .map_err(|e| failed(e.into()))?;
            sync_dir(&self.state_dir)?;
            remove(&self.dir)?;
        } else {
            fs::rename(&self.dir, &target).map_err(failed)?;
        }
        sync_dir(&self.state_dir)
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
