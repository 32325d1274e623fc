//! What was last read of a source's log, so that it is read once for all feeds that are about as far behind.
//!
//! Invariants: the newest pages together hold at most [`PAGES_BYTES_PER_SOURCE`]; the batches of a page are
//! consecutive.

use std::{collections::VecDeque, sync::Arc};

use handfast_proto::amendment::Batch;

/// Bytes of the pages kept of one source: recipients further apart than this read each for itself.
pub(super) const PAGES_BYTES_PER_SOURCE: usize = 4 * 1024 * 1024;

/// Consecutive batches of the log, as they were read at once.
#[derive(Debug)]
struct Page {
    batches: VecDeque<Arc<Batch>>,
    bytes: usize,
}

impl Page {
    fn holds(&self, seq: u64) -> bool {
        let (Some(first), Some(last)) = (self.batches.front(), self.batches.back()) else {
            return false;
        };
        first.first_seq() <= seq && seq <= last.last_seq()
    }
}

/// The newest pages, oldest first.
#[derive(Debug, Default)]
pub(super) struct Pages {
    pages: VecDeque<Page>,
    bytes: usize,
}

impl Pages {
    /// Bytes of all pages.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// From the batch that holds `after + 1` on, as far as its page goes.
    pub(super) fn get(&self, after: u64) -> Option<VecDeque<Arc<Batch>>> {
        let page = self.pages.iter().rev().find(|page| page.holds(after + 1))?;
        let place = page.batches.partition_point(|batch| batch.last_seq() <= after);
        Some(page.batches.range(place..).cloned().collect())
    }

    /// Adds a page, and lets go of the oldest that are too many; one that is too large by itself is not kept.
    pub(super) fn add(&mut self, batches: VecDeque<Arc<Batch>>) {
        let bytes = batches.iter().map(|batch| batch.weight()).sum();
        self.bytes += bytes;
        self.pages.push_back(Page { batches, bytes });
        while self.bytes > PAGES_BYTES_PER_SOURCE
            && let Some(oldest) = self.pages.pop_front()
        {
            self.bytes -= oldest.bytes;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ingest::session::tests::batch;

    fn page(first: u64, payload: usize) -> VecDeque<Arc<Batch>> {
        [batch(first, 2, payload), batch(first + 2, 2, payload)].into()
    }

    #[test]
    fn a_page_gives_what_follows_in_it() {
        let mut pages = Pages::default();
        assert!(pages.get(0).is_none());
        pages.add(page(5, 100));
        let firsts = |after| -> Option<Vec<u64>> {
            let batches = pages.get(after)?;
            Some(batches.iter().map(|batch| batch.first_seq()).collect())
        };
        assert_eq!(firsts(3), None, "it begins later");
        assert_eq!(firsts(4), Some(vec![5, 7]));
        assert_eq!(firsts(5), Some(vec![5, 7]));
        assert_eq!(firsts(6), Some(vec![7]));
        assert_eq!(firsts(8), None, "it is over");
    }

    #[test]
    fn the_oldest_pages_go_where_they_are_too_many() {
        let mut pages = Pages::default();
        for n in 0..20 {
            pages.add(page(1 + 4 * n, 60_000));
            let held: usize = pages.pages.iter().map(|page| page.bytes).sum();
            assert_eq!(pages.bytes(), held);
            assert!(held <= PAGES_BYTES_PER_SOURCE);
            assert!(pages.get(4 * n).is_some(), "the newest is there");
        }
        assert!(pages.get(0).is_none());
        let too_large = (0..50).map(|n| batch(1000 + n, 1, 100_000)).collect();
        pages.add(too_large);
        assert!(pages.get(999).is_none(), "it is too large by itself");
        assert_eq!(pages.bytes(), 0);
    }
}
