//! What one source sends, amendment by amendment. Only its plan, the seed and its number decide it.

use anyhow::ensure;
use bytes::{Bytes, BytesMut};
use handfast_proto::{
    amendment::{Amendment, Category, Confidentiality, Op, Subject, Text},
    ids::RecordId,
};

use super::{
    Patients,
    catalogue::{Catalogue, Kind},
    lives::Lives,
    stamp::Stamp,
    template::{ID, Values, write_id},
};
use crate::load::plan::{Data, Payload, SplitMix64, mix, scaled};

/// What the seed is drawn for.
const EVENTS: u64 = 2;
const RECORDS: u64 = 3;
/// Sources that a stamp has room for.
const MAX_SOURCES: u32 = 1 << 16;
/// 2026-01-05T08:00:00Z, when the first amendment was recorded, in milliseconds since 1970.
const FIRST_RECORDED_AT: i64 = 1_767_600_000_000;
/// Milliseconds from one to the next.
const RECORDED_EVERY: i64 = 40;
/// A label that keeps an entry from leaving (FHIR R4, "Security Labels").
const PRIVATE: &[u8] = b"{\"meta\":{\"security\":[{\"system\":\"http://terminology.hl7.org/CodeSystem/v3-Confidentiality\",\"code\":\"R\"}]},";

/// What an amendment is, for the record of who checks it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Meta {
    /// Its place in the source's stream, from 1.
    pub seq: u64,
    /// Which of the source's records, from 0, below `records_per_source`.
    pub record: u32,
    /// Which version of it, from 0; it rises with every amendment of it, a retraction too.
    pub version: u32,
    /// Whose record it is, a number for [`Patients::nhs`]. The same for every version of a record.
    pub patient: u32,
    /// `Create`, `Amend` or `Retract`.
    pub op: Op,
    /// Whether this version is not to leave; of a retraction, whether the version was that it ends.
    pub private: bool,
    /// What kind of entry. The same for every version of a record.
    pub category: Category,
}

/// A source's amendments, without end.
#[derive(Debug, Clone)]
pub struct Stream {
    source: u32,
    patients: u32,
    fixed: Option<u32>,
    catalogue: Catalogue,
    lives: Lives,
    random: SplitMix64,
    /// What the properties of its records are drawn from.
    key: u64,
    seq: u64,
    content_type: Text,
}

impl Stream {
    /// Of source number `source`.
    pub fn new(data: &Data, seed: u64, source: u32) -> anyhow::Result<Self> {
        data.check()?;
        ensure!(
            source < MAX_SOURCES,
            "source {source}: a stamp has room for {MAX_SOURCES}"
        );
        let (fixed, catalogue) = match data.payload {
            Payload::Spread => (None, Catalogue::spread()?),
            Payload::Fixed(bytes) => (Some(bytes), Catalogue::of_any_size()?),
        };
        Ok(Self {
            source,
            patients: data.patients,
            fixed,
            catalogue,
            lives: Lives::new(data.records_per_source, &data.mix),
            random: SplitMix64::of(seed, EVENTS, u64::from(source)),
            key: SplitMix64::of(seed, RECORDS, u64::from(source)).next_u64(),
            seq: 0,
            content_type: Text::new("application/fhir+json").unwrap_or_default(),
        })
    }

    /// The next amendment as the source's agent sends it: of what is private only the header.
    #[expect(clippy::should_implement_trait, reason = "it never ends, and it may fail")]
    pub fn next(&mut self) -> anyhow::Result<(Meta, Amendment)> {
        let (meta, was_private) = self.next_meta();
        let kind = self.kind(meta.record);
        let subject = |private| Subject {
            patient: Patients::nhs(meta.patient),
            category: meta.category,
            confidentiality: if private {
                Confidentiality::PRIVATE
            } else {
                Confidentiality::NORMAL
            },
        };
        let retracts = meta.op == Op::Retract;
        let header_only = meta.private || retracts;
        let amendment = Amendment {
            op: meta.op,
            record: record_id(kind, meta.record)?,
            subject: Some(subject(meta.private)),
            former: (meta.op == Op::Amend && was_private != meta.private).then(|| subject(was_private)),
            author: if header_only {
                Text::default()
            } else {
                kind.author.clone()
            },
            recorded_at: FIRST_RECORDED_AT + meta.seq as i64 * RECORDED_EVERY,
            content_type: if retracts {
                Text::default()
            } else {
                self.content_type.clone()
            },
            payload: if header_only {
                Bytes::new()
            } else {
                kind.template.make(&self.values(&meta), self.size(&meta, kind))
            },
        };
        Ok((meta, amendment))
    }

    /// The next amendment as the source's clinical system writes it for its agent: a resource, one of which is
    /// labelled where it is private and entered in error where it is retracted.
    pub fn next_resource(&mut self) -> (Meta, Bytes) {
        let (meta, _) = self.next_meta();
        let kind = self.kind(meta.record);
        let values = self.values(&meta);
        let bytes = self.size(&meta, kind);
        let resource = match (meta.op, meta.private) {
            (Op::Retract, _) => entered_in_error(kind, meta.record),
            (_, true) => kind.template.make_behind(PRIVATE, &values, bytes),
            (_, false) => kind.template.make(&values, bytes),
        };
        (meta, resource)
    }

    fn next_meta(&mut self) -> (Meta, bool) {
        let (catalogue, key) = (&self.catalogue, self.key);
        let is_patient = |record| {
            catalogue
                .kind(place(catalogue, key, self.patients, record))
                .is_patient()
        };
        let event = self.lives.next(&mut self.random, is_patient);
        self.seq += 1;
        let meta = Meta {
            seq: self.seq,
            record: event.record,
            version: event.version,
            patient: self.patient(event.record),
            op: event.op,
            private: event.private,
            category: self.kind(event.record).category,
        };
        (meta, event.was_private)
    }

    fn kind(&self, record: u32) -> &Kind {
        self.catalogue
            .kind(place(&self.catalogue, self.key, self.patients, record))
    }

    /// Of the patients a few have many records. A Patient is nobody else's.
    fn patient(&self, record: u32) -> u32 {
        if self.kind(record).is_patient() {
            return record;
        }
        let drawn = scaled(of_record(self.key, record, 1), u32::MAX);
        // The square of an even number: half of the records are about a quarter of the patients.
        let squared = (u64::from(drawn) * u64::from(drawn)) >> 32;
        scaled(squared << 32, self.patients)
    }

    fn size(&self, meta: &Meta, kind: &Kind) -> usize {
        let drawn = || kind.size(of_record(self.key, meta.record, 2));
        self.fixed.unwrap_or_else(drawn) as usize
    }

    fn values(&self, meta: &Meta) -> Values {
        let of_record = of_record(self.key, meta.record, 3);
        Values {
            stamp: Stamp {
                source: self.source,
                seq: meta.seq,
                record: meta.record,
                version: meta.version,
            },
            nhs: Patients::nhs(meta.patient),
            of_record,
            of_version: mix(of_record.wrapping_add(u64::from(meta.version))),
        }
    }
}

/// A random number of a record, another for each use.
#[inline]
fn of_record(key: u64, record: u32, usage: u64) -> u64 {
    mix(key ^ ((u64::from(record) << 3) | usage).wrapping_mul(0x9e37_79b9_7f4a_7c15))
}

/// The place of a record's kind. Records beyond the number of patients are no Patients: each patient has one.
fn place(catalogue: &Catalogue, key: u64, patients: u32, record: u32) -> usize {
    let drawn = catalogue.draw(of_record(key, record, 0));
    let second = record >= patients && catalogue.kind(drawn).is_patient();
    if second { catalogue.plain() } else { drawn }
}

fn record_id(kind: &Kind, record: u32) -> anyhow::Result<RecordId> {
    let mut id = [0; ID];
    write_id(&mut id, record);
    let mut name = BytesMut::with_capacity(kind.resource_type.len() + 1 + ID);
    name.extend_from_slice(kind.resource_type.as_bytes());
    name.extend_from_slice(b"/");
    name.extend_from_slice(&id);
    Ok(RecordId::from_bytes(name.freeze())?)
}

fn entered_in_error(kind: &Kind, record: u32) -> Bytes {
    let mut id = [0; ID];
    write_id(&mut id, record);
    let id = String::from_utf8_lossy(&id);
    let kind = &kind.resource_type;
    format!("{{\"resourceType\":\"{kind}\",\"id\":\"{id}\",\"status\":\"entered-in-error\"}}").into()
}
