//! Puts a file that was taken where people find it: `done/` or `rejected/`, with what is to be said of it
//! beside it. What is said is written first, so that a file in its place never lacks it.

use std::{
    ffi::{OsStr, OsString},
    fs, io,
    io::Write as _,
    os::unix::ffi::{OsStrExt as _, OsStringExt as _},
    path::{Path, PathBuf},
};

use rustix::fs::{CWD, RenameFlags, renameat_with};

/// The folders beside the files.
pub(super) const DONE: &str = "done";
pub(super) const REJECTED: &str = "rejected";

/// Bytes of a name, so that an ending still fits (Linux allows 255).
const MAX_NAME_BYTES: usize = 200;

/// Files of one name in one folder.
const MAX_SAME_NAME: u32 = 1_000_000;

/// What is said of a file.
#[derive(Debug, Default)]
pub(super) struct Notes {
    /// Why it is rejected. `None`: it is done.
    pub(super) reason: Option<String>,
    /// What in it was older than what is held.
    pub(super) older: Option<String>,
    /// How something in it is read, where that may not be what its author meant.
    pub(super) notes: Option<String>,
}

/// Makes the folders.
pub(super) fn prepare(folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    for name in [DONE, REJECTED] {
        match fs::create_dir(folder.join(name)) {
            Ok(()) => {}
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
            Err(e) => return Err(e),
        }
    }
    sync(folder)
}

/// Moves a file out of the folder; gives where to. It never replaces another.
pub(super) fn put(folder: &Path, name: &OsStr, notes: &Notes) -> io::Result<PathBuf> {
    let target = folder.join(if notes.reason.is_some() { REJECTED } else { DONE });
    fs::create_dir_all(&target)?;
    let from = folder.join(name);
    for number in 0..MAX_SAME_NAME {
        let to_name = numbered(name, number);
        let to = target.join(&to_name);
        if fs::symlink_metadata(&to).is_ok() {
            continue;
        }
        if let Some(text) = &notes.reason {
            write(&target, &ending(&to_name, ".reason"), text)?;
        }
        if let Some(text) = &notes.older {
            write(&target, &ending(&to_name, ".older"), text)?;
        }
        if let Some(text) = &notes.notes {
            write(&target, &ending(&to_name, ".notes"), text)?;
        }
        match renameat_with(CWD, &from, CWD, &to, RenameFlags::NOREPLACE) {
            Ok(()) => {
                sync(&target)?;
                sync(folder)?;
                return Ok(to);
            }
            Err(rustix::io::Errno::EXIST) => {}
            Err(e) => return Err(e.into()),
        }
    }
    Err(io::Error::other(
        "too many files of that name were taken before; empty the folder",
    ))
}

fn numbered(name: &OsStr, number: u32) -> OsString {
    let bytes = name.as_bytes();
    let cut = bytes.get(..MAX_NAME_BYTES.min(bytes.len())).unwrap_or_default();
    let name = OsString::from_vec(cut.to_vec());
    match number {
        0 => name,
        more => ending(&name, &format!(".{more}")),
    }
}

fn ending(name: &OsStr, suffix: &str) -> OsString {
    let mut name = name.to_owned();
    name.push(suffix);
    name
}

fn write(folder: &Path, name: &OsStr, text: &str) -> io::Result<()> {
    let temporary = folder.join(ending(
        OsStr::new("."),
        &format!("{}.tmp", name.to_string_lossy()),
    ));
    let mut file = fs::File::create(&temporary)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&temporary, folder.join(name))
}

fn sync(folder: &Path) -> io::Result<()> {
    fs::File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_never_replaces_another_and_its_reason_stands_beside_it() {
        let dir = tempfile::tempdir().unwrap();
        prepare(dir.path()).unwrap();
        let notes = Notes {
            reason: Some("line 1: bad\n".into()),
            ..Notes::default()
        };
        let mut places = Vec::new();
        for content in ["a", "b"] {
            fs::write(dir.path().join("x.ndjson"), content).unwrap();
            places.push(put(dir.path(), OsStr::new("x.ndjson"), &notes).unwrap());
        }
        let read = |name: &str| fs::read_to_string(dir.path().join(REJECTED).join(name)).unwrap();
        assert_eq!((read("x.ndjson"), read("x.ndjson.1")), ("a".into(), "b".into()));
        assert_eq!(read("x.ndjson.reason"), "line 1: bad\n");
        assert_eq!(read("x.ndjson.1.reason"), "line 1: bad\n");
        assert_eq!(fs::read_dir(dir.path().join(REJECTED)).unwrap().count(), 4);
    }

    #[test]
    fn a_name_of_any_length_finds_its_place() {
        let dir = tempfile::tempdir().unwrap();
        prepare(dir.path()).unwrap();
        let name = format!("{}.json", "n".repeat(250));
        fs::write(dir.path().join(&name), "").unwrap();
        let notes = Notes {
            reason: Some("x".into()),
            older: Some("y".into()),
            notes: Some("z".into()),
        };
        let place = put(dir.path(), OsStr::new(&name), &notes).unwrap();
        assert!(place.exists());
    }
}
