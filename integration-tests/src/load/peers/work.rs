//! What the clients of one round share: how far each source and each recipient is.
//!
//! Invariants: a source is never further ahead of the slowest recipient than its window, so that what is
//! measured is what can be kept up, not what piles up; it never has more on its way than [`MAX_UNACKED`], whoever the
//! peer is; what a recipient gets of a source is counted only where it
//! follows on what it had and is what was sent, byte by byte, so nothing lost, doubled, out of order or altered can
//! be counted.

use std::{
    future::pending,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use anyhow::{Context as _, bail};
use tokio::sync::Notify;

use super::{
    options::{MAX_SIDE, Shape},
    payloads::{MAX_STRETCH, Payloads},
    schedule::Schedule,
};

/// Amendments that all sources together may be ahead of the slowest recipient: 32 MiB.
pub(super) const WINDOW_AMENDMENTS: u64 = 32_768;
/// What a source may be ahead at least, however many they are: its part where they are as many as may be.
const LEAST_WINDOW: u64 = WINDOW_AMENDMENTS / MAX_SIDE as u64;
const _: () = assert!(
    LEAST_WINDOW >= MAX_STRETCH,
    "a whole batch is within every window"
);
/// Amendments that a source has handed over and that are not confirmed as durable, at most: 4 MiB. The same for every
/// peer, because what is on its way is what a server has to commit together.
pub(super) const MAX_UNACKED: u64 = 4_096;
/// How far apart the commits of a recipient's cursor begin at least, as far as handfastd lets receipts wait for one
/// another. The newest cursor wins.
pub(super) const CURSOR_EVERY: Duration = Duration::from_millis(50);

/// How far everyone is.
#[derive(Debug)]
pub(super) struct Work {
    pub(super) shape: Shape,
    pub(super) payloads: Arc<Payloads>,
    /// When amendments are due; none: as fast as they are taken.
    schedule: Option<Schedule>,
    window: u64,
    sources: Vec<Source>,
    ready: AtomicUsize,
    stopped: AtomicBool,
}

#[derive(Debug)]
struct Source {
    /// It is connected.
    there: AtomicBool,
    sent: AtomicU64,
    acked: AtomicU64,
    /// The last seq that each recipient has.
    got: Vec<AtomicU64>,
    moved: Notify,
}

impl Source {
    fn through(&self) -> u64 {
        self.got
            .iter()
            .map(|g| g.load(Ordering::Acquire))
            .min()
            .unwrap_or(0)
    }
}

impl Work {
    pub(super) fn new(shape: Shape, payloads: Arc<Payloads>, schedule: Option<Schedule>) -> Arc<Self> {
        let source = || Source {
            there: AtomicBool::new(false),
            sent: AtomicU64::new(0),
            acked: AtomicU64::new(0),
            got: (0..shape.recipients).map(|_| AtomicU64::new(0)).collect(),
            moved: Notify::new(),
        };
        Arc::new(Self {
            shape,
            payloads,
            schedule,
            window: (WINDOW_AMENDMENTS / shape.sources as u64).max(LEAST_WINDOW),
            sources: (0..shape.sources).map(|_| source()).collect(),
            ready: AtomicUsize::new(0),
            stopped: AtomicBool::new(false),
        })
    }

    pub(super) fn schedule(&self) -> Option<&Schedule> {
        self.schedule.as_ref()
    }

    /// A recipient is there: what is sent from now on comes to it.
    pub(super) fn ready(&self) {
        self.ready.fetch_add(1, Ordering::AcqRel);
    }

    /// Whether all of them are.
    pub(super) fn all_ready(&self) -> bool {
        self.ready.load(Ordering::Acquire) >= self.shape.recipients
    }

    /// Whether every source has connected, and asked for its turn.
    pub(super) fn all_there(&self) -> bool {
        self.sources.iter().all(|of| of.there.load(Ordering::Acquire))
    }

    /// Waits until it is a source's turn to send; how many: a whole `batch`, or where amendments are due at times,
    /// at most that, and no more than leaves [`MAX_UNACKED`] unconfirmed. For ever once the work is stopped. May be
    /// dropped and asked again.
    pub(super) async fn turn(&self, source: usize, batch: u64) -> u64 {
        let Some(of) = self.sources.get(source) else {
            return pending().await;
        };
        of.there.store(true, Ordering::Release);
        loop {
            let moved = of.moved.notified();
            if self.stopped.load(Ordering::Acquire) {
                return pending().await;
            }
            let sent = of.sent.load(Ordering::Relaxed);
            let to_confirm = of.acked.load(Ordering::Acquire) + MAX_UNACKED;
            let room = (of.through() + self.window).min(to_confirm).saturating_sub(sent);
            let (least, most) = match &self.schedule {
                None => (batch, batch),
                Some(schedule) => (1, schedule.due(source).saturating_sub(sent).min(room).min(batch)),
            };
            if room >= least && most >= least {
                return most;
            }
            moved.await;
        }
    }

    /// Wakes sources that have something due.
    pub(super) fn wake_due(&self) {
        let Some(schedule) = &self.schedule else { return };
        for (place, of) in self.sources.iter().enumerate() {
            if schedule.due(place) > of.sent.load(Ordering::Relaxed) {
                of.moved.notify_one();
            }
        }
    }

    /// A source has handed over so many more.
    pub(super) fn sent(&self, source: usize, more: u64) {
        if let Some(of) = self.sources.get(source) {
            of.sent.fetch_add(more, Ordering::AcqRel);
        }
    }

    /// All of a source's amendments up to `seq` are durable.
    pub(super) fn acked(&self, source: usize, seq: u64) -> anyhow::Result<()> {
        let of = self.sources.get(source).context("a source")?;
        let sent = of.sent.load(Ordering::Acquire);
        if seq > sent {
            bail!("source {source} sent {sent} amendments and {seq} are acknowledged");
        }
        of.acked.fetch_max(seq, Ordering::AcqRel);
        of.moved.notify_one();
        Ok(())
    }

    /// A recipient got amendments of a source, with their seqs.
    pub(super) fn got<'a>(
        &self,
        source: usize,
        recipient: usize,
        amendments: impl IntoIterator<Item = (u64, &'a [u8])>,
    ) -> anyhow::Result<()> {
        let of = self
            .sources
            .get(source)
            .with_context(|| format!("an amendment of source {source}"))?;
        let had = of.got.get(recipient).context("a recipient")?;
        let before = had.load(Ordering::Acquire);
        let mut last = before;
        for (seq, payload) in amendments {
            if seq != last + 1 {
                bail!("recipient {recipient} has {last} of source {source} and got {seq} next");
            }
            if !self.payloads.is(source, seq, payload) {
                bail!("recipient {recipient} got {seq} of source {source} with other bytes than were sent");
            }
            last = seq;
        }
        if let Some(schedule) = &self.schedule {
            schedule.arrived(source, recipient, before + 1, last);
        }
        had.store(last, Ordering::Release);
        of.moved.notify_one();
        Ok(())
    }

    /// Amendments that every recipient has.
    pub(super) fn through(&self) -> u64 {
        self.sources.iter().map(Source::through).sum()
    }

    /// Amendments sent.
    pub(super) fn sent_in_all(&self) -> u64 {
        self.sources.iter().map(|s| s.sent.load(Ordering::Acquire)).sum()
    }

    /// Amendments that came, to each recipient, and were held against what was sent.
    pub(super) fn got_in_all(&self) -> u64 {
        let got = self.sources.iter().flat_map(|of| &of.got);
        got.map(|g| g.load(Ordering::Acquire)).sum()
    }

    /// A source of which nothing is durable though it had time for it in the warm-up.
    pub(super) fn unconfirmed(&self) -> Option<usize> {
        let had_time = |place: usize| self.schedule.as_ref().is_none_or(|s| s.begins_early(place));
        self.sources
            .iter()
            .enumerate()
            .position(|(place, of)| of.acked.load(Ordering::Acquire) == 0 && had_time(place))
    }

    /// No source sends any more.
    pub(super) fn stop(&self) {
        self.stopped.store(true, Ordering::Release);
    }

    /// Whether everything that is to be sent was, is durable and has come to everyone.
    pub(super) fn drained(&self) -> bool {
        self.sources.iter().enumerate().all(|(place, of)| {
            let sent = of.sent.load(Ordering::Acquire);
            let to_send = self.schedule.as_ref().map_or(sent, |s| s.of_source(place));
            sent == to_send && of.acked.load(Ordering::Acquire) == sent && of.through() == sent
        })
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;
    use crate::load::peers::payloads::PAYLOAD_BYTES;

    fn work(sources: usize, recipients: usize) -> Arc<Work> {
        Work::new(Shape { sources, recipients }, Payloads::new(), None)
    }

    fn get(work: &Work, source: usize, recipient: usize, first: u64, count: u64) -> anyhow::Result<()> {
        let body = work.payloads.stretch(source, first, count);
        work.got(source, recipient, (first..).zip(body.chunks_exact(PAYLOAD_BYTES)))
    }

    #[test]
    fn a_source_waits_for_the_slowest_recipient() {
        let work = work(1, 2);
        let turn = |batch| work.turn(0, batch).now_or_never();
        work.sent(0, WINDOW_AMENDMENTS - 64);
        work.acked(0, WINDOW_AMENDMENTS - 64).unwrap();
        assert_eq!(turn(64), Some(64));
        work.sent(0, 64);
        assert_eq!(turn(1), None);
        get(&work, 0, 0, 1, 64).unwrap();
        assert_eq!(turn(64), None);
        get(&work, 0, 1, 1, 64).unwrap();
        assert_eq!(turn(64), Some(64));
        assert_eq!((work.through(), work.got_in_all()), (64, 128));
        work.stop();
        assert_eq!(turn(1), None);
    }

    #[test]
    fn all_windows_together_are_the_one_that_is_stated() {
        let payloads = Payloads::new();
        for sources in 1..=MAX_SIDE {
            let shape = Shape {
                sources,
                recipients: 1,
            };
            let window = Work::new(shape, Arc::clone(&payloads), None).window;
            assert!(window * sources as u64 <= WINDOW_AMENDMENTS, "{sources} sources");
            assert!(window >= MAX_STRETCH, "{sources} sources");
        }
    }

    #[test]
    fn a_source_waits_until_enough_is_confirmed() {
        let work = work(1, 1);
        let turn = |batch| work.turn(0, batch).now_or_never();
        assert_eq!(turn(MAX_UNACKED), Some(MAX_UNACKED));
        work.sent(0, MAX_UNACKED - 10);
        assert_eq!((turn(10), turn(11)), (Some(10), None));
        work.acked(0, 1).unwrap();
        assert_eq!((turn(11), turn(12)), (Some(11), None));
    }

    #[test]
    fn a_source_of_which_nothing_is_durable_is_named() {
        let work = work(2, 1);
        assert_eq!(work.turn(1, 1).now_or_never(), Some(1));
        assert!(!work.all_there());
        assert_eq!(work.turn(0, 1).now_or_never(), Some(1));
        assert!(work.all_there());
        work.sent(0, 1);
        work.acked(0, 1).unwrap();
        assert_eq!(work.unconfirmed(), Some(1));
        work.sent(1, 1);
        work.acked(1, 1).unwrap();
        assert_eq!(work.unconfirmed(), None);
    }

    #[test]
    fn a_gap_a_double_and_other_bytes_are_refused() {
        let work = work(2, 1);
        get(&work, 0, 0, 1, 10).unwrap();
        assert!(get(&work, 0, 0, 12, 1).is_err());
        assert!(get(&work, 0, 0, 10, 1).is_err());
        assert!(get(&work, 2, 0, 1, 1).is_err());
        let others = work.payloads.stretch(1, 11, 1);
        assert!(work.got(0, 0, [(11, others.as_ref())]).is_err());
        get(&work, 0, 0, 11, 1).unwrap();
        assert_eq!(work.through(), 11);
    }

    #[test]
    fn all_is_there_when_it_is_durable_and_everyone_has_it() {
        let work = work(1, 2);
        work.sent(0, 3);
        assert!(work.acked(0, 4).is_err());
        for recipient in 0..2 {
            assert!(!work.drained());
            get(&work, 0, recipient, 1, 3).unwrap();
        }
        assert!(!work.drained());
        work.acked(0, 3).unwrap();
        assert!(work.drained());
    }

    #[test]
    fn at_times_no_more_is_sent_than_is_due_and_all_of_it_must_come() {
        let shape = Shape {
            sources: 1,
            recipients: 1,
        };
        let (warm_up, lasting) = (Duration::ZERO, Duration::from_secs(10));
        let schedule = Schedule::new(shape, 1, warm_up, lasting).unwrap();
        let work = Work::new(shape, Payloads::new(), Some(schedule));
        assert_eq!(work.turn(0, 64).now_or_never(), None);
        work.schedule().unwrap().begin();
        assert_eq!(work.turn(0, 64).now_or_never(), Some(1));
        work.sent(0, 1);
        get(&work, 0, 0, 1, 1).unwrap();
        work.acked(0, 1).unwrap();
        assert!(!work.drained(), "nine more are to come");
        work.sent(0, 9);
        get(&work, 0, 0, 2, 9).unwrap();
        work.acked(0, 10).unwrap();
        assert!(work.drained());
    }
}
