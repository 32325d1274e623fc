//! The state directory: what `init` puts there, and how files are written so that a crash leaves either
//! the old one or the new one.
//!
//! ```text
//! DIR/server.toml        the daemon's names; written last, so a deployment is whole where it is there
//! DIR/lock               held by the one handfastd that works on DIR
//! DIR/ca/                key.pem, cert.pem: the authority
//! DIR/audit/             key.pem: what heads of the audit log are signed with
//! DIR/operator/          the operator's profile for handfastctl
//! DIR/listening          the address, while the daemon takes connections
//! DIR/*.db               the store
//! ```
//!
//! Invariant: every file is readable by its owner only.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    net::SocketAddr,
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use handfast_proto::merkle::SigningKey;
use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::{
    audit::{new_audit_key, read_audit_key},
    enrolment::{Authority, AuthorityError, NewAuthority},
    random::Random,
};

const SERVER: &str = "server.toml";
const LOCK: &str = "lock";
const LISTENING: &str = "listening";
const AUTHORITY: &str = "ca";
const AUDIT: &str = "audit";
const OPERATOR: &str = "operator";

/// What a broken-off `init` may have left, and nothing else.
const OURS: [&str; 4] = [LOCK, AUTHORITY, AUDIT, OPERATOR];

/// How the store's files begin and end.
const STORE_PARTS: [&str; 3] = [".db", ".db-wal", ".db-shm"];

/// Bytes of the small files that are read back.
const MAX_FILE_BYTES: u64 = 1024 * 1024;

/// What is wrong with a state directory.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// A deployment is there already.
    #[error(
        "{dir} holds a deployment already: it is left as it is. Serve it with handfastd serve --state-dir {dir}, \
         or choose another directory",
        dir = .0.display()
    )]
    Exists(PathBuf),
    /// Something else is there.
    #[error("{} holds something else ({found:?}): choose an empty or a new directory", dir.display())]
    Foreign {
        /// Which directory.
        dir: PathBuf,
        /// The first thing found.
        found: String,
    },
    /// No deployment, or half of one.
    #[error(
        "{dir} holds no whole deployment: make one with handfastd init --state-dir {dir} --trust-domain NAME",
        dir = .0.display()
    )]
    Missing(PathBuf),
    /// Another handfastd works on it.
    #[error("another handfastd works on {}: stop it first", .0.display())]
    Locked(PathBuf),
    /// A file cannot be read or written.
    #[error("{doing} {}: {error}", path.display())]
    Io {
        /// What was tried.
        doing: &'static str,
        /// On which file.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// A file is not as it was written.
    #[error("{} is not as handfastd init wrote it: {reason}", path.display())]
    Broken {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The authority cannot be used.
    #[error(transparent)]
    Authority(#[from] AuthorityError),
}

/// What the daemon calls itself.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServerNames {
    /// DNS names and addresses for its certificate, beside those of its own machine.
    pub dns: Vec<String>,
}

/// Held by the one handfastd that works on a state directory; the kernel lets go of it when the process
/// ends, however it ends.
#[derive(Debug)]
pub struct DirLock(#[expect(dead_code, reason = "held, not used")] File);

/// A state directory.
#[derive(Debug, Clone)]
pub struct StateDir(PathBuf);

impl StateDir {
    /// A directory for `init`: made where it is not there. What a broken-off `init` left is taken up.
    pub fn prepare(path: &Path) -> Result<Self, StateError> {
        make_private_dir(path)?;
        let dir = Self(path.to_owned());
        if dir.path(SERVER).exists() {
            return Err(StateError::Exists(path.to_owned()));
        }
        let failed = io_error("read", path);
        for entry in fs::read_dir(path).map_err(&failed)? {
            let name = entry.map_err(&failed)?.file_name().to_string_lossy().into_owned();
            let stores = STORE_PARTS.iter().any(|end| name.ends_with(end));
            let half_written = name.starts_with('.') && name.ends_with(".new");
            if !OURS.contains(&name.as_str()) && !stores && !half_written {
                return Err(StateError::Foreign {
                    dir: path.to_owned(),
                    found: name,
                });
            }
        }
        Ok(dir)
    }

    /// The directory of a whole deployment.
    pub fn open(path: &Path) -> Result<Self, StateError> {
        let dir = Self(path.to_owned());
        if dir.path(SERVER).exists() {
            Ok(dir)
        } else {
            Err(StateError::Missing(path.to_owned()))
        }
    }

    /// Where it is.
    pub fn root(&self) -> &Path {
        &self.0
    }

    /// Where the operator's profile is.
    pub fn operator(&self) -> PathBuf {
        self.path(OPERATOR)
    }

    /// Takes the lock, or says that another process has it.
    pub fn lock(&self) -> Result<DirLock, StateError> {
        let path = self.path(LOCK);
        let failed = io_error("open", &path);
        let mut options = OpenOptions::new();
        let file = options
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(&path)
            .map_err(&failed)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(DirLock(file)),
            Err(rustix::io::Errno::WOULDBLOCK) => Err(StateError::Locked(self.0.clone())),
            Err(e) => Err(failed(e.into())),
        }
    }

    /// The authority that is there, or a new one by `make`, kept.
    pub fn authority_or(
        &self,
        trust_domain: &str,
        now: i64,
        make: impl FnOnce() -> Result<NewAuthority, AuthorityError>,
    ) -> Result<Authority, StateError> {
        if self.path(AUTHORITY).join("cert.pem").exists() {
            return self.authority(trust_domain, now);
        }
        let dir = self.path(AUTHORITY);
        make_private_dir(&dir)?;
        let new = make()?;
        write_private(&dir.join("key.pem"), new.key_pem.as_bytes())?;
        write_private(&dir.join("cert.pem"), new.certificate_pem.as_bytes())?;
        Ok(new.authority)
    }

    /// The authority.
    pub fn authority(&self, trust_domain: &str, now: i64) -> Result<Authority, StateError> {
        let dir = self.path(AUTHORITY);
        let key = Zeroizing::new(read(&dir.join("key.pem"))?);
        let certificate = read(&dir.join("cert.pem"))?;
        Ok(Authority::load(&key, &certificate, trust_domain, now)?)
    }

    /// The key of the audit log. One that is not there is made: a deployment may be older than its log.
    pub fn audit_key(&self, random: &dyn Random) -> Result<SigningKey, StateError> {
        let dir = self.path(AUDIT);
        let path = dir.join("key.pem");
        if !path.exists() {
            make_private_dir(&dir)?;
            let pem = new_audit_key(random).map_err(io_error("make", &path))?;
            write_private(&path, pem.as_bytes())?;
        }
        let pem = Zeroizing::new(read(&path)?);
        read_audit_key(&pem).map_err(|e| StateError::Broken {
            path,
            reason: e.to_string(),
        })
    }

    /// Writes the daemon's names: the deployment is whole from now on.
    pub fn complete(&self, names: &ServerNames) -> Result<(), StateError> {
        let path = self.path(SERVER);
        let broken = |e: toml::ser::Error| StateError::Broken {
            path: path.clone(),
            reason: e.to_string(),
        };
        let text = toml::to_string(names).map_err(broken)?;
        let head = "# Names and addresses for the daemon's certificate. Change them and restart handfastd.\n";
        write_private(&path, format!("{head}{text}").as_bytes())
    }

    /// The daemon's names.
    pub fn names(&self) -> Result<ServerNames, StateError> {
        let path = self.path(SERVER);
        toml::from_str(&read(&path)?).map_err(|e| StateError::Broken {
            path,
            reason: e.to_string().trim_end().to_owned(),
        })
    }

    /// Says where the daemon listens.
    pub fn write_listening(&self, address: SocketAddr) -> Result<(), StateError> {
        write_private(&self.path(LISTENING), format!("{address}\n").as_bytes())
    }

    /// Says that the daemon does not listen (any more).
    pub fn clear_listening(&self) -> Result<(), StateError> {
        let path = self.path(LISTENING);
        match fs::remove_file(&path) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(io_error("remove", &path)(e)),
            _ => Ok(()),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

/// Makes a directory for the owner only; one that is there becomes so.
pub fn make_private_dir(path: &Path) -> Result<(), StateError> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(io_error("make", path))?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o700)).map_err(io_error("protect", path))
}

/// Writes a file for the owner only, whole or not at all, and durable when this returns.
pub fn write_private(path: &Path, content: &[u8]) -> Result<(), StateError> {
    let (Some(dir), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io_error("write", path)(io::ErrorKind::InvalidInput.into()));
    };
    let fresh = dir.join(format!(".{}.new", name.to_string_lossy()));
    let failed = io_error("write", path);
    // One that a crash left behind may have other permissions.
    match fs::remove_file(&fresh) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(failed(e)),
        _ => {}
    }
    let mut options = OpenOptions::new();
    let options = options.create_new(true).write(true).mode(0o600);
    let mut file = options.open(&fresh).map_err(&failed)?;
    file.write_all(content).map_err(&failed)?;
    file.sync_all().map_err(&failed)?;
    fs::rename(&fresh, path).map_err(&failed)?;
    sync_dir(dir)
}

/// Makes what happened to a directory's entries durable.
pub fn sync_dir(dir: &Path) -> Result<(), StateError> {
    let failed = io_error("sync", dir);
    File::open(dir).and_then(|d| d.sync_all()).map_err(failed)
}

/// Reads a small file.
pub fn read(path: &Path) -> Result<String, StateError> {
    let failed = io_error("read", path);
    if fs::metadata(path).map_err(&failed)?.len() > MAX_FILE_BYTES {
        return Err(failed(io::ErrorKind::FileTooLarge.into()));
    }
    fs::read_to_string(path).map_err(&failed)
}

/// An [`StateError::Io`] about a file.
pub fn io_error(doing: &'static str, path: &Path) -> impl Fn(io::Error) -> StateError + use<> {
    let path = path.to_owned();
    move |error| StateError::Io {
        doing,
        path: path.clone(),
        error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::OsRandom;

    #[test]
    fn only_one_works_on_a_directory() {
        let tmp = tempfile::tempdir().unwrap();
        let dir = StateDir::prepare(tmp.path()).unwrap();
        let held = dir.lock().unwrap();
        assert!(matches!(dir.lock(), Err(StateError::Locked(_))));
        drop(held);
        assert!(dir.lock().is_ok());
    }

    #[test]
    fn the_audit_logs_key_is_made_once_and_private() {
        let tmp = tempfile::tempdir().unwrap();
        let dir = StateDir::prepare(tmp.path()).unwrap();
        let key = dir.audit_key(&OsRandom).unwrap();
        let path = tmp.path().join("audit/key.pem");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(dir.audit_key(&OsRandom).unwrap().public(), key.public());
        assert!(
            StateDir::prepare(tmp.path()).is_ok(),
            "a broken-off init is taken up"
        );
        fs::write(&path, "something else").unwrap();
        assert!(matches!(dir.audit_key(&OsRandom), Err(StateError::Broken { .. })));
    }

    #[test]
    fn a_directory_with_something_else_is_left_alone() {
        let tmp = tempfile::tempdir().unwrap();
        fs::write(tmp.path().join("thesis.txt"), "x").unwrap();
        assert!(matches!(
            StateDir::prepare(tmp.path()),
            Err(StateError::Foreign { .. })
        ));
        assert!(matches!(StateDir::open(tmp.path()), Err(StateError::Missing(_))));
    }

    #[test]
    fn a_private_file_is_replaced_whole_and_stays_private() {
        let tmp = tempfile::tempdir().unwrap();
        let path = tmp.path().join("key.pem");
        fs::write(tmp.path().join(".key.pem.new"), "left by a crash").unwrap();
        for text in ["one", "two"] {
            write_private(&path, text.as_bytes()).unwrap();
            assert_eq!(read(&path).unwrap(), text);
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        }
        assert_eq!(fs::read_dir(tmp.path()).unwrap().count(), 1);
    }
}
