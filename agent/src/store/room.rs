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
    let (Ok(log), Ok(disk)) = (fs::metadata(log), rustix::fs::statvfs(path)) else {
        return false;
    };
    is_too_little(disk.f_bavail.saturating_mul(disk.f_frsize), log.len())
}

fn is_too_little(free_bytes: u64, log_bytes: u64) -> bool {
    log_bytes >= MIN_LOG_BYTES && free_bytes / FREE_FOR_LOG < log_bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_must_fit_what_is_free_several_times() {
        const MIB: u64 = 1024 * 1024;
        assert!(!is_too_little(0, MIB - 1), "so little is not worth it");
        assert!(is_too_little(0, MIB));
        assert!(is_too_little(23 * MIB, 8 * MIB));
        assert!(!is_too_little(24 * MIB, 8 * MIB));
        assert!(!is_too_little(u64::MAX, 64 * MIB));
    }

    #[test]
    fn a_store_without_a_log_is_not_short() {
        let folder = tempfile::tempdir().unwrap();
        assert!(!is_short(&folder.path().join("no.db")));
    }
}
