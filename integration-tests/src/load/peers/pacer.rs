//! Wakes sources when something is due; a thread of its own, because the runtime's timer counts whole milliseconds.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use super::work::Work;

/// The shortest time between two looks at what is due: at high rates several amendments are due together.
const MIN_SLEEP: Duration = Duration::from_micros(100);

/// The thread. Ends when it is dropped.
pub(super) struct Pacer {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Pacer {
    pub(super) fn start(work: Arc<Work>, per_second: u64) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let every = Duration::from_nanos(1_000_000_000 / per_second.max(1)).max(MIN_SLEEP);
        let thread = std::thread::spawn(move || {
            let mut next = Instant::now();
            while !stopped.load(Ordering::Relaxed) {
                work.wake_due();
                next += every;
                std::thread::sleep(next.saturating_duration_since(Instant::now()));
            }
        });
        Self {
            stop,
            thread: Some(thread),
        }
    }
}

impl Drop for Pacer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // It ends within one look, and says nothing.
            let _ = thread.join();
        }
    }
}
