//! Why a recipient has, had or never got each record of a patient: what the log says of its versions, and what
//! the gate says of it now.

use std::collections::{BTreeMap, HashSet};

use handfast_proto::{
    ids::{NhsNumber, OdsCode, RecordId},
    v1::{AuditKind, Category, Op, WithheldReason},
};

use super::{
    desk::AuditDesk,
    ends::{End, ends_of},
    handed::{HandedOver, Version},
    received::Asked,
};
use crate::{
    audit::withheld_reason,
    consent::{Book, Decision, GrantId, Pair, Terms},
    sharing::{ActError, Caller},
    store::Of,
};

/// Versions of a patient's records looked at for one answer.
const MAX_VERSIONS: usize = 10_000;

/// Records in one answer.
const MAX_RECORDS: usize = 200;

/// The largest seq that a store can name.
const MAX_SEQ: u64 = i64::MAX.unsigned_abs();

/// How a record stands at the recipient.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Standing {
    /// Received, or perhaps received, and not withdrawn since.
    Forwarded,
    /// Was there, and is to be removed or was.
    Withdrawn,
    /// Never got there.
    Withheld,
    /// On its way, or waits for the recipient.
    Due,
}

/// Something that the log says of a record.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct RecordEvent {
    /// The entry.
    pub entry: u64,
    /// When.
    pub at: i64,
    /// What.
    pub kind: AuditKind,
    /// Of which version; 0: of all.
    pub seq: u64,
    /// With [`AuditKind::Withheld`]: why.
    pub withheld: WithheldReason,
    /// Whether it was a removal by the record's id, and no version.
    pub removal: bool,
}

/// A record of the patient.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ExplainedRecord {
    /// Which.
    pub record: RecordId,
    /// The number that it stands under.
    pub patient: NhsNumber,
    /// The seq that last changed it.
    pub seq: u64,
    /// Its category.
    pub category: Category,
    /// How it stands.
    pub standing: Standing,
    /// Why the gate withholds it now; `Unspecified` where it does not, or that is not for the reader.
    pub withheld: WithheldReason,
    /// What the log says, in order.
    pub events: Vec<RecordEvent>,
    /// Whether its source retracted it.
    pub retracted: bool,
}

/// An explanation.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Explained {
    /// By seq.
    pub records: Vec<ExplainedRecord>,
    /// Where to go on; empty: that was all.
    pub next: String,
    /// Whether the reader is the recipient's, who is not told what was withheld.
    pub received_only: bool,
    /// Whether every end of a grant and every withdrawal of the pair was looked at.
    pub all_ends: bool,
}

impl AuditDesk {
    /// Explains each record of a patient at a source towards a recipient. `after`: where the answer before
    /// ended.
    pub async fn explain(
        &self,
        caller: &Caller,
        patient: NhsNumber,
        pair: Pair,
        reason: &str,
        after: &str,
    ) -> Result<Explained, ActError> {
        let own = Self::reader_of_patients(caller)?;
        if own != pair.source && own != pair.recipient {
            return Err(ActError::Denied);
        }
        let beyond: u64 = if after.is_empty() {
            0
        } else {
            after.parse().map_err(|_| bad_place())?
        };
        self.enter_reading(caller, "Explain", &pair.to_string(), Some(patient), reason)
            .await?;
        self.ctx.audit.index().caught_up().await?;
        let numbers = self.numbers_of(own, patient).await?;
        let (versions, handed) = self.history(own, pair, &numbers).await?;
        let (ends, all_ends) = self.ends(pair, &numbers).await?;
        let current = self.current_seqs(pair.source, &numbers).await?;
        let book = self.ctx.revoker.book();
        let ground = Ground {
            book: &book,
            pair,
            now: self.ctx.clock.now_ms(),
            ends: &ends,
            current: &current,
        };
        let received_only = own == pair.recipient;
        let mut records: Vec<ExplainedRecord> = Vec::new();
        for (record, last) in versions {
            let of: Vec<&HandedOver> = handed.iter().filter(|h| h.record == record).collect();
            let explained = explain_one(&ground, last, &of);
            if received_only {
                records.extend(as_received(explained, &of));
            } else {
                records.push(explained);
            }
        }
        records.sort_unstable_by_key(|record| record.seq);
        records.retain(|record| record.seq > beyond);
        let more = records.len() > MAX_RECORDS;
        records.truncate(MAX_RECORDS);
        let next = records
            .last()
            .filter(|_| more)
            .map(|record| record.seq.to_string());
        Ok(Explained {
            records,
            next: next.unwrap_or_default(),
            received_only,
            all_ends,
        })
    }

    /// The newest versions of records of these numbers, among them those of which the payload is erased.
    async fn current_seqs(&self, source: OdsCode, numbers: &[NhsNumber]) -> Result<HashSet<u64>, ActError> {
        let limit = u32::try_from(MAX_VERSIONS).unwrap_or(u32::MAX);
        let mut current = HashSet::new();
        for number in numbers {
            let of = Of::Patient(*number);
            let found = self
                .ctx
                .store
                .current_versions(source, of, 0, MAX_SEQ, limit)
                .await?;
            current.extend(found.iter().map(|record| record.seq));
        }
        Ok(current)
    }

    /// The last version of each of the patient's records, and what was handed over of any; to the recipient's people
    /// of what arrived.
    async fn history(
        &self,
        own: OdsCode,
        pair: Pair,
        numbers: &[NhsNumber],
    ) -> Result<(BTreeMap<RecordId, Version>, Vec<HandedOver>), ActError> {
        let too_many =
            ActError::Refused("more versions than one answer can explain: search for the patient instead");
        if own == pair.recipient {
            let asked = Asked {
                source: pair.source,
                own,
                numbers,
            };
            let received = self.all_received(asked, MAX_VERSIONS).await?.ok_or(too_many)?;
            return Ok((received.arrived, received.handed));
        }
        self.ctx.projected.all_of(own).await?;
        let (mut versions, mut handed) = (BTreeMap::new(), Vec::new());
        let (mut after, mut seen) = (0, 0);
        while let Some(stretch) = self.stretch_of(pair.source, numbers, after).await? {
            let of = self.versions(pair.source, Some(numbers), stretch, after).await?;
            seen += of.len();
            let (from, cut_off) = self.handed_of_stretch(own, numbers, stretch, after).await?;
            if seen > MAX_VERSIONS || cut_off {
                return Err(too_many);
            }
            handed.extend(from.into_iter().filter(|h| h.recipient == pair.recipient));
            versions.extend(of.into_iter().map(|version| (version.record.clone(), version)));
            after = stretch.1;
        }
        Ok((versions, handed))
    }
}

fn bad_place() -> ActError {
    ActError::invalid("after", "give the text that the answer before gave")
}

/// What an explanation goes by.
struct Ground<'g> {
    book: &'g Book,
    pair: Pair,
    now: i64,
    ends: &'g [End],
    /// The seqs that are the newest version of a record of this patient's.
    current: &'g HashSet<u64>,
}

/// What is known of one record: `last` is its newest version, `handed` what the log says of any.
fn explain_one(ground: &Ground<'_>, last: Version, handed: &[&HandedOver]) -> ExplainedRecord {
    let Ground { book, pair, now, .. } = *ground;
    let retracted = last.op == Op::Retract;
    let gone = retracted || !ground.current.contains(&last.seq);
    let allowed = !gone && book.allows(pair, &last.subject, now);
    // What is frozen is held, and goes on when the suspension ends.
    let may_be_held = !gone && book.allows_but_for_suspension(pair, &last.subject, now);
    let terms = Terms::of(&book.terms(pair), book.policy());
    let withheld = match book.under(pair, terms).decide(&last.subject, now) {
        Decision::Withhold(reason) if !allowed && !gone => withheld_reason(reason),
        _ => WithheldReason::Unspecified,
    };
    let ends = ends_of(ground.ends, handed, may_be_held);
    let mut events: Vec<RecordEvent> = handed
        .iter()
        .map(|h| said(h))
        .chain(ends.iter().map(|end| end.event))
        .collect();
    events.sort_unstable();
    let had = handed.iter().any(|h| arrived(h));
    let removed = handed
        .iter()
        .filter(|h| h.op == Op::Remove && h.kind == AuditKind::Disclosed);
    let removed = removed.map(|h| h.entry).max().unwrap_or(0);
    let in_force = |grant: GrantId| {
        book.terms(pair).grant == Some(grant) || book.of_pair(pair).iter().any(|(known, _)| *known == grant)
    };
    let holds = handed
        .iter()
        .filter(|h| arrived(h) && in_force(h.grant))
        .any(|h| {
            let ended = ends
                .iter()
                .any(|end| end.grant == h.grant && end.event.entry > h.entry);
            !ended && removed < h.entry
        });
    let standing = match (may_be_held, holds, had) {
        (true, true, _) => Standing::Forwarded,
        (true, false, _) if allowed => Standing::Due,
        (_, _, true) => Standing::Withdrawn,
        (_, _, false) => Standing::Withheld,
    };
    ExplainedRecord {
        record: last.record,
        patient: last.patient,
        seq: last.seq,
        category: last.category,
        standing,
        withheld,
        events,
        retracted,
    }
}

fn said(handed: &HandedOver) -> RecordEvent {
    RecordEvent {
        entry: handed.entry,
        at: handed.at,
        kind: handed.kind,
        seq: handed.seq,
        withheld: handed.withheld,
        removal: handed.op == Op::Remove,
    }
}

/// The recipient's people are told of what they hold or held, and of that no reason. What its source has changed
/// since then is not theirs to know.
fn as_received(mut record: ExplainedRecord, handed: &[&HandedOver]) -> Option<ExplainedRecord> {
    let newest = handed.iter().filter(|h| arrived(h)).max_by_key(|h| h.seq)?;
    record.patient = newest.patient;
    record.seq = newest.seq;
    record.category = newest.category;
    record.retracted = newest.op == Op::Retract;
    let arrived_at = handed.iter().filter(|h| arrived(h)).map(|h| h.entry).max();
    if handed
        .iter()
        .any(|h| h.op == Op::Remove && Some(h.entry) > arrived_at)
    {
        record.standing = Standing::Withdrawn;
    }
    record.withheld = WithheldReason::Unspecified;
    record.events.retain(|event| event.kind != AuditKind::Withheld);
    Some(record)
}

/// Whether a version is, or perhaps is, at the recipient by it.
pub(super) fn arrived(handed: &HandedOver) -> bool {
    handed.kind != AuditKind::Withheld && handed.op != Op::Remove
}
