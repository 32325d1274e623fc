//! The projection: the current version of each record, in a file of its own beside the log, so that
//! bringing it up to date never holds up the log's commits.

use std::sync::LazyLock;

use handfast_proto::ids::{NhsNumber, OdsCode, RecordId};
use sqlx::{Sqlite, SqliteConnection, query::Query, sqlite::SqliteArguments};

use super::{
    database::Database,
    erasures::Marks,
    fault::fault,
    patient_runs,
    shapes::Shapes,
    values::{Columns, int},
};
use crate::store::{RecordVersion, StoreError};

/// Records in one insert.
const UPSERT_ROWS: [usize; 3] = [256, 64, 8];

/// New records, and versions that differ from the one held in nothing that the gate reads: most there are. Of the
/// indexes only the one by seq is touched. It leaves alone, and does not count, what else changes.
static UPSERT_ALIKE: LazyLock<Shapes> = LazyLock::new(|| {
    let head = "INSERT INTO record (source, record, seq, patient, category, confidentiality, retracted, erased) VALUES";
    let tail = "ON CONFLICT (source, record) DO UPDATE SET seq = excluded.seq
                WHERE excluded.seq > record.seq AND record.patient = excluded.patient
                  AND record.category = excluded.category
                  AND record.confidentiality = excluded.confidentiality
                  AND record.retracted = 0 AND record.erased = 0";
    Shapes::new(head, "(?, ?, ?, ?, ?, ?, 0, 0)", tail, &UPSERT_ROWS)
});

/// A version that is not newer than the one held changes nothing. What a retraction does not say of its
/// record stays known.
static UPSERT: LazyLock<Shapes> = LazyLock::new(|| {
    let head = "INSERT INTO record (source, record, seq, patient, category, confidentiality, retracted, erased) VALUES";
    let tail = "ON CONFLICT (source, record) DO UPDATE SET
                    seq = excluded.seq,
                    patient = coalesce(excluded.patient, patient),
                    category = coalesce(excluded.category, category),
                    confidentiality = coalesce(excluded.confidentiality, confidentiality),
                    retracted = excluded.retracted,
                    erased = excluded.erased
                WHERE excluded.seq > record.seq";
    Shapes::new(head, "(?, ?, ?, ?, ?, ?, ?, ?)", tail, &UPSERT_ROWS)
});

/// Records that were another patient's within one slice.
static MOVE: LazyLock<Shapes> = LazyLock::new(|| {
    let head = "INSERT OR IGNORE INTO moved (source, record, patient) VALUES";
    Shapes::new(head, "(?, ?, ?)", "", &UPSERT_ROWS)
});

/// Up to which seq of a source the projection holds.
pub(super) async fn through(records: &Database, source: OdsCode) -> Result<u64, StoreError> {
    let row = sqlx::query("SELECT through FROM source WHERE ods = ?1")
        .bind(source.as_str())
        .fetch_optional(records.readers())
        .await
        .map_err(fault)?;
    row.map_or(Ok(0), |row| row.count("through"))
}

/// Brings a source up to `through`. Where the projection is further already, nothing changes.
pub(super) async fn project(
    records: &Database,
    main: &Database,
    source: OdsCode,
    versions: &[RecordVersion],
    through: u64,
) -> Result<(), StoreError> {
    let mut write = records.write().await?;
    let result = bring_up(write.conn(), main, source, versions, through).await;
    write.finish(result).await
}

async fn bring_up(
    conn: &mut SqliteConnection,
    main: &Database,
    source: OdsCode,
    versions: &[RecordVersion],
    through: u64,
) -> Result<(), StoreError> {
    let sql = "INSERT INTO source (ods, through) VALUES (?1, ?2)
               ON CONFLICT (ods) DO UPDATE SET through = max(through, excluded.through)
               RETURNING id, through";
    let row = sqlx::query(sql)
        .bind(source.as_str())
        .bind(int(through)?)
        .fetch_one(&mut *conn)
        .await
        .map_err(fault)?;
    if row.count("through")? > through {
        return Ok(());
    }
    let id: i64 = row.column("id")?;
    patient_runs::insert(conn, id, versions).await?;
    let slice = Slice::of(versions);
    // Read with the projection's writer in hand: an erasure is noted first and marks behind it.
    let marks = Marks::from(main, source, slice.first_seq).await?;
    upsert(conn, id, &slice.newest, &marks).await?;
    moved(conn, id, &slice.moved).await
}

async fn upsert(
    conn: &mut SqliteConnection,
    source: i64,
    newest: &[&RecordVersion],
    marks: &Marks,
) -> Result<(), StoreError> {
    let is_plain = |version: &&RecordVersion| !version.retracted && !marks.has(version);
    let (plain, mut others): (Vec<&RecordVersion>, Vec<_>) = newest.iter().copied().partition(is_plain);
    let mut waiting = plain.as_slice();
    while !waiting.is_empty() {
        let (rows, sql) = UPSERT_ALIKE.pick(waiting.len());
        let (now, later) = waiting.split_at(rows.min(waiting.len()));
        let mut upsert = sqlx::query(sql);
        for version in now {
            upsert = with_subject(upsert, source, version)?;
        }
        let done = upsert.execute(&mut *conn).await.map_err(fault)?;
        if done.rows_affected() < now.len() as u64 {
            others.extend_from_slice(now);
        }
        waiting = later;
    }
    upsert_others(conn, source, &others, marks).await
}

/// Versions of which more may change than their seq.
async fn upsert_others(
    conn: &mut SqliteConnection,
    source: i64,
    others: &[&RecordVersion],
    marks: &Marks,
) -> Result<(), StoreError> {
    let mut waiting = others;
    while !waiting.is_empty() {
        let (rows, sql) = UPSERT.pick(waiting.len());
        let (now, later) = waiting.split_at(rows.min(waiting.len()));
        let mut upsert = sqlx::query(sql);
        for version in now {
            upsert = with_subject(upsert, source, version)?
                .bind(version.retracted)
                .bind(marks.has(version));
        }
        upsert.execute(&mut *conn).await.map_err(fault)?;
        waiting = later;
    }
    Ok(())
}

fn with_subject<'q>(
    upsert: Query<'q, Sqlite, SqliteArguments>,
    source: i64,
    version: &'q RecordVersion,
) -> Result<Query<'q, Sqlite, SqliteArguments>, StoreError> {
    let patient = version.subject.map(|s| int(s.patient.as_u64())).transpose()?;
    Ok(upsert
        .bind(source)
        .bind(version.record.as_str())
        .bind(int(version.seq)?)
        .bind(patient)
        .bind(version.subject.map(|s| s.category as i32))
        .bind(version.subject.map(|s| s.confidentiality.bits())))
}

async fn moved(
    conn: &mut SqliteConnection,
    source: i64,
    moved: &[(NhsNumber, &RecordId)],
) -> Result<(), StoreError> {
    let mut waiting = moved;
    while !waiting.is_empty() {
        let (rows, sql) = MOVE.pick(waiting.len());
        let (now, later) = waiting.split_at(rows.min(waiting.len()));
        let mut insert = sqlx::query(sql);
        for (patient, record) in now {
            insert = insert
                .bind(source)
                .bind(record.as_str())
                .bind(int(patient.as_u64())?);
        }
        insert.execute(&mut *conn).await.map_err(fault)?;
        waiting = later;
    }
    Ok(())
}

/// Versions as the projection takes them, in the order of its keys, so that neighbours share a page.
struct Slice<'v> {
    /// The first seq of all.
    first_seq: u64,
    /// The last version of each record.
    newest: Vec<&'v RecordVersion>,
    /// Whose a record was before the last version that says so.
    moved: Vec<(NhsNumber, &'v RecordId)>,
}

impl<'v> Slice<'v> {
    fn of(versions: &'v [RecordVersion]) -> Self {
        let mut sorted: Vec<&RecordVersion> = versions.iter().collect();
        // Of one record the later ones stay behind the earlier.
        sorted.sort_by(|a, b| a.record.cmp(&b.record));
        let mut slice = Self {
            first_seq: versions.iter().map(|version| version.seq).min().unwrap_or(0),
            newest: Vec::with_capacity(sorted.len()),
            moved: Vec::new(),
        };
        for of_record in sorted.chunk_by(|a, b| a.record == b.record) {
            let Some(last) = of_record.last() else {
                continue;
            };
            slice.newest.push(last);
            let patients = of_record
                .iter()
                .filter_map(|version| version.subject.map(|s| s.patient));
            let patients: Vec<NhsNumber> = patients.collect();
            let changes = patients.windows(2).filter(|pair| pair[0] != pair[1]);
            slice.moved.extend(changes.map(|pair| (pair[0], &last.record)));
        }
        slice
    }
}
