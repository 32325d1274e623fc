//! What was handed over of a patient's records, version by version: the log's batch headers say which seqs are
//! the patient's, the entries say what became of those seqs. Bounded: an answer that would take too long says
//! where to go on.

use std::collections::BTreeMap;

use handfast_proto::{
    amendment::{Batch, Subject},
    audit::{Runs, decode_leaf},
    ids::{NhsNumber, OdsCode, RecordId},
    v1::{AuditKind, AuditLeaf, Category, Op, WithheldReason, audit_leaf::Event},
};

use super::{
    desk::AuditDesk,
    entries::{Found, Search, SeenEntry},
    received::{Asked, MAX_BLOCKS},
    token::Place,
};
use crate::{consent::GrantId, sharing::ActError};
/// Stretches of streams looked at for one answer.
const MAX_STRETCHES: usize = 256;

/// Versions in one answer, about.
pub(super) const MAX_HANDED: usize = 1_000;

/// Seqs of a source's stream read at once for one entry.
const SEQS_AT_ONCE: u64 = 1_000;

/// Entries looked at for one stretch.
pub(super) const MAX_ENTRIES_OF_STRETCH: u32 = 20_000;

/// One version of a record and what an entry says of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HandedOver {
    /// Whose record.
    pub source: OdsCode,
    /// To whom.
    pub recipient: OdsCode,
    /// The number that it stood under.
    pub patient: NhsNumber,
    /// Which record.
    pub record: RecordId,
    /// Which version.
    pub seq: u64,
    /// What it does; `Remove` where only the record's id went.
    pub op: Op,
    /// Its category.
    pub category: Category,
    /// What the entry says.
    pub kind: AuditKind,
    /// With [`AuditKind::Withheld`]: why.
    pub withheld: WithheldReason,
    /// When it was entered.
    pub at: i64,
    /// The entry.
    pub entry: u64,
    /// Under which grant.
    pub grant: GrantId,
    /// In which reconcile job; 0: live.
    pub job: u64,
}

/// A version of a patient's record in its source's stream.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Version {
    pub(super) patient: NhsNumber,
    pub(super) record: RecordId,
    pub(super) seq: u64,
    pub(super) op: Op,
    pub(super) category: Category,
    pub(super) subject: Subject,
}

/// What an entry says of some seqs.
pub(super) struct Said {
    entry: u64,
    at: i64,
    recipient: OdsCode,
    grant: GrantId,
    job: u64,
    kind: AuditKind,
    withheld: WithheldReason,
    /// Only the record's id went.
    pub(super) removals: bool,
    pub(super) runs: Runs,
}

impl Said {
    pub(super) fn of(&self, source: OdsCode, version: Version) -> HandedOver {
        HandedOver {
            source,
            recipient: self.recipient,
            patient: version.patient,
            record: version.record,
            seq: version.seq,
            op: if self.removals { Op::Remove } else { version.op },
            category: version.category,
            kind: self.kind,
            withheld: self.withheld,
            at: self.at,
            entry: self.entry,
            grant: self.grant,
            job: self.job,
        }
    }
}

impl AuditDesk {
    /// One page of what was handed over of a patient's records to or from the reader's unit; where to go on.
    pub(super) async fn handed_page(
        &self,
        own: OdsCode,
        patient: NhsNumber,
        (from, mut after): (OdsCode, u64),
        search: &Search,
        found: &mut Found,
    ) -> Result<Option<Place>, ActError> {
        self.ctx.audit.index().caught_up().await?;
        let numbers = self.numbers_of(own, patient).await?;
        let mut blocks = MAX_BLOCKS;
        for source in self.sources().await?.into_iter().filter(|source| *source >= from) {
            if source != from {
                after = 0;
            }
            let next = if source == own {
                self.own_page(own, &numbers, after, search, found).await?
            } else {
                let asked = Asked {
                    source,
                    own,
                    numbers: &numbers,
                };
                self.received_page(asked, after, &mut blocks, search, found)
                    .await?
            };
            if let Some(after) = next {
                return Ok(Some(Place::Handed(source, after)));
            }
        }
        Ok(None)
    }

    /// Adds what the reader's own unit handed over beyond a seq; where to go on, if that was not all.
    async fn own_page(
        &self,
        own: OdsCode,
        numbers: &[NhsNumber],
        mut after: u64,
        search: &Search,
        found: &mut Found,
    ) -> Result<Option<u64>, ActError> {
        self.ctx.projected.all_of(own).await?;
        let mut stretches = 0;
        while let Some(stretch) = self.stretch_of(own, numbers, after).await? {
            if stretches >= MAX_STRETCHES || found.handed_over.len() >= MAX_HANDED {
                return Ok(Some(after));
            }
            stretches += 1;
            let (handed, cut_off) = self.handed_of_stretch(own, numbers, stretch, after).await?;
            found.cut_off |= cut_off;
            found
                .handed_over
                .extend(handed.into_iter().filter(|h| search.asks_for(h)));
            after = stretch.1;
        }
        Ok(None)
    }

    /// Versions that an entry says something of, whosever they are, by seq from beyond `after` on; and the seq to go
    /// on beyond, where there may be more. To another unit than the source no removals: the wire named a record, and
    /// not what its source says of it.
    pub(super) async fn handed_of_entry(
        &self,
        own: OdsCode,
        entry: &SeenEntry,
        after: u64,
    ) -> Result<(Vec<HandedOver>, Option<u64>), ActError> {
        let mut handed = Vec::new();
        let is_own = entry.leaf.source == own.as_str();
        let said = say(entry.index, &entry.leaf).filter(|said| is_own || !said.removals);
        let said: Vec<Said> = said.collect();
        let (Ok(source), false) = (entry.leaf.source.parse::<OdsCode>(), said.is_empty()) else {
            return Ok((handed, None));
        };
        let heads = self.ctx.store.heads().await?;
        let head = heads.iter().find(|(of, _)| *of == source);
        let head = head.map_or(0, |(_, head)| head.seq);
        let mut runs: Vec<(u64, u64, &Said)> = Vec::new();
        for said in &said {
            let of = said
                .runs
                .iter()
                .map(|(first, last)| (first, last.min(head), said));
            runs.extend(of.filter(|(_, last, _)| *last > after));
        }
        runs.sort_by_key(|(first, ..)| *first);
        for (first, last, said) in runs {
            let mut from = first.max(after + 1);
            while from <= last {
                if handed.len() >= MAX_HANDED {
                    return Ok((handed, Some(from - 1)));
                }
                let upto = last.min(from.saturating_add(SEQS_AT_ONCE - 1));
                let versions = self.versions(source, None, (from, upto), 0).await?;
                handed.extend(versions.into_iter().map(|version| said.of(source, version)));
                from = upto + 1;
            }
        }
        Ok((handed, None))
    }

    /// The next stretch of a source's stream beyond `after` that holds amendments of one of these numbers.
    pub(super) async fn stretch_of(
        &self,
        source: OdsCode,
        numbers: &[NhsNumber],
        after: u64,
    ) -> Result<Option<(u64, u64)>, ActError> {
        let mut next: Option<(u64, u64)> = None;
        for number in numbers {
            let found = self.ctx.store.seqs_of_patient(source, *number, after, 1).await?;
            next = next.into_iter().chain(found).min();
        }
        Ok(next)
    }

    /// What the entries say of a patient's versions in a stretch of the reader's own stream beyond `after`, and
    /// whether there are more entries than are looked at.
    pub(super) async fn handed_of_stretch(
        &self,
        own: OdsCode,
        numbers: &[NhsNumber],
        stretch: (u64, u64),
        after: u64,
    ) -> Result<(Vec<HandedOver>, bool), ActError> {
        let versions = self.versions(own, Some(numbers), stretch, after).await?;
        if versions.is_empty() {
            return Ok((Vec::new(), false));
        }
        let (said, cut_off) = self.said_of(own, None, stretch).await?;
        let mut handed = Vec::new();
        for version in &versions {
            let of = said.iter().filter(|said| said.runs.contains(version.seq));
            handed.extend(of.map(|said| said.of(own, version.clone())));
        }
        Ok((handed, cut_off))
    }

    /// The versions of a patient's records (`None`: of everyone's) in a stretch beyond `after`, by seq.
    pub(super) async fn versions(
        &self,
        source: OdsCode,
        numbers: Option<&[NhsNumber]>,
        (first, last): (u64, u64),
        after: u64,
    ) -> Result<Vec<Version>, ActError> {
        let mut versions = Vec::new();
        let mut at = first.max(after + 1) - 1;
        while at < last {
            let rows = self.ctx.store.read_log(source, at, 0).await?;
            let Some(row) = rows.into_iter().next() else { break };
            let batch = row.into_batch()?;
            versions.extend(of_batch(&batch, numbers, (at + 1, last)));
            at = batch.last_seq();
        }
        Ok(versions)
    }

    /// What entries say of a stretch, to one recipient or to anyone, and whether there are more entries than are looked
    /// at.
    pub(super) async fn said_of(
        &self,
        source: OdsCode,
        recipient: Option<OdsCode>,
        stretch: (u64, u64),
    ) -> Result<(Vec<Said>, bool), ActError> {
        let store = &self.ctx.store;
        let indexes = store
            .entries_of_seqs(source, recipient, stretch, MAX_ENTRIES_OF_STRETCH)
            .await?;
        let cut_off = indexes.len() >= MAX_ENTRIES_OF_STRETCH as usize;
        let mut said = Vec::new();
        for row in store.audit_entries_at(&indexes).await? {
            // One that cannot be read is for the check of the log to say.
            let Ok(leaf) = decode_leaf(&row.entry.leaf) else {
                continue;
            };
            // What was withheld is for the source alone; an entry about it names no recipient.
            said.extend(
                say(row.index, &leaf).filter(|s| recipient.is_none() || s.kind != AuditKind::Withheld),
            );
        }
        Ok((said, cut_off))
    }
}

fn of_batch<'b>(
    batch: &'b Batch,
    numbers: Option<&'b [NhsNumber]>,
    (first, last): (u64, u64),
) -> impl Iterator<Item = Version> + 'b {
    let entries = batch
        .entries()
        .filter(move |e| e.seq >= first && e.seq <= last && e.op != Op::Statement);
    entries.filter_map(move |entry| {
        let subject = entry
            .subject
            .filter(|subject| numbers.is_none_or(|numbers| numbers.contains(&subject.patient)))?;
        Some(Version {
            patient: subject.patient,
            record: entry.record.clone(),
            seq: entry.seq,
            op: entry.op,
            category: subject.category,
            subject,
        })
    })
}

/// What a leaf says of seqs.
fn say(entry: u64, leaf: &AuditLeaf) -> impl Iterator<Item = Said> {
    let mut said = Vec::new();
    let job = match &leaf.event {
        Some(Event::Disclosed(event)) => event.job,
        Some(Event::PerhapsDisclosed(event)) => event.job,
        Some(Event::Withheld(event)) => event.job,
        _ => 0,
    };
    let mut add = |recipient: &str, grant, kind, withheld, removals, runs: &[u64]| {
        let (Ok(recipient), Ok(runs)) = (recipient.parse(), Runs::from_wire(runs)) else {
            return;
        };
        said.push(Said {
            entry,
            at: leaf.at,
            recipient,
            grant: GrantId(grant),
            job,
            kind,
            withheld,
            removals,
            runs,
        });
    };
    let none = WithheldReason::Unspecified;
    match &leaf.event {
        Some(Event::Disclosed(event)) => {
            let kind = AuditKind::Disclosed;
            add(&leaf.recipient, event.grant, kind, none, false, &event.runs);
            add(&leaf.recipient, event.grant, kind, none, true, &event.removals);
        }
        Some(Event::PerhapsDisclosed(event)) => {
            add(
                &leaf.recipient,
                event.grant,
                AuditKind::PerhapsDisclosed,
                none,
                false,
                &event.runs,
            );
        }
        Some(Event::Withheld(event)) => {
            for withheld in &event.withheld {
                let (reason, runs) = (withheld.reason(), &withheld.runs);
                add(
                    &event.recipient,
                    event.grant,
                    AuditKind::Withheld,
                    reason,
                    false,
                    runs,
                );
            }
        }
        _ => {}
    }
    said.into_iter()
}

/// Of handed-over versions each entry's, in order.
pub(super) fn by_entry(handed: Vec<HandedOver>) -> BTreeMap<u64, Vec<HandedOver>> {
    let mut by_entry: BTreeMap<u64, Vec<HandedOver>> = BTreeMap::new();
    for one in handed {
        by_entry.entry(one.entry).or_default().push(one);
    }
    by_entry
}
