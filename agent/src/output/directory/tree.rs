//! `current/`: a file for each record held. A file is replaced by rename, never written in place, and a
//! group of files is durable when [`Tree::apply`] returns.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    io::{self, Write as _},
    path::{Path, PathBuf},
    thread,
};

use bytes::Bytes;
use handfast_proto::ids::{OdsCode, RecordId};

/// Files written before they are fsynced and renamed together.
const FILES_AT_ONCE: usize = 64;

/// Threads that fsync: concurrent fsyncs share commits of the file system's journal.
const SYNC_THREADS: usize = 4;

/// What is to become of one file.
#[derive(Debug, Clone)]
pub(super) struct Effect {
    pub(super) source: OdsCode,
    pub(super) record: RecordId,
    /// `None`: no file.
    pub(super) content: Option<Bytes>,
}

/// The folder `current/`.
#[derive(Debug, Clone)]
pub(super) struct Tree {
    root: PathBuf,
}

impl Tree {
    pub(super) fn new(root: PathBuf) -> Self {
        Self { root }
    }

    /// Makes the folder. True where it was not there.
    pub(super) fn make(&self) -> io::Result<bool> {
        let missing = !self.root.try_exists()?;
        fs::create_dir_all(&self.root)?;
        if missing && let Some(parent) = self.root.parent() {
            sync_folder(parent)?;
        }
        Ok(missing)
    }

    /// Writes and removes files, durably. In case of an error some of it may be done; it is safe to do it
    /// again.
    pub(super) fn apply(&self, effects: &[Effect]) -> io::Result<()> {
        let mut folders = BTreeSet::new();
        let writes: Vec<_> = effects
            .iter()
            .filter_map(|e| e.content.as_ref().map(|c| (self.path(e.source, &e.record), c)))
            .collect();
        for chunk in writes.chunks(FILES_AT_ONCE) {
            self.write(chunk, &mut folders)?;
        }
        for effect in effects.iter().filter(|e| e.content.is_none()) {
            self.remove(effect, &mut folders)?;
        }
        // Folders that became empty have gone meanwhile; their parents are in the set.
        for folder in folders.iter().filter(|f| f.is_dir()) {
            sync_folder(folder)?;
        }
        Ok(())
    }

    /// Whether a record's file holds exactly this.
    pub(super) fn holds(&self, source: OdsCode, record: &RecordId, content: &[u8]) -> io::Result<bool> {
        match fs::read(self.path(source, record)) {
            Ok(found) => Ok(found == content),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// The sources that have a folder.
    pub(super) fn sources(&self) -> io::Result<Vec<OdsCode>> {
        let folders = folders_in(&self.root)?;
        Ok(folders.iter().filter_map(|(name, _)| name.parse().ok()).collect())
    }

    /// The records that have a file, as far as `wanted` says; temporary files are removed on the way.
    pub(super) fn files(
        &self,
        wanted: impl Fn(OdsCode, &RecordId) -> bool,
    ) -> io::Result<Vec<(OdsCode, RecordId)>> {
        let mut found = Vec::new();
        for (source_name, source_folder) in folders_in(&self.root)? {
            let Ok(source) = source_name.parse::<OdsCode>() else {
                continue;
            };
            for (kind, folder) in folders_in(&source_folder)? {
                for entry in fs::read_dir(&folder)? {
                    let entry = entry?;
                    let name = entry.file_name().to_string_lossy().into_owned();
                    if name.starts_with('.') && name.ends_with(".json.tmp") {
                        fs::remove_file(entry.path())?;
                        continue;
                    }
                    let record = name
                        .strip_suffix(".json")
                        .and_then(|id| RecordId::new(&kind, id).ok());
                    found.extend(record.filter(|r| wanted(source, r)).map(|r| (source, r)));
                }
            }
        }
        Ok(found)
    }

    /// Never outside the folder: a `RecordId` is no path (it is checked when it is made).
    pub(super) fn path(&self, source: OdsCode, record: &RecordId) -> PathBuf {
        let mut path = self.root.join(source.as_str());
        path.push(record.resource_type());
        path.push(format!("{}.json", record.id()));
        path
    }

    fn write(&self, chunk: &[(PathBuf, &Bytes)], folders: &mut BTreeSet<PathBuf>) -> io::Result<()> {
        let mut files = Vec::with_capacity(chunk.len());
        for (path, content) in chunk {
            let temporary = temporary(path);
            let mut file = match File::create(&temporary) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    self.make_folders(path, folders)?;
                    File::create(&temporary)?
                }
                other => other?,
            };
            file.write_all(content)?;
            files.push(file);
        }
        sync_files(&files)?;
        drop(files);
        for (path, _) in chunk {
            fs::rename(temporary(path), path)?;
            folders.extend(path.parent().map(Path::to_owned));
        }
        Ok(())
    }

    fn make_folders(&self, path: &Path, folders: &mut BTreeSet<PathBuf>) -> io::Result<()> {
        let Some(kind) = path.parent() else { return Ok(()) };
        fs::create_dir_all(kind)?;
        folders.extend(kind.parent().map(Path::to_owned));
        folders.insert(self.root.clone());
        Ok(())
    }

    fn remove(&self, effect: &Effect, folders: &mut BTreeSet<PathBuf>) -> io::Result<()> {
        let path = self.path(effect.source, &effect.record);
        gone(fs::remove_file(&path))?;
        // One that a crash left behind has content too.
        gone(fs::remove_file(temporary(&path)))?;
        let Some(kind) = path.parent() else { return Ok(()) };
        folders.insert(kind.to_owned());
        let Some(source) = kind.parent() else {
            return Ok(());
        };
        if fs::remove_dir(kind).is_ok() {
            folders.insert(source.to_owned());
            if fs::remove_dir(source).is_ok() {
                folders.insert(self.root.clone());
            }
        }
        Ok(())
    }
}

fn temporary(path: &Path) -> PathBuf {
    let name = path.file_name().map(|n| n.to_string_lossy()).unwrap_or_default();
    path.with_file_name(format!(".{name}.tmp"))
}

fn gone(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error)
            if !matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
            ) =>
        {
            Err(error)
        }
        _ => Ok(()),
    }
}

fn sync_files(files: &[File]) -> io::Result<()> {
    if files.len() < 2 * SYNC_THREADS {
        return files.iter().try_for_each(File::sync_all);
    }
    let share = files.len().div_ceil(SYNC_THREADS);
    thread::scope(|scope| {
        let threads: Vec<_> = files
            .chunks(share)
            .map(|part| scope.spawn(|| part.iter().try_for_each(File::sync_all)))
            .collect();
        threads.into_iter().try_for_each(|t| {
            t.join()
                .unwrap_or_else(|_| Err(io::Error::other("a thread that writes to disk failed")))
        })
    })
}

fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

fn folders_in(folder: &Path) -> io::Result<Vec<(String, PathBuf)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            found.push((entry.file_name().to_string_lossy().into_owned(), entry.path()));
        }
    }
    Ok(found)
}
