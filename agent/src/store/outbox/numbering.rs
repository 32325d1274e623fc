//! Numbers amendments and keeps them as they will travel: one row a batch, header and body encoded.
//!
//! Invariants: seqs have no gap; a row's `chain_before` is the `chain_after` of the row before it; a row,
//! once committed, changes only by a rebase. So what was sent and not acknowledged is sent again in the
//! same batches.

use bytes::Bytes;
use handfast_proto::{
    amendment::{Amendment, Batch, BatchBuilder, Encoded, Form, Op},
    chain::Chain,
    limits::MAX_BATCH_BODY_BYTES,
};
use sqlx::{Row as _, SqliteConnection, sqlite::SqliteRow};

use super::{
    OutboxError,
    schema::{chain, count, stored},
};

/// Bytes of a commit's batches kept for the link; of a larger commit it reads the file.
const KEPT_BYTES: usize = 8 * 1024 * 1024;

/// A batch on its way to the daemon. Cloning is a count of references.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outgoing {
    /// The seq of its first amendment.
    pub first_seq: u64,
    /// The seq of its last amendment.
    pub last_seq: u64,
    /// The chain before its first amendment.
    pub chain_before: Chain,
    /// The chain after its last amendment.
    pub chain_after: Chain,
    /// An encoded `BatchHeader`.
    pub header: Bytes,
    /// The payloads; longer than a batch may be where it is a single amendment that travels in pieces.
    pub body: Bytes,
    /// A statement: nothing may be joined with it.
    pub(super) alone: bool,
}

/// The end of the stream, and the batch that is being filled.
#[derive(Debug)]
pub(super) struct Numbering {
    last_seq: u64,
    chain: Chain,
    open: Option<Open>,
    /// Rows written in this transaction, while they are not too many to keep.
    rows: Vec<Outgoing>,
    rows_bytes: usize,
    dropped: bool,
}

#[derive(Debug)]
struct Open {
    builder: BatchBuilder,
    alone: bool,
    first_seq: u64,
    chain_before: Chain,
}

/// Where to go back to when a part of a transaction is undone.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    last_seq: u64,
    chain: Chain,
    rows: usize,
}

// === impl Outgoing ===

impl Outgoing {
    /// Bytes it takes on the wire and in memory, about.
    pub fn weight(&self) -> usize {
        self.header.len() + self.body.len() + 128
    }

    /// Whether it travels in pieces.
    pub fn in_pieces(&self) -> bool {
        self.body.len() > MAX_BATCH_BODY_BYTES
    }

    /// Its amendments, in order.
    pub fn amendments(&self) -> Result<Vec<Amendment>, OutboxError> {
        let form = if self.in_pieces() {
            Form::PublishedInPieces
        } else {
            Form::Published
        };
        let batch = Batch::parse(self.header.clone(), self.body.clone(), form)
            .map_err(|e| OutboxError::Damaged(e.to_string()))?;
        Ok((0..batch.len()).map(|index| batch.amendment(index)).collect())
    }

    /// Makes one batch of amendments that fit one, or the single one that travels in pieces.
    pub(super) fn of(first_seq: u64, chain_before: Chain, amendments: &[Amendment]) -> Self {
        let mut builder = BatchBuilder::new(first_seq);
        let mut chain = chain_before;
        for (seq, amendment) in (first_seq..).zip(amendments) {
            chain = chain.extend(seq, amendment);
            builder.push(amendment);
        }
        let len = builder.len() as u64;
        let Encoded { header, body } = builder.finish();
        Self {
            first_seq,
            last_seq: first_seq + len.saturating_sub(1),
            chain_before,
            chain_after: chain,
            header,
            body,
            alone: amendments.iter().any(is_statement),
        }
    }

    pub(super) fn read(row: &SqliteRow) -> Result<Self, OutboxError> {
        let header: Vec<u8> = row.try_get("header")?;
        let body: Vec<u8> = row.try_get("body")?;
        Ok(Self {
            first_seq: count(row, "first_seq")?,
            last_seq: count(row, "last_seq")?,
            chain_before: chain(row, "chain_before")?,
            chain_after: chain(row, "chain_after")?,
            header: header.into(),
            body: body.into(),
            alone: row.try_get("alone")?,
        })
    }
}

// === impl Numbering ===

impl Numbering {
    /// Goes on after a seq.
    pub(super) fn new(last_seq: u64, chain: Chain) -> Self {
        Self {
            last_seq,
            chain,
            open: None,
            rows: Vec::new(),
            rows_bytes: 0,
            dropped: false,
        }
    }

    /// Gives an amendment its seq.
    pub(super) async fn push(
        &mut self,
        conn: &mut SqliteConnection,
        amendment: &Amendment,
    ) -> Result<u64, OutboxError> {
        if self
            .open
            .as_ref()
            .is_some_and(|open| !open.builder.fits(amendment))
        {
            self.flush(conn).await?;
        }
        self.last_seq += 1;
        let seq = self.last_seq;
        let open = self.open.get_or_insert_with(|| Open {
            builder: BatchBuilder::new(seq),
            alone: is_statement(amendment),
            first_seq: seq,
            chain_before: self.chain,
        });
        open.builder.push(amendment);
        self.chain = self.chain.extend(seq, amendment);
        Ok(seq)
    }

    /// Writes the batch that is being filled.
    pub(super) async fn flush(&mut self, conn: &mut SqliteConnection) -> Result<(), OutboxError> {
        let Some(open) = self.open.take() else {
            return Ok(());
        };
        let Encoded { header, body } = open.builder.finish();
        let row = Outgoing {
            first_seq: open.first_seq,
            last_seq: self.last_seq,
            chain_before: open.chain_before,
            chain_after: self.chain,
            header,
            body,
            alone: open.alone,
        };
        insert(conn, &row).await?;
        self.rows_bytes += row.weight();
        if self.rows_bytes <= KEPT_BYTES && !self.dropped {
            self.rows.push(row);
        } else {
            self.rows.clear();
            self.dropped = true;
        }
        Ok(())
    }

    /// Where it stands. Flush first.
    pub(super) fn place(&self) -> Place {
        Place {
            last_seq: self.last_seq,
            chain: self.chain,
            rows: self.rows.len(),
        }
    }

    /// Forgets what came after a place; the caller takes the rows back in the file.
    pub(super) fn back_to(&mut self, place: Place) {
        self.last_seq = place.last_seq;
        self.chain = place.chain;
        self.open = None;
        self.rows.truncate(place.rows);
    }

    /// The last seq and the chain after it.
    pub(super) fn end(&self) -> (u64, Chain) {
        (self.last_seq, self.chain)
    }

    /// The rows written, to be told after the commit; empty where they were too many.
    pub(super) fn into_rows(self) -> Vec<Outgoing> {
        self.rows
    }
}

fn is_statement(amendment: &Amendment) -> bool {
    amendment.op == Op::Statement
}

async fn insert(conn: &mut SqliteConnection, row: &Outgoing) -> Result<(), OutboxError> {
    sqlx::query(
        "INSERT INTO batch (first_seq, last_seq, chain_before, chain_after, header, body, alone)
         VALUES (?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(stored(row.first_seq))
    .bind(stored(row.last_seq))
    .bind(row.chain_before.as_bytes().to_vec())
    .bind(row.chain_after.as_bytes().to_vec())
    .bind(row.header.to_vec())
    .bind(row.body.to_vec())
    .bind(row.alone)
    .execute(conn)
    .await?;
    Ok(())
}
