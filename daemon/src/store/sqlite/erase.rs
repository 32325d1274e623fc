//! Overwrites payloads in the log with zeroes of the same length: headers, lengths and the order of everything
//! stay, so that batches are read as before.
//!
//! The bytes are gone from the file, and from SQLite's write-ahead log beside it, once what was overwritten is
//! checkpointed and that log is cut to nothing. That is done before an erasure returns; where a reader stands
//! in the way for too long it is owed, and tried again with the next erasure, with each touch, and when the store
//! is opened. What a disk, or a backup, keeps of overwritten bytes is not in the store's hands.

use bytes::Bytes;
use handfast_proto::{
    amendment::{Batch, Entry, Op},
    ids::OdsCode,
};
use sqlx::SqliteConnection;

use super::{
    database::Database,
    erasures::{self, Erasure, Whose},
    fault::fault,
    places::Places,
    records::Records,
    values::{Columns, corrupt, int},
};
use crate::store::{Erased, StoreError, is_erased, types::logged_batch};

/// Batches overwritten in one transaction.
const STEP_BATCHES: usize = 16;

/// Bytes of batches in one transaction, past which it takes no further batch.
const STEP_BYTES: usize = 4 * 1024 * 1024;

/// Carries out what was noted, at most `limit` of it. May be broken off and asked for again.
pub(super) async fn carry_out(main: &Database, records: &Records, limit: u32) -> Result<Erased, StoreError> {
    let mut noted = erasures::unfinished(main, limit.saturating_add(1)).await?;
    let meant = usize::try_from(limit).unwrap_or(usize::MAX);
    let more = noted.len() > meant;
    noted.truncate(meant);
    let mut erased = Erased {
        more,
        ..Erased::default()
    };
    for erasure in &noted {
        let (payloads, upto) = one(main, records, erasure).await?;
        if payloads > 0 {
            erased.payloads += payloads;
            erased.upto.push((erasure.source, upto));
        }
    }
    if erased.payloads > 0 {
        main.cut_write_ahead_log().await?;
    }
    Ok(erased)
}

/// Carries out one; how many payloads were overwritten, and up to which seq all of them lie.
async fn one(main: &Database, records: &Records, erasure: &Erasure) -> Result<(u64, u64), StoreError> {
    // First, so that nothing is chosen that is about to go.
    records.mark_erased(erasure).await?;
    let places = records.places(erasure).await?;
    let mut overwriting = Overwriting {
        erasure,
        places: &places,
        position: 0,
        erased: 0,
    };
    while overwriting.step(main).await? {}
    erasures::finish(main, erasure).await?;
    Ok((overwriting.erased, overwriting.position))
}

/// Carries out what was broken off. What cannot be is left for the next time.
pub(super) async fn finish_all(main: &Database, records: &Records) -> Result<(), StoreError> {
    for erasure in erasures::unfinished(main, u32::MAX).await? {
        let source = erasure.source;
        match one(main, records, &erasure).await {
            Ok((payloads, _)) => tracing::info!(%source, payloads, "an erasure that was broken off is done"),
            Err(error) => tracing::error!(%source, %error, "an erasure that was broken off cannot be done"),
        }
    }
    if erasures::any(main).await? {
        main.cut_write_ahead_log().await?;
    }
    Ok(())
}

struct Overwriting<'e> {
    erasure: &'e Erasure,
    places: &'e Places,
    /// Everything up to this seq is dealt with.
    position: u64,
    erased: u64,
}

impl Overwriting<'_> {
    /// One transaction; whether there is more.
    async fn step(&mut self, main: &Database) -> Result<bool, StoreError> {
        if self.next_seq().is_none() {
            return Ok(false);
        }
        let mut write = main.write().await?;
        let result = self.batches(write.conn()).await;
        write.finish(result).await
    }

    async fn batches(&mut self, conn: &mut SqliteConnection) -> Result<bool, StoreError> {
        let mut bytes = 0;
        for _ in 0..STEP_BATCHES {
            let Some(seq) = self.next_seq() else {
                return Ok(false);
            };
            let Some(row) = Row::that_holds(conn, self.erasure.source, seq).await? else {
                return Ok(false);
            };
            self.position = row.last_seq;
            bytes += row.data.len();
            self.erased += row.overwrite(conn, |entry| self.is_meant(entry)).await?;
            if bytes >= STEP_BYTES {
                break;
            }
        }
        Ok(true)
    }

    /// The next seq of which the batch is to be looked at.
    fn next_seq(&self) -> Option<u64> {
        self.places.next(self.position, self.erasure.upto)
    }

    fn is_meant(&self, entry: &Entry<'_>) -> bool {
        let named = match &self.erasure.whose {
            Whose::Patient(patient) => entry.subject.is_some_and(|s| s.patient == *patient),
            Whose::Record(_) => false,
        };
        let meant =
            named || (entry.seq <= self.places.records_upto && self.places.records.contains(entry.record));
        // What a unit said to the daemon itself is no record.
        meant && entry.op != Op::Statement && entry.seq <= self.erasure.upto
    }
}

/// A batch as the log has it.
struct Row {
    id: i64,
    last_seq: u64,
    header_len: usize,
    data: Vec<u8>,
}

impl Row {
    async fn that_holds(
        conn: &mut SqliteConnection,
        source: OdsCode,
        seq: u64,
    ) -> Result<Option<Self>, StoreError> {
        let sql = "SELECT id, last_seq, header_len, data FROM log
                   WHERE source = ?1 AND last_seq >= ?2 ORDER BY last_seq LIMIT 1";
        let row = sqlx::query(sql)
            .bind(source.as_str())
            .bind(int(seq)?)
            .fetch_optional(conn)
            .await
            .map_err(fault)?;
        let Some(row) = row else { return Ok(None) };
        Ok(Some(Self {
            id: row.column("id")?,
            last_seq: row.count("last_seq")?,
            header_len: usize::try_from(row.count("header_len")?).unwrap_or(usize::MAX),
            data: row.column("data")?,
        }))
    }

    /// Overwrites the payloads that are meant; how many were.
    async fn overwrite(
        mut self,
        conn: &mut SqliteConnection,
        is_meant: impl Fn(&Entry<'_>) -> bool,
    ) -> Result<u64, StoreError> {
        let batch = self.batch()?;
        let mut erased = 0;
        let mut at = self.header_len;
        for (index, entry) in batch.entries().enumerate() {
            let payload = batch.payload(index);
            if !payload.is_empty() && is_meant(&entry) && !is_erased(&payload) {
                self.data[at..at + payload.len()].fill(0);
                erased += 1;
            }
            at += payload.len();
        }
        if erased > 0 {
            sqlx::query("UPDATE log SET data = ?2 WHERE id = ?1")
                .bind(self.id)
                .bind(self.data)
                .execute(conn)
                .await
                .map_err(fault)?;
        }
        Ok(erased)
    }

    fn batch(&self) -> Result<Batch, StoreError> {
        let Some((header, body)) = self.data.split_at_checked(self.header_len) else {
            return Err(corrupt("a batch is shorter than its header"));
        };
        logged_batch(Bytes::copy_from_slice(header), Bytes::copy_from_slice(body))
    }
}
