//! An entry in one line for a person, and whole for a program.

use handfast_proto::{
    audit::{Runs, kind_of},
    v1::{
        AlertEvent, AlertStep, AuditActorKind, AuditEntry, AuditField, AuditLeaf, AuditValue, DaemonChange,
        GrantEnd, HandedOver, PersonChange, Role, Side, UnitChange, WithdrawalEvent, WithdrawalStep,
        audit_leaf::Event,
    },
};
use serde_json::{Map, Value, json};

use super::kinds::{kind_word, withheld_code, withheld_words};
use crate::ctl::{
    show::{moment, moment_json},
    terms, words,
};

/// A personal value of an entry, where it is shown.
pub(super) fn value(values: &[AuditValue], field: AuditField) -> Option<&str> {
    values
        .iter()
        .find(|v| v.field() == field)
        .map(|v| v.value.as_str())
}

/// What happened to an alert. One that is raised has no number before the commit that enters it.
fn alert(leaf: &AuditLeaf, event: &AlertEvent) -> String {
    let number = if event.alert == 0 {
        String::new()
    } else {
        format!(" {}", event.alert)
    };
    let done = match event.step() {
        AlertStep::Raised => "was raised",
        AlertStep::Escalated => "was escalated",
        AlertStep::Reviewed => "was reviewed",
        AlertStep::Unspecified => "was changed",
    };
    format!("alert{number} at {} {done}", leaf.unit)
}

/// Time, who, what.
pub(super) fn row(entry: &AuditEntry) -> [String; 4] {
    let leaf = entry.leaf.clone().unwrap_or_default();
    [
        entry.index.to_string(),
        moment(leaf.at),
        who(&leaf, &entry.values),
        what(&leaf, &entry.values),
    ]
}

/// Who did it.
pub(super) fn who(leaf: &AuditLeaf, values: &[AuditValue]) -> String {
    let actor = leaf.actor.clone().unwrap_or_default();
    let person = value(values, AuditField::Actor);
    match (actor.kind(), person) {
        (AuditActorKind::Daemon, _) => "the daemon".to_owned(),
        (AuditActorKind::Agent, _) => format!("the agent of {}", actor.unit),
        (AuditActorKind::Host, _) => "the host".to_owned(),
        (AuditActorKind::Anonymous, _) => "nobody known".to_owned(),
        (AuditActorKind::Operator, Some(id)) => format!("operator {id}"),
        (AuditActorKind::Operator, None) => "an operator".to_owned(),
        (_, Some(id)) if actor.unit.is_empty() => id.to_owned(),
        (_, Some(id)) => format!("{id} of {}", actor.unit),
        (_, None) => format!("a person of {}", actor.unit),
    }
}

/// What happened.
pub(super) fn what(leaf: &AuditLeaf, values: &[AuditValue]) -> String {
    let pair = format!("{} → {}", leaf.source, leaf.recipient);
    let patient = value(values, AuditField::Patient).map_or("a patient", |number| number);
    let mut text = event_words(leaf, values, &pair, patient);
    if let Some(reason) = value(values, AuditField::Reason) {
        text.push_str(&format!(": {reason}"));
    }
    text
}

fn event_words(leaf: &AuditLeaf, values: &[AuditValue], pair: &str, patient: &str) -> String {
    let Some(event) = &leaf.event else {
        return "nothing that this program knows".to_owned();
    };
    consents(event, pair, patient, leaf)
        .or_else(|| delivery(event, pair, leaf))
        .or_else(|| emergencies(event, pair, patient, leaf))
        .or_else(|| members(event, values, leaf))
        .unwrap_or_else(|| the_log(event))
}

fn consents(event: &Event, pair: &str, patient: &str, leaf: &AuditLeaf) -> Option<String> {
    let on = |on: bool| if on { "on" } else { "off" };
    let text = match event {
        Event::HalfSet(e) => format!("turned {} of {pair} {}", side(e.side()), on(e.on)),
        Event::PolicySet(e) => format!("set the policy {}", e.policy),
        Event::PatientWord(e) => format!(
            "recorded at {}: {patient} said {} to {}",
            leaf.unit,
            terms::patient_word(e.word()),
            side(e.side())
        ),
        Event::NumbersJoined(_) => format!("said at {}: {patient} had another number before", leaf.unit),
        Event::Caseload(e) if e.on => format!("put {patient} on the caseload of {}", leaf.unit),
        Event::Caseload(_) => format!("took {patient} off the caseload of {}", leaf.unit),
        Event::GrantEnded(e) => format!("grant {} of {pair} ended{}", e.grant, why(e.end())),
        Event::Withdrawal(e) => withdrawal(e, pair, patient),
        _ => return None,
    };
    Some(text)
}

fn why(end: GrantEnd) -> &'static str {
    match end {
        GrantEnd::Unspecified => "",
        GrantEnd::HalfOff => ", because a half was turned off",
        GrantEnd::Expired => ", because its time was over",
        GrantEnd::UnitRetired => ", because one of the units left",
        GrantEnd::UnitSuspended => ", because its source was suspended and what it shared out withdrawn",
        GrantEnd::EmergencyOver => ", with the emergency access",
    }
}

fn withdrawal(event: &WithdrawalEvent, pair: &str, patient: &str) -> String {
    if event.step() != WithdrawalStep::Due {
        return format!(
            "{pair}: removed {}, could not remove {} (job {})",
            event.removed, event.not_removed, event.job
        );
    }
    if event.due.is_empty() {
        let categories: Vec<String> = event
            .categories
            .iter()
            .map(|c| terms::category(c.unsigned_abs()))
            .collect();
        let of = if categories.is_empty() {
            "of some patients' records".to_owned()
        } else {
            format!("of {}", categories.join(", "))
        };
        return format!("a removal {of} is due under grant {} of {pair}", event.grant);
    }
    let each = event.due.iter();
    let due: Vec<String> = each
        .map(|due| format!("{} → {} (grant {})", due.source, due.recipient, due.grant))
        .collect();
    format!("removals of the records of {patient} are due: {}", due.join(", "))
}

fn side(which: Side) -> &'static str {
    terms::side(which)
}

fn delivery(event: &Event, pair: &str, leaf: &AuditLeaf) -> Option<String> {
    let text = match event {
        Event::Disclosed(e) => format!(
            "{pair}: received {}{}, under grant {}",
            seqs(&e.runs),
            if e.removals.is_empty() {
                String::new()
            } else {
                format!(", removals {}", seqs(&e.removals))
            },
            e.grant
        ),
        Event::PerhapsDisclosed(e) => {
            format!(
                "{pair}: perhaps received {}, under grant {}",
                seqs(&e.runs),
                e.grant
            )
        }
        Event::Withheld(e) => {
            let each = e
                .withheld
                .iter()
                .map(|w| format!("{} ({})", seqs(&w.runs), withheld_words(w.reason())));
            let each: Vec<String> = each.collect();
            format!(
                "withheld from {}, by {}: {}",
                e.recipient,
                leaf.source,
                each.join("; ")
            )
        }
        _ => return None,
    };
    Some(text)
}

/// `seq 5`, `seqs 5–9`, `120 seqs from 5 to 9000`.
fn seqs(wire: &[u64]) -> String {
    let Some(runs) = Runs::from_wire(wire).ok() else {
        return "seqs that cannot be read".to_owned();
    };
    let count: u64 = runs.iter().map(|(first, last)| last - first + 1).sum();
    match (runs.bounds(), runs.len()) {
        (None, _) => "nothing".to_owned(),
        (Some((first, last)), 1) if first == last => format!("seq {first}"),
        (Some((first, last)), 1) => format!("seqs {first}–{last}"),
        (Some((first, last)), _) => format!("{count} seqs from {first} to {last}"),
    }
}

fn emergencies(event: &Event, pair: &str, patient: &str, leaf: &AuditLeaf) -> Option<String> {
    let justified = |yes: bool| if yes { "justified" } else { "not justified" };
    let text = match event {
        Event::EmergencyOpened(e) => {
            format!(
                "opened {pair} for {patient} in an emergency, until {}",
                moment(e.until)
            )
        }
        Event::EmergencyEnded(e) if e.expired => format!("the emergency access {pair} to {patient} expired"),
        Event::EmergencyEnded(_) => format!("ended the emergency access {pair} to {patient}"),
        Event::EmergencyReviewed(e) => {
            format!(
                "found the emergency access {pair} to {patient} {}",
                justified(e.justified)
            )
        }
        Event::EmergencyRefused(e) => {
            format!(
                "was refused emergency access to {patient} at {} ({})",
                leaf.unit, e.why
            )
        }
        Event::Viewed(e) => {
            let of = if leaf.source.is_empty() {
                String::new()
            } else {
                format!(" of {}", leaf.source)
            };
            format!(
                "{} reported a view{of} of {patient} at {}",
                leaf.recipient,
                moment(e.viewed_at)
            )
        }
        Event::Alert(e) => alert(leaf, e),
        _ => return None,
    };
    Some(text)
}

fn members(event: &Event, values: &[AuditValue], leaf: &AuditLeaf) -> Option<String> {
    let person = value(values, AuditField::Person).unwrap_or("a person");
    let whose = |agent: bool| {
        if agent {
            format!("the agent of {}", leaf.unit)
        } else {
            person.to_owned()
        }
    };
    let text = match event {
        Event::Enrolled(e) if e.renewal => format!("renewed the certificate of {}", whose(e.agent)),
        Event::Enrolled(e) => format!("enrolled {}", whose(e.agent)),
        Event::TokenMade(e) => format!("made a token for {}", whose(e.agent)),
        Event::UnitChanged(e) => {
            let did = match e.change() {
                UnitChange::Registered => "registered",
                UnitChange::Suspended => "suspended",
                UnitChange::Resumed => "resumed",
                UnitChange::Retired => "retired",
                UnitChange::Unspecified => "changed",
            };
            format!("{did} unit {}", leaf.unit)
        }
        Event::PersonChanged(e) => {
            let role = i32::try_from(e.role)
                .ok()
                .and_then(|role| Role::try_from(role).ok());
            let role = words::role(role.unwrap_or_default());
            match e.change() {
                PersonChange::Added => format!("added {person} as {role}"),
                PersonChange::Role => format!("made {person} {role}"),
                PersonChange::Revoked => format!("revoked {person}"),
                PersonChange::Unspecified => format!("changed {person}"),
            }
        }
        _ => return None,
    };
    Some(text)
}

fn the_log(event: &Event) -> String {
    match event {
        Event::CallRefused(e) => format!("was refused {}: {}", e.method, e.why),
        Event::CallsRefused(e) => format!("{} refused calls", e.calls),
        Event::AuditRead(e) => format!("read the audit log ({})", e.call),
        Event::PersonalErased(e) => {
            let runs = Runs::from_wire(&e.entries).unwrap_or_default();
            let count: u64 = runs.iter().map(|(first, last)| last - first + 1).sum();
            format!("erased personal values of {count} entries")
        }
        Event::Daemon(e) if e.change() == DaemonChange::Stopped => "the daemon was stopped".to_owned(),
        Event::Daemon(e) => format!("the daemon was started, version {}", e.version),
        _ => "something that this program does not know".to_owned(),
    }
}

/// For a program.
pub(super) fn entry_json(entry: &AuditEntry) -> Value {
    let leaf = entry.leaf.clone().unwrap_or_default();
    let mut personal = Map::new();
    for value in &entry.values {
        let name = value
            .field()
            .as_str_name()
            .trim_start_matches("AUDIT_FIELD_")
            .to_ascii_lowercase();
        personal.insert(name, json!(value.value));
    }
    let or_null = |text: &str| if text.is_empty() { Value::Null } else { json!(text) };
    json!({
        "index": entry.index,
        "at": moment_json(leaf.at),
        "kind": kind_word(kind_of(&leaf)),
        "source": or_null(&leaf.source),
        "recipient": or_null(&leaf.recipient),
        "unit": or_null(&leaf.unit),
        "by": who(&leaf, &entry.values),
        "what": what(&leaf, &entry.values),
        "personal": personal,
    })
}

/// One version of a record on its way, for a program.
pub(super) fn handed_json(handed: &HandedOver) -> Value {
    json!({
        "source": handed.source,
        "recipient": handed.recipient,
        "patient": handed.patient,
        "record": handed.record,
        "seq": handed.seq,
        "op": handed.op().as_str_name().trim_start_matches("OP_").to_ascii_lowercase(),
        "category": terms::category(handed.category.unsigned_abs()),
        "kind": kind_word(handed.kind()),
        "withheld": withheld_code(handed.withheld()),
        "at": moment_json(handed.at),
        "entry": handed.entry,
        "grant": handed.grant,
    })
}
