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
mod tests {
    use super::*;
    use crate::ingest::session::tests::batch;

    #[test]
    fn a_tail_gives_the_batch_that_holds_the_next_seq_and_forgets_the_oldest() {
        let tails = Tails::default();
        let tail = tails.of("Z00101".parse().unwrap());
        tail.push([batch(1, 3, 100), batch(4, 2, 100)]);
        assert_eq!(tail.head(), 5);
        assert_eq!(tail.next(0).unwrap().first_seq(), 1);
        assert_eq!(tail.next(2).unwrap().first_seq(), 1);
        assert_eq!(tail.next(3).unwrap().first_seq(), 4);
        assert!(tail.next(5).is_none());
        for i in 0..600 {
            tail.push([batch(6 + i, 1, 100_000)]);
        }
        assert!(tail.next(0).is_none(), "the oldest are in the log only");
        assert_eq!(tail.next(604).unwrap().first_seq(), 605);
        assert!(held(&tail) <= (TAIL_BYTES_IN_ALL - held(&tail)) / FREE_PARTS);
        assert_eq!(held(&tail), tail.recent.lock().bytes);
    }

    fn held(tail: &Tail) -> usize {
        tail.recent
            .lock()
            .batches
            .iter()
            .map(|kept| kept.batch.weight())
            .sum()
    }

    /// What each of so many sources keeps once all of them record much.
    fn kept_of_each(sources: usize) -> usize {
        let mut kept = vec![0; sources];
        for _ in 0..100 {
            for source in 0..sources {
                let in_all: usize = kept.iter().sum();
                kept[source] = bound(in_all).unwrap_or(1000);
            }
        }
        kept.iter().sum::<usize>() / sources
    }

    #[test]
    fn the_more_sources_there_are_the_less_is_kept_of_each_and_never_too_much_of_all() {
        assert!(kept_of_each(1) > 6 * TAIL_BYTES_PER_SOURCE);
        assert!(kept_of_each(4) > 3 * TAIL_BYTES_PER_SOURCE);
        assert!(kept_of_each(16) > TAIL_BYTES_PER_SOURCE);
        for sources in [1, 4, 16, 30, 32, 33, 100] {
            let all = sources * kept_of_each(sources);
            assert!(all <= TAIL_BYTES_IN_ALL + TAIL_BYTES_PER_SOURCE, "{sources}");
        }
        assert_eq!(bound(TAIL_BYTES_IN_ALL), Some(TAIL_BYTES_PER_SOURCE));
        assert_eq!(bound(TAIL_BYTES_IN_ALL + 1), None);
    }

    #[test]
    fn what_was_erased_from_the_log_is_not_kept() {
        let tail = Tails::default().of("Z00101".parse().unwrap());
        tail.push([batch(1, 3, 100), batch(4, 2, 100), batch(6, 2, 100)]);
        tail.erased(4);
        assert!(tail.next(0).is_none() && tail.next(4).is_none());
        assert_eq!(tail.next(5).unwrap().first_seq(), 6);
        assert_eq!((tail.erasures(), tail.head()), (1, 7));
        let held = tail.next(5).unwrap().weight();
        assert_eq!(tail.recent.lock().bytes, held);
        assert_eq!(tail.bytes_in_all.load(Ordering::Relaxed), held);
        tail.push([batch(8, 1, 100)]);
        assert_eq!(tail.next(7).unwrap().first_seq(), 8);
    }

    #[test]
    fn watchers_are_woken_and_dropped_ones_forgotten() {
        let tail = Tails::default().of("Z00101".parse().unwrap());
        let notify = Arc::new(Notify::new());
        tail.watch(&notify);
        tail.watch(&notify);
        assert_eq!(tail.watchers.lock().len(), 1);
        tail.push([batch(1, 1, 10)]);
        let woken = futures::FutureExt::now_or_never(notify.notified());
        assert!(woken.is_some());
        drop(notify);
        tail.watch(&Arc::new(Notify::new()));
        assert_eq!(tail.watchers.lock().len(), 1);
    }

    fn page(first: u64) -> VecDeque<Arc<Batch>> {
        [batch(first, 2, 100), batch(first + 2, 2, 100)].into()
    }

    async fn read(tail: &Tail, after: u64, page: VecDeque<Arc<Batch>>) -> u64 {
        let reading = async { Ok::<_, ()>(page) };
        let read = tail.behind(after, tail.erasures(), reading).await.unwrap();
        read[0].first_seq()
    }

    #[tokio::test]
    async fn what_one_feed_has_read_is_not_read_again_for_others() {
        let tails = Tails::default();
        let tail = tails.of("Z00101".parse().unwrap());
        assert_eq!(read(&tail, 0, page(1)).await, 1);
        let never = async { Err::<VecDeque<_>, _>("it is read again") };
        let there = tail.behind(2, 0, never).await.unwrap();
        assert_eq!(there.len(), 1);
        assert_eq!(there[0].first_seq(), 3);
        assert_eq!(read(&tail, 4, page(5)).await, 5);
        assert_eq!(
            tail.bytes_in_all.load(Ordering::Relaxed),
            tail.recent.lock().pages.bytes()
        );
        tail.restart_at(0);
        assert_eq!(tail.bytes_in_all.load(Ordering::Relaxed), 0);
    }

    /// Fails where what was read before an erasure is given to others after it.
    #[tokio::test]
    async fn what_was_read_before_an_erasure_is_read_again() {
        let tails = Tails::default();
        let tail = tails.of("Z00101".parse().unwrap());
        read(&tail, 0, page(1)).await;
        tail.erased(1);
        let again = async { Err::<VecDeque<_>, _>("it is read again") };
        assert!(tail.behind(0, tail.erasures(), again).await.is_err());
        let meanwhile = async {
            tail.erased(1);
            Ok::<_, ()>(page(1))
        };
        tail.behind(0, tail.erasures(), meanwhile).await.unwrap();
        assert!(
            tail.recent.lock().pages.get(0).is_none(),
            "it was on its way when it was erased"
        );
        assert_eq!(tail.bytes_in_all.load(Ordering::Relaxed), 0);
    }

    #[tokio::test]
    async fn nothing_that_was_read_is_kept_where_there_is_much_of_all_sources() {
        let tails = Tails::default();
        let (one, other) = (
            tails.of("Z00101".parse().unwrap()),
            tails.of("Z00202".parse().unwrap()),
        );
        read(&one, 0, page(1)).await;
        read(&other, 0, page(1)).await;
        one.bytes_in_all.fetch_add(TAIL_BYTES_IN_ALL, Ordering::Relaxed);
        read(&other, 4, page(5)).await;
        assert!(other.recent.lock().pages.get(4).is_none());
        one.push([batch(1, 1, 100)]);
        assert!(one.recent.lock().pages.get(0).is_none());
        assert_eq!(one.recent.lock().pages.bytes(), 0);
    }
}
