//! What the audit log's acts give, as it travels.

use handfast_proto::{
    merkle::TreeHash,
    v1::{self, AuditEntry, RecordStanding},
};

use crate::sharing::{
    Explained, ExplainedRecord, ExportedEntry, Found, HandedOver, PatientReport, ReportedEvent,
    ReportedSending, ReportedView, SeenEntry, Standing,
};

/// Why the recipient's people see no more.
const RECEIVED_ONLY: &str = "What was not sent is for the source's people alone: shown is what was received.";

/// Why older ends and withdrawals may be missing.
const NOT_ALL_ENDS: &str =
    "There are more ends and withdrawals than one answer looks at: the oldest are not shown.";

pub(super) fn found(found: Found) -> v1::SearchAuditResponse {
    v1::SearchAuditResponse {
        entries: found.entries.into_iter().map(entry).collect(),
        handed_over: found.handed_over.into_iter().map(handed_over).collect(),
        next: found.next,
    }
}

pub(super) fn entry(seen: SeenEntry) -> AuditEntry {
    AuditEntry {
        index: seen.index,
        leaf: Some(seen.leaf),
        values: seen.values,
    }
}

pub(super) fn handed_over(handed: HandedOver) -> v1::HandedOver {
    v1::HandedOver {
        source: handed.source.to_string(),
        recipient: handed.recipient.to_string(),
        patient: handed.patient.reveal(),
        record: handed.record.to_string(),
        seq: handed.seq,
        op: handed.op.into(),
        category: handed.category.into(),
        kind: handed.kind.into(),
        at: handed.at,
        entry: handed.entry,
        grant: handed.grant.0,
        withheld: handed.withheld.into(),
    }
}

pub(super) fn explained(explained: Explained) -> v1::ExplainResponse {
    let told = [
        (explained.received_only, RECEIVED_ONLY),
        (!explained.all_ends, NOT_ALL_ENDS),
    ];
    let not_told: Vec<&str> = told.iter().filter(|(not, _)| *not).map(|(_, why)| *why).collect();
    v1::ExplainResponse {
        records: explained.records.into_iter().map(record).collect(),
        next: explained.next,
        not_told: not_told.join(" "),
    }
}

fn record(record: ExplainedRecord) -> v1::ExplainedRecord {
    let standing = match record.standing {
        Standing::Forwarded => RecordStanding::Forwarded,
        Standing::Withdrawn => RecordStanding::Withdrawn,
        Standing::Withheld => RecordStanding::Withheld,
        Standing::Due => RecordStanding::Due,
    };
    let events = record.events.into_iter().map(|event| v1::RecordEvent {
        kind: event.kind.into(),
        at: event.at,
        entry: event.entry,
        seq: event.seq,
        withheld: event.withheld.into(),
        removal: event.removal,
    });
    v1::ExplainedRecord {
        record: record.record.to_string(),
        patient: record.patient.reveal(),
        seq: record.seq,
        category: record.category.into(),
        standing: standing.into(),
        withheld: record.withheld.into(),
        events: events.collect(),
        retracted: record.retracted,
    }
}

pub(super) fn report(report: PatientReport) -> v1::PatientReportResponse {
    let name = |code: &str| {
        let unit = code.parse().ok();
        unit.and_then(|unit| report.names.get(&unit).cloned())
            .unwrap_or_default()
    };
    let sending = |sending: ReportedSending| v1::ReportedSending {
        source: sending.source.to_string(),
        source_name: name(sending.source.as_str()),
        recipient: sending.recipient.to_string(),
        recipient_name: name(sending.recipient.as_str()),
        from: sending.from,
        to: sending.to,
        perhaps: sending.perhaps,
        categories: sending
            .categories
            .into_iter()
            .map(|(category, records)| v1::ReportedCategory {
                category: category.into(),
                records,
            })
            .collect(),
    };
    let view = |view: ReportedView| v1::ReportedView {
        unit_name: name(&view.unit),
        unit: view.unit,
        person: view.person,
        permission: view.permission,
        reason: view.reason,
        source_name: name(&view.source),
        source: view.source,
        at: view.at,
    };
    let event = |event: ReportedEvent| v1::ReportedEvent {
        source_name: name(&event.entry.leaf.source),
        recipient_name: name(&event.entry.leaf.recipient),
        unit_name: name(&event.entry.leaf.unit),
        entry: Some(entry(event.entry)),
    };
    v1::PatientReportResponse {
        patient: report.patient.reveal(),
        unit: report.unit.to_string(),
        unit_name: name(report.unit.as_str()),
        made_at: report.made_at,
        sendings: report.sendings.into_iter().map(sending).collect(),
        views: report.views.into_iter().map(view).collect(),
        events: report.events.into_iter().map(event).collect(),
        complete: report.complete,
    }
}

pub(super) fn exported(entries: Vec<ExportedEntry>) -> v1::ExportAuditResponse {
    let each = entries.into_iter().map(|exported| v1::ExportedEntry {
        entry: Some(entry(exported.entry)),
        handed_over: exported.handed_over.into_iter().map(handed_over).collect(),
        emergency: exported.emergency,
    });
    v1::ExportAuditResponse {
        data: bytes::Bytes::new(),
        entries: each.collect(),
    }
}

pub(super) fn hashes(hashes: &[TreeHash]) -> Vec<bytes::Bytes> {
    hashes
        .iter()
        .map(|hash| hash.as_bytes().to_vec().into())
        .collect()
}
