//! What was consented to, as those who turn halves and record words know it: which grants may be in force, which
//! words are, and what receipts say.
//!
//! Invariant: something counts as ended only once its call has returned "in force", and as begun from before its
//! call was made. So a finding never comes of a call that is on its way.

use std::{
    collections::HashMap,
    sync::{
        OnceLock,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Acquire, Ordering::SeqCst},
    },
};

use handfast_proto::v1::{RevocationReceipt, Side};
use parking_lot::Mutex;

/// Ends that are kept of one pair or unit; of older ones nothing is excused any more.
const MAX_ENDS: usize = 4_096;

/// The ordered pair of source and recipient, by place.
pub(in crate::load) type Pair = (u32, u32);

/// What may still come of something that ended: what was under way on a connection that was cut.
#[derive(Debug, Clone, Copy)]
struct End {
    /// The recipient's newest connection when the call returned.
    connection: u32,
    /// The last seq that may have been received.
    may_have_to: u64,
}

impl End {
    fn excuses(self, connection: u32, seq: u64) -> bool {
        connection <= self.connection && seq <= self.may_have_to
    }
}

/// One pair: grants above `over` and up to `may` may be in force.
#[derive(Debug, Default)]
struct Halves {
    over: AtomicU64,
    may: AtomicU64,
    /// A call that may end a grant is under way, and will say what is in doubt of it.
    ending: AtomicBool,
    ends: Mutex<HashMap<u64, End>>,
}

/// Patients, a bit each; nothing is allocated until one is set.
#[derive(Debug)]
struct Bits {
    words: OnceLock<Box<[AtomicU64]>>,
    patients: u32,
}

impl Bits {
    fn new(patients: u32) -> Self {
        Self {
            words: OnceLock::new(),
            patients,
        }
    }

    fn set(&self, patient: u32, on: bool) {
        let fresh = || (0..=self.patients / 64).map(|_| AtomicU64::new(0)).collect();
        let Some(word) = self.words.get_or_init(fresh).get(patient as usize / 64) else {
            return;
        };
        let bit = 1 << (patient % 64);
        if on {
            word.fetch_or(bit, SeqCst);
        } else {
            word.fetch_and(!bit, SeqCst);
        }
    }

    fn has(&self, patient: u32) -> bool {
        let word = self.words.get().and_then(|w| w.get(patient as usize / 64));
        word.is_some_and(|w| w.load(Acquire) & 1 << (patient % 64) != 0)
    }
}

/// What patients said at a unit about one side.
#[derive(Debug)]
struct Words {
    /// Those who ever said something, or are saying it.
    ever: Bits,
    /// Those whose no is in force.
    no: Bits,
    /// By patient and the unit at the other end.
    ends: Mutex<HashMap<(u32, u32), End>>,
}

impl Words {
    fn new(patients: u32) -> Self {
        Self {
            ever: Bits::new(patients),
            no: Bits::new(patients),
            ends: Mutex::default(),
        }
    }
}

/// Everything that was consented to.
#[derive(Debug)]
pub(in crate::load) struct Consents {
    pairs: HashMap<Pair, Halves>,
    /// By unit: towards others, and from others.
    words: Vec<(Words, Words)>,
    /// By unit: how many connections its recipient has begun to make.
    connections: Vec<AtomicU32>,
}

impl Consents {
    /// Nothing was said, and no half is on.
    pub(in crate::load) fn new(units: u32, pairs: &[Pair], patients: u32) -> Self {
        Self {
            pairs: pairs.iter().map(|pair| (*pair, Halves::default())).collect(),
            words: (0..units)
                .map(|_| (Words::new(patients), Words::new(patients)))
                .collect(),
            connections: (0..units).map(|_| AtomicU32::new(0)).collect(),
        }
    }

    /// A call that may begin a grant is about to be made.
    pub(in crate::load) fn turning_on(&self, pair: Pair) {
        if let Some(halves) = self.pairs.get(&pair) {
            halves.may.store(u64::MAX, SeqCst);
        }
    }

    /// It has returned, and this grant is in force.
    pub(in crate::load) fn turned_on(&self, pair: Pair, grant: u64) {
        if let Some(halves) = self.pairs.get(&pair) {
            halves.may.store(grant, SeqCst);
            // Grants are numbered: whatever is lower is over.
            halves.over.fetch_max(grant.saturating_sub(1), SeqCst);
        }
    }

    /// A call that may end a grant is about to be made, or has returned: after what it told was noted.
    pub(in crate::load) fn turning_off(&self, pair: Pair, under_way: bool) {
        if let Some(halves) = self.pairs.get(&pair) {
            halves.ending.store(under_way, SeqCst);
        }
    }

    /// Whether a call that may end a grant of a pair is under way.
    pub(super) fn is_ending(&self, pair: Pair) -> bool {
        self.pairs
            .get(&pair)
            .is_some_and(|halves| halves.ending.load(Acquire))
    }

    /// Whether an amendment of a grant that ended is among those that its end left in doubt.
    pub(super) fn was_in_doubt(&self, pair: Pair, grant: u64, connection: u32, seq: u64) -> bool {
        self.pairs.get(&pair).is_some_and(|halves| {
            let ends = halves.ends.lock();
            ends.get(&grant).is_some_and(|end| end.excuses(connection, seq))
        })
    }

    /// A call that ended a grant has returned "in force".
    pub(in crate::load) fn turned_off(&self, pair: Pair, receipt: &RevocationReceipt) {
        let Some(halves) = self.pairs.get(&pair) else {
            return;
        };
        let end = self.end(pair.1, receipt);
        keep(&mut halves.ends.lock(), receipt.ended_grant, end);
        halves.over.fetch_max(receipt.ended_grant, SeqCst);
        halves.may.store(receipt.ended_grant, SeqCst);
    }

    /// Whether a pair has an agreement in this run.
    pub(super) fn is_pair(&self, pair: Pair) -> bool {
        self.pairs.contains_key(&pair)
    }

    /// Whether a message of a grant may come on a connection now; its last seq is `seq`.
    pub(super) fn may_come(&self, pair: Pair, grant: u64, connection: u32, seq: u64) -> bool {
        let Some(halves) = self.pairs.get(&pair) else {
            return false;
        };
        if grant > halves.over.load(Acquire) && grant <= halves.may.load(Acquire) {
            return true;
        }
        let ends = halves.ends.lock();
        ends.get(&grant).is_some_and(|end| end.excuses(connection, seq))
    }

    /// The grant that is in force once all calls have returned; 0: none.
    pub(super) fn in_force(&self, pair: Pair) -> u64 {
        self.pairs.get(&pair).map_or(0, |halves| {
            let may = halves.may.load(Acquire);
            if may > halves.over.load(Acquire) { may } else { 0 }
        })
    }

    /// A patient is about to say no at a unit, or to take it back: from here on nothing is certain of what comes.
    pub(in crate::load) fn saying(&self, unit: u32, side: Side, patient: u32) {
        if let Some(words) = self.of(unit, side) {
            words.ever.set(patient, true);
            words.no.set(patient, false);
        }
    }

    /// The no is in force.
    pub(in crate::load) fn said_no(&self, unit: u32, side: Side, patient: u32) {
        if let Some(words) = self.of(unit, side) {
            words.no.set(patient, true);
        }
    }

    /// What a receipt of it says about the pair with another unit. Before [`Self::said_no`].
    pub(in crate::load) fn receipt_of_no(
        &self,
        (unit, side): (u32, Side),
        other: u32,
        patient: u32,
        receipt: &RevocationReceipt,
    ) {
        let recipient = if side == Side::ShareOut { other } else { unit };
        let end = self.end(recipient, receipt);
        if let Some(words) = self.of(unit, side) {
            keep(&mut words.ends.lock(), (patient, other), end);
        }
    }

    /// Whether a patient's no is in force for a pair, and nothing excuses this amendment of theirs.
    pub(super) fn is_refused(&self, pair: Pair, patient: u32, connection: u32, seq: u64) -> bool {
        let refuses = |unit: u32, side: Side, other: u32| {
            let Some(words) = self.of(unit, side).filter(|words| words.no.has(patient)) else {
                return false;
            };
            let ends = words.ends.lock();
            let end = ends.get(&(patient, other));
            !end.is_some_and(|end| end.excuses(connection, seq))
        };
        refuses(pair.0, Side::ShareOut, pair.1) || refuses(pair.1, Side::ShareIn, pair.0)
    }

    /// Whether a patient's no is in force for a pair.
    pub(super) fn says_no(&self, pair: Pair, patient: u32) -> bool {
        let says = |unit, side| self.of(unit, side).is_some_and(|words| words.no.has(patient));
        says(pair.0, Side::ShareOut) || says(pair.1, Side::ShareIn)
    }

    /// Whether a patient ever said anything that touches a pair.
    pub(super) fn ever_spoke(&self, pair: Pair, patient: u32) -> bool {
        let spoke = |unit, side| self.of(unit, side).is_some_and(|words| words.ever.has(patient));
        spoke(pair.0, Side::ShareOut) || spoke(pair.1, Side::ShareIn)
    }

    /// A recipient begins to make a connection. Its number, from 1.
    pub(in crate::load) fn connecting(&self, recipient: u32) -> u32 {
        let count = self.connections.get(recipient as usize);
        count.map_or(0, |count| count.fetch_add(1, SeqCst) + 1)
    }

    fn of(&self, unit: u32, side: Side) -> Option<&Words> {
        let (out, into) = self.words.get(unit as usize)?;
        Some(if side == Side::ShareOut { out } else { into })
    }

    fn end(&self, recipient: u32, receipt: &RevocationReceipt) -> End {
        let connection = self.connections.get(recipient as usize);
        End {
            connection: connection.map_or(0, |c| c.load(SeqCst)),
            may_have_to: receipt.may_have_received_to,
        }
    }
}

fn keep<K: std::hash::Hash + Eq>(ends: &mut HashMap<K, End>, key: K, end: End) {
    if ends.len() >= MAX_ENDS {
        ends.clear();
    }
    // What is asked again may know less than the first answer; a doubt is never taken back.
    let known = ends.entry(key).or_insert(end);
    known.may_have_to = known.may_have_to.max(end.may_have_to);
    known.connection = known.connection.max(end.connection);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn consents() -> Consents {
        Consents::new(3, &[(0, 1), (0, 2)], 1_000)
    }

    #[test]
    fn nothing_may_come_before_a_call_or_after_its_end() {
        let consents = consents();
        assert!(!consents.may_come((0, 1), 1, 1, 1));
        consents.turning_on((0, 1));
        assert!(consents.may_come((0, 1), 4, 1, 1));
        consents.turned_on((0, 1), 4);
        assert!(consents.may_come((0, 1), 4, 1, 1));
        assert!(!consents.may_come((0, 1), 5, 1, 1));
        assert_eq!(consents.in_force((0, 1)), 4);
        let receipt = RevocationReceipt {
            ended_grant: 4,
            may_have_received_to: 9,
            ..RevocationReceipt::default()
        };
        assert_eq!(consents.connecting(1), 1);
        consents.turned_off((0, 1), &receipt);
        assert!(
            consents.may_come((0, 1), 4, 1, 9),
            "in doubt on the old connection"
        );
        assert!(!consents.may_come((0, 1), 4, 1, 10));
        assert!(!consents.may_come((0, 1), 4, 2, 9), "not on a later one");
        assert_eq!(consents.in_force((0, 1)), 0);
        consents.turning_on((0, 1));
        assert!(!consents.may_come((0, 1), 4, 2, 1));
        assert!(consents.may_come((0, 1), 6, 2, 1));
        assert!(!consents.may_come((1, 0), 6, 2, 1), "no such pair");
    }

    #[test]
    fn a_no_counts_once_it_is_in_force_on_either_side() {
        let consents = consents();
        consents.saying(0, Side::ShareOut, 7);
        assert!(consents.ever_spoke((0, 1), 7) && !consents.says_no((0, 1), 7));
        let receipt = RevocationReceipt {
            may_have_received_to: 5,
            ..RevocationReceipt::default()
        };
        consents.connecting(2);
        consents.receipt_of_no((0, Side::ShareOut), 2, 7, &receipt);
        consents.said_no(0, Side::ShareOut, 7);
        assert!(consents.is_refused((0, 1), 7, 1, 1));
        assert!(!consents.is_refused((0, 2), 7, 1, 5));
        assert!(consents.is_refused((0, 2), 7, 1, 6));
        assert!(!consents.is_refused((0, 1), 8, 1, 1));
        consents.saying(1, Side::ShareIn, 8);
        consents.said_no(1, Side::ShareIn, 8);
        assert!(consents.says_no((0, 1), 8) && !consents.says_no((0, 2), 8));
        consents.saying(1, Side::ShareIn, 8);
        assert!(!consents.says_no((0, 1), 8) && consents.ever_spoke((0, 1), 8));
    }
}
