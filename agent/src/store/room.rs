//! Room on the disk for what stands in a store's write-ahead log.
//!
//! SQLite takes the log into the file only once it is large, and the file grows by it then. On a small disk
//! the logs would fill it first, and none could be taken in any more.

use std::{fs, path::Path};

/// A smaller log, in bytes, is left alone however little is free.
const MIN_LOG_BYTES: u64 = 1024 * 1024;

/// How many times as much as the log holds must be free: the file may grow by all of it, and another store
/// of the same disk has a log as well.
const FREE_FOR_LOG: u64 = 3;

/// Whether the log of the store at `path` should be taken into its file while there is room for it.
pub(super) fn is_short(path: &Path) -> bool {
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    let Ok(log_bytes) = fs::metadata(log).map(|m| m.len()) else {
        return false;
    };
    log_bytes >= MIN_LOG_BYTES
        && rustix::fs::statvfs(path)
            .is_ok_and(|disk| disk.f_bavail.saturating_mul(disk.f_frsize) / FREE_FOR_LOG < log_bytes)
}
