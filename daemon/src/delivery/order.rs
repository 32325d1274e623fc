//! One change at a time: a change of what the gate reads commits, and swaps the book, before the next begins.

use std::sync::Arc;

use tokio::sync::{Mutex, MutexGuard, OwnedMutexGuard};

use super::fence::Fence;

/// Puts changes, and openings of subscriptions, one after the other.
#[derive(Debug)]
pub(super) struct Order {
    one: Arc<Mutex<()>>,
    fence: Arc<Fence>,
}

/// A change's turn. It ends when this is dropped, which must be after the book was swapped.
#[derive(Debug)]
pub(super) struct Turn {
    fence: Arc<Fence>,
    _one: OwnedMutexGuard<()>,
}

impl Order {
    pub(super) fn new(fence: Arc<Fence>) -> Self {
        Self {
            one: Arc::default(),
            fence,
        }
    }

    /// Waits for a change's turn. Cancellation-safe.
    pub(super) async fn turn(&self) -> Turn {
        let one = Arc::clone(&self.one).lock_owned().await;
        self.fence.change_begins();
        Turn {
            fence: Arc::clone(&self.fence),
            _one: one,
        }
    }

    /// Waits until no change is under way, and holds up the next. Cancellation-safe.
    pub(super) async fn still(&self) -> MutexGuard<'_, ()> {
        self.one.lock().await
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.fence.change_is_over();
    }
}
