//! The newest batches of each source, in memory, for the feeds that are at the head; and who is to be
//! woken when there are more. Those that are behind share here what they read of the log.
//!
//! Invariants: a tail's batches are consecutive and end at `head`; `head` is durable; a batch that was
//! dropped from memory is in the log; a payload that was erased from the log is not kept here, nor in what was
//! read of it.

use std::{
    collections::{HashMap, VecDeque},
    sync::{
        Arc, Weak,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
};

use handfast_proto::{amendment::Batch, ids::OdsCode};
use parking_lot::{Mutex, RwLock};
use tokio::sync::Notify;

use super::pages::Pages;

/// Bytes of the newest batches kept of one source, however many sources there are.
const TAIL_BYTES_PER_SOURCE: usize = 8 * 1024 * 1024;

/// A source may keep this part of what all together leave free of [`TAIL_BYTES_IN_ALL`]: while few record much, their
/// feeds may be further behind before each of them has to read the log.
const FREE_PARTS: usize = 4;

/// Bytes kept of all sources, of the newest batches and of what was read; past it a source keeps only what its last
/// commit held, and nothing that was read.
const TAIL_BYTES_IN_ALL: usize = 256 * 1024 * 1024;

/// Every source's tail.
#[derive(Debug, Default)]
pub struct Tails {
    tails: RwLock<HashMap<OdsCode, Arc<Tail>>>,
    bytes: Arc<AtomicUsize>,
}

impl Tails {
    /// The tail of a source; made at head 0 where it is not there.
    pub fn of(&self, source: OdsCode) -> Arc<Tail> {
        if let Some(tail) = self.tails.read().get(&source) {
            return Arc::clone(tail);
        }
        let mut tails = self.tails.write();
        Arc::clone(
            tails
                .entry(source)
                .or_insert_with(|| Arc::new(Tail::new(Arc::clone(&self.bytes)))),
        )
    }

    /// Payloads may have been erased from the log, and it is not known which: see [`Tail::erased`].
    pub fn any_erased(&self) {
        for tail in self.tails.read().values() {
            tail.erased(u64::MAX);
        }
    }

    /// The last durable seq of every source.
    pub fn heads(&self) -> Vec<(OdsCode, u64)> {
        self.tails
            .read()
            .iter()
            .map(|(source, tail)| (*source, tail.head()))
            .collect()
    }
}

/// One source's newest batches.
#[derive(Debug)]
pub struct Tail {
    head: AtomicU64,
    recent: Mutex<Recent>,
    erasures: AtomicU64,
    watchers: Mutex<Vec<Weak<Notify>>>,
    reading: tokio::sync::Mutex<()>,
    bytes_in_all: Arc<AtomicUsize>,
}

#[derive(Debug, Default)]
struct Recent {
    batches: VecDeque<Kept>,
    bytes: usize,
    pages: Pages,
}

/// A batch, and its last seq beside it: who looks for one touches no other.
#[derive(Debug)]
struct Kept {
    last_seq: u64,
    batch: Arc<Batch>,
}

impl Tail {
    fn new(bytes_in_all: Arc<AtomicUsize>) -> Self {
        Self {
            head: AtomicU64::new(0),
            recent: Mutex::default(),
            erasures: AtomicU64::new(0),
            watchers: Mutex::default(),
            reading: tokio::sync::Mutex::default(),
            bytes_in_all,
        }
    }

    /// The last durable seq.
    pub fn head(&self) -> u64 {
        self.head.load(Ordering::Acquire)
    }

    /// Where the stream stands when the daemon starts.
    pub fn start_at(&self, head: u64) {
        self.head.store(head, Ordering::Release);
    }

    /// Where the stream turns out to stand after a failure; what is in memory does not lead there.
    pub(super) fn restart_at(&self, head: u64) {
        let mut recent = self.recent.lock();
        self.drop_pages(&mut recent);
        self.bytes_in_all.fetch_sub(recent.bytes, Ordering::Relaxed);
        *recent = Recent::default();
        self.head.store(head, Ordering::Release);
        drop(recent);
        self.wake();
    }

    /// Has `notify` told of every new batch, until it is dropped.
    pub fn watch(&self, notify: &Arc<Notify>) {
        let mut watchers = self.watchers.lock();
        watchers.retain(|w| w.strong_count() > 0 && !std::ptr::eq(w.as_ptr(), Arc::as_ptr(notify)));
        watchers.push(Arc::downgrade(notify));
    }

    /// Adds what a commit made durable, in order, and wakes who watches.
    pub fn push(&self, batches: impl IntoIterator<Item = Arc<Batch>>) {
        let mut added = 0;
        {
            let mut recent = self.recent.lock();
            for batch in batches {
                self.head.store(batch.last_seq(), Ordering::Release);
                added += batch.weight();
                recent.bytes += batch.weight();
                self.bytes_in_all.fetch_add(batch.weight(), Ordering::Relaxed);
                recent.batches.push_back(Kept {
                    last_seq: batch.last_seq(),
                    batch,
                });
            }
            self.trim(&mut recent, added);
        }
        self.wake();
    }

    fn wake(&self) {
        for notify in self.watchers.lock().iter().filter_map(Weak::upgrade) {
            notify.notify_one();
        }
    }

    /// The batch that holds `after + 1`, if it is in memory.
    pub fn next(&self, after: u64) -> Option<Arc<Batch>> {
        let recent = self.recent.lock();
        if recent.batches.front()?.batch.first_seq() > after + 1 {
            return None;
        }
        let place = recent.batches.partition_point(|kept| kept.last_seq <= after);
        recent.batches.get(place).map(|kept| Arc::clone(&kept.batch))
    }

    /// Batches of the log from the one that holds `after + 1` on: as `read` gives them, or somebody else's reading did
    /// lately. One reading at a time. `erasures`: [`Tail::erasures`] before this call. Cancellation-safe where `read` is.
    pub async fn behind<E>(
        &self,
        after: u64,
        erasures: u64,
        read: impl Future<Output = Result<VecDeque<Arc<Batch>>, E>>,
    ) -> Result<VecDeque<Arc<Batch>>, E> {
        let _alone = self.reading.lock().await;
        if let Some(there) = self.recent.lock().pages.get(after) {
            return Ok(there);
        }
        let batches = read.await?;
        self.keep(batches.clone(), erasures);
        Ok(batches)
    }

    fn keep(&self, batches: VecDeque<Arc<Batch>>, erasures: u64) {
        let mut recent = self.recent.lock();
        if self.erasures() != erasures || self.is_crowded() {
            return;
        }
        let before = recent.pages.bytes();
        recent.pages.add(batches);
        self.bytes_in_all
            .fetch_add(recent.pages.bytes(), Ordering::Relaxed);
        self.bytes_in_all.fetch_sub(before, Ordering::Relaxed);
    }

    fn drop_pages(&self, recent: &mut Recent) {
        let pages = std::mem::take(&mut recent.pages);
        self.bytes_in_all.fetch_sub(pages.bytes(), Ordering::Relaxed);
    }

    fn is_crowded(&self) -> bool {
        self.bytes_in_all.load(Ordering::Relaxed) > TAIL_BYTES_IN_ALL
    }

    /// Payloads up to this seq were erased from the log: whoever needs one of these batches reads it there.
    pub fn erased(&self, upto: u64) {
        let mut recent = self.recent.lock();
        while recent
            .batches
            .front()
            .is_some_and(|kept| kept.batch.first_seq() <= upto)
        {
            self.drop_oldest(&mut recent);
        }
        self.drop_pages(&mut recent);
        self.erasures.fetch_add(1, Ordering::Release);
    }

    /// How often payloads were erased: what was read of the log before it last changed is to be read again.
    pub fn erasures(&self) -> u64 {
        self.erasures.load(Ordering::Acquire)
    }

    fn drop_oldest(&self, recent: &mut Recent) {
        if let Some(oldest) = recent.batches.pop_front() {
            let weight = oldest.batch.weight();
            recent.bytes -= weight;
            self.bytes_in_all.fetch_sub(weight, Ordering::Relaxed);
        }
    }

    fn trim(&self, recent: &mut Recent, newest: usize) {
        let bound = bound(self.bytes_in_all.load(Ordering::Relaxed)).unwrap_or_else(|| {
            self.drop_pages(recent);
            newest.min(TAIL_BYTES_PER_SOURCE)
        });
        while recent.bytes > bound && !recent.batches.is_empty() {
            self.drop_oldest(recent);
        }
    }
}

/// Bytes that a source may keep where all keep `in_all`; `None`: there is too much of all.
fn bound(in_all: usize) -> Option<usize> {
    let free = TAIL_BYTES_IN_ALL.checked_sub(in_all)?;
    Some(TAIL_BYTES_PER_SOURCE.max(free / FREE_PARTS))
}

#[cfg(test)]
mod tests;
