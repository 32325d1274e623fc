//! `audit explain`.

use handfast_proto::v1::{
    AuditKind, ExplainRequest, ExplainedRecord, RecordEvent, RecordStanding, audit_client::AuditClient,
};
use serde_json::{Value, json};

use super::kinds::{kind_word, withheld_code, withheld_words};
use crate::ctl::{
    args::ExplainArgs,
    connection::Connection,
    error::{CtlError, Exit},
    numbers,
    out::Out,
    show::{moment, moment_json, table},
    terms,
};

pub(super) async fn explain(
    args: &ExplainArgs,
    connection: &Connection,
    out: &mut Out,
) -> Result<Exit, CtlError> {
    const WHAT: &str = "explain a patient's records";
    let mut client = AuditClient::new(connection.channel());
    let mut request = ExplainRequest {
        reason: args.reason.reason.clone(),
        patient: numbers::read_one(&args.numbers)?.reveal(),
        source: args.from.to_string(),
        recipient: args.to.to_string(),
        after: String::new(),
    };
    let mut records = Vec::new();
    let not_told = loop {
        let page = connection.call(WHAT, client.explain(request.clone())).await?;
        records.extend(page.records);
        if page.next.is_empty() {
            break page.not_told;
        }
        request.after = page.next;
    };
    out.answer(|| text(&records, &not_told), || as_json(&records, &not_told))?;
    Ok(Exit::Done)
}

fn text(records: &[ExplainedRecord], not_told: &str) -> String {
    let rows = records.iter().map(|r| {
        [
            r.record.clone(),
            terms::category(r.category.unsigned_abs()),
            standing(r),
            r.events.iter().map(event).collect::<Vec<String>>().join("\n"),
        ]
    });
    let header = ["record", "category", "stands", "what the log says"];
    let mut text = table(header, rows.collect(), "No record that you may know of.");
    if !not_told.is_empty() {
        text.push('\n');
        text.push_str(not_told);
    }
    text
}

fn standing(record: &ExplainedRecord) -> String {
    let stands = match record.standing() {
        RecordStanding::Forwarded => "forwarded",
        RecordStanding::Withdrawn => "withdrawn",
        RecordStanding::Withheld => "withheld",
        RecordStanding::Due => "on its way",
        RecordStanding::Unspecified => "not known",
    };
    match (withheld_words(record.withheld()), record.retracted) {
        ("", true) => format!("{stands} (retracted)"),
        ("", false) => stands.to_owned(),
        (why, _) => format!("{stands}: {why}"),
    }
}

fn event(event: &RecordEvent) -> String {
    let what = match event.kind() {
        AuditKind::Disclosed if event.removal => format!("removal at seq {} received", event.seq),
        AuditKind::Disclosed => format!("seq {} received", event.seq),
        AuditKind::PerhapsDisclosed => format!("seq {} perhaps received", event.seq),
        AuditKind::Withheld => format!("seq {} withheld: {}", event.seq, withheld_words(event.withheld())),
        AuditKind::GrantEnded => "the grant ended".to_owned(),
        AuditKind::EmergencyEnded => "the emergency access ended".to_owned(),
        AuditKind::Withdrawal => "a removal was due or carried out".to_owned(),
        other => kind_word(other),
    };
    format!("{} {what}", moment(event.at))
}

fn as_json(records: &[ExplainedRecord], not_told: &str) -> Value {
    let each = records.iter().map(|r| {
        let events = r.events.iter().map(|e| {
            json!({
                "kind": kind_word(e.kind()),
                "at": moment_json(e.at),
                "entry": e.entry,
                "seq": e.seq,
                "withheld": withheld_code(e.withheld()),
                "removal": e.removal,
            })
        });
        json!({
            "record": r.record,
            "patient": r.patient,
            "seq": r.seq,
            "category": terms::category(r.category.unsigned_abs()),
            "standing": r.standing().as_str_name().trim_start_matches("RECORD_STANDING_").to_ascii_lowercase(),
            "withheld": withheld_code(r.withheld()),
            "retracted": r.retracted,
            "events": events.collect::<Vec<Value>>(),
        })
    });
    json!({"records": each.collect::<Vec<Value>>(), "not_told": not_told})
}
