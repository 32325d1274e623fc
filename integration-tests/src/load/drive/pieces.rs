//! Puts the pieces of a large amendment together, as an inbox does.

use std::collections::HashMap;

use anyhow::{Context as _, ensure};
use bytes::{Bytes, BytesMut};
use handfast_proto::{
    amendment::{Batch, Form},
    v1::{BatchHeader, DeliverPiece},
};
use prost::Message as _;

/// Amendments of one recipient that may be under way at one time.
const MAX_PARTIAL: usize = 4_096;

struct Partial {
    /// The number of its first piece.
    number: u64,
    seq: u64,
    header: Bytes,
    expected: usize,
    payload: BytesMut,
}

/// The amendments of one connection that are under way, by source, grant and job.
#[derive(Default)]
pub(super) struct Pieces(HashMap<(String, u64, u64), Partial>);

impl Pieces {
    /// Takes a piece. The amendment's seq, and all of it with its last piece.
    pub(super) fn take(&mut self, number: u64, piece: &DeliverPiece) -> anyhow::Result<(u64, Option<Batch>)> {
        let key = (piece.source.clone(), piece.grant, piece.job);
        if !piece.header.is_empty() {
            ensure!(self.0.len() < MAX_PARTIAL, "too many amendments come in pieces");
            let columns = BatchHeader::decode(piece.header.clone())?;
            let expected = columns
                .payload_len
                .first()
                .copied()
                .context("a payload's length")?;
            let partial = Partial {
                number,
                seq: columns.first_seq,
                header: piece.header.clone(),
                expected: expected as usize,
                payload: BytesMut::new(),
            };
            self.0.insert(key.clone(), partial);
        }
        let partial = self.0.get_mut(&key).context("a piece of no amendment")?;
        ensure!(
            piece.offset == partial.payload.len() as u64,
            "a piece that does not follow"
        );
        partial.payload.extend_from_slice(&piece.data);
        ensure!(
            partial.payload.len() <= partial.expected,
            "more than the header says"
        );
        let seq = partial.seq;
        if partial.payload.len() < partial.expected {
            return Ok((seq, None));
        }
        let partial = self.0.remove(&key).context("an amendment")?;
        let batch = Batch::parse(partial.header, partial.payload.freeze(), Form::DeliveredInPieces)?;
        Ok((seq, Some(batch)))
    }

    /// Throws away what is incomplete of a grant.
    pub(super) fn abandon(&mut self, source: &str, grant: u64) {
        self.0
            .retain(|(of, under, _), _| (of.as_str(), *under) != (source, grant));
    }

    /// What counts as durable once everything up to `number` has arrived: what is incomplete comes again.
    pub(super) fn durable(&self, number: u64) -> u64 {
        let first = self.0.values().map(|partial| partial.number).min();
        first.map_or(number, |first| number.min(first - 1))
    }
}
