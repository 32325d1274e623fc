//! What the writer tells everyone else without asking the file: where the outbox stands, and the newest
//! batches, so that a link at the head need not read them back.

use std::{
    collections::VecDeque,
    sync::atomic::{AtomicU64, Ordering},
};

use handfast_proto::{chain::Chain, ids::StoreId};
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};

use super::{
    model::{Disk, Position},
    numbering::Outgoing,
};

/// Bytes of the newest batches kept in memory.
const RECENT_BYTES: usize = 8 * 1024 * 1024;

/// The row of table `outbox`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Standing {
    pub(super) store: StoreId,
    pub(super) acked_seq: u64,
    pub(super) acked_chain: Chain,
    pub(super) last_seq: u64,
    pub(super) last_chain: Chain,
    pub(super) resend_after: Option<i64>,
    pub(super) rejected: u64,
    pub(super) older: u64,
    pub(super) rebased: u64,
    /// While every statement is said again: how far.
    pub(super) restate_after: Option<i64>,
    pub(super) echoes: u64,
}

/// Batches in seq order without gaps, ending with the newest.
#[derive(Debug, Default)]
struct Recent {
    batches: VecDeque<Outgoing>,
    bytes: usize,
}

/// Shared by the writer and the handles.
#[derive(Debug)]
pub(super) struct Shared {
    inner: Mutex<(Standing, Recent)>,
    /// Rises with every commit.
    pub(super) news: watch::Sender<u64>,
    pub(super) disk: watch::Sender<Disk>,
    /// The last seq that the daemon acknowledged, not yet durable here.
    wanted: AtomicU64,
    pub(super) ack: Notify,
    /// Refused changes not yet entered in the file.
    pub(super) rejected: AtomicU64,
    /// Copies that came back, not yet entered in the file.
    pub(super) echoes: AtomicU64,
    /// What the daemon said of statements, not yet entered in the file: seq, and whether it is pending.
    confirmed: Mutex<Vec<(u64, bool)>>,
    /// Up to where the daemon said that every statement is in force, not yet entered in the file; 0: nothing.
    in_force: AtomicU64,
}

/// Answers about statements that wait to be entered; beyond that they are passed over until the daemon's next
/// welcome.
const MAX_CONFIRMED: usize = 65_536;

// === impl Shared ===

impl Shared {
    pub(super) fn new(standing: Standing) -> Self {
        Self {
            inner: Mutex::new((standing, Recent::default())),
            news: watch::Sender::new(0),
            disk: watch::Sender::new(Disk::Ok),
            wanted: AtomicU64::new(standing.acked_seq),
            ack: Notify::new(),
            rejected: AtomicU64::new(0),
            echoes: AtomicU64::new(0),
            confirmed: Mutex::new(Vec::new()),
            in_force: AtomicU64::new(0),
        }
    }

    pub(super) fn standing(&self) -> Standing {
        self.inner.lock().0
    }

    pub(super) fn position(&self) -> Position {
        let s = self.standing();
        Position {
            store: s.store,
            acked_seq: s.acked_seq,
            acked_chain: s.acked_chain,
            last_seq: s.last_seq,
        }
    }

    /// The highest seq known to be the daemon's.
    pub(super) fn wanted(&self) -> u64 {
        self.wanted.load(Ordering::Acquire)
    }

    /// The daemon has everything up to `seq`.
    pub(super) fn acknowledge(&self, seq: u64) {
        let before = self.wanted.fetch_max(seq, Ordering::AcqRel);
        if before < seq {
            self.inner.lock().1.drop_through(seq);
            self.ack.notify_one();
        }
    }

    /// The daemon says that a statement is in force, or pending.
    pub(super) fn confirm(&self, seq: u64, pending: bool) {
        let mut confirmed = self.confirmed.lock();
        if confirmed.len() < MAX_CONFIRMED {
            confirmed.push((seq, pending));
        }
        drop(confirmed);
        self.ack.notify_one();
    }

    /// The daemon says that every statement up to `seq` is in force.
    pub(super) fn confirm_through(&self, seq: u64) {
        self.in_force.fetch_max(seq, Ordering::AcqRel);
        self.ack.notify_one();
    }

    pub(super) fn is_confirmed_waiting(&self) -> bool {
        self.in_force.load(Ordering::Acquire) > 0 || !self.confirmed.lock().is_empty()
    }

    pub(super) fn take_in_force(&self) -> u64 {
        self.in_force.swap(0, Ordering::AcqRel)
    }

    pub(super) fn take_confirmed(&self) -> Vec<(u64, bool)> {
        std::mem::take(&mut *self.confirmed.lock())
    }

    /// They could not be entered.
    pub(super) fn put_back_confirmed(&self, mut taken: Vec<(u64, bool)>) {
        let mut confirmed = self.confirmed.lock();
        taken.append(&mut confirmed);
        *confirmed = taken;
    }

    /// The daemon says where it stands: what it acknowledged before beyond that is void.
    pub(super) fn reset_wanted(&self, seq: u64) {
        self.wanted.store(seq, Ordering::Release);
    }

    /// After a commit. `rows` follow the newest batch known.
    pub(super) fn committed(&self, standing: Standing, rows: Vec<Outgoing>) {
        {
            let mut inner = self.inner.lock();
            inner.0 = standing;
            let wanted = self.wanted();
            inner.1.append(rows, standing.last_seq, wanted);
        }
        self.news.send_modify(|n| *n = n.wrapping_add(1));
    }

    /// After a rebase: what is in memory carries seqs that are void.
    pub(super) fn rebased(&self, standing: Standing) {
        {
            let mut inner = self.inner.lock();
            inner.0 = standing;
            inner.1 = Recent::default();
            self.reset_wanted(standing.acked_seq);
        }
        // What was said of other seqs.
        self.confirmed.lock().clear();
        self.take_in_force();
        self.news.send_modify(|n| *n = n.wrapping_add(1));
    }

    /// The batches after `seq`, up to about `max_bytes`, at least one. `None`: the first of them is not in
    /// memory.
    pub(super) fn recent_after(&self, seq: u64, max_bytes: usize) -> Option<Vec<Outgoing>> {
        let inner = self.inner.lock();
        let batches = &inner.1.batches;
        if seq >= inner.0.last_seq {
            return Some(Vec::new());
        }
        let at = batches.partition_point(|b| b.last_seq <= seq);
        batches.get(at).filter(|b| b.first_seq == seq + 1)?;
        let mut bytes = 0;
        let fits = |b: &&Outgoing| {
            let first = bytes == 0;
            bytes += b.weight();
            first || bytes <= max_bytes
        };
        Some(batches.iter().skip(at).take_while(fits).cloned().collect())
    }

    pub(super) fn disk_is(&self, now: Disk) {
        self.disk.send_if_modified(|disk| {
            let changed = *disk != now;
            if changed {
                *disk = now;
            }
            changed
        });
    }
}

// === impl Recent ===

impl Recent {
    fn append(&mut self, rows: Vec<Outgoing>, last_seq: u64, acked: u64) {
        for row in rows {
            let follows = self
                .batches
                .back()
                .is_none_or(|b| b.last_seq + 1 == row.first_seq);
            if !follows {
                *self = Self::default();
            }
            self.bytes += row.weight();
            self.batches.push_back(row);
        }
        // A commit that was too large to keep leaves a gap.
        if self.batches.back().is_some_and(|b| b.last_seq != last_seq) {
            *self = Self::default();
        }
        self.drop_through(acked);
        while self.bytes > RECENT_BYTES {
            self.pop();
        }
    }

    fn drop_through(&mut self, seq: u64) {
        while self.batches.front().is_some_and(|b| b.last_seq <= seq) {
            self.pop();
        }
    }

    fn pop(&mut self) {
        match self.batches.pop_front() {
            Some(gone) => self.bytes = self.bytes.saturating_sub(gone.weight()),
            None => self.bytes = 0,
        }
    }
}
