//! Why the outbox could not do what was asked.

/// Why nothing was taken. The caller still has everything and may ask again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OutboxError {
    /// No room.
    #[error("the outbox's disk is full; make room, it goes on by itself")]
    DiskFull,
    /// The disk or the file fails otherwise.
    #[error("the outbox cannot be read or written ({0}); check the disk of the state directory")]
    Io(String),
    /// The file is not what it should be.
    #[error("the outbox is damaged ({0}); restore the state directory, or enrol the agent anew")]
    Damaged(String),
    /// It cannot be opened.
    #[error("the outbox at {path} cannot be opened: {why}")]
    Open {
        /// Where.
        path: String,
        /// Why.
        why: String,
    },
    /// The agent is stopping.
    #[error("the outbox is closed; the agent is stopping")]
    Closed,
}

/// Primary result codes of SQLite ("Result and Error Codes").
const SQLITE_IOERR: i64 = 10;
const SQLITE_CORRUPT: i64 = 11;
const SQLITE_FULL: i64 = 13;
const SQLITE_NOTADB: i64 = 26;
/// The shared-memory file could not be made larger: the disk is full.
const SQLITE_IOERR_SHMSIZE: i64 = 10 | (19 << 8);

impl From<sqlx::Error> for OutboxError {
    fn from(error: sqlx::Error) -> Self {
        let extended: Option<i64> = error
            .as_database_error()
            .and_then(sqlx::error::DatabaseError::code)
            .and_then(|code| code.parse().ok());
        match extended.map(|code| (code, code & 0xff)) {
            Some((_, SQLITE_FULL) | (SQLITE_IOERR_SHMSIZE, _)) => Self::DiskFull,
            Some((_, SQLITE_CORRUPT | SQLITE_NOTADB)) => Self::Damaged(error.to_string()),
            Some((_, SQLITE_IOERR)) => Self::Io(error.to_string()),
            _ => match &error {
                sqlx::Error::Io(io) if io.kind() == std::io::ErrorKind::StorageFull => Self::DiskFull,
                sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) => Self::Damaged(error.to_string()),
                _ => Self::Io(error.to_string()),
            },
        }
    }
}
