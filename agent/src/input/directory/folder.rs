//! Which files of the folder are complete, in the order of their names.
//!
//! A file is complete once it was not written for the settle time, by its own time of modification or by
//! what was seen of it. While an earlier file is not, later ones wait, though not for ever.

use std::{
    collections::HashMap,
    ffi::OsString,
    fs, io,
    os::unix::{
        ffi::OsStrExt as _,
        fs::{MetadataExt as _, OpenOptionsExt as _},
    },
    path::Path,
    time::Duration,
};

use tokio::time::Instant;

/// How long a file that is still being written may hold up those after it.
const MAX_HOLD: Duration = Duration::from_secs(30);

/// Files taken note of in one look; the others are found in the next.
const MAX_FILES: usize = 200_000;

const NANOS_PER_MS: i128 = 1_000_000;

/// How a file is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    /// One resource a line.
    Lines,
    /// One resource or Bundle.
    Document,
}

/// What tells one state of a file from another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Identity {
    inode: u64,
    size: u64,
    modified_ns: i128,
}

/// A file of the folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) name: OsString,
    pub(super) format: Format,
    pub(super) identity: Identity,
    /// False: a symlink or something else that is not read.
    pub(super) regular: bool,
}

/// What was seen of the files before.
#[derive(Debug, Default)]
pub(super) struct Watch {
    seen: HashMap<OsString, Seen>,
}

#[derive(Debug)]
struct Seen {
    identity: Identity,
    unchanged_since: Instant,
    first_seen: Instant,
}

// === impl Identity ===

impl Identity {
    pub(super) fn of(metadata: &fs::Metadata) -> Self {
        Self {
            inode: metadata.ino(),
            size: metadata.len(),
            modified_ns: i128::from(metadata.mtime()) * 1_000_000_000 + i128::from(metadata.mtime_nsec()),
        }
    }

    pub(super) fn size(&self) -> u64 {
        self.size
    }

    /// As part of a mark's name.
    pub(super) fn text(&self) -> String {
        format!("{}:{}:{}", self.inode, self.size, self.modified_ns)
    }
}

/// Every file that may be taken, in the order of their names. Hidden ones and other endings are passed over.
pub(super) fn look(folder: &Path) -> io::Result<Vec<Found>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        let Some(format) = format_of(&name) else {
            continue;
        };
        // Of the entry itself, not of what it links to. One that is gone meanwhile was not ours.
        let metadata = match entry.metadata() {
            Ok(metadata) => metadata,
            Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
            Err(e) => return Err(e),
        };
        if metadata.is_dir() {
            continue;
        }
        found.push(Found {
            name,
            format,
            identity: Identity::of(&metadata),
            regular: metadata.is_file(),
        });
        if found.len() >= MAX_FILES {
            break;
        }
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(found)
}

fn format_of(name: &std::ffi::OsStr) -> Option<Format> {
    let name = name.as_bytes();
    if name.starts_with(b".") {
        return None;
    }
    let lower = name.to_ascii_lowercase();
    if lower.ends_with(b".ndjson") {
        Some(Format::Lines)
    } else if lower.ends_with(b".json") {
        Some(Format::Document)
    } else {
        None
    }
}

/// Opens a file for reading, and only it: neither a link to another nor a pipe that never ends.
pub(super) fn open(path: &Path) -> io::Result<fs::File> {
    let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
    let flags = i32::try_from(flags.bits()).map_err(io::Error::other)?;
    let file = fs::OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    if file.metadata()?.is_file() {
        Ok(file)
    } else {
        Err(io::Error::other("it is not a file"))
    }
}

impl Watch {
    /// Of the files found, those that are to be taken now.
    pub(super) fn complete(
        &mut self,
        found: Vec<Found>,
        settle: Duration,
        now: Instant,
        now_ms: i64,
    ) -> Vec<Found> {
        self.seen.retain(|name, _| found.iter().any(|f| f.name == *name));
        let mut complete = Vec::new();
        let mut held_up = false;
        for file in found {
            let ready = self.is_complete(&file, settle, now, now_ms);
            if ready && !held_up {
                complete.push(file);
            } else if !ready {
                let since = self.seen.get(&file.name).map_or(now, |s| s.first_seen);
                held_up |= now.duration_since(since) < MAX_HOLD;
            }
        }
        complete
    }

    fn is_complete(&mut self, file: &Found, settle: Duration, now: Instant, now_ms: i64) -> bool {
        let seen = self.seen.entry(file.name.clone()).or_insert(Seen {
            identity: file.identity,
            unchanged_since: now,
            first_seen: now,
        });
        if seen.identity != file.identity {
            seen.identity = file.identity;
            seen.unchanged_since = now;
        }
        let settle_ms = i128::try_from(settle.as_millis()).unwrap_or(i128::MAX);
        let age_ms = i128::from(now_ms) - file.identity.modified_ns / NANOS_PER_MS;
        age_ms >= settle_ms || now.duration_since(seen.unchanged_since) >= settle
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(name: &str, size: u64) -> Found {
        Found {
            name: name.into(),
            format: Format::Lines,
            identity: Identity {
                inode: 1,
                size,
                modified_ns: 1_000 * NANOS_PER_MS,
            },
            regular: true,
        }
    }

    fn names(files: &[Found]) -> Vec<&str> {
        files.iter().filter_map(|f| f.name.to_str()).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn a_file_that_grows_is_waited_for_and_holds_up_the_next_for_a_while() {
        let settle = Duration::from_millis(300);
        let mut watch = Watch::default();
        let mut size = 0;
        let start = Instant::now();
        let mut look = |at: u64, grows: bool| {
            size += u64::from(grows);
            let now = start + Duration::from_millis(at);
            // The clock says 1,000 ms throughout: both files were just written.
            names(&watch.complete(vec![file("a", size), file("b", 1)], settle, now, 1_000))
                .into_iter()
                .map(str::to_owned)
                .collect::<Vec<_>>()
        };
        assert!(look(0, true).is_empty());
        assert!(look(400, true).is_empty(), "b is complete and waits for a");
        assert_eq!(look(800, false), ["a", "b"]);
        assert!(look(900, true).is_empty());
        assert_eq!(look(31_000, true), ["b"], "but not for ever");
    }

    #[tokio::test(start_paused = true)]
    async fn an_old_file_is_taken_at_once() {
        let mut watch = Watch::default();
        let ready = watch.complete(
            vec![file("a", 1)],
            Duration::from_millis(300),
            Instant::now(),
            2_000,
        );
        assert_eq!(names(&ready), ["a"]);
    }

    #[test]
    fn only_json_that_is_not_hidden_is_looked_at() {
        let dir = tempfile::tempdir().unwrap();
        for name in [
            "b.ndjson",
            "A.JSON",
            ".c.ndjson",
            "d.ndjson.tmp",
            "e.json.part",
            "f.txt",
        ] {
            fs::write(dir.path().join(name), "").unwrap();
        }
        fs::create_dir(dir.path().join("g.json")).unwrap();
        std::os::unix::fs::symlink("/etc/hostname", dir.path().join("z.json")).unwrap();
        let found = look(dir.path()).unwrap();
        assert_eq!(names(&found), ["A.JSON", "b.ndjson", "z.json"]);
        assert_eq!(
            found.iter().map(|f| f.regular).collect::<Vec<_>>(),
            [true, true, false]
        );
        assert!(
            open(&dir.path().join("z.json")).is_err(),
            "a link is not followed"
        );
    }
}
