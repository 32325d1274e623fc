//! Puts the pieces of a large amendment together.
//!
//! Invariant: pieces are kept in memory only, and never more than [`MAX_PARTIAL_BYTES`]; nothing of an
//! amendment is committed before its last piece. While pieces are missing, [`Assembler::floor`] holds back
//! what counts as durable, so that the daemon sends all of them again after a break.

use std::collections::BTreeMap;

use bytes::{Bytes, BytesMut};
use handfast_proto::{
    amendment::{Batch, Form},
    ids::OdsCode,
    limits::{HARD_MAX_PAYLOAD_BYTES, MAX_BATCH_HEADER_BYTES, MAX_PIECE_BYTES},
    v1::{BatchHeader, DeliverPiece},
};
use prost::Message as _;

use super::translate::ProtocolError;

/// Bytes of all amendments that are being put together.
const MAX_PARTIAL_BYTES: usize = HARD_MAX_PAYLOAD_BYTES;

/// Bytes set aside for a payload before its pieces have come.
const FIRST_CAPACITY_BYTES: usize = 1024 * 1024;

/// The source, its grant, and the catch-up (0 = live).
type Key = (OdsCode, u64, u64);

struct Partial {
    /// The number of the first piece.
    first: u64,
    header: Bytes,
    expected: usize,
    payload: BytesMut,
}

/// The amendments that are being put together.
#[derive(Default)]
pub(super) struct Assembler(BTreeMap<Key, Partial>);

impl Assembler {
    /// Takes a piece. Returns the amendment when it is the last.
    pub(super) fn piece(
        &mut self,
        number: u64,
        source: OdsCode,
        piece: &DeliverPiece,
    ) -> Result<Option<Batch>, ProtocolError> {
        let key = (source, piece.grant, piece.job);
        if piece.data.len() > MAX_PIECE_BYTES {
            return Err(ProtocolError::Piece("it is larger than 128 KiB"));
        }
        if !piece.header.is_empty() {
            let partial = Partial::begin(number, &piece.header)?;
            if self.0.insert(key, partial).is_some() {
                return Err(ProtocolError::Piece(
                    "another amendment begins before the last is complete",
                ));
            }
        }
        let Some(partial) = self.0.get_mut(&key) else {
            return Err(ProtocolError::Piece("it belongs to no amendment"));
        };
        if piece.offset != partial.payload.len() as u64 {
            return Err(ProtocolError::Piece("it does not follow the one before"));
        }
        partial.payload.extend_from_slice(&piece.data);
        match partial.payload.len().cmp(&partial.expected) {
            std::cmp::Ordering::Less => {}
            std::cmp::Ordering::Equal => {
                let complete = self.0.remove(&key);
                return complete.map(Partial::finish).transpose();
            }
            std::cmp::Ordering::Greater => {
                return Err(ProtocolError::Piece("there is more than the header says"));
            }
        }
        let total: usize = self.0.values().map(|p| p.payload.len()).sum();
        if total > MAX_PARTIAL_BYTES {
            return Err(ProtocolError::Piece("too many amendments come in pieces at once"));
        }
        Ok(None)
    }

    /// Throws away what is incomplete of a grant.
    pub(super) fn abandon(&mut self, source: OdsCode, grant: u64) {
        self.0.retain(|(s, g, _), _| (*s, *g) != (source, grant));
    }

    /// The first message that may not count as durable yet.
    pub(super) fn floor(&self) -> Option<u64> {
        self.0.values().map(|p| p.first).min()
    }
}

impl Partial {
    fn begin(first: u64, header: &Bytes) -> Result<Self, ProtocolError> {
        if header.len() > MAX_BATCH_HEADER_BYTES {
            return Err(ProtocolError::Piece("its header is too large"));
        }
        let columns = BatchHeader::decode(header.clone())
            .map_err(|_| ProtocolError::Piece("its header cannot be decoded"))?;
        let expected = match columns.payload_len.as_slice() {
            [one] => *one as usize,
            _ => return Err(ProtocolError::Piece("its header is not of one amendment")),
        };
        if expected > HARD_MAX_PAYLOAD_BYTES {
            return Err(ProtocolError::Piece("the amendment is larger than any may be"));
        }
        Ok(Self {
            first,
            header: header.clone(),
            expected,
            payload: BytesMut::with_capacity(expected.min(FIRST_CAPACITY_BYTES)),
        })
    }

    fn finish(self) -> Result<Batch, ProtocolError> {
        Ok(Batch::parse(
            self.header,
            self.payload.freeze(),
            Form::DeliveredInPieces,
        )?)
    }
}
