//! Tells a store that was restored from an old copy which of its amendments the log has already.
//!
//! The chain is computed again over the log's own amendments, so that nothing the store says of itself
//! needs to be believed: the answer is the same for any chain it begins with.

use handfast_proto::{chain::Chain, ids::OdsCode};

use crate::store::{Store, StoreError};

/// Bytes of the log read at a time.
const READ_BYTES: usize = 4 * 1024 * 1024;

/// Bytes of the log read for one answer: what lies beyond counts as not agreed.
const MAX_READ_BYTES: usize = 256 * 1024 * 1024;

/// A seq of a store and its chain there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Point {
    /// The seq.
    pub seq: u64,
    /// The chain after it.
    pub chain: Chain,
}

/// The last of the `points` (rising, after `from`) up to which the log has the same amendments, `from.seq`
/// if none. A payload that was erased meanwhile ends the agreement.
pub(super) async fn agreed(
    store: &dyn Store,
    source: OdsCode,
    from: Point,
    points: &[Point],
) -> Result<u64, StoreError> {
    let mut at = from;
    let mut agreed = from.seq;
    let mut points = points.iter().peekable();
    let mut read = 0;
    while points.peek().is_some() && read < MAX_READ_BYTES {
        let rows = store.read_log(source, at.seq, READ_BYTES).await?;
        if rows.is_empty() {
            break;
        }
        for row in rows {
            read += row.header.len() + row.body.len();
            let Ok(batch) = row.into_batch() else {
                return Ok(agreed);
            };
            for index in 0..batch.len() {
                let seq = batch.seq(index);
                if seq <= at.seq {
                    continue;
                }
                if seq != at.seq + 1 {
                    return Ok(agreed);
                }
                at = Point {
                    seq,
                    chain: at.chain.extend(seq, &batch.amendment(index)),
                };
                if let Some(point) = points.next_if(|p| p.seq == seq) {
                    if point.chain != at.chain {
                        return Ok(agreed);
                    }
                    agreed = seq;
                }
            }
        }
    }
    Ok(agreed)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use handfast_proto::ids::StoreId;

    use super::*;
    use crate::{
        ingest::session::tests::{amendment, batch},
        store::{AppendGroup, LogBatch, fake::FakeStore},
    };

    #[tokio::test]
    async fn the_agreement_ends_where_the_amendments_differ() {
        let source: OdsCode = "Z00101".parse().unwrap();
        let store = FakeStore::default();
        let start = Chain::start(StoreId::from_random([1; 16]));
        for first in [1, 11] {
            let group = AppendGroup {
                batches: vec![Arc::new(LogBatch {
                    source,
                    store: StoreId::from_random([1; 16]),
                    batch: batch(first, 10, 20),
                    chain_before: None,
                    chain_after: start,
                })],
                ..AppendGroup::default()
            };
            store.append(&group).await.unwrap();
        }
        // What a copy holds after seq 3: the same up to 14, then something else.
        let from = Point { seq: 3, chain: start };
        let mut chain = start;
        let points: Vec<Point> = (4..=18)
            .map(|seq| {
                let id = if seq <= 14 { seq } else { seq + 100 };
                chain = chain.extend(seq, &amendment(id, 20));
                Point { seq, chain }
            })
            .collect();
        assert_eq!(agreed(&store, source, from, &points).await.unwrap(), 14);
        let sparse: Vec<Point> = points.iter().copied().filter(|p| p.seq % 6 == 0).collect();
        assert_eq!(agreed(&store, source, from, &sparse).await.unwrap(), 12);
        assert_eq!(agreed(&store, source, from, &points[12..]).await.unwrap(), 3);
        assert_eq!(agreed(&store, source, from, &[]).await.unwrap(), 3);
        let beyond = [Point { seq: 30, chain }];
        assert_eq!(agreed(&store, source, from, &beyond).await.unwrap(), 3);
    }
}
