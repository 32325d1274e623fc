//! Keeps the projection's file whole: it is derived from the log, so one that is missing, damaged or ahead
//! of the log is made anew rather than repaired.

use std::{
    collections::HashMap,
    fs, io,
    path::{Path, PathBuf},
};

use handfast_proto::ids::{NhsNumber, OdsCode, RecordId};
use sqlx::SqliteConnection;

use super::{
    audit, audit_index, current, current::Erased, database::Database, erasures::Erasure, fault::fault,
    index_sums, log, patient_runs, places, places::Places, projection, run_check, settings::RECORDS, told,
};
use crate::store::{
    CurrentRecord, EntryKeys, EntryQuery, Head, IndexSums, Of, RecordVersion, StoreError, SubjectCount,
    ToldStretches, WrongStretch,
};

/// Beside the file: it was found damaged while in use and is to be made anew when opened next.
const DAMAGED_SUFFIX: &str = ".damaged";

/// The projection's file.
#[derive(Debug)]
pub(super) struct Records {
    file: Database,
}

impl Records {
    /// Opens the file, or makes it. `main` has the log: a source whose records go beyond its head (the log
    /// was restored from an older copy) is projected again from the beginning.
    pub(super) async fn open(state_dir: &Path, main: &Database) -> Result<Self, StoreError> {
        let path = state_dir.join(RECORDS.file);
        if beside(&path, DAMAGED_SUFFIX).exists() {
            remove(&path)?;
        }
        let records = match Self::try_open(state_dir).await {
            Err(StoreError::Corrupt(why)) => {
                tracing::warn!(file = %path.display(), why, "the projection is damaged; it is made anew from the log");
                remove(&path)?;
                Self::try_open(state_dir).await?
            }
            opened => opened?,
        };
        records.drop_what_is_ahead(main).await?;
        Ok(records)
    }

    async fn try_open(state_dir: &Path) -> Result<Self, StoreError> {
        Database::make(&RECORDS, state_dir)?;
        let migrations = sqlx::migrate!("./migrations/sqlite-records");
        let file = Database::open(&RECORDS, state_dir, &migrations).await?;
        Ok(Self { file })
    }

    async fn drop_what_is_ahead(&self, main: &Database) -> Result<(), StoreError> {
        let mut reached = Vec::new();
        for (source, _) in log::heads(main).await? {
            reached.push((source, projection::through(&self.file, source).await?));
        }
        // The heads as they are after that: beside a daemon that serves, both go on meanwhile.
        let heads: HashMap<OdsCode, Head> = log::heads(main).await?.into_iter().collect();
        for (source, through) in reached {
            let Some(head) = heads.get(&source).filter(|head| through > head.seq) else {
                continue;
            };
            tracing::warn!(%source, head = head.seq, "the projection is ahead of the log; it is made anew for this unit");
            let mut write = self.file.write().await?;
            let result = forget(write.conn(), source).await;
            write.finish(result).await?;
        }
        if audit_index::through(&self.file).await? > audit::size(main).await? {
            tracing::warn!("what audit entries are found by is ahead of the log; it is made anew");
            let mut write = self.file.write().await?;
            let result = audit_index::forget(write.conn()).await;
            write.finish(result).await?;
        }
        Ok(())
    }

    pub(super) async fn through(&self, source: OdsCode) -> Result<u64, StoreError> {
        let result = projection::through(&self.file, source).await;
        result.inspect_err(|error| self.note_damage(error))
    }

    pub(super) async fn project(
        &self,
        main: &Database,
        source: OdsCode,
        versions: &[RecordVersion],
        through: u64,
    ) -> Result<(), StoreError> {
        let result = projection::project(&self.file, main, source, versions, through).await;
        result.inspect_err(|error| self.note_damage(error))
    }

    pub(super) async fn mark_erased(&self, erasure: &Erasure) -> Result<(), StoreError> {
        let result = places::mark_erased(&self.file, erasure).await;
        result.inspect_err(|error| self.note_damage(error))
    }

    pub(super) async fn places(&self, erasure: &Erasure) -> Result<Places, StoreError> {
        let result = places::of(&self.file, erasure).await;
        result.inspect_err(|error| self.note_damage(error))
    }

    pub(super) async fn erased(
        &self,
        source: OdsCode,
        patient: NhsNumber,
        limit: u32,
    ) -> Result<Vec<RecordId>, StoreError> {
        let result = places::erased_records(&self.file, source, patient, limit).await;
        result.inspect_err(|error| self.note_damage(error))
    }

    pub(super) async fn current(
        &self,
        source: OdsCode,
        of: Of,
        erased: Erased,
        seqs: (u64, u64),
        limit: u32,
    ) -> Result<Vec<CurrentRecord>, StoreError> {
        let result = current::records(&self.file, source, of, erased, seqs, limit).await;
        result.inspect_err(|error| self.note_damage(error))
    }

    pub(super) async fn have(
        &self,
        source: OdsCode,
        patients: &[NhsNumber],
    ) -> Result<Vec<NhsNumber>, StoreError> {
        let result = current::have(&self.file, source, patients).await;
        result.inspect_err(|error| self.note_damage(error))
    }

    pub(super) async fn patients(
        &self,
        source: OdsCode,
        after: Option<NhsNumber>,
        limit: u32,
    ) -> Result<Vec<NhsNumber>, StoreError> {
        let result = current::patients(&self.file, source, after, limit).await;
        result.inspect_err(|error| self.note_damage(error))
    }

    pub(super) async fn subjects(
        &self,
        source: OdsCode,
        after: Option<NhsNumber>,
        limit: u32,
    ) -> Result<Vec<SubjectCount>, StoreError> {
        let result = current::subjects(&self.file, source, after, limit).await;
        result.inspect_err(|error| self.note_damage(error))
    }

    pub(super) async fn audit_indexed(&self) -> Result<u64, StoreError> {
        let result = audit_index::through(&self.file).await;
        result.inspect_err(|error| self.note_damage(error))
    }

    pub(super) async fn index_audit(&self, keys: &[EntryKeys], through: u64) -> Result<(), StoreError> {
        let result = audit_index::index(&self.file, keys, through).await;
        result.inspect_err(|error| self.note_damage(error))
    }

    pub(super) async fn find_entries(&self, query: &EntryQuery) -> Result<Vec<u64>, StoreError> {
        let result = audit_index::find(&self.file, query).await;
        result.inspect_err(|error| self.note_damage(error))
    }

    pub(super) async fn entries_of_seqs(
        &self,
        source: OdsCode,
        recipient: Option<OdsCode>,
        seqs: (u64, u64),
        limit: u32,
    ) -> Result<Vec<u64>, StoreError> {
        let result = audit_index::of_seqs(&self.file, source, recipient, seqs, limit).await;
        result.inspect_err(|error| self.note_damage(error))
    }

    pub(super) async fn audit_index_sums(&self, through: u64) -> Result<IndexSums, StoreError> {
        let result = index_sums::kept(&self.file, through).await;
        result.inspect_err(|error| self.note_damage(error))
    }

    pub(super) async fn wrong_stretch(&self, main: &Database) -> Result<Option<WrongStretch>, StoreError> {
        run_check::first_wrong(main, &self.file).await
    }

    pub(super) async fn told_through(&self, source: OdsCode, recipient: OdsCode) -> Result<u64, StoreError> {
        let result = told::through(&self.file, source, recipient).await;
        result.inspect_err(|error| self.note_damage(error))
    }

    pub(super) async fn stretches_told(
        &self,
        of: (OdsCode, OdsCode),
        patients: &[NhsNumber],
        after: u64,
        blocks: u32,
    ) -> Result<ToldStretches, StoreError> {
        let result = told::stretches(&self.file, of, patients, after, blocks).await;
        result.inspect_err(|error| self.note_damage(error))
    }

    pub(super) async fn seqs_of_patient(
        &self,
        source: OdsCode,
        patient: NhsNumber,
        after: u64,
        limit: u32,
    ) -> Result<Vec<(u64, u64)>, StoreError> {
        let result = patient_runs::of_patient(&self.file, source, patient, after, limit).await;
        result.inspect_err(|error| self.note_damage(error))
    }

    pub(super) async fn close(self) {
        self.file.close().await;
    }

    #[cfg(test)]
    pub(super) fn file(&self) -> &Database {
        &self.file
    }

    fn note_damage(&self, error: &StoreError) {
        if !matches!(error, StoreError::Corrupt(_)) {
            return;
        }
        let path = self.file.path();
        tracing::error!(file = %path.display(), %error, "the projection is damaged; restart handfastd and it is made anew from the log");
        if let Err(error) = fs::write(beside(path, DAMAGED_SUFFIX), []) {
            tracing::error!(file = %path.display(), %error, "the damage cannot be noted; remove the file before the restart");
        }
    }
}

async fn forget(conn: &mut SqliteConnection, source: OdsCode) -> Result<(), StoreError> {
    patient_runs::forget(conn, source).await?;
    let steps = [
        "DELETE FROM record WHERE source = (SELECT id FROM source WHERE ods = ?1)",
        "DELETE FROM moved WHERE source = (SELECT id FROM source WHERE ods = ?1)",
        "UPDATE source SET through = 0 WHERE ods = ?1",
    ];
    for sql in steps {
        sqlx::query(sql)
            .bind(source.as_str())
            .execute(&mut *conn)
            .await
            .map_err(fault)?;
    }
    Ok(())
}

/// Removes the file with what SQLite keeps beside it; the mark last, so that a crash half-way starts over.
fn remove(path: &Path) -> Result<(), StoreError> {
    for name in [
        path.to_owned(),
        beside(path, "-wal"),
        beside(path, "-shm"),
        beside(path, DAMAGED_SUFFIX),
    ] {
        match fs::remove_file(&name) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                let name = name.display();
                return Err(StoreError::Failed(format!("{name} cannot be removed: {error}")));
            }
            _ => {}
        }
    }
    Ok(())
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}
