//! A batch as it travels: a header read column by column, and an opaque body.
//!
//! Invariants of a [`Batch`]: at least one amendment and at most [`MAX_BATCH_AMENDMENTS`]; every column
//! has one entry an amendment; seqs rise strictly; the payload lengths add up to the body; every record
//! id, NHS number, category and mark has passed its check. Reading allocates per column, not per
//! amendment, and copies no payload.

use bytes::Bytes;
use prost::Message as _;

use super::model::{Confidentiality, Subject};
use crate::{
    ids::{IdError, NhsNumber, RecordId},
    limits::{
        HARD_MAX_PAYLOAD_BYTES, MAX_BATCH_AMENDMENTS, MAX_BATCH_BODY_BYTES, MAX_BATCH_HEADER_BYTES,
        MAX_TEXT_CHARS,
    },
    v1::{BatchHeader, Category, Op},
};

/// What is wrong with a batch.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BatchError {
    /// The header is not an encoded `BatchHeader`.
    #[error("the batch header cannot be decoded")]
    Encoding,
    /// Too much, or nothing at all.
    #[error("a batch holds 1 to 64 amendments, at most 128 KiB of payload and 64 KiB of header")]
    Size,
    /// The columns do not fit one another, or the body.
    #[error("the columns of the batch header do not fit one another: {0}")]
    Columns(&'static str),
    /// A value is not one of those allowed.
    #[error("amendment {index} of the batch: {fault}")]
    Value {
        /// Counted from 0.
        index: usize,
        /// What is wrong.
        fault: &'static str,
    },
    /// An identifier failed its check.
    #[error("amendment {index} of the batch: {source}")]
    Id {
        /// Counted from 0.
        index: usize,
        /// What is wrong.
        source: IdError,
    },
}

/// Which rules a batch is read by.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Form {
    /// From an agent: no gaps, no `Remove`, a subject with every amendment; a `Statement` alone.
    Published,
    /// The single amendment of a `PublishPiece`, whose payload travels in pieces.
    PublishedInPieces,
    /// From the daemon: gaps, `Remove` and bare retractions are allowed.
    Delivered,
    /// The single amendment of a `DeliverPiece`.
    DeliveredInPieces,
}

impl Form {
    fn in_pieces(self) -> bool {
        matches!(self, Self::PublishedInPieces | Self::DeliveredInPieces)
    }

    fn is_from_agent(self) -> bool {
        matches!(self, Self::Published | Self::PublishedInPieces)
    }
}

/// A batch that was read and checked. Cloning its parts is a count of references.
#[derive(Debug)]
pub struct Batch {
    pub(super) columns: BatchHeader,
    records: Vec<RecordId>,
    /// Kept, as each is read for every recipient.
    subjects: Vec<Option<Subject>>,
    offsets: Vec<u32>,
    has_former: bool,
    has_bare: bool,
    header: Bytes,
    body: Bytes,
}

/// One amendment of a batch, borrowed.
#[derive(Debug, Clone, Copy)]
pub struct Entry<'a> {
    /// Its seq.
    pub seq: u64,
    /// What it does.
    pub op: Op,
    /// Which record.
    pub record: &'a RecordId,
    /// What the gate reads; `None` only with `Remove` and a bare `Retract`.
    pub subject: Option<Subject>,
    /// What the gate read of the version before, where that differs.
    pub former: Option<Subject>,
    /// Milliseconds since 1970-01-01T00:00:00Z.
    pub recorded_at: i64,
    /// Who recorded it; may be empty.
    pub author: &'a str,
    /// The payload's media type; may be empty.
    pub content_type: &'a str,
}

impl Batch {
    /// Reads a header and its body, and checks every invariant above.
    pub fn parse(header: Bytes, body: Bytes, form: Form) -> Result<Self, BatchError> {
        let too_large = !form.in_pieces() && body.len() > MAX_BATCH_BODY_BYTES;
        if header.len() > MAX_BATCH_HEADER_BYTES || too_large || body.len() > HARD_MAX_PAYLOAD_BYTES {
            return Err(BatchError::Size);
        }
        let columns = BatchHeader::decode(header.clone()).map_err(|_| BatchError::Encoding)?;
        check_columns(&columns, body.len(), form)?;
        let mut records = Vec::with_capacity(columns.record.len());
        let mut subjects = Vec::with_capacity(columns.record.len());
        for (index, raw) in columns.record.iter().enumerate() {
            records
                .push(RecordId::from_bytes(raw.clone()).map_err(|source| BatchError::Id { index, source })?);
            check_entry(&columns, index, form)?;
            subjects.push(subject_of(&columns, index).ok());
        }
        for former in &columns.former {
            let index = former.index as usize;
            subject(former.patient, former.category, former.confidentiality, index)?;
        }
        let mut offsets = Vec::with_capacity(records.len() + 1);
        let mut end = 0_u32;
        offsets.push(0);
        for len in &columns.payload_len {
            end += len;
            offsets.push(end);
        }
        let has_former = !columns.former.is_empty();
        let bare = i32::from(Op::Retract as u8);
        let has_bare = columns.op.iter().any(|op| *op >= bare.unsigned_abs());
        Ok(Self {
            columns,
            records,
            subjects,
            offsets,
            has_former,
            has_bare,
            header,
            body,
        })
    }

    /// How many amendments.
    #[expect(clippy::len_without_is_empty, reason = "a batch is never empty")]
    #[inline]
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// The seq of the first amendment.
    pub fn first_seq(&self) -> u64 {
        self.seq(0)
    }

    /// The seq of the last amendment.
    pub fn last_seq(&self) -> u64 {
        self.seq(self.len() - 1)
    }

    /// The seq of amendment `index`.
    #[inline]
    pub fn seq(&self, index: usize) -> u64 {
        match self.columns.seq.get(index) {
            Some(seq) => *seq,
            None => self.columns.first_seq + index as u64,
        }
    }

    /// Whether no amendment says what its record was before, and none retracts: then what passes as a
    /// whole may be forwarded as it came.
    pub fn is_plain(&self) -> bool {
        !self.has_former && !self.has_bare
    }

    /// Amendment `index`. Panics if there is none.
    #[inline]
    pub fn entry(&self, index: usize) -> Entry<'_> {
        let c = &self.columns;
        let former = c.former.iter().find(|f| f.index as usize == index);
        Entry {
            seq: self.seq(index),
            op: op(c.op[index]).unwrap_or(Op::Unspecified),
            record: &self.records[index],
            subject: self.subjects[index],
            former: former.and_then(|f| subject(f.patient, f.category, f.confidentiality, index).ok()),
            recorded_at: c.recorded_at[index],
            author: &c.authors[c.author[index] as usize],
            content_type: &c.content_types[c.content_type[index] as usize],
        }
    }

    /// What the gate reads of amendment `index`; see [`Entry::subject`]. Panics if there is none.
    #[inline]
    pub fn subject(&self, index: usize) -> Option<Subject> {
        self.subjects[index]
    }

    /// Every amendment in order.
    pub fn entries(&self) -> impl Iterator<Item = Entry<'_>> {
        (0..self.len()).map(|index| self.entry(index))
    }

    /// The payload of amendment `index`: a part of the body, not a copy.
    pub fn payload(&self, index: usize) -> Bytes {
        self.body
            .slice(self.offsets[index] as usize..self.offsets[index + 1] as usize)
    }

    /// The payload of amendment `index`, borrowed.
    #[inline]
    pub fn payload_slice(&self, index: usize) -> &[u8] {
        &self.body[self.offsets[index] as usize..self.offsets[index + 1] as usize]
    }

    /// The header as it came.
    pub fn header(&self) -> &Bytes {
        &self.header
    }

    /// The body as it came.
    pub fn body(&self) -> &Bytes {
        &self.body
    }

    /// Bytes that the batch takes on the wire and in memory, about.
    pub fn weight(&self) -> usize {
        self.header.len() + self.body.len()
    }
}

fn op(raw: u32) -> Option<Op> {
    i32::try_from(raw)
        .ok()
        .and_then(|raw| Op::try_from(raw).ok())
        .filter(|op| *op != Op::Unspecified)
}

fn subject_of(c: &BatchHeader, index: usize) -> Result<Subject, BatchError> {
    subject(
        c.patient[index],
        c.category[index],
        c.confidentiality[index],
        index,
    )
}

fn subject(patient: u64, category: u32, confidentiality: u32, index: usize) -> Result<Subject, BatchError> {
    let patient = NhsNumber::from_u64(patient).map_err(|source| BatchError::Id { index, source })?;
    let category = i32::try_from(category)
        .ok()
        .and_then(|raw| Category::try_from(raw).ok())
        .filter(|c| *c != Category::Unspecified)
        .ok_or(BatchError::Value {
            index,
            fault: "the category is unknown",
        })?;
    let confidentiality = Confidentiality::from_bits(confidentiality).ok_or(BatchError::Value {
        index,
        fault: "the confidentiality is unknown",
    })?;
    Ok(Subject {
        patient,
        category,
        confidentiality,
    })
}

fn check_columns(c: &BatchHeader, body_len: usize, form: Form) -> Result<(), BatchError> {
    let n = c.record.len();
    if n == 0 || n > MAX_BATCH_AMENDMENTS || (form.in_pieces() && n != 1) {
        return Err(BatchError::Size);
    }
    let columns = [
        c.op.len(),
        c.patient.len(),
        c.category.len(),
        c.confidentiality.len(),
        c.recorded_at.len(),
        c.payload_len.len(),
        c.author.len(),
        c.content_type.len(),
    ];
    if columns.iter().any(|len| *len != n) {
        return Err(BatchError::Columns("a column has another length"));
    }
    let total: u64 = c.payload_len.iter().map(|len| u64::from(*len)).sum();
    if total != body_len as u64 {
        return Err(BatchError::Columns(
            "the payload lengths do not add up to the body",
        ));
    }
    if c.first_seq == 0 || c.first_seq > u64::MAX / 2 {
        return Err(BatchError::Columns("the first seq is out of range"));
    }
    check_seqs(c, n, form)?;
    if c.former.len() > n || c.former.iter().any(|f| f.index as usize >= n) {
        return Err(BatchError::Columns("a former version belongs to no amendment"));
    }
    let texts = c.authors.len() + c.content_types.len();
    if texts > 2 * n
        || c.authors
            .iter()
            .chain(&c.content_types)
            .any(|t| t.chars().count() > MAX_TEXT_CHARS)
    {
        return Err(BatchError::Columns(
            "authors or content types are too many or too long",
        ));
    }
    Ok(())
}

fn check_seqs(c: &BatchHeader, n: usize, form: Form) -> Result<(), BatchError> {
    if c.seq.is_empty() {
        return Ok(());
    }
    let rises = c.seq.windows(2).all(|w| w[0] < w[1]);
    let fits = c.seq.len() == n && c.seq.first() == Some(&c.first_seq) && rises;
    if form.is_from_agent() || !fits || c.seq.last().is_some_and(|s| *s > u64::MAX / 2) {
        return Err(BatchError::Columns("the seqs do not rise from the first"));
    }
    Ok(())
}

/// What a unit says to the daemon itself travels alone, with its words as the payload.
fn check_statement(c: &BatchHeader, index: usize, form: Form) -> Result<(), &'static str> {
    if !form.is_from_agent() || form.in_pieces() || c.record.len() != 1 {
        return Err("a statement travels alone, from an agent to the daemon");
    }
    if c.payload_len[index] == 0 || !c.former.is_empty() || c.confidentiality[index] != 0 {
        return Err("a statement has words, no former version and no mark");
    }
    NhsNumber::from_u64(c.patient[index]).map_err(|_| "a statement names its patient")?;
    let author = (c.author[index] as usize) < c.authors.len();
    let content_type = (c.content_type[index] as usize) < c.content_types.len();
    if author && content_type {
        Ok(())
    } else {
        Err("the author or content type is not in the batch's list")
    }
}

fn check_entry(c: &BatchHeader, index: usize, form: Form) -> Result<(), BatchError> {
    let value = |fault| BatchError::Value { index, fault };
    let op = op(c.op[index]).ok_or(value("the op is unknown"))?;
    let bare = c.patient[index] == 0 && c.category[index] == 0 && c.confidentiality[index] == 0;
    let may_be_bare = !form.is_from_agent() && matches!(op, Op::Retract | Op::Remove);
    if form.is_from_agent() && op == Op::Remove {
        return Err(value("an agent removes nothing at others; it retracts"));
    }
    if op == Op::Statement {
        return check_statement(c, index, form).map_err(value);
    }
    if !(bare && may_be_bare) {
        subject_of(c, index)?;
    }
    if matches!(op, Op::Retract | Op::Remove) && c.payload_len[index] != 0 {
        return Err(value("a retraction carries no payload"));
    }
    let marked = Confidentiality::from_bits(c.confidentiality[index]).is_some_and(Confidentiality::is_marked);
    if matches!(op, Op::Create | Op::Amend) && c.payload_len[index] == 0 && !marked {
        return Err(value(
            "an entry that is neither private nor of a restricted patient carries its payload",
        ));
    }
    let author = c.author[index] as usize;
    let content_type = c.content_type[index] as usize;
    if author >= c.authors.len() || content_type >= c.content_types.len() {
        return Err(value("the author or content type is not in the batch's list"));
    }
    Ok(())
}
