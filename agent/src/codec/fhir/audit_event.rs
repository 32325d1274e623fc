//! A view of what was received, read from a FHIR R4 AuditEvent in the patterns of IHE BALP ("Basic Audit Log
//! Patterns": read, query): type rest with a subtype of reading, an agent who asked, the patient as entity.
//! An AuditEvent of anything else is refused: only views are passed on.

use handfast_proto::{amendment::Text, ids::RecordId};
use serde_json::{Map, Value};

use super::{
    Fault, PatientLink, ViewSaid,
    consent::codings,
    meta::short_text,
    reference::{self, Neighbours, local},
};

/// Interactions that read (HL7 Terminology, restful-interaction).
const READING: [&str; 9] = [
    "read",
    "vread",
    "search",
    "search-type",
    "search-system",
    "search-instance",
    "history",
    "history-instance",
    "history-type",
];

/// Events that look at a patient's record (DICOM PS3.16: Patient Record, Query).
const DICOM: [&str; 2] = ["110110", "110112"];

/// The part of the person to whom something is shown (HL7 Terminology, v3-ParticipationType).
const INFORMATION_RECIPIENT: &str = "IRCP";

/// Parts of applications and machines (DICOM PS3.16: Application, Application Launcher, Destination Role ID, Source
/// Role ID).
const DEVICE_PARTS: [&str; 4] = ["110150", "110151", "110152", "110153"];

/// What a person may be named as.
const PEOPLE: [&str; 5] = [
    "Practitioner",
    "PractitionerRole",
    "Person",
    "Patient",
    "RelatedPerson",
];

/// Records looked at that are taken note of.
const MAX_SEEN: usize = 64;

/// Reads a view, and whose records it was of.
pub(super) fn view(
    event: &Map<String, Value>,
    neighbours: &Neighbours,
) -> Result<(PatientLink, ViewSaid), Fault> {
    if !is_view(event) {
        return Err(Fault::NotAView);
    }
    let recorded = event.get("recorded").and_then(Value::as_str);
    let viewed_at = recorded.and_then(|t| t.parse::<jiff::Timestamp>().ok());
    let viewed_at = viewed_at.ok_or(Fault::ViewLacks("recorded"))?.as_millisecond();
    let agent = asker(event).ok_or(Fault::ViewLacks("an agent"))?;
    let person = person(agent);
    if person.as_str().is_empty() {
        return Err(Fault::ViewLacks("who looked (agent.who)"));
    }
    let purpose = first_coded(agent.get("purposeOfUse")).or_else(|| first_coded(event.get("purposeOfEvent")));
    let view = ViewSaid {
        person,
        permission: permission(agent),
        reason: purpose.unwrap_or_default(),
        viewed_at,
        seen: seen(event),
        source: None,
    };
    Ok((patient(event, neighbours)?, view))
}

fn is_view(event: &Map<String, Value>) -> bool {
    let text = |key| event.get(key).and_then(Value::as_str);
    let code = |v: &Value| v.get("code").and_then(Value::as_str).map(str::to_owned);
    let kind = event.get("type").and_then(code).unwrap_or_default();
    let reads = match kind.as_str() {
        "rest" => {
            let subtypes = event
                .get("subtype")
                .and_then(Value::as_array)
                .into_iter()
                .flatten();
            subtypes.filter_map(code).any(|c| READING.contains(&c.as_str()))
        }
        other => DICOM.contains(&other),
    };
    let action = text("action").is_none_or(|a| matches!(a, "R" | "E"));
    let succeeded = text("outcome").is_none_or(|o| o == "0");
    reads && action && succeeded
}

/// The agent who asked. Of several that are marked so, a person goes before the device that they used: IHE BALP
/// codes the person as information recipient, and others say what `who` is. Where no person is marked, the one so
/// coded, else the only one.
fn asker(event: &Map<String, Value>) -> Option<&Value> {
    let agents = event.get("agent")?.as_array()?;
    let asked = |a: &&Value| a.get("requestor").and_then(Value::as_bool) == Some(true);
    let coded = |a: &&Value| is_information_recipient(a) && !is_device(a);
    let marked = || agents.iter().filter(asked);
    let one = marked().find(coded);
    let one = one.or_else(|| marked().find(|a| is_of_kind(a, &PEOPLE)));
    let one = one.or_else(|| marked().find(|a| !is_device(a)));
    let one = one.or_else(|| agents.iter().find(coded));
    let one = one.or_else(|| marked().next());
    one.or_else(|| agents.first().filter(|_| agents.len() == 1))
}

fn is_information_recipient(agent: &Value) -> bool {
    codings(agent.get("type")).any(|c| c.get("code").and_then(Value::as_str) == Some(INFORMATION_RECIPIENT))
}

/// Whether it is an application or a machine, by what `who` is or by its part in the event.
fn is_device(agent: &Value) -> bool {
    let part = |c: &Value| {
        c.get("code")
            .and_then(Value::as_str)
            .is_some_and(|code| DEVICE_PARTS.contains(&code))
    };
    is_of_kind(agent, &["Device"]) || codings(agent.get("type")).any(part)
}

fn is_of_kind(agent: &Value, kinds: &[&str]) -> bool {
    let who = agent.get("who");
    let text = |key| who.and_then(|w| w.get(key)).and_then(Value::as_str);
    let kind = text("reference")
        .and_then(local)
        .map(|(kind, _)| kind)
        .or(text("type"));
    kind.is_some_and(|kind| kinds.contains(&kind))
}

/// A name and an id, as far as they are said. A patient who looks at their own records is not named.
fn person(agent: &Value) -> Text {
    let who = agent.get("who");
    let of_who = |key| who.and_then(|w| w.get(key)).and_then(Value::as_str);
    if of_who("reference")
        .and_then(local)
        .is_some_and(|(kind, _)| kind == "Patient")
    {
        return short_text("the patient");
    }
    let identifier = who.and_then(|w| w.get("identifier")).and_then(|i| i.get("value"));
    let own = |key| agent.get(key).and_then(Value::as_str);
    let id = identifier
        .and_then(Value::as_str)
        .or_else(|| own("altId"))
        .or_else(|| of_who("reference"));
    match (of_who("display").or_else(|| own("name")), id) {
        (Some(name), Some(id)) => short_text(&format!("{name} ({id})")),
        (Some(one), None) | (None, Some(one)) => short_text(one),
        (None, None) => Text::default(),
    }
}

/// By which permission: the agent's role, else the policy that allowed it.
fn permission(agent: &Value) -> Text {
    let policy = agent
        .get("policy")
        .and_then(Value::as_array)
        .and_then(|p| p.first());
    let policy = policy.and_then(Value::as_str).map(short_text);
    first_coded(agent.get("role")).or(policy).unwrap_or_default()
}

/// The text, display or code of the first of several CodeableConcepts.
fn first_coded(concepts: Option<&Value>) -> Option<Text> {
    let concept = concepts?.as_array()?.first()?;
    let text = |v: &Value, key| v.get(key).and_then(Value::as_str).map(short_text);
    let coding = concept
        .get("coding")
        .and_then(Value::as_array)
        .and_then(|c| c.first());
    text(concept, "text")
        .or_else(|| text(coding?, "display"))
        .or_else(|| text(coding?, "code"))
}

fn entities(event: &Map<String, Value>) -> impl Iterator<Item = &Value> {
    let all = event
        .get("entity")
        .and_then(Value::as_array)
        .into_iter()
        .flatten();
    all.filter_map(|e| e.get("what"))
}

fn patient(event: &Map<String, Value>, neighbours: &Neighbours) -> Result<PatientLink, Fault> {
    let mut found: Option<PatientLink> = None;
    for what in entities(event) {
        // What else was looked at may be named in any way.
        let Some(link) = reference::read(what, event, neighbours).ok().flatten() else {
            continue;
        };
        if found.as_ref().is_some_and(|other| *other != link) {
            return Err(Fault::SeveralPatients);
        }
        found = Some(link);
    }
    found.ok_or(Fault::NoPatient)
}

fn seen(event: &Map<String, Value>) -> Vec<RecordId> {
    let references = entities(event).filter_map(|w| w.get("reference").and_then(Value::as_str));
    references
        .filter_map(local)
        .filter_map(|(kind, id)| RecordId::new(kind, id).ok())
        .take(MAX_SEEN)
        .collect()
}
