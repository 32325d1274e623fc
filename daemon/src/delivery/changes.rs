//! Tells whoever watches agreements that something about them may have changed: a half, a unit's state,
//! how far a withdrawal is, who may see them.
//!
//! Invariant: coalescing and bounded. A watcher that was slow sees one change, then reads what is.

use tokio::sync::watch;

/// Tells that agreements may have changed.
#[derive(Debug)]
pub struct Changes(watch::Sender<u64>);

impl Default for Changes {
    fn default() -> Self {
        Self(watch::Sender::new(0))
    }
}

impl Changes {
    /// Something changed, and is committed.
    pub fn notify(&self) {
        self.0.send_modify(|n| *n = n.wrapping_add(1));
    }

    /// Wakes at each change from now on.
    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.0.subscribe()
    }
}
