//! Messages for a mail system: files in a folder, each complete from the moment it has its name.
//!
//! The daemon sends no mail itself: what takes the files away (a path unit that calls `sendmail -t`, a mail
//! gateway) is the machine's own, with that system's queue, credentials and retries.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use super::notice::Notice;

/// Owner and group: the mail system is in the folder's group.
const FILE_MODE: u32 = 0o640;

/// Where messages go, from whom, to whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct MailDrop {
    pub(super) dir: PathBuf,
    pub(super) from: String,
    pub(super) to: Vec<String>,
}

impl MailDrop {
    /// Puts a message into the folder; durable when this returns. One of the same alert in the same state that
    /// is still there is replaced. Blocking.
    pub(super) fn put(&self, notice: &Notice, now: i64) -> io::Result<()> {
        let name = notice.file_name();
        let (place, staged) = (self.dir.join(&name), self.dir.join(format!(".{name}.tmp")));
        let message = notice.message(&self.from, &self.to, now);
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(FILE_MODE)
            .open(&staged)?;
        file.write_all(message.as_bytes())?;
        file.sync_all()?;
        fs::rename(&staged, &place)?;
        sync(&self.dir)
    }
}

fn sync(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{AlertId, AlertKind, AlertState, HandOff};

    #[test]
    fn a_message_is_there_whole_and_once() {
        let dir = tempfile::tempdir().unwrap();
        let drop = MailDrop {
            dir: dir.path().to_owned(),
            from: "handfast@care.example".to_owned(),
            to: vec!["officer@care.example".to_owned()],
        };
        let notice = Notice::of(&HandOff {
            alert: AlertId(3),
            kind: AlertKind::SelfClaimed,
            unit: "Z00303".parse().unwrap(),
            source: None,
            state: AlertState::Escalated,
            raised_at: 5,
            tries: 0,
        });
        drop.put(&notice, 6).unwrap();
        drop.put(&notice, 7).unwrap();
        let names: Vec<_> = fs::read_dir(dir.path())
            .unwrap()
            .map(|e| e.unwrap().file_name())
            .collect();
        assert_eq!(names, ["alert-3-escalated.eml"]);
        let gone = MailDrop {
            dir: dir.path().join("none"),
            ..drop
        };
        assert!(gone.put(&notice, 8).is_err());
    }
}
