//! What the links of a crowd have come to, as one process tells the other.

use std::sync::atomic::{AtomicU64, Ordering};

use serde::{Deserialize, Serialize};

/// Of one process, or of all together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(in super::super) struct Counts {
    /// Publish streams that are welcomed and stand.
    pub(in super::super) publishing: u64,
    /// Subscribe streams that are welcomed and stand.
    pub(in super::super) subscribed: u64,
    /// Tries to connect.
    pub(in super::super) attempts: u64,
    /// Tries on which no connection was made: nobody listens, or it was closed before it stood.
    pub(in super::super) refused: u64,
    /// Connections that were made and whose stream was not welcomed: the daemon said that it could not.
    pub(in super::super) turned_away: u64,
    /// Tries that waited for their whole time.
    pub(in super::super) timeouts: u64,
}

impl Counts {
    /// Streams that stand.
    pub(in super::super) fn up(&self) -> u64 {
        self.publishing + self.subscribed
    }

    /// Together with another process's.
    #[must_use]
    pub(in super::super) fn and(self, other: Self) -> Self {
        Self {
            publishing: self.publishing + other.publishing,
            subscribed: self.subscribed + other.subscribed,
            attempts: self.attempts + other.attempts,
            refused: self.refused + other.refused,
            turned_away: self.turned_away + other.turned_away,
            timeouts: self.timeouts + other.timeouts,
        }
    }
}

/// The same while it is counted.
#[derive(Debug, Default)]
pub(super) struct Counting {
    pub(super) publishing: AtomicU64,
    pub(super) subscribed: AtomicU64,
    pub(super) attempts: AtomicU64,
    pub(super) refused: AtomicU64,
    pub(super) turned_away: AtomicU64,
    pub(super) timeouts: AtomicU64,
}

impl Counting {
    pub(super) fn now(&self) -> Counts {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Counts {
            publishing: read(&self.publishing),
            subscribed: read(&self.subscribed),
            attempts: read(&self.attempts),
            refused: read(&self.refused),
            turned_away: read(&self.turned_away),
            timeouts: read(&self.timeouts),
        }
    }
}

/// Counts while it is held.
pub(super) struct Standing<'a>(&'a AtomicU64);

impl<'a> Standing<'a> {
    pub(super) fn new(count: &'a AtomicU64) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Standing<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_is_counted_while_it_stands() {
        let counting = Counting::default();
        let one = Standing::new(&counting.publishing);
        let two = Standing::new(&counting.subscribed);
        assert_eq!(counting.now().up(), 2);
        drop(one);
        assert_eq!((counting.now().publishing, counting.now().subscribed), (0, 1));
        drop(two);
        assert_eq!(counting.now().and(counting.now()), Counts::default());
    }
}
