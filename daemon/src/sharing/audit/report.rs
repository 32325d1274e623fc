//! What a patient is to be told by a unit: to whom its records of them were sent and from whom it received,
//! who is reported to have viewed them, and what else the log has of them. In plain facts; the words are the
//! reader's tool's.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use handfast_proto::{
    ids::{NhsNumber, OdsCode},
    v1::{AuditField, AuditKind, Category, Op, audit_leaf::Event},
};
use jiff::civil::Date;

use super::{
    desk::AuditDesk,
    entries::{Search, SeenEntry, end_of, seen_by},
    handed::HandedOver,
};
use crate::{
    audit::Reader,
    sharing::{ActError, Caller},
};

/// Entries about the patient in one report.
const MAX_EVENTS: usize = 2_000;

/// What one unit sent another on one day of the deployment's zone.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ReportedSending {
    /// From whom.
    pub source: OdsCode,
    /// To whom.
    pub recipient: OdsCode,
    /// The first and the last moment.
    pub from: i64,
    /// See there.
    pub to: i64,
    /// Whether it is not known that it arrived.
    pub perhaps: bool,
    /// How many records of each category.
    pub categories: Vec<(Category, u64)>,
}

/// A view that a unit reported.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ReportedView {
    /// Which unit.
    pub unit: String,
    /// Who, by which permission and why, as far as it is for the reader.
    pub person: String,
    /// See there.
    pub permission: String,
    /// See there.
    pub reason: String,
    /// Whose records; may be empty.
    pub source: String,
    /// When.
    pub at: i64,
}

/// Anything else.
#[derive(Clone, PartialEq, Debug)]
pub struct ReportedEvent {
    /// The entry.
    pub entry: SeenEntry,
}

/// A report.
#[derive(Clone, PartialEq, Debug)]
pub struct PatientReport {
    /// Whose.
    pub patient: NhsNumber,
    /// By which unit.
    pub unit: OdsCode,
    /// When it was made.
    pub made_at: i64,
    /// By day, source and recipient.
    pub sendings: Vec<ReportedSending>,
    /// The newest first.
    pub views: Vec<ReportedView>,
    /// The newest first.
    pub events: Vec<ReportedEvent>,
    /// Whether that is all.
    pub complete: bool,
    /// How units are called.
    pub names: HashMap<OdsCode, String>,
}

/// Day, source, recipient, and whether it is not known to have arrived.
type Sending = (Date, OdsCode, OdsCode, bool);

#[derive(Default)]
struct Sent {
    from: i64,
    to: i64,
    records: BTreeMap<u32, BTreeSet<String>>,
}

impl AuditDesk {
    /// What the reader's unit has to tell a patient of a time (`to` 0: up to now).
    pub async fn patient_report(
        &self,
        caller: &Caller,
        patient: NhsNumber,
        (from, to): (i64, i64),
        reason: &str,
    ) -> Result<PatientReport, ActError> {
        let own = Self::reader_of_patients(caller)?;
        let asked = format!("from {from} to {to}");
        self.enter_reading(caller, "PatientReport", &asked, Some(patient), reason)
            .await?;
        let search = Search {
            reason: String::new(),
            patient: Some(patient),
            unit: None,
            kinds: vec![AuditKind::Disclosed, AuditKind::PerhapsDisclosed],
            from,
            to,
            limit: 0,
            after: String::new(),
        };
        let (handed, mut complete) = self.all_handed(own, patient, &search).await?;
        let (mut views, mut events) = (Vec::new(), Vec::new());
        let mut before = u64::MAX;
        loop {
            let rows = self.rows_of_patient(own, patient, before).await?;
            let Some(last) = rows.last() else { break };
            before = last.index;
            for row in rows
                .iter()
                .filter(|r| r.entry.at >= from && r.entry.at < end_of(to))
            {
                let Some(entry) = seen_by(Reader::Unit(own), row)? else {
                    continue;
                };
                match &entry.leaf.event {
                    Some(Event::Viewed(event)) => views.push(view(&entry, event.viewed_at)),
                    // That somebody read the log is not the patient's record.
                    Some(Event::AuditRead(_)) => {}
                    _ => events.push(ReportedEvent { entry }),
                }
            }
            if views.len() + events.len() > MAX_EVENTS {
                complete = false;
                break;
            }
        }
        let units = self.ctx.store.units(self.ctx.clock.now_ms()).await?;
        Ok(PatientReport {
            patient,
            unit: own,
            made_at: self.ctx.clock.now_ms(),
            sendings: self.sendings(&handed),
            views,
            events,
            complete,
            names: units.into_iter().map(|unit| (unit.ods, unit.name)).collect(),
        })
    }

    fn sendings(&self, handed: &[HandedOver]) -> Vec<ReportedSending> {
        let mut sent: BTreeMap<Sending, Sent> = BTreeMap::new();
        let version = |h: &HandedOver| (h.source, h.recipient, h.seq);
        let arrived = handed.iter().filter(|h| h.kind == AuditKind::Disclosed);
        let arrived: BTreeSet<_> = arrived.map(version).collect();
        // A removal by the record's id tells its recipient nothing of the patient.
        for one in handed.iter().filter(|h| h.op != Op::Remove) {
            let perhaps = one.kind == AuditKind::PerhapsDisclosed;
            // An end and its doubt are entered at once, and a receipt behind them.
            if perhaps && arrived.contains(&version(one)) {
                continue;
            }
            let key = (self.ctx.days.today(one.at), one.source, one.recipient, perhaps);
            let of = sent.entry(key).or_insert_with(|| Sent {
                from: one.at,
                to: one.at,
                ..Sent::default()
            });
            of.from = of.from.min(one.at);
            of.to = of.to.max(one.at);
            let records = of.records.entry(one.category as u32).or_default();
            records.insert(one.record.to_string());
        }
        let each = sent.into_iter().map(|((_, source, recipient, perhaps), of)| {
            let categories = of.records.iter().filter_map(|(category, records)| {
                let category = Category::try_from(i32::try_from(*category).ok()?).ok()?;
                Some((category, records.len() as u64))
            });
            ReportedSending {
                source,
                recipient,
                from: of.from,
                to: of.to,
                perhaps,
                categories: categories.collect(),
            }
        });
        each.collect()
    }
}

fn view(entry: &SeenEntry, at: i64) -> ReportedView {
    let value = |field: AuditField| {
        let value = entry.values.iter().find(|value| value.field() == field);
        value.map(|value| value.value.clone()).unwrap_or_default()
    };
    ReportedView {
        unit: entry.leaf.recipient.clone(),
        person: value(AuditField::Viewer),
        permission: value(AuditField::Permission),
        reason: value(AuditField::Reason),
        source: entry.leaf.source.clone(),
        at,
    }
}
