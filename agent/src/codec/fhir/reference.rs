//! How a resource names its patient: literal references, entries of the same Bundle, contained Patients,
//! NHS numbers (FHIR R4, "References").

use std::collections::HashMap;

use handfast_proto::ids::RecordId;
use serde_json::{Map, Value};

use super::{
    Fault, NHS_NUMBER_SYSTEM, PatientLink,
    patient::{nhs_number, standing},
};

/// Elements that name the one patient an entry is about, in the types that have them.
const PATIENT_ELEMENTS: [&str; 5] = ["subject", "patient", "beneficiary", "for", "individual"];

/// What the `fullUrl`s of a Bundle's entries stand for.
pub(super) type Neighbours = HashMap<String, RecordId>;

/// The patient of a resource that is not itself a Patient.
pub(super) fn patient_link(
    resource: &Map<String, Value>,
    neighbours: &Neighbours,
) -> Result<PatientLink, Fault> {
    let mut found: Option<PatientLink> = None;
    for reference in candidates(resource) {
        let Some(link) = read(reference, resource, neighbours)? else {
            continue;
        };
        match &found {
            Some(other) if *other != link => return Err(Fault::SeveralPatients),
            _ => found = Some(link),
        }
    }
    found.ok_or(Fault::NoPatient)
}

fn candidates(resource: &Map<String, Value>) -> Vec<&Value> {
    let mut found = Vec::new();
    for key in PATIENT_ELEMENTS {
        match resource.get(key) {
            Some(Value::Array(all)) => found.extend(all),
            Some(one) => found.push(one),
            None => {}
        }
    }
    // An appointment names its patient among those who take part.
    let participants = resource.get("participant").and_then(Value::as_array);
    let is_appointment = resource.get("resourceType").and_then(Value::as_str) == Some("Appointment");
    if is_appointment {
        found.extend(participants.into_iter().flatten().filter_map(|p| p.get("actor")));
    }
    if resource.get("resourceType").and_then(Value::as_str) == Some("AppointmentResponse") {
        found.extend(resource.get("actor"));
    }
    found
}

/// `None`: it names something else than a patient.
pub(super) fn read(
    reference: &Value,
    resource: &Map<String, Value>,
    neighbours: &Neighbours,
) -> Result<Option<PatientLink>, Fault> {
    let declared = reference.get("type").and_then(Value::as_str);
    if declared.is_some_and(|t| t != "Patient" && !t.ends_with("/Patient")) {
        return Ok(None);
    }
    let Some(text) = reference.get("reference").and_then(Value::as_str) else {
        let number = reference.get("identifier").map(nhs_number).transpose()?.flatten();
        return Ok(number.map(PatientLink::Number));
    };
    if let Some(id) = text.strip_prefix('#') {
        return contained(resource, id);
    }
    if let Some(query) = text.strip_prefix("Patient?") {
        return conditional(query).map(Some);
    }
    if let Some(neighbour) = neighbours.get(text) {
        let is_patient = neighbour.resource_type() == "Patient";
        return Ok(is_patient.then(|| PatientLink::Id(neighbour.id().to_owned())));
    }
    if text.starts_with("urn:") {
        return Err(Fault::UnresolvedReference);
    }
    match local(text) {
        Some(("Patient", id)) => {
            RecordId::new("Patient", id).map_err(|_| Fault::UnresolvedReference)?;
            Ok(Some(PatientLink::Id(id.to_owned())))
        }
        Some(_) => Ok(None),
        None => Err(Fault::UnresolvedReference),
    }
}

/// Type and id at the end of a literal reference, relative or absolute, with or without a version.
pub(super) fn local(reference: &str) -> Option<(&str, &str)> {
    let path = reference
        .split_once("/_history/")
        .map_or(reference, |(path, _)| path);
    let (rest, id) = path.rsplit_once('/')?;
    let kind = rest.rsplit('/').next()?;
    (!kind.is_empty() && !id.is_empty()).then_some((kind, id))
}

fn contained(resource: &Map<String, Value>, id: &str) -> Result<Option<PatientLink>, Fault> {
    let all = resource.get("contained").and_then(Value::as_array);
    let found = all
        .into_iter()
        .flatten()
        .filter_map(Value::as_object)
        .find(|c| c.get("id").and_then(Value::as_str) == Some(id))
        .ok_or(Fault::UnresolvedReference)?;
    if found.get("resourceType").and_then(Value::as_str) != Some("Patient") {
        return Ok(None);
    }
    let number = standing(found)?
        .claimed()
        .ok_or(Fault::ContainedPatientWithoutNumber)?;
    Ok(Some(PatientLink::Number(number)))
}

/// `identifier=system|value` (FHIR R4, "HTTP": conditional references).
fn conditional(query: &str) -> Result<PatientLink, Fault> {
    let value = query
        .strip_prefix("identifier=")
        .ok_or(Fault::UnresolvedReference)?;
    let value = value
        .replace("%7C", "|")
        .replace("%7c", "|")
        .replace("%3A", ":")
        .replace("%2F", "/");
    let (system, number) = value.split_once('|').ok_or(Fault::UnresolvedReference)?;
    if system != NHS_NUMBER_SYSTEM {
        return Err(Fault::UnresolvedReference);
    }
    number
        .parse()
        .map(PatientLink::Number)
        .map_err(Fault::InvalidNumber)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn link(resource: &Value) -> Result<PatientLink, Fault> {
        let urn = "urn:uuid:6f1f3e6e-1a2b-4c3d-8e9f-0123456789ab";
        let neighbours = HashMap::from([(urn.to_owned(), RecordId::new("Patient", "n").unwrap())]);
        patient_link(resource.as_object().unwrap(), &neighbours)
    }

    #[test]
    fn every_way_of_naming_a_patient_is_read() {
        let id = |id: &str| Ok(PatientLink::Id(id.to_owned()));
        let number = Ok(PatientLink::Number("9990000018".parse().unwrap()));
        let subject = |reference: &str| json!({"subject": {"reference": reference}});
        assert_eq!(link(&subject("Patient/1")), id("1"));
        assert_eq!(link(&subject("Patient/1/_history/4")), id("1"));
        assert_eq!(
            link(&subject("https://ehr.example/fhir/Patient/a.b-c")),
            id("a.b-c")
        );
        assert_eq!(
            link(&subject("urn:uuid:6f1f3e6e-1a2b-4c3d-8e9f-0123456789ab")),
            id("n")
        );
        assert_eq!(link(&json!({"patient": {"reference": "Patient/1"}})), id("1"));
        assert_eq!(link(&json!({"subject": [{"reference": "Patient/1"}]})), id("1"));
        let by_number =
            json!({"subject": {"identifier": {"system": NHS_NUMBER_SYSTEM, "value": "9990000018"}}});
        assert_eq!(link(&by_number), number);
        let query = "Patient?identifier=https://fhir.nhs.uk/Id/nhs-number|9990000018";
        assert_eq!(link(&subject(query)), number);
        let contained = json!({"subject": {"reference": "#p"}, "contained": [{"resourceType": "Patient", "id": "p",
            "identifier": [{"system": NHS_NUMBER_SYSTEM, "value": "9990000018"}]}]});
        assert_eq!(link(&contained), number);
        let appointment = json!({"resourceType": "Appointment", "participant": [
            {"actor": {"reference": "Practitioner/d"}}, {"actor": {"reference": "Patient/1"}}]});
        assert_eq!(link(&appointment), id("1"));
    }

    #[test]
    fn what_names_no_patient_or_several_is_told_apart() {
        let subject = |reference: &str| json!({"subject": {"reference": reference}});
        assert_eq!(
            link(&json!({"resourceType": "Organization"})),
            Err(Fault::NoPatient)
        );
        assert_eq!(link(&subject("Group/1")), Err(Fault::NoPatient));
        assert_eq!(
            link(&subject("Patient/not an id")),
            Err(Fault::UnresolvedReference)
        );
        assert_eq!(link(&subject("urn:uuid:0")), Err(Fault::UnresolvedReference));
        assert_eq!(link(&subject("#gone")), Err(Fault::UnresolvedReference));
        let two = json!({"subject": {"reference": "Patient/1"}, "patient": {"reference": "Patient/2"}});
        assert_eq!(link(&two), Err(Fault::SeveralPatients));
        let bad = json!({"subject": {"identifier": {"system": NHS_NUMBER_SYSTEM, "value": "9990000019"}}});
        assert!(matches!(link(&bad), Err(Fault::InvalidNumber(_))));
        let empty =
            json!({"subject": {"reference": "#p"}, "contained": [{"resourceType": "Patient", "id": "p"}]});
        assert_eq!(link(&empty), Err(Fault::ContainedPatientWithoutNumber));
    }
}
