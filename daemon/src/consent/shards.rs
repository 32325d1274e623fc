//! A map from NHS numbers that is cheap to copy after a small change: a change copies one shard and the list
//! of shards, so a book with a million patients is swapped in microseconds.
//!
//! Invariants: a number's shard depends on the number alone; a copy and its origin share every shard that
//! neither has changed since.

use std::{collections::HashMap, sync::Arc};

use foldhash::fast::RandomState;
use handfast_proto::ids::NhsNumber;

/// Shards of a map. With a million numbers a shard has some four thousand.
const SHARDS: usize = 256;

type Shard<V> = HashMap<NhsNumber, V, RandomState>;

/// A map from NHS numbers.
#[derive(Clone, Debug)]
pub(super) struct Shards<V> {
    shards: Arc<[Arc<Shard<V>>]>,
    len: usize,
}

impl<V> Default for Shards<V> {
    fn default() -> Self {
        let empty = Arc::new(Shard::default());
        Self {
            shards: (0..SHARDS).map(|_| Arc::clone(&empty)).collect(),
            len: 0,
        }
    }
}

impl<V: Copy> Shards<V> {
    /// How many numbers have a value.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Whether no number has one.
    pub(super) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The value of a number.
    #[inline]
    pub(super) fn get(&self, number: NhsNumber) -> Option<V> {
        if self.len == 0 {
            return None;
        }
        self.shards[shard(number)].get(&number).copied()
    }

    /// Gives a number a value, or takes it away.
    pub(super) fn set(&mut self, number: NhsNumber, value: Option<V>) {
        let shards = Arc::make_mut(&mut self.shards);
        let shard = Arc::make_mut(&mut shards[shard(number)]);
        let before = shard.len();
        match value {
            Some(value) => shard.insert(number, value),
            None => shard.remove(&number),
        };
        self.len = self.len + shard.len() - before;
    }

    /// Every number and its value, in no order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (NhsNumber, V)> + '_ {
        let all = self.shards.iter().flat_map(|shard| shard.iter());
        all.map(|(number, value)| (*number, *value))
    }
}

/// The last digits but one of numbers given in a row differ; the check digit follows from the others.
fn shard(number: NhsNumber) -> usize {
    usize::try_from((number.as_u64() / 10) % (SHARDS as u64)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers() -> Vec<NhsNumber> {
        (9_990_000_000..9_990_020_000)
            .filter_map(|n| NhsNumber::from_u64(n).ok())
            .collect()
    }

    #[test]
    fn a_copy_does_not_see_what_its_origin_becomes() {
        let mut map = Shards::default();
        let numbers = numbers();
        numbers.iter().for_each(|n| map.set(*n, Some(1)));
        let copy = map.clone();
        map.set(numbers[0], Some(2));
        map.set(numbers[1], None);
        assert_eq!((map.len(), copy.len()), (numbers.len() - 1, numbers.len()));
        assert_eq!((map.get(numbers[0]), copy.get(numbers[0])), (Some(2), Some(1)));
        assert_eq!((map.get(numbers[1]), copy.get(numbers[1])), (None, Some(1)));
        assert_eq!(copy.iter().count(), numbers.len());
    }

    #[test]
    fn a_change_copies_one_shard() {
        let mut map = Shards::default();
        numbers().iter().for_each(|n| map.set(*n, Some(1)));
        let before = map.clone();
        map.set(numbers()[7], Some(2));
        let copied = map.shards.iter().zip(before.shards.iter());
        assert_eq!(copied.filter(|(a, b)| !Arc::ptr_eq(a, b)).count(), 1);
    }

    #[test]
    fn numbers_given_in_a_row_spread_evenly() {
        let mut map = Shards::default();
        let numbers = numbers();
        numbers.iter().for_each(|n| map.set(*n, Some(1)));
        let even = numbers.len() / SHARDS;
        for shard in map.shards.iter() {
            assert!((even - 2..=even + 2).contains(&shard.len()), "{}", shard.len());
        }
    }

    #[test]
    fn a_value_is_counted_once_and_taken_away_once() {
        let (mut map, number) = (Shards::default(), numbers()[0]);
        assert!(map.is_empty());
        map.set(number, Some(1));
        map.set(number, Some(2));
        assert_eq!((map.len(), map.is_empty(), map.get(number)), (1, false, Some(2)));
        map.set(number, None);
        map.set(number, None);
        assert_eq!((map.len(), map.is_empty(), map.get(number)), (0, true, None));
    }
}
