//! Sets of seqs as the audit log writes them: runs of seqs that follow one another.
//!
//! Invariants: runs rise, are not empty, do not touch, and begin at 1 or later; there are at most [`MAX_RUNS`]
//! in what is read.

/// Runs in one entry. Where a set has more, it goes into several entries.
pub const MAX_RUNS: usize = 4096;

/// What is wrong with a set that was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a set of seqs is not written as it must be")]
pub struct RunsFault;

/// A set of seqs.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Runs(Vec<(u64, u64)>);

impl Runs {
    /// All from `first` to `last`, both included; nothing where they are not in order.
    pub fn of(first: u64, last: u64) -> Self {
        let mut runs = Self::default();
        runs.insert(first, last);
        runs
    }

    /// Adds every seq from `first` to `last`. Cheap at the end, where most are added.
    pub fn insert(&mut self, first: u64, last: u64) {
        if first == 0 || first > last {
            return;
        }
        if let Some((_, end)) = self.0.last_mut()
            && first == end.saturating_add(1)
        {
            *end = last;
            return;
        }
        let from = match self.0.last() {
            Some((_, end)) if first <= end.saturating_add(1) => {
                self.0.partition_point(|(_, end)| end.saturating_add(1) < first)
            }
            _ => self.0.len(),
        };
        let touched = self.0[from..].iter();
        let count = touched
            .take_while(|(begin, _)| *begin <= last.saturating_add(1))
            .count();
        let (mut begin, mut end) = (first, last);
        if count > 0 {
            begin = begin.min(self.0[from].0);
            end = end.max(self.0[from + count - 1].1);
        }
        self.0.splice(from..from + count, [(begin, end)]);
    }

    /// Adds every seq of another set.
    pub fn extend(&mut self, other: &Self) {
        other
            .0
            .iter()
            .for_each(|(first, last)| self.insert(*first, *last));
    }

    /// Whether a seq is in it.
    pub fn contains(&self, seq: u64) -> bool {
        let at = self.0.partition_point(|(_, last)| *last < seq);
        self.0.get(at).is_some_and(|(first, _)| *first <= seq)
    }

    /// The runs, first and last seq of each, in order.
    pub fn iter(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        self.0.iter().copied()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many runs.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// The first and the last seq.
    pub fn bounds(&self) -> Option<(u64, u64)> {
        Some((self.0.first()?.0, self.0.last()?.1))
    }

    /// The same seqs in sets of at most so many runs.
    pub fn split(self, max: usize) -> Vec<Self> {
        if self.0.len() <= max {
            return if self.0.is_empty() { Vec::new() } else { vec![self] };
        }
        self.0
            .chunks(max.max(1))
            .map(|part| Self(part.to_vec()))
            .collect()
    }

    /// As it is written: how many seqs are passed over since the run before, and how many follow, in turn.
    pub fn to_wire(&self) -> Vec<u64> {
        let mut out = Vec::with_capacity(self.0.len() * 2);
        let mut after = 0;
        for (first, last) in &self.0 {
            out.extend([first - after - 1, last - first + 1]);
            after = *last;
        }
        out
    }

    /// Reads what [`Runs::to_wire`] wrote.
    pub fn from_wire(wire: &[u64]) -> Result<Self, RunsFault> {
        let (pairs, rest) = wire.as_chunks::<2>();
        if !rest.is_empty() || pairs.len() > MAX_RUNS {
            return Err(RunsFault);
        }
        let mut runs = Vec::with_capacity(pairs.len());
        let mut after = 0_u64;
        for (at, [passed, len]) in pairs.iter().enumerate() {
            if *len == 0 || (at > 0 && *passed == 0) {
                return Err(RunsFault);
            }
            let first = after
                .checked_add(*passed)
                .and_then(|n| n.checked_add(1))
                .ok_or(RunsFault)?;
            let last = first.checked_add(len - 1).ok_or(RunsFault)?;
            runs.push((first, last));
            after = last;
        }
        Ok(Self(runs))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn all(runs: &Runs) -> BTreeSet<u64> {
        runs.iter().flat_map(|(first, last)| first..=last).collect()
    }

    proptest! {
        #[test]
        fn a_set_holds_what_was_put_in_and_is_read_as_it_was_written(
            put in proptest::collection::vec((0_u64..200, 0_u64..20), 0..60)
        ) {
            let mut runs = Runs::default();
            let mut want = BTreeSet::new();
            for (first, more) in put {
                runs.insert(first, first + more);
                if first > 0 {
                    want.extend(first..=first + more);
                }
            }
            prop_assert_eq!(&all(&runs), &want);
            prop_assert!(runs.0.windows(2).all(|w| w[0].1 + 1 < w[1].0), "they do not touch");
            prop_assert!((0..230).all(|seq| runs.contains(seq) == want.contains(&seq)));
            prop_assert_eq!(Runs::from_wire(&runs.to_wire()), Ok(runs.clone()));
            let parts = runs.clone().split(3);
            prop_assert!(parts.iter().all(|part| part.len() <= 3));
            let mut again = Runs::default();
            parts.iter().rev().for_each(|part| again.extend(part));
            prop_assert_eq!(again, runs);
        }

        #[test]
        fn no_numbers_whatever_are_read_as_two_sets(wire in proptest::collection::vec(0_u64..5, 0..12)) {
            if let Ok(runs) = Runs::from_wire(&wire) {
                prop_assert_eq!(runs.to_wire(), wire);
            }
        }
    }

    #[test]
    fn what_cannot_be_is_refused() {
        for wire in [&[1][..], &[0, 0], &[0, 1, 0, 1], &[u64::MAX, 1], &[5, u64::MAX]] {
            assert_eq!(Runs::from_wire(wire), Err(RunsFault), "{wire:?}");
        }
        assert!(Runs::of(5, 4).is_empty() && Runs::of(0, 3).is_empty());
        assert_eq!(Runs::of(3, u64::MAX).bounds(), Some((3, u64::MAX)));
    }
}
