//! One recipient's subscription: its connection, its ledger, and how it is told of changes.

use std::{
    collections::HashSet,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use handfast_proto::ids::{OdsCode, StoreId};
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::{candidate::Take, connection::Connection, ledger::Ledger};

/// A subscription that was opened and whose connection may still be there.
#[derive(Debug)]
pub(super) struct Subscriber {
    pub(super) recipient: OdsCode,
    pub(super) store: StoreId,
    pub(super) ledger: Ledger,
    pub(super) connection: Arc<dyn Connection>,
    /// Woken for new batches and for changes.
    pub(super) wake: Arc<Notify>,
    /// Set where pairs or jobs have changed in the store.
    pub(super) stale: AtomicBool,
    /// Set while jobs were read that are ahead of the book's swap: they are read again when it has come.
    pub(super) waits_for_swap: AtomicBool,
    /// Takes of which the feed had to drop something, until the pump has let go of them.
    pub(super) dropped: Mutex<HashSet<Take>>,
    /// The subscription is over; its connection is about to be cut.
    pub(super) over: CancellationToken,
}

impl Subscriber {
    /// Has the pump read pairs and jobs again.
    pub(super) fn refresh(&self) {
        self.stale.store(true, Ordering::Release);
        self.wake.notify_one();
    }

    /// Whether pairs and jobs are to be read again; answers so once.
    pub(super) fn take_stale(&self) -> bool {
        self.stale.swap(false, Ordering::AcqRel)
    }
}
