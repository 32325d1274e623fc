//! What can go wrong with the inbox.

use std::path::PathBuf;

/// A fault of the inbox. None of them loses anything: what was not committed comes again.
#[derive(Debug, thiserror::Error)]
pub enum InboxError {
    /// The disk has no room. The same group may be applied again once there is room.
    #[error(
        "the disk that holds the inbox is full or takes no writes; make room on it or see to it, work goes on by itself"
    )]
    DiskFull,
    /// The file cannot be opened as an inbox.
    #[error(
        "the inbox {path} cannot be opened ({why}); check that the disk is there and the file is the agent's own"
    )]
    Open {
        /// Which file.
        path: PathBuf,
        /// What SQLite said.
        why: String,
    },
    /// A setting that durability rests on did not take.
    #[error("the inbox {path} runs with {pragma} = {value}, which could lose data; put it on a local disk")]
    Pragma {
        /// Which file.
        path: PathBuf,
        /// Which setting.
        pragma: &'static str,
        /// What it is.
        value: String,
    },
    /// SQLite was built without something that the inbox rests on.
    #[error(
        "this agent was built without SQLite's {0}, and could leave behind what is withdrawn; build it within its \
         workspace, where .cargo/config.toml says how"
    )]
    Build(&'static str),
    /// What stands in the file breaks its own rules.
    #[error("the inbox is damaged: {0}; move inbox.db away and start again, its content will be sent anew")]
    Damaged(&'static str),
    /// The operating system gave no random numbers.
    #[error("the operating system gives no random numbers; the inbox cannot make a store id")]
    Random,
    /// Anything else that SQLite refuses.
    #[error("the inbox cannot be read or written: {0}")]
    Database(#[source] sqlx::Error),
}

/// SQLITE_FULL.
const FULL: &str = "13";
/// SQLITE_IOERR_WRITE, _FSYNC and _SHMSIZE, which come instead of SQLITE_FULL on some file systems, and
/// where the index of the write-ahead log cannot grow.
const IO_WRITE: [&str; 3] = ["778", "1034", "4874"];

impl From<sqlx::Error> for InboxError {
    fn from(error: sqlx::Error) -> Self {
        let code = match &error {
            sqlx::Error::Database(db) => db.code(),
            _ => None,
        };
        match code.as_deref() {
            Some(FULL) => Self::DiskFull,
            Some(code) if IO_WRITE.contains(&code) => Self::DiskFull,
            _ => Self::Database(error),
        }
    }
}

impl InboxError {
    /// Whether it clears once there is room on the disk.
    pub fn is_disk_full(&self) -> bool {
        matches!(self, Self::DiskFull)
    }
}
