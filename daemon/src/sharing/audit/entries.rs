//! Searching: entries as their reader may know them, and with a patient what was handed over of their records.

use handfast_proto::{
    audit::decode_leaf,
    ids::{NhsNumber, OdsCode},
    v1::{AuditKind, AuditLeaf, AuditPersonal, AuditValue},
};
use prost::Message as _;

use super::{desk::AuditDesk, handed::HandedOver, token::Place};
use crate::{
    audit::{FOR_EVERYONE, Reader, Sight, shown},
    sharing::{ActError, Caller},
    store::{EntryQuery, EntryRow, StoreError},
};

/// Entries in one answer.
pub(super) const MAX_ENTRIES: u32 = 200;

/// Bytes of entries in one answer, about.
const MAX_ANSWER_BYTES: usize = 1024 * 1024;

/// Entries looked at for one answer: where fewer of them fit, the answer says where to go on.
const MAX_LOOKED_AT: u32 = 2_000;

/// What is searched for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Search {
    /// Why.
    pub reason: String,
    /// Whose entries.
    pub patient: Option<NhsNumber>,
    /// Only what concerns this unit.
    pub unit: Option<OdsCode>,
    /// Only these kinds; empty: all.
    pub kinds: Vec<AuditKind>,
    /// From this moment on, and before that one (0: without an end).
    pub from: i64,
    /// See there.
    pub to: i64,
    /// At most so many entries; 0: as many as an answer holds.
    pub limit: u32,
    /// Where the answer before ended.
    pub after: String,
}

/// An entry as its reader may know it.
#[derive(Clone, PartialEq, Debug)]
pub struct SeenEntry {
    /// Its place, from 0.
    pub index: u64,
    /// The leaf.
    pub leaf: AuditLeaf,
    /// What identifies persons, as far as it is for the reader.
    pub values: Vec<AuditValue>,
}

/// What was found.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Found {
    /// The newest first.
    pub entries: Vec<SeenEntry>,
    /// By source and seq.
    pub handed_over: Vec<HandedOver>,
    /// Where to go on; empty: that was all.
    pub next: String,
    /// Whether more entries speak of one stretch of a stream than one answer looks at.
    pub cut_off: bool,
}

impl Search {
    /// Whether it asks for something that was handed over.
    pub(super) fn asks_for(&self, handed: &HandedOver) -> bool {
        let kind = self.kinds.is_empty() || self.kinds.contains(&handed.kind);
        kind && handed.at >= self.from && handed.at < end_of(self.to)
    }
}

/// The part of an entry that a reader sees; `None` where that is nothing.
pub(super) fn seen_by(reader: Reader, row: &EntryRow) -> Result<Option<SeenEntry>, StoreError> {
    let unreadable = |what| StoreError::Corrupt(format!("audit entry {}: {what}", row.index));
    let leaf = decode_leaf(&row.entry.leaf).map_err(|error| unreadable(error.to_string()))?;
    let sight = reader.sight(&leaf);
    if sight == Sight::Sealed {
        return Ok(None);
    }
    let personal = AuditPersonal::decode(row.entry.personal.clone());
    let personal = personal.map_err(|error| unreadable(error.to_string()))?;
    let (values, _hidden) = shown(sight, personal.values);
    Ok(Some(SeenEntry {
        index: row.index,
        leaf,
        values,
    }))
}

impl AuditDesk {
    /// Searches the log.
    pub async fn search(&self, caller: &Caller, search: Search) -> Result<Found, ActError> {
        let reader = Self::reader(caller)?;
        let unit = match (reader, search.unit, search.patient) {
            (Reader::Unit(own), asked, _) if asked.is_none_or(|asked| asked == own) => Some(own),
            (Reader::Operator, asked, None) => asked,
            _ => return Err(ActError::Denied),
        };
        let place: Place = search.after.parse()?;
        let asked = asked(&search);
        self.enter_reading(caller, "Search", &asked, search.patient, &search.reason)
            .await?;
        let mut found = Found::default();
        let mut place = Some(place);
        if let Some(Place::Entries(before)) = place {
            place = self.entries(reader, unit, &search, before, &mut found).await?;
        }
        if let (Some(Place::Handed(source, after)), Some(patient), Reader::Unit(own)) =
            (place, search.patient, reader)
        {
            place = self
                .handed_page(own, patient, (source, after), &search, &mut found)
                .await?;
        }
        found.next = place.map(|place| place.to_string()).unwrap_or_default();
        Ok(found)
    }

    /// One page of entries; where to go on.
    async fn entries(
        &self,
        reader: Reader,
        unit: Option<OdsCode>,
        search: &Search,
        before: u64,
        found: &mut Found,
    ) -> Result<Option<Place>, ActError> {
        let limit = match search.limit {
            0 => MAX_ENTRIES,
            some => some.min(MAX_ENTRIES),
        };
        let rows = match (search.patient, reader) {
            (Some(patient), Reader::Unit(own)) => self.rows_of_patient(own, patient, before).await?,
            _ => self.rows_of_unit(unit, search, before).await?,
        };
        let last = rows.last().map(|row| row.index);
        let more = rows.len() >= MAX_LOOKED_AT as usize;
        let mut bytes = 0;
        for row in rows {
            if found.entries.len() >= limit as usize || bytes >= MAX_ANSWER_BYTES {
                return Ok(Some(Place::Entries(row.index + 1)));
            }
            let fits = matches_search(&row, search);
            if fits && let Some(entry) = seen_by(reader, &row)? {
                bytes += row.entry.leaf.len() + row.entry.personal.len();
                found.entries.push(entry);
            }
        }
        if more && let Some(last) = last {
            return Ok(Some(Place::Entries(last)));
        }
        let first = self.first_source(reader, search).await?;
        Ok(first.map(|source| Place::Handed(source, 0)))
    }

    /// The newest entries that concern a unit, and beside them those that are for everyone.
    async fn rows_of_unit(
        &self,
        unit: Option<OdsCode>,
        search: &Search,
        before: u64,
    ) -> Result<Vec<EntryRow>, ActError> {
        self.ctx.audit.index().caught_up().await?;
        let mut query = EntryQuery {
            unit,
            other: None,
            kinds: search.kinds.clone(),
            from: search.from,
            to: end_of(search.to),
            before,
            limit: MAX_LOOKED_AT,
        };
        let mut indexes = self.ctx.store.find_entries(&query).await?;
        query.kinds = for_everyone(&search.kinds);
        if unit.is_some() && !query.kinds.is_empty() {
            query.unit = None;
            indexes.extend(self.ctx.store.find_entries(&query).await?);
            indexes.sort_unstable_by_key(|index| std::cmp::Reverse(*index));
            indexes.dedup();
            indexes.truncate(MAX_LOOKED_AT as usize);
        }
        let mut rows = self.ctx.store.audit_entries_at(&indexes).await?;
        rows.reverse();
        Ok(rows)
    }

    /// Entries about a patient under any of their numbers, the newest first.
    pub(super) async fn rows_of_patient(
        &self,
        own: OdsCode,
        patient: NhsNumber,
        before: u64,
    ) -> Result<Vec<EntryRow>, ActError> {
        let mut rows = Vec::new();
        for number in self.numbers_of(own, patient).await? {
            let of = self
                .ctx
                .store
                .entries_of_patient(number, before, MAX_LOOKED_AT)
                .await?;
            rows.extend(of);
        }
        rows.sort_unstable_by_key(|row| std::cmp::Reverse(row.index));
        rows.truncate(MAX_LOOKED_AT as usize);
        Ok(rows)
    }
}

/// Of the kinds that are asked for (none: of all) those of which entries may be for everyone.
fn for_everyone(asked: &[AuditKind]) -> Vec<AuditKind> {
    let all = FOR_EVERYONE.into_iter();
    all.filter(|kind| asked.is_empty() || asked.contains(kind))
        .collect()
}

fn matches_search(row: &EntryRow, search: &Search) -> bool {
    let kind = search.kinds.is_empty() || search.kinds.contains(&row.entry.kind);
    kind && row.entry.at >= search.from && row.entry.at < end_of(search.to)
}

pub(super) fn end_of(to: i64) -> i64 {
    if to == 0 { i64::MAX } else { to }
}

/// What was asked for beside the patient, for the entry about it.
fn asked(search: &Search) -> String {
    let mut parts = Vec::new();
    parts.extend(search.unit.map(|unit| format!("unit {unit}")));
    parts.extend(search.kinds.iter().map(|kind| kind.as_str_name().to_owned()));
    if search.from != 0 || search.to != 0 {
        parts.push(format!("from {} to {}", search.from, search.to));
    }
    if !search.after.is_empty() {
        parts.push(format!("after {}", search.after));
    }
    parts.join(", ")
}
