//! What a tail keeps, and what it forgets.

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
