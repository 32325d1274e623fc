//! An open loop: amendments are due at times that nothing changes, and each is measured from the time it was due,
//! so that a stall counts against every amendment that it held up.

use std::{
    sync::OnceLock,
    time::{Duration, Instant},
};

use hdrhistogram::Histogram;
use parking_lot::Mutex;

use super::options::Shape;
use crate::load::check::latencies;

/// When each source's amendments are due, and how long they took.
#[derive(Debug)]
pub(super) struct Schedule {
    /// Amendments a second of all sources together, in turn.
    per_second: u64,
    sources: u64,
    /// Of all sources, from the beginning to the end.
    total: u64,
    /// What was due before is not measured.
    warm_up: Duration,
    begun: OnceLock<Instant>,
    /// By recipient, in microseconds.
    took: Vec<Mutex<Histogram<u64>>>,
}

impl Schedule {
    pub(super) fn new(
        shape: Shape,
        per_second: u64,
        warm_up: Duration,
        lasting: Duration,
    ) -> anyhow::Result<Self> {
        let took = (0..shape.recipients).map(|_| Ok(Mutex::new(latencies()?)));
        Ok(Self {
            per_second: per_second.max(1),
            sources: shape.sources as u64,
            total: per_second * (warm_up + lasting).as_secs(),
            warm_up,
            begun: OnceLock::new(),
            took: took.collect::<anyhow::Result<_>>()?,
        })
    }

    /// From now on amendments are due.
    pub(super) fn begin(&self) {
        let _ = self.begun.set(Instant::now());
    }

    /// How many of a source's amendments are due by now.
    pub(super) fn due(&self, source: usize) -> u64 {
        self.begun
            .get()
            .map_or(0, |begun| self.due_after(source, begun.elapsed()))
    }

    fn due_after(&self, source: usize, elapsed: Duration) -> u64 {
        let passed = elapsed.as_nanos() * u128::from(self.per_second) / 1_000_000_000;
        let all = u64::try_from(passed).unwrap_or(u64::MAX).saturating_add(1);
        self.share(source, all.min(self.total))
    }

    /// How many of a source's amendments there are in all.
    pub(super) fn of_source(&self, source: usize) -> u64 {
        self.share(source, self.total)
    }

    /// Whether a source's first is due in the first half of the warm-up.
    pub(super) fn begins_early(&self, source: usize) -> bool {
        self.time_of(source, 1) < self.warm_up / 2
    }

    /// How many of so many are a source's.
    fn share(&self, source: usize, all: u64) -> u64 {
        (all + self.sources - 1 - source as u64) / self.sources
    }

    /// When a source's amendment is due, from the beginning.
    fn time_of(&self, source: usize, seq: u64) -> Duration {
        let place = seq.saturating_sub(1) * self.sources + source as u64;
        Duration::from_nanos((u128::from(place) * 1_000_000_000 / u128::from(self.per_second)) as u64)
    }

    /// A recipient has got a source's amendments `first` to `last`, just now.
    pub(super) fn arrived(&self, source: usize, recipient: usize, first: u64, last: u64) {
        let (Some(begun), Some(took)) = (self.begun.get(), self.took.get(recipient)) else {
            return;
        };
        let now = begun.elapsed();
        let mut took = took.lock();
        for due in (first..=last).map(|seq| self.time_of(source, seq)) {
            if due >= self.warm_up {
                let us = u64::try_from(now.saturating_sub(due).as_micros()).unwrap_or(u64::MAX);
                took.saturating_record(us.max(1));
            }
        }
    }

    /// How long all of them took, to every recipient.
    pub(super) fn took(&self) -> anyhow::Result<Histogram<u64>> {
        let mut all = latencies()?;
        for one in &self.took {
            all.add(&*one.lock())?;
        }
        Ok(all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schedule(sources: usize) -> Schedule {
        let shape = Shape {
            sources,
            recipients: 1,
        };
        Schedule::new(shape, 1_000, Duration::from_secs(1), Duration::from_secs(2)).unwrap()
    }

    #[test]
    fn sources_take_turns_at_even_distances_until_the_end() {
        let schedule = schedule(3);
        let due = |ms| [0, 1, 2].map(|source| schedule.due_after(source, Duration::from_millis(ms)));
        assert_eq!(due(0), [1, 0, 0]);
        assert_eq!(due(1), [1, 1, 0]);
        assert_eq!(due(3), [2, 1, 1]);
        assert_eq!(due(60_000), [1_000; 3]);
        assert_eq!(schedule.of_source(0), 1_000);
        assert_eq!(schedule.time_of(2, 2), Duration::from_millis(5));
        assert!(schedule.begins_early(2));
        let shape = Shape {
            sources: 3,
            recipients: 1,
        };
        let slow = Schedule::new(shape, 2, Duration::from_secs(1), Duration::from_secs(2)).unwrap();
        assert_eq!(
            [0, 1, 2].map(|source| slow.begins_early(source)),
            [true, false, false]
        );
    }

    #[test]
    fn what_is_due_later_than_the_warm_up_is_measured_from_when_it_was_due() {
        let schedule = schedule(1);
        let begun = Instant::now().checked_sub(Duration::from_secs(2)).unwrap();
        schedule.begun.set(begun).unwrap();
        schedule.arrived(0, 0, 1, 1_000);
        assert!(schedule.took().unwrap().is_empty());
        schedule.arrived(0, 0, 1_001, 1_001);
        let took = schedule.took().unwrap();
        assert_eq!(took.len(), 1);
        assert!(took.min() >= 990_000, "{}", took.min());
    }
}
