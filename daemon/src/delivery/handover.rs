//! The last step before the transport: what of a batch goes to a recipient. Pure; the caller holds the
//! book's guard.

use handfast_proto::{
    amendment::{Batch, Cut, Encoded, Entry, Op, Subject},
    limits::MAX_BATCH_AMENDMENTS,
};

use super::{counters::PairCounters, told::Told};
use crate::{
    consent::{Book, Carrier, Decision, GrantId, Known, Pair, Reason, Terms},
    store::is_erased,
};

/// Which amendments of a batch are meant: bit `i` for amendment `i`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Mask(u64);

impl Mask {
    pub(super) const NONE: Self = Self(0);

    /// Those whose seq is beyond `position`.
    pub(super) fn beyond(batch: &Batch, position: u64) -> Self {
        (0..batch.len())
            .filter(|i| batch.seq(*i) > position)
            .fold(Self::NONE, Self::with)
    }

    pub(super) fn with(self, index: usize) -> Self {
        Self(self.0 | 1 << index)
    }

    fn has(self, index: usize) -> bool {
        self.0 & (1 << index) != 0
    }
}

/// What amendments are handed over for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum For {
    /// The live feed: what a record was before tells whether it has to go.
    Live,
    /// A job that marks and sweeps: the current versions that may go, and nothing else.
    Sweep,
    /// A job over what changed since these terms.
    Changes(Terms),
}

/// The gate as one message meets it.
#[derive(Clone, Copy)]
pub(super) struct Gate<'b> {
    book: &'b Book,
    pair: Pair,
    carrier: &'b Carrier<'b>,
    of_agreement: bool,
    now: i64,
}

impl<'b> Gate<'b> {
    /// For messages of a grant in force, of which `carrier` is the book's.
    pub(super) fn new(
        book: &'b Book,
        pair: Pair,
        grant: GrantId,
        carrier: &'b Carrier<'b>,
        now: i64,
    ) -> Self {
        Self {
            book,
            pair,
            carrier,
            of_agreement: book.terms(pair).grant == Some(grant),
            now,
        }
    }

    /// What of a batch passes, `None` where nothing does; and what that tells. Counts what was forwarded, and
    /// what the live feed of the agreement withheld.
    pub(super) fn pass(
        &self,
        batch: &Batch,
        mask: Mask,
        what_for: For,
        counters: &PairCounters,
    ) -> (Option<Encoded>, Told) {
        let known = self.known(batch, mask);
        let mut cuts = [Cut::Drop; MAX_BATCH_AMENDMENTS];
        let mut told = Told::default();
        let mut forwarded = 0;
        for index in (0..batch.len()).filter(|index| mask.has(*index)) {
            let entry = batch.entry(index);
            let payload = !is_erased(batch.payload_slice(index));
            let (cut, withheld) = self.one(&entry, known[index], payload, what_for);
            cuts[index] = cut;
            forwarded += u64::from(matches!(cut, Cut::Keep | Cut::Retract));
            match cut {
                Cut::Keep => told.versions.insert(entry.seq, entry.seq),
                Cut::Retract | Cut::Remove => told.removals.insert(entry.seq, entry.seq),
                Cut::Drop => {}
            }
            told.withheld.extend(withheld.map(|reason| (reason, entry.seq)));
            if let Some(reason) = withheld.filter(|_| self.of_agreement && what_for == For::Live) {
                counters.withheld(reason, entry.seq);
            }
        }
        counters.forwarded(forwarded);
        if what_for == For::Live && self.of_agreement {
            counters.decided(batch.last_seq());
        }
        (batch.cut(&cuts[..batch.len()]), told)
    }

    /// Whether the one amendment that is meant of a batch still goes as it is.
    pub(super) fn keeps(&self, batch: &Batch, mask: Mask, what_for: For) -> bool {
        let meant = (0..batch.len()).filter(|index| mask.has(*index));
        let known = self.known(batch, mask);
        let goes = |index: usize| self.one(&batch.entry(index), known[index], true, what_for).0 == Cut::Keep;
        meant.map(goes).eq([true])
    }

    /// What is known of the patients of those that are meant.
    fn known(&self, batch: &Batch, mask: Mask) -> [Known; MAX_BATCH_AMENDMENTS] {
        let mut known = [Known::default(); MAX_BATCH_AMENDMENTS];
        for index in (0..batch.len()).filter(|index| mask.has(*index)) {
            if let Some(subject) = batch.subject(index) {
                known[index] = self.carrier.known(subject.patient);
            }
        }
        known
    }

    /// `known`: of the patient of the entry's subject.
    fn one(&self, entry: &Entry<'_>, known: Known, payload: bool, what_for: For) -> (Cut, Option<Reason>) {
        match what_for {
            For::Live => self.live(entry, known, payload),
            For::Sweep => self.current(entry, payload),
            For::Changes(before) => (self.changed(entry, payload, before), None),
        }
    }

    /// What becomes of an amendment of the live feed, and the reason if it is withheld.
    ///
    /// A retraction goes to every recipient with a grant, as a bare removal: it must reach whoever may hold the
    /// record. What could be held before this amendment and does not go any more goes as a removal too.
    fn live(&self, entry: &Entry<'_>, known: Known, payload: bool) -> (Cut, Option<Reason>) {
        let concerns = |subject: &Option<Subject>| subject.is_some_and(|s| self.carrier.concerns(&s));
        let is_concerned = entry.subject.is_none() || concerns(&entry.subject);
        if entry.op == Op::Statement || !(is_concerned || concerns(&entry.former)) {
            return (Cut::Drop, None);
        }
        if entry.op == Op::Retract {
            return (Cut::Retract, None);
        }
        let Some(subject) = entry.subject else {
            return (Cut::Drop, Some(Reason::PrivateEntry));
        };
        let withheld = match self.carrier.decide_knowing(&subject, known, self.now) {
            Decision::Forward if payload => return (Cut::Keep, None),
            // Its payload was erased: what may go of it is asked for again, and comes as a later amendment.
            Decision::Forward => None,
            Decision::Withhold(reason) => Some(reason),
        };
        // Where nothing is said of what it was before, it was the same: it may be held under terms of before, and
        // this amendment may take it out of the hands of the job that was to look at it again.
        let unchanged = (entry.op == Op::Amend).then_some(subject);
        let held = entry
            .former
            .or(unchanged)
            .filter(|f| self.book.may_be_held(self.pair, f, self.now));
        let goes = held.is_some_and(|former| !self.goes_otherwise(&former, &subject));
        (if goes { Cut::Remove } else { Cut::Drop }, withheld)
    }

    /// Whether it can be left to another grant of the pair, which carries this version in place of the one
    /// before. Only of the same patient: that is looked at again when an emergency access ends. Under another
    /// patient the feed of the other grant may be far behind, and what it comes to send may be a later version or
    /// none, while nobody would look for what is held under the former patient. The recipient keeps this very
    /// version where another grant in force has brought it.
    fn goes_otherwise(&self, former: &Subject, subject: &Subject) -> bool {
        former.patient == subject.patient && self.book.allows(self.pair, subject, self.now)
    }

    /// What becomes of a current version, and the reason if it is withheld after all.
    fn current(&self, entry: &Entry<'_>, payload: bool) -> (Cut, Option<Reason>) {
        let Some(subject) = entry.subject.filter(|_| entry.op != Op::Retract) else {
            return (Cut::Drop, None);
        };
        match self.look(&subject, payload, For::Sweep) {
            Looked::Wanted => (Cut::Keep, None),
            Looked::LeftOut(reason) => (Cut::Drop, Some(reason)),
            Looked::Passed => (Cut::Drop, None),
        }
    }

    /// A version that goes now and did not go then is sent; one that went then and goes under no grant now is
    /// to be removed.
    fn changed(&self, entry: &Entry<'_>, payload: bool, before: Terms) -> Cut {
        let Some(subject) = entry.subject else {
            return Cut::Drop;
        };
        let changed = Change::of(self.book, self.pair, self.carrier, &subject, before, self.now);
        match changed {
            Change::Begins if payload => Cut::Keep,
            Change::Ends => Cut::Remove,
            Change::Begins | Change::None => Cut::Drop,
        }
    }

    /// What a current version is to a job. Of what changed, what went neither before nor now was withheld when it
    /// was looked at first. What was erased comes as a later amendment where it may go.
    pub(super) fn look(&self, subject: &Subject, payload: bool, what_for: For) -> Looked {
        let is_wanted = match what_for {
            For::Live => true,
            For::Sweep => match self.carrier.decide(subject, self.now) {
                Decision::Forward => true,
                Decision::Withhold(reason) => return Looked::LeftOut(reason),
            },
            For::Changes(before) => {
                Change::of(self.book, self.pair, self.carrier, subject, before, self.now) != Change::None
            }
        };
        if is_wanted && payload {
            Looked::Wanted
        } else {
            Looked::Passed
        }
    }
}

/// What a current version is to a job.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Looked {
    /// Its payload is worth reading.
    Wanted,
    /// It is withheld.
    LeftOut(Reason),
    /// Nothing.
    Passed,
}

/// What a change of terms means for one current version.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Change {
    Begins,
    Ends,
    None,
}

impl Change {
    fn of(
        book: &Book,
        pair: Pair,
        carrier: &Carrier<'_>,
        subject: &Subject,
        before: Terms,
        now: i64,
    ) -> Self {
        let went = book.under(pair, before.without_end()).decide(subject, now) == Decision::Forward;
        let goes = carrier.decide(subject, now) == Decision::Forward;
        match (went, goes) {
            (false, true) => Self::Begins,
            (true, false) if !book.allows(pair, subject, now) => Self::Ends,
            _ => Self::None,
        }
    }
}

#[cfg(test)]
mod tests;
