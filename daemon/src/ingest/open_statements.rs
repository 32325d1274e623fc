//! Statements of one source that are committed and not known to be in force, whichever of its sessions sent them:
//! its agent is told when they are, and learns of what it missed with its next welcome.
//!
//! Invariants: a statement stands here before its source's head says that it is there, and until nothing of what it
//! ended can leave any more; who was the live session then is told. At most [`MAX_OPEN_STATEMENTS`] stand here. When
//! the daemon starts none does: what an earlier process had in flight went with it.

use std::{
    collections::BTreeSet,
    sync::{Arc, Weak},
};

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::session::{Notice, Session};

/// Statements of one source that are not known to be in force: on their way into the log, or waited for.
const MAX_OPEN_STATEMENTS: usize = 64;

/// The open statements of one source.
#[derive(Debug)]
pub(super) struct OpenStatements {
    places: Arc<Semaphore>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    open: BTreeSet<u64>,
    /// From here on it is not known whether they are there: their commit was neither kept nor refused. If they are,
    /// nobody waits for what they ended; a restart settles it.
    unsure_from: Option<u64>,
    live: Weak<Session>,
}

impl Default for OpenStatements {
    fn default() -> Self {
        Self {
            places: Arc::new(Semaphore::new(MAX_OPEN_STATEMENTS)),
            state: Mutex::default(),
        }
    }
}

impl OpenStatements {
    /// A place for one more; waits while there is none. Cancellation-safe.
    pub(super) async fn place(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.places).acquire_owned().await.ok()
    }

    /// From now on this session is told.
    pub(super) fn tell_to(&self, session: &Arc<Session>) {
        self.state.lock().live = Arc::downgrade(session);
    }

    /// It is committed. To be called before the head says so.
    pub(super) fn committed(&self, seq: u64) {
        let mut state = self.state.lock();
        state.open.insert(seq);
        // What is appended here now was not there before, nor anything behind it.
        state.unsure_from = state.unsure_from.filter(|from| *from < seq);
    }

    /// It is not known whether it is committed.
    pub(super) fn is_unsure(&self, seq: u64) {
        let mut state = self.state.lock();
        state.unsure_from = Some(state.unsure_from.map_or(seq, |from| from.min(seq)));
    }

    /// It is in force, or that is pending: the live session is told. Waits while that does not take it.
    pub(super) async fn tell(&self, seq: u64, pending: bool) {
        let live = {
            let mut state = self.state.lock();
            if !pending {
                state.open.remove(&seq);
            }
            state.live.upgrade()
        };
        // Who is not there, or ends meanwhile, learns of it with the next welcome.
        if let Some(session) = live {
            session.tell(Notice::InForce { seq, pending }).await;
        }
    }

    /// Up to where all that stands in the log up to `head` is in force.
    pub(super) fn in_force_through(&self, head: u64) -> u64 {
        let state = self.state.lock();
        let first = state.open.first().copied().into_iter().chain(state.unsure_from);
        first.map(|seq| seq.saturating_sub(1)).fold(head, u64::min)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_before_the_first_that_is_open_is_in_force() {
        let statements = OpenStatements::default();
        assert_eq!(statements.in_force_through(9), 9);
        statements.committed(4);
        statements.committed(7);
        assert_eq!(statements.in_force_through(9), 3);
        statements.state.lock().open.remove(&4);
        assert_eq!(statements.in_force_through(9), 6);
        statements.is_unsure(6);
        statements.is_unsure(8);
        assert_eq!(statements.in_force_through(9), 5);
        statements.committed(6);
        statements.state.lock().open.clear();
        assert_eq!(statements.in_force_through(9), 9, "they were not there");
        statements.is_unsure(8);
        statements.committed(9);
        assert_eq!(statements.in_force_through(9), 7, "it is there");
    }
}
