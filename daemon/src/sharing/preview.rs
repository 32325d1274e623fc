//! What turning a half would begin and end, in numbers, without turning it.
//!
//! Counts by the agreement alone: what an emergency access carries meanwhile counts as not flowing. That it ends
//! with the source's half is said whether or not there is one, which is not for administrators to know. The
//! invariants of I1, each by who asks:
//!
//! - The source's people are not told what patients said at the recipient about sharing in: everyone counts
//!   as if they had agreed there. Whom the recipient has on its caseload shows only once it shares in.
//! - The recipient's people are told nothing of what a source has while that source's half is off.
//! - The operator is told numbers where operators may set halves, and nothing elsewhere.

use handfast_proto::amendment::Subject;

use super::{
    ActError, Context,
    tally::{Counts, Tally, walk},
};
use crate::{
    consent::{Book, Carrier, Decision, HalfTerms, Pair, Patients, Reason, Side, Standing, Terms},
    store::SubjectCount,
};

/// What turning a half would begin and end.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Preview {
    /// What would begin to flow.
    pub begins: Counts,
    /// What would be withdrawn.
    pub ends: Counts,
    /// Of the patients whose records would begin to flow, those not on the recipient's caseload.
    pub not_on_caseload: u64,
    /// Where the other half is off: what would flow once it is on as it is narrowed now.
    pub once_both: Option<Counts>,
    /// What was not counted, and why; may be empty.
    pub not_counted: String,
}

/// Who asks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Asker {
    /// An administrator of the source.
    Source,
    /// An administrator of the recipient.
    Recipient,
    /// The operator.
    Operator,
}

/// What is asked: a half of a pair would be as in `half`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Question {
    pub(super) pair: Pair,
    pub(super) side: Side,
    pub(super) half: HalfTerms,
    pub(super) asker: Asker,
}

/// Counts. Takes as long as it takes to read an index over the source's current records.
pub(super) async fn preview(ctx: &Context, asked: Question) -> Result<Preview, ActError> {
    let (book, now) = (ctx.revoker.book(), ctx.clock.now_ms());
    let pair = asked.pair;
    for unit in [pair.source, pair.recipient] {
        match book.standing(unit) {
            Standing::Enrolled => {}
            Standing::Suspended => {
                return Ok(nothing(format!(
                    "{unit} is suspended: nothing flows until it takes part again"
                )));
            }
            Standing::NotEnrolled => return Err(ActError::Missing("unit that takes part")),
        }
    }
    let now_terms = book.terms(pair);
    let holds = |half: &HalfTerms| half.on && !half.ended(now);
    if asked.asker == Asker::Recipient && !holds(&now_terms.share_out) {
        let why = format!(
            "what {0} has is not counted while its share-out is off",
            pair.source
        );
        return Ok(nothing(why));
    }
    let before = Terms::of(&now_terms, book.policy());
    let mut after = before;
    let other = match asked.side {
        Side::ShareOut => {
            after.share_out = asked.half;
            &mut after.share_in
        }
        Side::ShareIn => {
            after.share_in = asked.half;
            &mut after.share_out
        }
    };
    let alone = asked.half.on && !holds(other);
    if alone {
        *other = HalfTerms {
            on: true,
            ends_at: None,
            ..*other
        };
    }
    let counting = Counting {
        book: &book,
        asked,
        now,
    };
    if alone {
        return counting.once_both(ctx, after).await;
    }
    let before = now_terms.grant.map(|_| before);
    counting.changes(ctx, before, after).await
}

fn nothing(not_counted: String) -> Preview {
    Preview {
        not_counted,
        ..Preview::default()
    }
}

struct Counting<'b> {
    book: &'b Book,
    asked: Question,
    now: i64,
}

impl Counting<'_> {
    /// What flows under `after` and did not under `before` (`None`: nothing did), and the other way round.
    async fn changes(&self, ctx: &Context, before: Option<Terms>, after: Terms) -> Result<Preview, ActError> {
        let before = before.map(|terms| self.under(terms));
        let after = self.under(after);
        let (mut begins, mut ends, mut strangers) = (Tally::default(), Tally::default(), Tally::default());
        walk(ctx, self.asked.pair.source, |row| {
            let was = before.as_ref().is_some_and(|way| self.goes(way, row));
            match (was, self.goes(&after, row)) {
                (false, true) => {
                    begins.add(row);
                    if !self.on_caseload(&row.subject) {
                        strangers.add(row);
                    }
                }
                (true, false) => ends.add(row),
                _ => {}
            }
        })
        .await?;
        Ok(Preview {
            begins: begins.counts(),
            ends: ends.counts(),
            not_on_caseload: strangers.counts().all.patients,
            once_both: None,
            not_counted: self.not_counted(),
        })
    }

    /// What would flow if the other half were on. The other half being off, nothing begins and nothing ends.
    async fn once_both(&self, ctx: &Context, terms: Terms) -> Result<Preview, ActError> {
        let way = self.under(terms);
        // Whom a unit that does not share in has on its caseload is its own affair.
        let way = Way {
            everyone_known: self.asked.asker == Asker::Source,
            ..way
        };
        let mut would = Tally::default();
        walk(ctx, self.asked.pair.source, |row| {
            if self.goes(&way, row) {
                would.add(row);
            }
        })
        .await?;
        let mut not_counted = self.words_not_counted();
        if self.asked.asker == Asker::Source {
            let to = self.asked.pair.recipient;
            not_counted = format!(
                "{not_counted}; who is on the caseload of {to} is not counted while it does not share in"
            );
        }
        Ok(Preview {
            once_both: Some(would.counts()),
            not_counted,
            ..Preview::default()
        })
    }

    fn not_counted(&self) -> String {
        let half = &self.asked.half;
        let ends = self.asked.side == Side::ShareOut && (!half.on || half.ended(self.now));
        let opened = ends.then(|| {
            let to = self.asked.pair.recipient;
            format!("what emergency accesses at {to} opened, if there are any, is withdrawn as well and not counted")
        });
        let words = Some(self.words_not_counted()).filter(|words| !words.is_empty());
        let all: Vec<String> = words.into_iter().chain(opened).collect();
        all.join("; ")
    }

    fn words_not_counted(&self) -> String {
        match self.asked.asker {
            Asker::Source => format!(
                "what patients said at {} about sharing in is not counted: it may be less",
                self.asked.pair.recipient
            ),
            Asker::Recipient | Asker::Operator => String::new(),
        }
    }

    fn under(&self, terms: Terms) -> Way<'_> {
        let halves = [&terms.share_out, &terms.share_in];
        Way {
            carrier: self.book.under(self.asked.pair, terms),
            asks_caseload: halves
                .iter()
                .any(|half| half.scope.patients == Patients::Caseload),
            everyone_known: false,
        }
    }

    fn goes(&self, way: &Way<'_>, row: &SubjectCount) -> bool {
        let subject = &row.subject;
        let caseload = || !way.asks_caseload || way.everyone_known || self.on_caseload(subject);
        match way.carrier.decide(subject, self.now) {
            Decision::Forward => true,
            // The rows of the gate behind these two are looked at here.
            Decision::Withhold(Reason::PatientDissentIn | Reason::PatientNotAgreedIn) => {
                self.asked.asker == Asker::Source && !subject.confidentiality.is_marked() && caseload()
            }
            Decision::Withhold(Reason::NotOnCaseload) => way.everyone_known,
            Decision::Withhold(_) => false,
        }
    }

    fn on_caseload(&self, subject: &Subject) -> bool {
        self.book
            .facts(self.asked.pair.recipient, subject.patient)
            .on_caseload()
    }
}

/// Terms under which records would flow.
struct Way<'b> {
    carrier: Carrier<'b>,
    asks_caseload: bool,
    /// Everyone counts as on the recipient's caseload.
    everyone_known: bool,
}
