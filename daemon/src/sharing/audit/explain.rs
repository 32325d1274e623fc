//! Why a recipient has, had or never got each record of a patient: what the log says of its versions, and what
//! the gate says of it now.

use std::collections::{BTreeMap, HashSet};

use handfast_proto::{
    audit::decode_leaf,
    ids::{NhsNumber, OdsCode, RecordId},
    v1::{AuditField, AuditKind, AuditPersonal, Category, Op, WithheldReason, audit_leaf::Event},
};
use prost::Message as _;

use super::{
    desk::AuditDesk,
    handed::{HandedOver, Version},
};
use crate::{
    audit::withheld_reason,
    consent::{Book, Decision, GrantId, Pair, Terms},
    sharing::{ActError, Caller},
    store::EntryQuery,
};

/// Versions of a patient's records looked at for one answer.
const MAX_VERSIONS: usize = 10_000;

/// Records in one answer.
const MAX_RECORDS: usize = 200;

/// Ends of grants and withdrawals of a unit looked at, the newest.
const MAX_ENDS: u32 = 2_000;

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
        let ends = self.ends(own, pair, &numbers).await?;
        let book = self.ctx.revoker.book();
        let now = self.ctx.clock.now_ms();
        let received_only = own == pair.recipient;
        let mut records: Vec<ExplainedRecord> = Vec::new();
        for (record, last) in versions {
            let of: Vec<&HandedOver> = handed.iter().filter(|h| h.record == record).collect();
            let explained = explain_one(&book, pair, now, last, &of, &ends);
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
        })
    }

    /// The last version of each of the patient's records, and what was handed over of any.
    async fn history(
        &self,
        own: OdsCode,
        pair: Pair,
        numbers: &[NhsNumber],
    ) -> Result<(BTreeMap<RecordId, Version>, Vec<HandedOver>), ActError> {
        let (mut versions, mut handed) = (BTreeMap::new(), Vec::new());
        let (mut after, mut seen) = (0, 0);
        while let Some(stretch) = self.stretch_of(pair.source, numbers, after).await? {
            let of = self.versions(pair.source, Some(numbers), stretch, after).await?;
            seen += of.len();
            if seen > MAX_VERSIONS {
                let why = "more versions than one answer can explain: search for the patient instead";
                return Err(ActError::Refused(why));
            }
            let from = self
                .handed_of_stretch(own, pair.source, numbers, stretch, after)
                .await?;
            handed.extend(from.into_iter().filter(|h| h.recipient == pair.recipient));
            versions.extend(of.into_iter().map(|version| (version.record.clone(), version)));
            after = stretch.1;
        }
        Ok((versions, handed))
    }

    /// Ends of grants, and withdrawals, of the pair: everyone's and the patient's.
    async fn ends(
        &self,
        own: OdsCode,
        pair: Pair,
        numbers: &[NhsNumber],
    ) -> Result<Vec<(GrantId, RecordEvent)>, ActError> {
        let query = EntryQuery {
            unit: Some(own),
            kinds: vec![AuditKind::GrantEnded, AuditKind::Withdrawal],
            from: 0,
            to: i64::MAX,
            before: u64::MAX,
            limit: MAX_ENDS,
        };
        let indexes = self.ctx.store.find_entries(&query).await?;
        let numbers: HashSet<String> = numbers.iter().map(|number| number.reveal()).collect();
        let mut ends = Vec::new();
        for row in self.ctx.store.audit_entries_at(&indexes).await? {
            let Ok(leaf) = decode_leaf(&row.entry.leaf) else {
                continue;
            };
            let of_pair = leaf.source == pair.source.as_str() && leaf.recipient == pair.recipient.as_str();
            let personal = AuditPersonal::decode(row.entry.personal.clone()).unwrap_or_default();
            let mut patients = personal
                .values
                .iter()
                .filter(|v| v.field() == AuditField::Patient);
            if !of_pair || patients.any(|v| !numbers.contains(&v.value)) {
                continue;
            }
            let grant = match &leaf.event {
                Some(Event::GrantEnded(event)) => event.grant,
                Some(Event::Withdrawal(event)) => event.grant,
                _ => continue,
            };
            let event = RecordEvent {
                entry: row.index,
                at: leaf.at,
                kind: row.entry.kind,
                seq: 0,
                withheld: WithheldReason::Unspecified,
                removal: false,
            };
            ends.push((GrantId(grant), event));
        }
        Ok(ends)
    }
}

fn bad_place() -> ActError {
    ActError::invalid("after", "give the text that the answer before gave")
}

/// What is known of one record: `last` is its newest version, `handed` what the log says of any.
fn explain_one(
    book: &Book,
    pair: Pair,
    now: i64,
    last: Version,
    handed: &[&HandedOver],
    ends: &[(GrantId, RecordEvent)],
) -> ExplainedRecord {
    let grants: HashSet<GrantId> = handed.iter().filter(|h| arrived(h)).map(|h| h.grant).collect();
    let mut events: Vec<RecordEvent> = handed
        .iter()
        .map(|h| RecordEvent {
            entry: h.entry,
            at: h.at,
            kind: h.kind,
            seq: h.seq,
            withheld: h.withheld,
            removal: h.op == Op::Remove,
        })
        .collect();
    let first = handed.iter().filter(|h| arrived(h)).map(|h| h.entry).min();
    let after = ends
        .iter()
        .filter(|(grant, e)| grants.contains(grant) && Some(e.entry) > first);
    events.extend(after.map(|(_, event)| *event));
    events.sort_unstable();
    let retracted = last.op == Op::Retract;
    let allowed = !retracted && book.allows(pair, &last.subject, now);
    let withheld = match book
        .under(pair, Terms::of(&book.terms(pair), book.policy()))
        .decide(&last.subject, now)
    {
        Decision::Withhold(reason) if !allowed && !retracted => withheld_reason(reason),
        _ => WithheldReason::Unspecified,
    };
    let standing = match (allowed, grants.is_empty()) {
        (true, false) => Standing::Forwarded,
        (true, true) => Standing::Due,
        (false, false) => Standing::Withdrawn,
        (false, true) => Standing::Withheld,
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

/// Whether a version is, or perhaps is, at the recipient by it.
fn arrived(handed: &HandedOver) -> bool {
    handed.kind != AuditKind::Withheld && handed.op != Op::Remove
}

/// The recipient's people are told of what they hold or held, and of that no reason. What its source has changed
/// since then is not theirs to know.
fn as_received(mut record: ExplainedRecord, handed: &[&HandedOver]) -> Option<ExplainedRecord> {
    let newest = handed.iter().filter(|h| arrived(h)).max_by_key(|h| h.seq)?;
    record.patient = newest.patient;
    record.seq = newest.seq;
    record.category = newest.category;
    record.retracted = newest.op == Op::Retract;
    record.withheld = WithheldReason::Unspecified;
    record.events.retain(|event| event.kind != AuditKind::Withheld);
    Some(record)
}
