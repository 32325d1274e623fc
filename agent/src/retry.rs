//! How long to wait before trying again: exponential growth with a cap and full jitter, so that agents
//! which lost the daemon at the same moment do not come back at the same moment.
//!
//! The only user of the crate `backoff`, which is no longer maintained (RUSTSEC-2025-0012): to replace it,
//! replace this file. Only its growth is used; the jitter is drawn here, so that a test can inject it.

use std::{fmt, time::Duration};

use backoff::{SystemClock, backoff::Backoff as _, exponential::ExponentialBackoff};

/// The first delay is at most this.
pub const START_DELAY: Duration = Duration::from_millis(200);

/// No delay is longer than this.
pub const MAX_DELAY: Duration = Duration::from_secs(30);

/// A full disk is looked at again at least this often: asking it is nobody else's burden.
pub const MAX_DELAY_ON_A_FULL_DISK: Duration = Duration::from_secs(2);

/// A source of numbers, uniform in 0 to 1.
pub type Random = Box<dyn FnMut() -> f64 + Send>;

/// The delays between tries at one thing. Each is uniform in zero to a bound that starts small, at
/// [`START_DELAY`] unless told otherwise, and doubles up to a longest, [`MAX_DELAY`] unless told otherwise.
pub struct Retry {
    growth: ExponentialBackoff<SystemClock>,
    random: Random,
}

impl Retry {
    /// Jitter from the operating system's random numbers.
    pub fn new() -> Self {
        Self::between(START_DELAY, MAX_DELAY)
    }

    /// The same with other bounds: the first delay is at most `start`, none is longer than `longest`.
    pub fn between(start: Duration, longest: Duration) -> Self {
        let growth = ExponentialBackoff {
            current_interval: start,
            initial_interval: start,
            randomization_factor: 0.0,
            multiplier: 2.0,
            max_interval: longest,
            // Never gives up: what is in the outbox waits for as long as it takes.
            max_elapsed_time: None,
            ..ExponentialBackoff::default()
        };
        Self {
            growth,
            random: Box::new(os_random),
        }
    }

    /// The same with jitter from `random`; what it gives is held within 0 to 1.
    #[must_use]
    pub fn with_random(self, random: Random) -> Self {
        Self { random, ..self }
    }

    /// How long to wait before the next try.
    pub fn next_delay(&mut self) -> Duration {
        let longest = self.growth.max_interval;
        // `backoff` adds up to a nanosecond of its own to the bound.
        let bound = self.growth.next_backoff().unwrap_or(longest).min(longest);
        let fraction = (self.random)();
        if fraction.is_finite() {
            bound.mul_f64(fraction.clamp(0.0, 1.0))
        } else {
            bound
        }
    }

    /// To be called once a try has succeeded: the next delay starts small again.
    pub fn reset(&mut self) {
        self.growth.reset();
    }
}

impl Default for Retry {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Retry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Retry")
            .field("bound", &self.growth.current_interval)
            .finish_non_exhaustive()
    }
}

/// Without random numbers the whole bound is waited for.
fn os_random() -> f64 {
    // The upper 53 bits: every value is exact as a f64, and 1 is never reached.
    const BITS: u32 = 53;
    let Ok(drawn) = getrandom::u64() else { return 1.0 };
    #[expect(clippy::cast_precision_loss, reason = "53 bits fit the mantissa")]
    let value = (drawn >> (u64::BITS - BITS)) as f64;
    value / (1_u64 << BITS) as f64
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn bound_of(step: u32) -> Duration {
        START_DELAY
            .saturating_mul(1_u32.checked_shl(step).unwrap_or(u32::MAX))
            .min(MAX_DELAY)
    }

    proptest! {
        #[test]
        fn every_delay_is_within_its_bound(fractions in prop::collection::vec(-0.5_f64..1.5, 1..40)) {
            let mut left = fractions.clone().into_iter();
            let mut retry = Retry::new().with_random(Box::new(move || left.next().unwrap_or(1.0)));
            for (step, fraction) in fractions.iter().enumerate() {
                let delay = retry.next_delay();
                let bound = bound_of(u32::try_from(step).unwrap());
                let expected = bound.mul_f64(fraction.clamp(0.0, 1.0));
                prop_assert!(delay <= bound + Duration::from_nanos(1));
                prop_assert!(delay.abs_diff(expected) < Duration::from_micros(1), "{delay:?} {expected:?}");
            }
        }

        #[test]
        fn a_reset_starts_small_again(tries in 0_usize..20) {
            let mut retry = Retry::new().with_random(Box::new(|| 1.0));
            for _ in 0..tries {
                retry.next_delay();
            }
            retry.reset();
            prop_assert!(retry.next_delay() <= START_DELAY + Duration::from_nanos(1));
        }
    }

    #[test]
    fn jitter_is_full_and_never_endless() {
        let mut retry = Retry::new();
        let mut below_half = 0;
        for _ in 0..1000 {
            let delay = retry.next_delay();
            assert!(delay <= MAX_DELAY);
            below_half += u32::from(delay < MAX_DELAY / 2);
        }
        assert!((350..650).contains(&below_half), "{below_half}");
        let mut broken = Retry::new().with_random(Box::new(|| f64::NAN));
        assert!(broken.next_delay() <= START_DELAY + Duration::from_nanos(1));
    }
}
