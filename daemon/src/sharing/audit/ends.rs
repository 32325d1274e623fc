//! What the log says of grants that ended and of withdrawals, and of which records each is.

use std::collections::HashSet;

use handfast_proto::{
    audit::decode_leaf,
    ids::NhsNumber,
    v1::{
        AuditField, AuditKind, AuditLeaf, AuditPersonal, Op, WithdrawalScope, WithdrawalStep, WithheldReason,
        audit_leaf::Event,
    },
};
use prost::Message as _;

use super::{
    desk::AuditDesk,
    explain::{RecordEvent, arrived},
    handed::HandedOver,
};
use crate::{
    consent::{GrantId, Pair},
    sharing::ActError,
    store::{EntryQuery, EntryRow},
};

/// Ends of grants and withdrawals of a pair looked at, the newest; and as many entries about the patient.
pub(super) const MAX_ENDS: u32 = 2_000;

/// A grant that ended, or something that was withdrawn of one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct End {
    pub(super) grant: GrantId,
    pub(super) event: RecordEvent,
    of: What,
}

/// Of which records it is.
#[derive(Clone, PartialEq, Eq, Debug)]
enum What {
    /// All that the grant carried.
    Everything,
    /// The patient's. `job`: those of them that it did not send anew.
    Patient { job: Option<u64> },
    /// What other terms leave out.
    Terms {
        categories: Vec<i32>,
        some_patients: bool,
    },
    /// What a job over changes removed.
    Job(u64),
}

impl AuditDesk {
    /// Ends of grants, and withdrawals, of the pair: everyone's and the patient's; and whether those are all.
    pub(super) async fn ends(&self, pair: Pair, numbers: &[NhsNumber]) -> Result<(Vec<End>, bool), ActError> {
        let query = EntryQuery {
            unit: Some(pair.source),
            other: Some(pair.recipient),
            kinds: vec![
                AuditKind::GrantEnded,
                AuditKind::Withdrawal,
                AuditKind::EmergencyEnded,
            ],
            from: 0,
            to: i64::MAX,
            before: u64::MAX,
            limit: MAX_ENDS,
        };
        let store = &self.ctx.store;
        let indexes = store.find_entries(&query).await?;
        let mut all = indexes.len() < MAX_ENDS as usize;
        let mut rows = store.audit_entries_at(&indexes).await?;
        // Those that are due of the patient name no pair as theirs, but pairs.
        for number in numbers {
            let of = store.entries_of_patient(*number, u64::MAX, MAX_ENDS).await?;
            all &= of.len() < MAX_ENDS as usize;
            rows.extend(
                of.into_iter()
                    .filter(|row| row.entry.kind == AuditKind::Withdrawal),
            );
        }
        rows.sort_unstable_by_key(|row| row.index);
        rows.dedup_by_key(|row| row.index);
        let numbers: HashSet<String> = numbers.iter().map(|number| number.reveal()).collect();
        let ends = rows.iter().flat_map(|row| read(row, pair, &numbers)).collect();
        Ok((ends, all))
    }
}

/// What an entry says of the pair and these numbers.
fn read(row: &EntryRow, pair: Pair, numbers: &HashSet<String>) -> Vec<End> {
    // One that cannot be read is for the check of the log to say.
    let Ok(leaf) = decode_leaf(&row.entry.leaf) else {
        return Vec::new();
    };
    let personal = AuditPersonal::decode(row.entry.personal.clone()).unwrap_or_default();
    let is_patient = |field: AuditField| field == AuditField::Patient;
    let about_one = leaf.reduced.iter().any(|reduced| is_patient(reduced.field()));
    let mut values = personal.values.iter().filter(|value| is_patient(value.field()));
    if about_one && !values.any(|value| numbers.contains(&value.value)) {
        return Vec::new();
    }
    let of_pair = leaf.source == pair.source.as_str() && leaf.recipient == pair.recipient.as_str();
    let each = match &leaf.event {
        Some(Event::Withdrawal(event)) if !event.due.is_empty() => {
            let is_pair = |source: &str, recipient: &str| {
                source == pair.source.as_str() && recipient == pair.recipient.as_str()
            };
            let due = event
                .due
                .iter()
                .filter(|due| is_pair(&due.source, &due.recipient));
            due.map(|due| (due.grant, What::Patient { job: None })).collect()
        }
        Some(event) if of_pair => what(event, about_one).into_iter().collect(),
        _ => Vec::new(),
    };
    let end = |(grant, of)| End {
        grant: GrantId(grant),
        event: event(row, &leaf),
        of,
    };
    each.into_iter().map(end).collect()
}

/// The grant, and of which records it is.
fn what(event: &Event, about_one: bool) -> Option<(u64, What)> {
    match event {
        Event::GrantEnded(event) => Some((event.grant, What::Everything)),
        Event::EmergencyEnded(event) => Some((event.grant, What::Everything)),
        Event::Withdrawal(event) => {
            let confirmed = event.step() == WithdrawalStep::Confirmed;
            let of = match event.scope() {
                WithdrawalScope::Unspecified | WithdrawalScope::Grant => What::Everything,
                WithdrawalScope::Patient => What::Patient {
                    job: confirmed.then_some(event.job),
                },
                WithdrawalScope::Terms if confirmed => What::Job(event.job),
                WithdrawalScope::Terms => What::Terms {
                    categories: event.categories.clone(),
                    some_patients: event.some_patients || about_one && event.categories.is_empty(),
                },
            };
            Some((event.grant, of))
        }
        _ => None,
    }
}

fn event(row: &EntryRow, leaf: &AuditLeaf) -> RecordEvent {
    RecordEvent {
        entry: row.index,
        at: leaf.at,
        kind: row.entry.kind,
        seq: 0,
        withheld: WithheldReason::Unspecified,
        removal: false,
    }
}

/// Those of the ends that are of a record: it arrived under their grant before them. `may_be_held`: the gate lets it
/// through now, whatever is suspended.
pub(super) fn ends_of<'e>(ends: &'e [End], handed: &[&HandedOver], may_be_held: bool) -> Vec<&'e End> {
    let removed_in = |job: u64| handed.iter().any(|h| h.op == Op::Remove && h.job == job);
    let removed_under = |end: &End| {
        let mut later = handed
            .iter()
            .filter(|h| h.entry > end.event.entry && h.grant == end.grant);
        later.any(|h| h.op == Op::Remove)
    };
    let is_of = |end: &&End| {
        let mut before = handed
            .iter()
            .filter(|h| arrived(h) && h.grant == end.grant)
            .filter(|h| h.entry < end.event.entry);
        let Some(first) = before.next() else { return false };
        match &end.of {
            What::Everything => true,
            What::Patient { job: None } => true,
            What::Patient { job: Some(job) } => !handed.iter().any(|h| arrived(h) && h.job == *job),
            What::Terms {
                categories,
                some_patients,
            } => {
                categories.contains(&first.category.into())
                    || *some_patients && (!may_be_held || removed_under(end))
            }
            What::Job(job) => removed_in(*job),
        }
    };
    ends.iter().filter(is_of).collect()
}
