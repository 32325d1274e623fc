//! Puts an amendment together that came in pieces.
//!
//! Invariant: what is held never exceeds the payload that the first piece announced, nor the bound.

use bytes::{Bytes, BytesMut};
use handfast_proto::{
    amendment::{Batch, BatchError, Form},
    chain::Chain,
    limits::MAX_PIECE_BYTES,
    v1::{BatchHeader, PublishPiece},
};
use prost::Message as _;

/// What is wrong with a piece.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PieceError {
    /// It does not go on where the last one ended, or the first has no header.
    #[error("a piece does not go on where the one before it ended")]
    OutOfOrder,
    /// The payload is larger than this daemon takes.
    #[error("the amendment's payload of {bytes} bytes is larger than the {max} bytes that this daemon takes")]
    TooLarge {
        /// What the first piece announced.
        bytes: u64,
        /// The bound.
        max: usize,
    },
    /// The piece itself is too large, or empty.
    #[error("a piece holds 1 to 131072 bytes")]
    PieceSize,
    /// The header cannot be read.
    #[error(transparent)]
    Batch(#[from] BatchError),
    /// The chain is not 16 bytes.
    #[error("the chain of an amendment is 16 bytes")]
    Chain,
}

/// An amendment that is on its way in pieces.
#[derive(Debug)]
pub struct Assembly {
    header: Bytes,
    chain_before: Option<Chain>,
    chain_after: Chain,
    body: BytesMut,
    total: usize,
}

impl Assembly {
    /// Begins with the first piece.
    pub fn begin(piece: &PublishPiece, max_payload_bytes: usize) -> Result<Self, PieceError> {
        if piece.header.is_empty() || piece.offset != 0 {
            return Err(PieceError::OutOfOrder);
        }
        let columns = BatchHeader::decode(piece.header.clone()).map_err(|_| BatchError::Encoding)?;
        let [announced] = columns.payload_len.as_slice() else {
            return Err(BatchError::Size.into());
        };
        let bytes = u64::from(*announced);
        let total = usize::try_from(bytes)
            .ok()
            .filter(|total| *total <= max_payload_bytes);
        let total = total.ok_or(PieceError::TooLarge {
            bytes,
            max: max_payload_bytes,
        })?;
        let chain_before = Chain::from_slice(&piece.chain_before);
        let chain_after = Chain::from_slice(&piece.chain_after).ok_or(PieceError::Chain)?;
        Ok(Self {
            header: piece.header.clone(),
            chain_before,
            chain_after,
            body: BytesMut::new(),
            total,
        })
    }

    /// Adds a piece, the first too; whether the amendment is whole now.
    pub fn add(&mut self, piece: &PublishPiece) -> Result<bool, PieceError> {
        if piece.data.is_empty() || piece.data.len() > MAX_PIECE_BYTES {
            return Err(PieceError::PieceSize);
        }
        let fits = piece.offset == self.body.len() as u64 && self.body.len() + piece.data.len() <= self.total;
        if !fits {
            return Err(PieceError::OutOfOrder);
        }
        self.body.extend_from_slice(&piece.data);
        Ok(self.body.len() == self.total)
    }

    /// The amendment, whole, with the chain before and after it.
    pub fn finish(self) -> Result<(Batch, Option<Chain>, Chain), PieceError> {
        let batch = Batch::parse(self.header, self.body.freeze(), Form::PublishedInPieces)?;
        Ok((batch, self.chain_before, self.chain_after))
    }
}

#[cfg(test)]
mod tests {
    use handfast_proto::amendment::BatchBuilder;

    use super::*;
    use crate::ingest::tests::amendment;

    fn pieces(payload: usize) -> Vec<PublishPiece> {
        let whole = amendment(1, payload);
        let header = BatchBuilder::header_in_pieces(1, &whole);
        let chain = Bytes::from(vec![1; 16]);
        let chunks = whole.payload.chunks(MAX_PIECE_BYTES).enumerate();
        let piece = |(i, data): (usize, &[u8])| PublishPiece {
            header: if i == 0 { header.clone() } else { Bytes::new() },
            offset: (i * MAX_PIECE_BYTES) as u64,
            data: Bytes::copy_from_slice(data),
            chain_before: chain.clone(),
            chain_after: chain.clone(),
        };
        chunks.map(piece).collect()
    }

    #[test]
    fn pieces_become_the_amendment() {
        let pieces = pieces(300_000);
        let mut assembly = Assembly::begin(&pieces[0], 400_000).unwrap();
        let whole: Vec<bool> = pieces.iter().map(|p| assembly.add(p).unwrap()).collect();
        assert_eq!(whole, [false, false, true]);
        assert_eq!(assembly.finish().unwrap().0.body().len(), 300_000);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let pieces = pieces(300_000);
        let too_large = PieceError::TooLarge {
            bytes: 300_000,
            max: 299_999,
        };
        assert_eq!(Assembly::begin(&pieces[0], 299_999).unwrap_err(), too_large);
        assert_eq!(
            Assembly::begin(&pieces[1], 400_000).unwrap_err(),
            PieceError::OutOfOrder
        );
        let mut assembly = Assembly::begin(&pieces[0], 400_000).unwrap();
        assembly.add(&pieces[0]).unwrap();
        assert_eq!(assembly.add(&pieces[2]).unwrap_err(), PieceError::OutOfOrder);
        let mut long = pieces[1].clone();
        long.data = Bytes::from(vec![0; MAX_PIECE_BYTES + 1]);
        assert_eq!(assembly.add(&long).unwrap_err(), PieceError::PieceSize);
    }
}
