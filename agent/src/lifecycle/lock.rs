//! One agent a state folder: the running one holds a lock on the file `lock` in it. The system lets go of
//! it however the process ends.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use rustix::{
    fs::{FlockOperation, flock},
    io::Errno,
};

/// The lock's file within the state folder. Holds the process id of who holds it, for people.
pub const LOCK_FILE: &str = "lock";

/// `status` looks at the lock for an instant: that must not keep an agent from starting.
const TRIES: u32 = 20;
const BETWEEN_TRIES: Duration = Duration::from_millis(50);

/// Why the state folder cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another agent runs on it.
    #[error(
        "an agent{} is running on {} already; stop it first (systemctl stop handfast-agent)",
        pid.as_ref().map(|p| format!(" (process {p})")).unwrap_or_default(),
        state_dir.display()
    )]
    Held {
        /// The state folder.
        state_dir: PathBuf,
        /// The process that holds it, where it said so.
        pid: Option<u32>,
    },
    /// The file system said no.
    #[error("lock the state folder {}: {source}", state_dir.display())]
    Io {
        /// The state folder.
        state_dir: PathBuf,
        /// What was answered.
        source: io::Error,
    },
}

/// The lock, held until this is dropped.
#[derive(Debug)]
pub struct StateLock {
    _file: File,
}

impl StateLock {
    /// Takes the lock, waiting a second at most.
    pub fn take(state_dir: &Path) -> Result<Self, LockError> {
        let io = |source| LockError::Io {
            state_dir: state_dir.to_owned(),
            source,
        };
        let path = state_dir.join(LOCK_FILE);
        let mut file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .mode(0o600)
            .open(&path)
            .map_err(io)?;
        for tried in 1..=TRIES {
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => break,
                Err(Errno::WOULDBLOCK) if tried < TRIES => thread::sleep(BETWEEN_TRIES),
                Err(Errno::WOULDBLOCK) => {
                    return Err(LockError::Held {
                        state_dir: state_dir.to_owned(),
                        pid: fs::read_to_string(&path).ok().and_then(|p| p.trim().parse().ok()),
                    });
                }
                Err(other) => return Err(io(other.into())),
            }
        }
        // On a full disk the id is missing, which costs only a friendlier message.
        let _ = file
            .set_len(0)
            .and_then(|()| writeln!(file, "{}", std::process::id()));
        Ok(Self { _file: file })
    }

    /// Whether an agent runs on the state folder.
    pub fn is_held(state_dir: &Path) -> bool {
        File::open(state_dir.join(LOCK_FILE))
            .is_ok_and(|file| flock(&file, FlockOperation::NonBlockingLockShared) == Err(Errno::WOULDBLOCK))
    }
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    #[test]
    fn a_second_agent_is_refused_and_told_who_runs() {
        let dir = TempDir::new().unwrap();
        assert!(!StateLock::is_held(dir.path()));
        let held = StateLock::take(dir.path()).unwrap();
        assert!(StateLock::is_held(dir.path()));
        let refused = StateLock::take(dir.path()).unwrap_err();
        let text = refused.to_string();
        assert!(
            text.contains(&format!("process {}", std::process::id())),
            "{text}"
        );
        drop(held);
        assert!(!StateLock::is_held(dir.path()));
        StateLock::take(dir.path()).unwrap();
    }

    #[test]
    fn a_folder_that_is_not_there_is_named() {
        let text = StateLock::take(Path::new("/nowhere/state"))
            .unwrap_err()
            .to_string();
        assert!(text.contains("/nowhere/state"), "{text}");
    }
}
