//! What came of a patient whose no was in force, under a grant that a call was ending at that moment. What that call
//! leaves in doubt it says when it returns: until then it is not known whether this may have come.

use super::consents::{Consents, Pair};

/// Amendments that are kept for later; one beyond that is judged at once.
const MAX_DOUBTFUL: usize = 4_096;

/// One amendment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Came {
    pub(super) pair: Pair,
    pub(super) grant: u64,
    pub(super) connection: u32,
    pub(super) seq: u64,
}

/// Amendments whose judgement waits.
#[derive(Debug, Default)]
pub(super) struct Doubtful(Vec<Came>);

impl Doubtful {
    /// Whether an amendment is a leak, as far as that can be said now.
    pub(super) fn is_leak(&mut self, consents: &Consents, came: Came) -> bool {
        if consents.was_in_doubt(came.pair, came.grant, came.connection, came.seq) {
            return false;
        }
        if consents.is_ending(came.pair) && self.0.len() < MAX_DOUBTFUL {
            self.0.push(came);
            return false;
        }
        true
    }

    /// Those of a source that turned out to be leaks, once no call is under way any more.
    pub(super) fn leaks(&mut self, consents: &Consents, source: u32) -> Vec<Came> {
        let of_source = self.0.extract_if(.., |came| came.pair.0 == source);
        of_source
            .filter(|came| !consents.was_in_doubt(came.pair, came.grant, came.connection, came.seq))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use handfast_proto::v1::RevocationReceipt;

    use super::*;

    #[test]
    fn what_an_end_leaves_in_doubt_is_no_leak_and_all_else_is() {
        let consents = Consents::new(2, &[(0, 1)], 10);
        let connection = consents.connecting(1);
        let came = |seq| Came {
            pair: (0, 1),
            grant: 3,
            connection,
            seq,
        };
        let mut doubtful = Doubtful::default();
        assert!(doubtful.is_leak(&consents, came(1)), "no call is under way");
        consents.turning_off((0, 1), true);
        for seq in [5, 6] {
            assert!(!doubtful.is_leak(&consents, came(seq)), "nobody knows yet");
        }
        let receipt = RevocationReceipt {
            ended_grant: 3,
            may_have_received_to: 5,
            ..RevocationReceipt::default()
        };
        consents.turned_off((0, 1), &receipt);
        consents.turning_off((0, 1), false);
        assert!(!doubtful.is_leak(&consents, came(4)) && doubtful.is_leak(&consents, came(7)));
        assert_eq!(doubtful.leaks(&consents, 1), []);
        assert_eq!(doubtful.leaks(&consents, 0), [came(6)]);
        assert_eq!(doubtful.leaks(&consents, 0), []);
    }
}
