//! What recipients may have of a grant although no live subscription knows of it: what was handed over on
//! connections that are gone, and whatever an earlier process may have handed over.
//!
//! Invariants: a doubt is never too small; it is bounded by one entry a pair; it says nothing of a grant
//! other than the pair's newest that something was handed over under.

use std::{collections::HashMap, sync::Arc};

use handfast_proto::ids::OdsCode;
use parking_lot::Mutex;

use super::ledger::Mark;
use crate::consent::{Book, GrantId, Pair};

/// What is known of connections that are gone.
#[derive(Debug)]
pub(super) struct Doubts {
    book_at_start: Arc<Book>,
    heads_at_start: HashMap<OdsCode, u64>,
    gone: Mutex<HashMap<Pair, Mark>>,
}

impl Doubts {
    pub(super) fn new(book_at_start: Arc<Book>, heads_at_start: Vec<(OdsCode, u64)>) -> Self {
        Self {
            book_at_start,
            heads_at_start: heads_at_start.into_iter().collect(),
            gone: Mutex::default(),
        }
    }

    /// A subscription is gone; what its ledger marked stays known.
    pub(super) fn gone(&self, marks: impl IntoIterator<Item = (Pair, Mark)>) {
        let mut gone = self.gone.lock();
        for (pair, mark) in marks {
            gone.entry(pair)
                .and_modify(|known| known.join(mark))
                .or_insert(mark);
        }
    }

    /// What is known of a grant from connections that are gone and from before the start.
    pub(super) fn of(&self, pair: Pair, grant: GrantId) -> Mark {
        let known = self.gone.lock().get(&pair).copied();
        let mut mark = known.filter(|m| m.grant == grant).unwrap_or(Mark::new(grant));
        if self.book_at_start.terms(pair).grant == Some(grant) {
            mark.handed = mark.handed.max(self.head_at_start(pair.source));
        }
        mark
    }

    /// The last seq that an earlier process may have handed over of a source.
    pub(super) fn head_at_start(&self, source: OdsCode) -> u64 {
        self.heads_at_start.get(&source).copied().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair() -> Pair {
        Pair {
            source: "Z00101".parse().unwrap(),
            recipient: "Z00202".parse().unwrap(),
        }
    }

    fn mark(grant: u64, received: u64, handed: u64) -> Mark {
        Mark {
            grant: GrantId(grant),
            received,
            handed,
        }
    }

    #[test]
    fn what_was_handed_over_on_a_connection_that_is_gone_stays_in_doubt() {
        let doubts = Doubts::new(Arc::new(Book::default()), Vec::new());
        doubts.gone([(pair(), mark(2, 3, 9))]);
        doubts.gone([(pair(), mark(2, 7, 7))]);
        assert_eq!(doubts.of(pair(), GrantId(2)), mark(2, 7, 9));
        assert_eq!(doubts.of(pair(), GrantId(3)), mark(3, 0, 0));
        doubts.gone([(pair(), mark(3, 10, 12))]);
        assert_eq!(doubts.of(pair(), GrantId(3)), mark(3, 10, 12));
    }
}
