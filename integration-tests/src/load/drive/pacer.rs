//! Wakes sources when their next amendment is due. A thread of its own: the runtime's timer counts whole
//! milliseconds.

use std::{
    sync::{Arc, atomic::Ordering::Relaxed},
    thread::JoinHandle,
    time::{Duration, Instant},
};

use tokio_util::sync::CancellationToken;

use super::source::Gauge;

/// The longest that it sleeps, so that it ends soon after it is told, and sees what became due meanwhile.
const MAX_SLEEP: Duration = Duration::from_micros(500);
/// The shortest: at high rates several amendments are due together.
const MIN_SLEEP: Duration = Duration::from_micros(100);

/// Runs until `stop`.
pub(in crate::load) fn start(
    begun: Instant,
    gauges: Vec<Arc<Gauge>>,
    stop: CancellationToken,
) -> JoinHandle<()> {
    std::thread::spawn(move || {
        while !stop.is_cancelled() {
            std::thread::sleep(wake_those_due(begun, &gauges));
        }
    })
}

/// How long nothing else is due.
fn wake_those_due(begun: Instant, gauges: &[Arc<Gauge>]) -> Duration {
    let now = u64::try_from(begun.elapsed().as_nanos()).unwrap_or(u64::MAX);
    let mut next = u64::MAX;
    for gauge in gauges {
        match gauge.due_ns.load(Relaxed) {
            0 => {}
            due if due <= now => gauge.wake.notify_one(),
            due => next = next.min(due),
        }
    }
    Duration::from_nanos(next.saturating_sub(now)).clamp(MIN_SLEEP, MAX_SLEEP)
}
