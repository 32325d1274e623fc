//! How often one holder may call, and how often anybody may connect: whoever does it more often waits.

use std::{net::IpAddr, num::NonZeroU32, time::Duration};

use governor::{DefaultDirectRateLimiter, DefaultKeyedRateLimiter, Quota, RateLimiter};
use handfast_proto::ids::Holder;

use super::{connection::ConnectionInfo, registry::network_of};
use crate::config::{Bounded, Limits};

/// How often what is known of quiet callers is forgotten, so that it does not grow.
pub(super) const FORGET_INTERVAL: Duration = Duration::from_secs(60);

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
enum Key {
    Holder(Holder),
    Network(IpAddr),
}

/// The rates of calls that are not streams.
#[derive(Debug)]
pub struct UnaryRates {
    limiter: DefaultKeyedRateLimiter<Key>,
}

impl UnaryRates {
    /// As configured.
    pub fn new(limits: &Limits) -> Self {
        let quota = Quota::per_second(nonzero(limits.unary_calls_per_second))
            .allow_burst(nonzero(limits.unary_calls_burst));
        Self {
            limiter: RateLimiter::keyed(quota),
        }
    }

    /// Waits until the caller may call. Cancellation-safe.
    pub(super) async fn wait(&self, info: &ConnectionInfo) {
        let key = match info.peer.holder() {
            Some(holder) => Key::Holder(holder),
            None => Key::Network(network_of(info.remote.ip())),
        };
        self.limiter.until_key_ready(&key).await;
    }

    /// Forgets those who were quiet, each minute, for ever.
    pub async fn forget_quiet_ones(&self) {
        let mut ticks = tokio::time::interval(FORGET_INTERVAL);
        loop {
            ticks.tick().await;
            self.limiter.retain_recent();
            self.limiter.shrink_to_fit();
        }
    }
}

/// The rate at which connections are taken in, whoever makes them: each costs a handshake, and after a restart
/// all agents come at once.
#[derive(Debug)]
pub(super) struct AcceptRate {
    limiter: DefaultDirectRateLimiter,
}

impl AcceptRate {
    /// As configured.
    pub(super) fn new(limits: &Limits) -> Self {
        let quota = Quota::per_second(nonzero(limits.connections_per_second))
            .allow_burst(nonzero(limits.connections_burst));
        Self {
            limiter: RateLimiter::direct(quota),
        }
    }

    /// Counts a connection that was taken in, and waits until the next may be. Cancellation-safe.
    pub(super) async fn taken(&self) {
        self.limiter.until_ready().await;
    }
}

fn nonzero<const MIN: u64, const MAX: u64>(value: Bounded<MIN, MAX>) -> NonZeroU32 {
    NonZeroU32::new(value.as_u32()).unwrap_or(NonZeroU32::MIN)
}
