//! What every amendment carries: 1 KiB that follows from whom it is of and which it is, so that a recipient can hold what
//! it got against what was sent, byte by byte. Made once, the same in every run, and shared by all sources.
//!
//! Invariants: of one source, no two amendments less than [`DISTINCT`] apart carry the same; of two sources, no two with
//! the same seq. Amendments of two sources whose seqs are a multiple of [`APART`] from each other may: that one came as
//! another's is found by the name of the source and the seq, which travel beside the payload.

use std::sync::Arc;

use bytes::Bytes;
use rand::{RngCore as _, SeedableRng as _, rngs::StdRng};

use super::options::MAX_SIDE;

/// Bytes of every payload.
pub(super) const PAYLOAD_BYTES: usize = 1_024;
/// Payloads that differ, 4 MiB: as much as stays in a cache while it is sent round and round.
const DISTINCT: usize = 4_096;
/// Amendments taken in one stretch at most.
pub(super) const MAX_STRETCH: u64 = 256;
/// How far apart sources begin.
const APART: usize = DISTINCT / MAX_SIDE;
const SEED: u64 = 0x4841_4E44_4641_5354;

/// The payloads, one after the other; those of the first stretch again at the end.
#[derive(Debug)]
pub(super) struct Payloads(Bytes);

impl Payloads {
    pub(super) fn new() -> Arc<Self> {
        let again = MAX_STRETCH as usize * PAYLOAD_BYTES;
        let mut all = vec![0; DISTINCT * PAYLOAD_BYTES];
        StdRng::seed_from_u64(SEED).fill_bytes(&mut all);
        all.extend_from_within(..again);
        Arc::new(Self(all.into()))
    }

    /// Those of a source from `first` on; at most [`MAX_STRETCH`].
    pub(super) fn stretch(&self, source: usize, first: u64, count: u64) -> Bytes {
        let start = place(source, first) * PAYLOAD_BYTES;
        let len = count.min(MAX_STRETCH) as usize * PAYLOAD_BYTES;
        self.0.slice(start..start + len)
    }

    /// Whether a source's amendment carries this.
    pub(super) fn is(&self, source: usize, seq: u64, payload: &[u8]) -> bool {
        let start = place(source, seq) * PAYLOAD_BYTES;
        self.0.get(start..start + PAYLOAD_BYTES) == Some(payload)
    }
}

/// Where a source's amendment has its payload; seqs begin with 1.
fn place(source: usize, seq: u64) -> usize {
    let distinct = DISTINCT as u64;
    ((seq.wrapping_sub(1) % distinct) as usize + source * APART) % DISTINCT
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn what_was_sent_is_known_again_and_nothing_else() {
        let payloads = Payloads::new();
        for (source, first) in [(0, 1), (3, 4_000), (63, 1_000_000)] {
            let sent = payloads.stretch(source, first, MAX_STRETCH);
            let parts = (first..).zip(sent.chunks_exact(PAYLOAD_BYTES));
            assert_eq!(parts.clone().count() as u64, MAX_STRETCH);
            for (seq, part) in parts {
                assert!(payloads.is(source, seq, part));
                assert!(!payloads.is(source, seq + 1, part));
                assert!(!payloads.is(source + 1, seq, part));
                assert!(!payloads.is(source, seq, &part[1..]));
            }
        }
    }

    #[test]
    fn payloads_differ_within_a_source_and_at_a_seq() {
        let places: HashSet<usize> = (1..=DISTINCT as u64).map(|seq| place(5, seq)).collect();
        assert_eq!(places.len(), DISTINCT);
        let places: HashSet<usize> = (0..MAX_SIDE).map(|source| place(source, 77)).collect();
        assert_eq!(places.len(), MAX_SIDE);
    }

    #[test]
    fn one_bit_makes_another_payload() {
        let payloads = Payloads::new();
        let mut sent = payloads.stretch(1, 9, 1).to_vec();
        assert!(payloads.is(1, 9, &sent));
        sent[PAYLOAD_BYTES - 1] ^= 1;
        assert!(!payloads.is(1, 9, &sent));
    }
}
