//! What may have been let through before the daemon ended, as far as the store still tells.
//!
//! Terms of a pair that changed are known while the job that follows from the change is not through. The same job
//! of a patient tells that what is known of them changed: then what they said and whose caseload they are on is left
//! open, but for a dissent that was there before the amendment was.

use std::collections::{BTreeSet, HashMap};

use handfast_proto::{
    amendment::Subject,
    ids::{NhsNumber, OdsCode},
};

use crate::{
    audit::Stream,
    consent::{Book, Facts, Pair, PatientWord, Patients, Side, Terms, UnitPatients},
    delivery::book_of_store,
    store::{JobId, JobKind, Store, StoreError},
};

/// Bytes of the log read at once.
const READ_BYTES: usize = 1024 * 1024;

/// Words of a patient at a unit that are looked at, the newest.
const MAX_WORDS: u32 = 256;

/// What each unit said are one patient's numbers.
pub(super) async fn numbers(store: &dyn Store) -> Result<HashMap<OdsCode, UnitPatients>, StoreError> {
    let mut known: HashMap<OdsCode, UnitPatients> = HashMap::new();
    for joined in store.joined_numbers().await? {
        let of_unit = known.entry(joined.unit).or_default();
        of_unit.join(joined.former, joined.current);
    }
    Ok(known)
}

/// A patient of whom something changed for a pair, and may have changed while something was on its way.
#[derive(Clone, Copy, Debug)]
struct Changed {
    /// The last of the jobs that follow from it.
    job: JobId,
    /// Since when they dissent at the source.
    dissent_out: Option<i64>,
    /// Since when they dissent at the recipient.
    dissent_in: Option<i64>,
}

/// What may have been let through.
pub(super) struct Allowed {
    now: i64,
    book: Book,
    changed: HashMap<(Pair, NhsNumber), Changed>,
    /// The same book, but that those of whom something changed agree to everything.
    agreed: Book,
}

impl Allowed {
    /// Reads what tells of these pairs.
    pub(super) async fn read(
        store: &dyn Store,
        pairs: &BTreeSet<Pair>,
        now: i64,
    ) -> Result<Self, StoreError> {
        let mut book = book_of_store(store, now).await?;
        let by_caseload = pairs.iter().filter(|pair| asks_caseload(&book, **pair));
        let recipients: BTreeSet<OdsCode> = by_caseload.map(|pair| pair.recipient).collect();
        for recipient in recipients {
            book = with_what_is_not_projected(store, book, recipient).await?;
        }
        let mut changed = HashMap::new();
        let mut agreed = book.clone();
        let recipients: BTreeSet<OdsCode> = pairs.iter().map(|pair| pair.recipient).collect();
        for recipient in recipients {
            let (_, jobs) = store.recipient_jobs(recipient).await?;
            for job in jobs {
                let JobKind::Patient { patient, .. } = job.kind else {
                    continue;
                };
                let numbers = all_numbers(&book, job.pair, patient);
                let of = Changed {
                    job: job.id,
                    dissent_out: dissent(store, job.pair.source, Side::ShareOut, &numbers).await?,
                    dissent_in: dissent(store, job.pair.recipient, Side::ShareIn, &numbers).await?,
                };
                // Jobs come in order: the last stays.
                changed.insert((job.pair, patient), of);
                agreed = agreeing(&agreed, job.pair, &numbers);
            }
        }
        Ok(Self {
            now,
            book,
            changed,
            agreed,
        })
    }

    /// Whether an amendment that was committed at this time may have gone.
    pub(super) fn may_have_gone(&self, stream: Stream, subject: &Subject, committed: i64) -> bool {
        let Stream { pair, grant, job } = stream;
        if self.book.may_have_gone(pair, grant, subject, self.now) {
            return true;
        }
        let Some(changed) = self.changed.get(&(pair, subject.patient)) else {
            return false;
        };
        let emergency = self.book.of_pair(pair).iter().any(|(g, _)| *g == grant);
        let dissent = if emergency {
            changed.dissent_out
        } else {
            [changed.dissent_out, changed.dissent_in]
                .into_iter()
                .flatten()
                .min()
        };
        // A job begins with what was known when it was written.
        let while_it_went = job.is_none_or(|job| job < changed.job);
        while_it_went
            && dissent.is_none_or(|since| committed <= since)
            && self.agreed.may_have_gone(pair, grant, subject, self.now)
    }
}

/// Whether what goes depends, or depended, on the recipient's caseload.
fn asks_caseload(book: &Book, pair: Pair) -> bool {
    let now = Terms::of(&book.terms(pair), book.policy());
    let mut terms = [now].into_iter().chain(book.former_terms(pair).iter().copied());
    terms.any(|terms| {
        let halves = [terms.share_out, terms.share_in];
        halves
            .iter()
            .any(|half| half.scope.patients == Patients::Caseload)
    })
}

/// Whom a unit recorded something about counts from the projection on; what that has lost is read from the log.
async fn with_what_is_not_projected(
    store: &dyn Store,
    book: Book,
    unit: OdsCode,
) -> Result<Book, StoreError> {
    let heads = store.heads().await?;
    let head = heads.iter().find(|(of, _)| *of == unit);
    let head = head.map_or(0, |(_, head)| head.seq);
    let mut at = store.projected_through(unit).await?;
    let mut patients: BTreeSet<NhsNumber> = BTreeSet::new();
    while at < head {
        let rows = store.read_log(unit, at, READ_BYTES).await?;
        let Some(last) = rows.last() else { break };
        at = last.last_seq;
        for row in rows {
            let batch = row.into_batch()?;
            patients.extend(batch.entries().filter_map(|entry| Some(entry.subject?.patient)));
        }
    }
    if patients.is_empty() {
        return Ok(book);
    }
    Ok(book.with_facts(unit, patients, |facts| Facts {
        recorded: true,
        ..facts
    }))
}

/// A patient's numbers, as either side of a pair said.
fn all_numbers(book: &Book, pair: Pair, patient: NhsNumber) -> BTreeSet<NhsNumber> {
    let sides = [pair.source, pair.recipient].into_iter();
    let known = sides.filter_map(|unit| book.patients(unit));
    let numbers = known.flat_map(|known| known.numbers_of(patient));
    numbers.chain([patient]).collect()
}

/// Since when a patient dissents at a unit, under any of their numbers.
async fn dissent(
    store: &dyn Store,
    unit: OdsCode,
    side: Side,
    numbers: &BTreeSet<NhsNumber>,
) -> Result<Option<i64>, StoreError> {
    let mut since: Option<i64> = None;
    for number in numbers {
        let words = store.words_of(*number, Some(unit), MAX_WORDS).await?;
        let standing = words
            .iter()
            .filter(|row| row.in_force && row.change.side == side)
            .filter(|row| row.change.word == handfast_proto::v1::PatientWordValue::No)
            .map(|row| row.change.at);
        since = since.into_iter().chain(standing).min();
    }
    Ok(since)
}

/// The book in which a patient agrees to everything at both sides, and is on the recipient's caseload.
fn agreeing(book: &Book, pair: Pair, numbers: &BTreeSet<NhsNumber>) -> Book {
    let out = book.with_facts(pair.source, numbers.iter().copied(), |facts| {
        facts.with_word(Side::ShareOut, PatientWord::Yes)
    });
    out.with_facts(pair.recipient, numbers.iter().copied(), |facts| Facts {
        claimed: true,
        ..facts.with_word(Side::ShareIn, PatientWord::Yes)
    })
}
