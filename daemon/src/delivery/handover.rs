//! The last step before the transport: what of a batch goes to a recipient. Pure; the caller holds the
//! book's guard.

use handfast_proto::{
    amendment::{Batch, Cut, Encoded, Entry, Op},
    limits::MAX_BATCH_AMENDMENTS,
};

use super::counters::PairCounters;
use crate::consent::{Carrier, Decision, Reason};

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

/// What of a batch passes the gate. `None` where nothing does. Counts what was forwarded and withheld.
pub(super) fn pass(
    carrier: &Carrier<'_>,
    batch: &Batch,
    mask: Mask,
    now: i64,
    counters: &PairCounters,
) -> Option<Encoded> {
    let mut cuts = [Cut::Drop; MAX_BATCH_AMENDMENTS];
    let mut forwarded = 0;
    for (index, entry) in batch.entries().enumerate().filter(|(index, _)| mask.has(*index)) {
        let (cut, withheld) = one(carrier, &entry, now);
        cuts[index] = cut;
        match withheld {
            Some(reason) => counters.withheld(reason, 1),
            None => forwarded += 1,
        }
    }
    counters.forwarded(forwarded);
    batch.cut(&cuts[..batch.len()])
}

/// What becomes of one amendment, and the reason if it is withheld.
///
/// A retraction goes to every recipient with a grant, as a bare removal: it must reach whoever may hold the
/// record. What could be forwarded before this amendment and cannot be any more goes as a removal too.
fn one(carrier: &Carrier<'_>, entry: &Entry<'_>, now: i64) -> (Cut, Option<Reason>) {
    if entry.op == Op::Statement {
        return (Cut::Drop, None);
    }
    if entry.op == Op::Retract {
        return (Cut::Retract, None);
    }
    let Some(subject) = entry.subject else {
        return (Cut::Drop, Some(Reason::PrivateEntry));
    };
    let Decision::Withhold(reason) = carrier.decide(&subject, now) else {
        return (Cut::Keep, None);
    };
    let was_forwarded = entry
        .former
        .is_some_and(|f| carrier.decide(&f, now) == Decision::Forward);
    (if was_forwarded { Cut::Remove } else { Cut::Drop }, Some(reason))
}

#[cfg(test)]
mod tests {
    use handfast_proto::amendment::{Amendment, BatchBuilder, Confidentiality, Form};

    use super::*;
    use crate::{
        consent::{Book, GrantId, HalfTerms, Pair, PairTerms, Policy, Standing},
        ingest::tests::amendment,
    };

    fn pair() -> Pair {
        Pair {
            source: "Z00101".parse().unwrap(),
            recipient: "Z00202".parse().unwrap(),
        }
    }

    fn book(terms: PairTerms) -> Book {
        let units = [pair().source, pair().recipient].map(|ods| (ods, Standing::Enrolled));
        Book::new(Policy::UnlessDissented, units, [(pair(), terms)])
    }

    fn both() -> PairTerms {
        PairTerms {
            share_out: HalfTerms::ON,
            share_in: HalfTerms::ON,
            grant: Some(GrantId(1)),
        }
    }

    fn batch(amendments: &[Amendment]) -> Batch {
        let mut builder = BatchBuilder::new(1);
        amendments.iter().for_each(|a| builder.push(a));
        let made = builder.finish();
        Batch::parse(made.header, made.body, Form::Published).unwrap()
    }

    fn private(id: u64) -> Amendment {
        let mut a = amendment(id, 0);
        a.subject = a.subject.map(|s| handfast_proto::amendment::Subject {
            confidentiality: Confidentiality::PRIVATE,
            ..s
        });
        a
    }

    fn passed(book: &Book, batch: &Batch) -> Option<Batch> {
        let carrier = book.carrier(pair(), GrantId(1))?;
        let out = pass(
            &carrier,
            batch,
            Mask::beyond(batch, 0),
            0,
            &PairCounters::default(),
        )?;
        Some(Batch::parse(out.header, out.body, Form::Delivered).unwrap())
    }

    #[test]
    fn a_batch_that_passes_as_a_whole_goes_as_it_came() {
        let batch = batch(&[amendment(1, 10), amendment(2, 10)]);
        let book = book(both());
        let carrier = book.carrier(pair(), GrantId(1)).unwrap();
        let all = Mask::beyond(&batch, 0);
        let out = pass(&carrier, &batch, all, 0, &PairCounters::default()).unwrap();
        assert_eq!(out.body.as_ptr(), batch.body().as_ptr(), "not a copy");
        assert_eq!(out.header.as_ptr(), batch.header().as_ptr());
    }

    #[test]
    fn what_is_private_is_cut_out_and_a_batch_of_nothing_else_does_not_go() {
        let mixed = batch(&[amendment(1, 10), private(2), amendment(3, 10)]);
        let out = passed(&book(both()), &mixed).unwrap();
        assert_eq!(out.entries().map(|e| e.seq).collect::<Vec<_>>(), [1, 3]);
        assert_eq!(out.payload(1), mixed.payload(2));
        assert!(passed(&book(both()), &batch(&[private(1)])).is_none());
    }

    #[test]
    fn what_turned_private_goes_as_a_removal_and_says_nothing_else() {
        let mut turned = private(1);
        turned.op = Op::Amend;
        turned.former = amendment(1, 0).subject;
        let out = passed(&book(both()), &batch(&[turned.clone()])).unwrap();
        let entry = out.entry(0);
        assert_eq!((entry.op, entry.subject, entry.former), (Op::Remove, None, None));
        assert!(out.body().is_empty());
        turned.former = turned.subject;
        assert!(
            passed(&book(both()), &batch(&[turned])).is_none(),
            "was never there: not even its name goes"
        );
    }

    #[test]
    fn what_a_record_was_before_is_never_told() {
        let mut moved = amendment(1, 10);
        moved.op = Op::Amend;
        moved.former = moved.subject;
        let out = passed(&book(both()), &batch(&[moved])).unwrap();
        assert_eq!((out.entry(0).op, out.entry(0).former), (Op::Amend, None));
    }

    #[test]
    fn a_retraction_goes_bare() {
        let mut retraction = amendment(1, 0);
        retraction.op = Op::Retract;
        let out = passed(&book(both()), &batch(&[retraction])).unwrap();
        assert_eq!((out.entry(0).op, out.entry(0).subject), (Op::Retract, None));
    }

    #[test]
    fn without_a_grant_nothing_goes() {
        let terms = PairTerms {
            grant: None,
            ..both()
        };
        assert!(passed(&book(terms), &batch(&[amendment(1, 10)])).is_none());
    }
}
