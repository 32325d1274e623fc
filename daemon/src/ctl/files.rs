//! Files of a credential and of tokens: bounded when read, and readable by their owner alone.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
};

use super::error::CtlError;

/// Nobody but the owner.
const SECRET_MODE: u32 = 0o600;

/// Bytes of a file read whole; no credential, token or list of units comes near.
pub(super) const MAX_FILE_BYTES: u64 = 1024 * 1024;

/// Reads a file whole.
pub(super) fn read(path: &Path) -> Result<String, CtlError> {
    let bounded = File::open(path).and_then(read_bounded);
    bounded.map_err(|e| failed("read", path, &e))
}

/// Reads anything whole, up to [`MAX_FILE_BYTES`].
pub(super) fn read_bounded(from: impl io::Read) -> io::Result<String> {
    let mut text = String::new();
    from.take(MAX_FILE_BYTES + 1).read_to_string(&mut text)?;
    if text.len() as u64 > MAX_FILE_BYTES {
        return Err(io::Error::other("it is larger than 1 MiB"));
    }
    Ok(text)
}

/// Makes a new file that only its owner may read. One that is there already is never overwritten.
pub(super) fn create_secret(path: &Path) -> Result<File, CtlError> {
    let created = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(SECRET_MODE)
        .open(path);
    created.map_err(|e| failed("create", path, &e))
}

/// Writes a new file that only its owner may read; durable when this returns.
pub(super) fn write_secret(path: &Path, text: &str) -> Result<(), CtlError> {
    let mut file = create_secret(path)?;
    let written = file.write_all(text.as_bytes()).and_then(|()| file.sync_all());
    written.map_err(|e| failed("write", path, &e))
}

/// Replaces a file at once: whoever reads it finds the old text or the new, also after a crash.
pub(super) fn replace(path: &Path, text: &str) -> Result<(), CtlError> {
    let mut staged = path.as_os_str().to_owned();
    staged.push(format!(".{}", std::process::id()));
    let staged = Path::new(&staged);
    // Left by a process of the same number that was killed.
    let _ = fs::remove_file(staged);
    write_secret(staged, text)?;
    fs::rename(staged, path).map_err(|e| failed("replace", path, &e))?;
    sync_parent(path)
}

/// Makes a name in a folder durable.
pub(super) fn sync_parent(path: &Path) -> Result<(), CtlError> {
    let parent = path.parent().filter(|p| !p.as_os_str().is_empty());
    let parent = parent.unwrap_or_else(|| Path::new("."));
    let synced = File::open(parent).and_then(|dir| dir.sync_all());
    synced.map_err(|e| failed("write", parent, &e))
}

/// What the file system said, for a person.
pub(super) fn failed(what: &str, path: &Path, error: &io::Error) -> CtlError {
    let hint = match error.kind() {
        io::ErrorKind::AlreadyExists => ". Choose another name, or remove it first",
        io::ErrorKind::NotFound => ". Check the path",
        io::ErrorKind::PermissionDenied => ". Check whose file it is",
        _ => "",
    };
    CtlError::Failed(format!("{what} {}: {error}{hint}", path.display()))
}
