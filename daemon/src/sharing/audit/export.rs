//! The log as a file, as far as its reader may know it, and its entries with the records that were handed over.
//!
//! A file holds every entry of the log; what is not for the reader stands in it as a hash, so that the tree over
//! the whole can be checked offline. Bounded in memory: one page of entries and of heads at a time.

use std::collections::VecDeque;

use futures::{Stream, stream};
use handfast_proto::{
    audit::{ExportWriter, decode_leaf},
    ids::{NhsNumber, OdsCode},
    merkle::SignedHead,
    v1::{AuditField, AuditKind, AuditPersonal, ExportBegin, ExportEntry, ExportScope},
};
use prost::Message as _;

use super::{
    desk::AuditDesk,
    entries::{Search, SeenEntry, end_of, seen_by},
    handed::{HandedOver, MAX_HANDED, by_entry},
    pages::in_pages,
};
use crate::{
    audit::{Reader, Sight, shown},
    sharing::{ActError, Caller, Context},
    store::{EntryQuery, EntryRow},
};

/// Bytes of entries read at once.
pub(super) const PAGE_BYTES: usize = 256 * 1024;

/// Heads read at once.
const PAGE_HEADS: u32 = 256;

/// Bytes of a file in one message, about.
const CHUNK_BYTES: usize = 128 * 1024;

/// What is to be exported.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Wanted {
    /// Why.
    pub reason: String,
    /// Only of this patient.
    pub patient: Option<NhsNumber>,
    /// From this moment on, and before that one (0: without an end).
    pub from: i64,
    /// See there.
    pub to: i64,
}

/// An entry with what it says was handed over; where that is much, with a part of it, and again with the next.
#[derive(Clone, PartialEq, Debug)]
pub struct ExportedEntry {
    /// The entry.
    pub entry: SeenEntry,
    /// The records.
    pub handed_over: Vec<HandedOver>,
    /// Of an entry that discloses: whether it does under an emergency access.
    pub emergency: bool,
}

impl AuditDesk {
    /// The log as a file, in pieces.
    pub async fn export_log(
        &self,
        caller: &Caller,
        reason: &str,
    ) -> Result<impl Stream<Item = Result<Vec<u8>, ActError>> + Send + use<>, ActError> {
        let reader = Self::reader(caller)?;
        self.enter_reading(caller, "Export", "the log", None, reason)
            .await?;
        let tree = self.ctx.audit.tree();
        let newest = tree
            .head_now()
            .await?
            .ok_or(ActError::Missing("head: the log is empty"))?;
        let begin = ExportBegin {
            trust_domain: tree.trust_domain().to_owned(),
            key_id: tree.public_key().id().as_bytes().to_vec().into(),
            size: newest.head.size,
            scope: match reader {
                Reader::Unit(_) => ExportScope::Unit,
                Reader::Operator => ExportScope::Operator,
            }
            .into(),
            unit: match reader {
                Reader::Unit(unit) => unit.to_string(),
                Reader::Operator => String::new(),
            },
            made_at: self.ctx.clock.now_ms(),
        };
        let (writer, first) = ExportWriter::begin(begin);
        let file = File {
            ctx: self.ctx.clone(),
            reader,
            size: newest.head.size,
            at: 0,
            heads: VecDeque::new(),
            heads_read: 0,
            writer: Some(writer),
            first: Some(first),
        };
        Ok(stream::try_unfold(file, File::next))
    }

    /// Entries of a time, the oldest first, each with what it says was handed over.
    pub async fn export_entries(
        &self,
        caller: &Caller,
        wanted: Wanted,
    ) -> Result<impl Stream<Item = Result<Vec<ExportedEntry>, ActError>> + Send + use<>, ActError> {
        let reader = Self::reader(caller)?;
        if wanted.patient.is_some() {
            Self::reader_of_patients(caller)?;
        }
        let asked = format!("entries from {} to {}", wanted.from, wanted.to);
        self.enter_reading(caller, "Export", &asked, wanted.patient, &wanted.reason)
            .await?;
        self.ctx.audit.index().caught_up().await?;
        let size = self.ctx.store.audit_size().await?;
        let of_patient = match (wanted.patient, reader) {
            (Some(patient), Reader::Unit(own)) => {
                Some(in_pages(self.of_patient(own, patient, &wanted).await?))
            }
            _ => None,
        };
        let state = (self.clone(), reader, wanted, Here::default(), size, of_patient);
        Ok(stream::try_unfold(
            state,
            |(desk, reader, wanted, at, size, mut of_patient)| async move {
                if let Some(pages) = &mut of_patient {
                    let page = pages.pop_front();
                    return Ok(page.map(|page| (page, (desk, reader, wanted, at, size, of_patient))));
                }
                if at.entry >= size {
                    return Ok(None);
                }
                let (page, next) = desk.page(reader, &wanted, at, size).await?;
                Ok(Some((page, (desk, reader, wanted, next, size, of_patient))))
            },
        ))
    }

    /// Everything about a patient, in order of entry.
    async fn of_patient(
        &self,
        own: OdsCode,
        patient: NhsNumber,
        wanted: &Wanted,
    ) -> Result<Vec<ExportedEntry>, ActError> {
        let reader = Reader::Unit(own);
        let search = Search {
            reason: String::new(),
            patient: Some(patient),
            unit: None,
            kinds: Vec::new(),
            from: wanted.from,
            to: wanted.to,
            limit: 0,
            after: String::new(),
        };
        let (handed, all) = self.all_handed(own, patient, &search).await?;
        if !all {
            return Err(ActError::Refused(
                "more was handed over of this patient than one export holds: give a shorter time",
            ));
        }
        let handed = by_entry(handed);
        let mut rows = Vec::new();
        let mut before = u64::MAX;
        loop {
            let some = self.rows_of_patient(own, patient, before).await?;
            let Some(last) = some.last() else { break };
            before = last.index;
            rows.extend(some);
        }
        let indexes: Vec<u64> = handed.keys().copied().collect();
        rows.extend(self.ctx.store.audit_entries_at(&indexes).await?);
        rows.sort_unstable_by_key(|row| row.index);
        rows.dedup_by_key(|row| row.index);
        let mut entries = Vec::new();
        for row in rows
            .iter()
            .filter(|row| row.entry.at >= wanted.from && row.entry.at < end_of(wanted.to))
        {
            let Some(entry) = seen_by(reader, row)? else {
                continue;
            };
            let handed_over = handed.get(&row.index).cloned().unwrap_or_default();
            entries.push(ExportedEntry {
                entry,
                handed_over,
                emergency: false,
            });
        }
        self.mark_emergencies(&mut entries).await?;
        Ok(entries)
    }

    /// One page of entries, and where the next begins.
    async fn page(
        &self,
        reader: Reader,
        wanted: &Wanted,
        at: Here,
        size: u64,
    ) -> Result<(Vec<ExportedEntry>, Here), ActError> {
        let (mut entries, next) = self.unmarked_page(reader, wanted, at, size).await?;
        self.mark_emergencies(&mut entries).await?;
        Ok((entries, next))
    }

    async fn unmarked_page(
        &self,
        reader: Reader,
        wanted: &Wanted,
        at: Here,
        size: u64,
    ) -> Result<(Vec<ExportedEntry>, Here), ActError> {
        let rows = self.ctx.store.audit_entries(at.entry, PAGE_BYTES).await?;
        let last = rows.last().map_or(size, |row| row.index + 1);
        let (mut entries, mut records) = (Vec::new(), 0);
        for row in rows
            .iter()
            .filter(|row| row.entry.at >= wanted.from && row.entry.at < end_of(wanted.to))
        {
            let Some(entry) = seen_by(reader, row)? else {
                continue;
            };
            let after = if row.index == at.entry { at.after } else { 0 };
            let discloses = matches!(row.entry.kind, AuditKind::Disclosed | AuditKind::PerhapsDisclosed);
            let (handed_over, more) = match reader {
                Reader::Unit(own) if discloses => self.handed_of_entry(own, &entry, after).await?,
                _ => (Vec::new(), None),
            };
            records += handed_over.len();
            entries.push(ExportedEntry {
                entry,
                handed_over,
                emergency: false,
            });
            if let Some(after) = more {
                let entry = row.index;
                return Ok((entries, Here { entry, after }));
            }
            if records >= MAX_HANDED {
                return Ok((entries, Here::at(row.index + 1)));
            }
        }
        Ok((entries, Here::at(last)))
    }
}

/// Where the next page begins: with an entry, beyond a seq of what it says.
#[derive(Clone, Copy, Default)]
struct Here {
    entry: u64,
    after: u64,
}

impl Here {
    fn at(entry: u64) -> Self {
        Self { entry, after: 0 }
    }
}

// === The file ===

struct File {
    ctx: Context,
    reader: Reader,
    size: u64,
    at: u64,
    heads: VecDeque<SignedHead>,
    heads_read: u64,
    writer: Option<ExportWriter>,
    first: Option<Vec<u8>>,
}

impl File {
    /// The next piece. Cancellation-safe: a file that is broken off is none.
    async fn next(mut self) -> Result<Option<(Vec<u8>, Self)>, ActError> {
        let Some(mut writer) = self.writer.take() else {
            return Ok(None);
        };
        let mut out = self.first.take().unwrap_or_default();
        while out.len() < CHUNK_BYTES {
            if self.at >= self.size {
                self.check_erasures().await?;
                out.extend(writer.end(self.ctx.audit.tree().key()));
                return Ok(Some((out, self)));
            }
            let rows = self.ctx.store.audit_entries(self.at, CHUNK_BYTES).await?;
            if rows.is_empty() {
                return Err(ActError::Failed("the audit log ends before its size".to_owned()));
            }
            let size = self.size;
            for row in rows.iter().take_while(|row| row.index < size) {
                out.extend(writer.entry(file_entry(self.reader, row)));
                self.at = row.index + 1;
                if let Some(head) = self.head_over(self.at).await? {
                    out.extend(writer.head(&head));
                }
            }
        }
        self.writer = Some(writer);
        Ok(Some((out, self)))
    }

    /// What was erased meanwhile is missing in the file, and the entry that says so lies behind it.
    async fn check_erasures(&self) -> Result<(), ActError> {
        self.ctx.audit.index().caught_up().await?;
        let query = EntryQuery {
            unit: None,
            other: None,
            kinds: vec![AuditKind::PersonalErased],
            from: 0,
            to: i64::MAX,
            before: u64::MAX,
            limit: 1,
        };
        let newest = self.ctx.store.find_entries(&query).await?;
        if newest.first().is_some_and(|index| *index >= self.size) {
            let why = "personal values were erased while the file was made: export it again";
            return Err(ActError::Unavailable(why.to_owned()));
        }
        Ok(())
    }

    /// The signed head over exactly so many entries, where there is one.
    async fn head_over(&mut self, size: u64) -> Result<Option<SignedHead>, ActError> {
        if self.heads.is_empty() && self.heads_read < self.size {
            let page = self.ctx.store.heads_over(self.heads_read, PAGE_HEADS).await?;
            self.heads_read = page.last().map_or(self.size, |head| head.head.size);
            self.heads.extend(page);
        }
        Ok(self.heads.pop_front_if(|head| head.head.size == size))
    }
}

/// An entry as it stands in a file. What cannot be read stands there as it is, so that checking the file names
/// it.
fn file_entry(reader: Reader, row: &EntryRow) -> ExportEntry {
    let hash = row.entry.hash.as_bytes().to_vec().into();
    let bare = |leaf| ExportEntry {
        hash,
        leaf,
        ..ExportEntry::default()
    };
    let Ok(leaf) = decode_leaf(&row.entry.leaf) else {
        return bare(row.entry.leaf.clone());
    };
    let sight = reader.sight(&leaf);
    if sight == Sight::Sealed {
        return bare(bytes::Bytes::new());
    }
    let personal = AuditPersonal::decode(row.entry.personal.clone()).unwrap_or_default();
    let here: Vec<i32> = personal.values.iter().map(|value| value.field).collect();
    let gone = leaf
        .reduced
        .iter()
        .map(|r| r.field)
        .filter(|field| !here.contains(field));
    let fields = |fields: Vec<AuditField>| fields.into_iter().map(i32::from).collect();
    let erased = gone.collect();
    let (values, withheld) = shown(sight, personal.values);
    ExportEntry {
        values,
        erased,
        withheld: fields(withheld),
        ..bare(row.entry.leaf.clone())
    }
}
