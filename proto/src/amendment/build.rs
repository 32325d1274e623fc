//! Makes batches: from amendments at an agent, and by cutting at the daemon.

use bytes::{Bytes, BytesMut};
use prost::Message as _;

use super::{
    batch::Batch,
    model::{Amendment, Subject, Text},
};
use crate::{
    limits::{MAX_BATCH_AMENDMENTS, MAX_BATCH_BODY_BYTES, MAX_BATCH_HEADER_BYTES},
    v1::{BatchHeader, Former, Op},
};

/// Header bytes an amendment may take beside its record id, author, content type and former version: ten
/// columns of at most ten bytes.
const HEADER_BYTES_PER_AMENDMENT: usize = 100;

/// A batch ready to travel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Encoded {
    /// An encoded `BatchHeader`.
    pub header: Bytes,
    /// The payloads, one behind the other.
    pub body: Bytes,
}

/// Collects amendments with consecutive seqs until a batch is full.
#[derive(Debug)]
pub struct BatchBuilder {
    columns: BatchHeader,
    body: BytesMut,
    header_estimate: usize,
}

impl BatchBuilder {
    /// An empty batch that begins at a seq.
    pub fn new(first_seq: u64) -> Self {
        let columns = BatchHeader {
            first_seq,
            ..BatchHeader::default()
        };
        Self {
            columns,
            body: BytesMut::new(),
            header_estimate: 0,
        }
    }

    /// How many amendments it holds.
    pub fn len(&self) -> usize {
        self.columns.record.len()
    }

    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether one more amendment fits. One whose payload exceeds a batch fits nowhere: it travels in pieces.
    /// A statement fits only into an empty batch, and nothing fits beside it.
    pub fn fits(&self, amendment: &Amendment) -> bool {
        let alone = amendment.op == Op::Statement || self.columns.op.contains(&(Op::Statement as u32));
        (self.is_empty() || !alone)
            && self.len() < MAX_BATCH_AMENDMENTS
            && self.body.len() + amendment.payload.len() <= MAX_BATCH_BODY_BYTES
            && self.header_estimate + header_cost(amendment) <= MAX_BATCH_HEADER_BYTES
    }

    /// Adds an amendment. The caller has asked [`Self::fits`].
    pub fn push(&mut self, amendment: &Amendment) {
        self.header_estimate += header_cost(amendment);
        push_header(&mut self.columns, amendment);
        self.body.extend_from_slice(&amendment.payload);
    }

    /// The batch, encoded.
    pub fn finish(self) -> Encoded {
        Encoded {
            header: self.columns.encode_to_vec().into(),
            body: self.body.freeze(),
        }
    }

    /// The header of one amendment whose payload travels in pieces.
    pub fn header_in_pieces(seq: u64, amendment: &Amendment) -> Bytes {
        let mut columns = BatchHeader {
            first_seq: seq,
            ..BatchHeader::default()
        };
        push_header(&mut columns, amendment);
        columns.encode_to_vec().into()
    }
}

fn header_cost(a: &Amendment) -> usize {
    let former = if a.former.is_some() {
        HEADER_BYTES_PER_AMENDMENT
    } else {
        0
    };
    let texts = a.author.as_str().len() + a.content_type.as_str().len();
    HEADER_BYTES_PER_AMENDMENT + a.record.as_bytes().len() + texts + former
}

fn push_header(c: &mut BatchHeader, a: &Amendment) {
    let index = u32::try_from(c.record.len()).unwrap_or(u32::MAX);
    let (patient, category, confidentiality) = flat(a.subject);
    c.op.push(a.op as u32);
    c.record.push(a.record.as_bytes().clone());
    c.patient.push(patient);
    c.category.push(category);
    c.confidentiality.push(confidentiality);
    c.recorded_at.push(a.recorded_at);
    c.payload_len
        .push(u32::try_from(a.payload.len()).unwrap_or(u32::MAX));
    let author = intern(&mut c.authors, a.author.as_str());
    c.author.push(author);
    let content_type = intern(&mut c.content_types, a.content_type.as_str());
    c.content_type.push(content_type);
    if a.former.is_some() {
        let (patient, category, confidentiality) = flat(a.former);
        c.former.push(Former {
            index,
            patient,
            category,
            confidentiality,
        });
    }
}

fn flat(subject: Option<Subject>) -> (u64, u32, u32) {
    subject.map_or((0, 0, 0), |s| {
        (
            s.patient.as_u64(),
            s.category as u32,
            u32::from(s.confidentiality.bits()),
        )
    })
}

fn intern(table: &mut Vec<String>, text: &str) -> u32 {
    let place = table.iter().position(|t| t == text).unwrap_or_else(|| {
        table.push(text.to_owned());
        table.len() - 1
    });
    u32::try_from(place).unwrap_or(u32::MAX)
}

/// What becomes of one amendment when a batch is cut for a recipient.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Cut {
    /// Goes as it is, without what its record was before.
    Keep,
    /// Goes as a bare `Retract`: record id and seq.
    Retract,
    /// Goes as a bare `Remove`: record id and seq.
    Remove,
    /// Does not go.
    Drop,
}

impl Batch {
    /// Amendment `index`, owned; its payload is a part of the body, not a copy. Panics if there is none.
    pub fn amendment(&self, index: usize) -> Amendment {
        let entry = self.entry(index);
        Amendment {
            op: entry.op,
            record: entry.record.clone(),
            subject: entry.subject,
            former: entry.former,
            author: Text::new(entry.author).unwrap_or_default(),
            recorded_at: entry.recorded_at,
            content_type: Text::new(entry.content_type).unwrap_or_default(),
            payload: self.payload(index),
        }
    }

    /// The part of a batch that a recipient gets, `cut[i]` saying what becomes of amendment `i`.
    /// `None` where nothing is left. Payloads are copied only where the batch does not go as it came.
    pub fn cut(&self, cut: &[Cut]) -> Option<Encoded> {
        if self.is_plain() && cut.iter().all(|c| *c == Cut::Keep) {
            return Some(Encoded {
                header: self.header().clone(),
                body: self.body().clone(),
            });
        }
        let mut columns = BatchHeader::default();
        let mut body = BytesMut::new();
        let kept: usize = (0..self.len())
            .filter(|i| cut[*i] == Cut::Keep)
            .map(|i| self.payload(i).len())
            .sum();
        body.reserve(kept);
        for (index, what) in cut.iter().enumerate().take(self.len()) {
            match what {
                Cut::Drop => {}
                Cut::Keep => {
                    self.keep(index, &mut columns);
                    body.extend_from_slice(&self.payload(index));
                }
                Cut::Retract => self.bare(index, Op::Retract, &mut columns),
                Cut::Remove => self.bare(index, Op::Remove, &mut columns),
            }
        }
        let first = columns.seq.first().copied()?;
        columns.first_seq = first;
        Some(Encoded {
            header: columns.encode_to_vec().into(),
            body: body.freeze(),
        })
    }

    fn keep(&self, index: usize, to: &mut BatchHeader) {
        let c = &self.columns;
        to.seq.push(self.seq(index));
        to.op.push(c.op[index]);
        to.record.push(c.record[index].clone());
        to.patient.push(c.patient[index]);
        to.category.push(c.category[index]);
        to.confidentiality.push(c.confidentiality[index]);
        to.recorded_at.push(c.recorded_at[index]);
        to.payload_len.push(c.payload_len[index]);
        let author = intern(&mut to.authors, &c.authors[c.author[index] as usize]);
        to.author.push(author);
        let content_type = intern(
            &mut to.content_types,
            &c.content_types[c.content_type[index] as usize],
        );
        to.content_type.push(content_type);
    }

    fn bare(&self, index: usize, op: Op, to: &mut BatchHeader) {
        to.seq.push(self.seq(index));
        to.op.push(op as u32);
        to.record.push(self.columns.record[index].clone());
        to.patient.push(0);
        to.category.push(0);
        to.confidentiality.push(0);
        to.recorded_at.push(0);
        to.payload_len.push(0);
        let author = intern(&mut to.authors, "");
        to.author.push(author);
        let content_type = intern(&mut to.content_types, "");
        to.content_type.push(content_type);
    }
}
