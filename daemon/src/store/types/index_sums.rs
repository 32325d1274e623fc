//! Sums over the rows that audit entries are found by, so that two sets of rows are compared without holding either.

use std::collections::BTreeMap;

use handfast_proto::merkle::leaf_hash;

/// Entries that have one sum.
pub const SUMMED_ENTRIES: u64 = 4_096;

/// Words of a sum: those of a hash.
const WORDS: usize = 4;

/// For each part of the log the sum of the hashes of its rows, in whatever order they come.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct IndexSums {
    sums: BTreeMap<u64, [u64; WORDS]>,
    /// A part of the log of which there are rows although it was not made findable yet.
    pub beyond: Option<u64>,
}

impl IndexSums {
    /// Adds a row of an entry.
    pub fn row(&mut self, entry: u64, row: &str) {
        let hash = leaf_hash(row.as_bytes());
        let words = hash.as_bytes().chunks_exact(8).map(|word| {
            let word = word.try_into().unwrap_or_default();
            u64::from_be_bytes(word)
        });
        let sum = self.sums.entry(entry / SUMMED_ENTRIES).or_default();
        sum.iter_mut()
            .zip(words)
            .for_each(|(sum, word)| *sum = sum.wrapping_add(word));
    }

    /// Adds other rows.
    pub fn add(&mut self, other: &Self) {
        for (part, words) in &other.sums {
            let sum = self.sums.entry(*part).or_default();
            sum.iter_mut()
                .zip(words)
                .for_each(|(sum, word)| *sum = sum.wrapping_add(*word));
        }
    }

    /// The first part of the log of which the rows differ.
    pub fn differs(&self, other: &Self) -> Option<u64> {
        let parts = self.sums.keys().chain(other.sums.keys());
        parts
            .filter(|part| self.sums.get(part) != other.sums.get(part))
            .min()
            .copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_rows_in_any_order_are_the_same_and_others_are_not() {
        let sums = |rows: &[(u64, &str)]| {
            let mut sums = IndexSums::default();
            rows.iter().for_each(|(entry, row)| sums.row(*entry, row));
            sums
        };
        let one = sums(&[(1, "a"), (2, "b"), (5_000, "c")]);
        let mut parts = sums(&[(5_000, "c")]);
        parts.add(&sums(&[(2, "b"), (1, "a")]));
        assert_eq!(one.differs(&parts), None);
        assert_eq!(one.differs(&sums(&[(1, "a"), (2, "b"), (5_000, "d")])), Some(1));
        assert_eq!(one.differs(&sums(&[(1, "a"), (5_000, "c")])), Some(0));
        assert_eq!(one.differs(&sums(&[(1, "a"), (2, "b")])), Some(1));
        assert_eq!(
            one.differs(&sums(&[(1, "a"), (2, "b"), (2, "b"), (5_000, "c")])),
            Some(0)
        );
    }
}
