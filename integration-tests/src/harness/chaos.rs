//! Random choices of a test, from a seed that is printed, so that a failed run can be tried again with
//! `HANDFAST_SEED` (or `cargo verify --seed`). The choices are the same; how processes interleave is not.

use std::time::Duration;

use rand::{Rng as _, RngCore as _, SeedableRng as _, rngs::StdRng, seq::IndexedRandom as _};

/// A source of random choices.
#[derive(Debug)]
pub struct Chaos {
    rng: StdRng,
}

impl Chaos {
    /// From `HANDFAST_SEED`, else from a fresh seed. Prints it.
    #[expect(clippy::print_stderr, reason = "shown by the test runner where a test fails")]
    pub fn new(test: &str) -> Self {
        let seed = std::env::var("HANDFAST_SEED")
            .ok()
            .and_then(|s| s.parse().ok())
            .unwrap_or_else(rand::random::<u64>);
        eprintln!("{test}: HANDFAST_SEED={seed}");
        Self::seeded(seed)
    }

    /// From a given seed.
    pub fn seeded(seed: u64) -> Self {
        Self {
            rng: StdRng::seed_from_u64(seed),
        }
    }

    /// Another source, for a task of its own.
    #[must_use]
    pub fn fork(&mut self) -> Self {
        Self::seeded(self.rng.next_u64())
    }

    /// A number in `low..high`.
    pub fn number(&mut self, low: u64, high: u64) -> u64 {
        self.rng.random_range(low..high)
    }

    /// True once in `n` times, about.
    pub fn once_in(&mut self, n: u64) -> bool {
        self.number(0, n) == 0
    }

    /// One of several.
    pub fn pick<'a, T>(&mut self, from: &'a [T]) -> Option<&'a T> {
        from.choose(&mut self.rng)
    }

    /// A duration between two numbers of milliseconds.
    pub fn millis(&mut self, low: u64, high: u64) -> Duration {
        Duration::from_millis(self.number(low, high))
    }

    /// Waits for a random time: a moment at which to do something, not a wait for something.
    pub async fn pause(&mut self, low_millis: u64, high_millis: u64) {
        tokio::time::sleep(self.millis(low_millis, high_millis)).await;
    }
}
