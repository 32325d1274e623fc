//! A unit over its rate is slowed: its stream is read no further until it is within it again.

use std::num::NonZeroU32;

use governor::{DefaultKeyedRateLimiter, Quota};
use handfast_proto::{ids::OdsCode, limits::MAX_BATCH_AMENDMENTS};

/// How fast a unit may publish.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rate {
    /// Amendments a second, sustained.
    pub per_second: NonZeroU32,
    /// Amendments at once; never less than one batch.
    pub burst: NonZeroU32,
}

/// Holds every unit to its rate.
#[derive(Debug)]
pub struct RateLimit {
    limiter: DefaultKeyedRateLimiter<OdsCode>,
}

impl RateLimit {
    /// The same rate for every unit.
    pub fn new(rate: Rate) -> Self {
        let batch = u32::try_from(MAX_BATCH_AMENDMENTS).unwrap_or(u32::MAX);
        let burst = NonZeroU32::new(rate.burst.get().max(batch)).unwrap_or(rate.burst);
        let quota = Quota::per_second(rate.per_second).allow_burst(burst);
        Self {
            limiter: DefaultKeyedRateLimiter::keyed(quota),
        }
    }

    /// Waits until the unit may publish a batch of `amendments`.
    pub async fn admit(&self, unit: OdsCode, amendments: usize) {
        let Some(n) = u32::try_from(amendments).ok().and_then(NonZeroU32::new) else {
            return;
        };
        // A batch is never larger than the burst, so the limiter never says that it can never fit.
        let _fits = self.limiter.until_key_n_ready(&unit, n).await;
    }
}
