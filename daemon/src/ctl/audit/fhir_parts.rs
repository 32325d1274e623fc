//! The parts that FHIR AuditEvents are made of: codes, agents and entities (FHIR R4, AuditEvent; DICOM PS3.16
//! CID 400 to 403; IHE BALP 1.1.4).

use base64::{Engine as _, engine::general_purpose::STANDARD};
use handfast_proto::v1::{AuditActorKind, AuditField, AuditLeaf, AuditValue};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::entry::{value, who};

pub(super) const DCM: &str = "http://dicom.nema.org/resources/ontology/DCM";
pub(super) const LIFECYCLE: &str = "http://terminology.hl7.org/CodeSystem/iso-21089-lifecycle";
const ACT_REASON: &str = "http://terminology.hl7.org/CodeSystem/v3-ActReason";
const PARTICIPATION: &str = "http://terminology.hl7.org/CodeSystem/v3-ParticipationType";
const ENTITY_TYPE: &str = "http://terminology.hl7.org/CodeSystem/audit-entity-type";
const OBJECT_ROLE: &str = "http://terminology.hl7.org/CodeSystem/object-role";
const SOURCE_TYPE: &str = "http://terminology.hl7.org/CodeSystem/security-source-type";
const NHS_NUMBER: &str = "https://fhir.nhs.uk/Id/nhs-number";
const ODS_CODE: &str = "https://fhir.nhs.uk/Id/ods-organization-code";

/// DICOM's codes for the two sides of a transfer (CID 402).
pub(super) const SOURCE_ROLE: (&str, &str) = ("110153", "Source Role ID");
pub(super) const DESTINATION_ROLE: (&str, &str) = ("110152", "Destination Role ID");

/// A URI as a network address (FHIR R4, network-type).
const NETWORK_URI: &str = "5";

/// A DICOM code.
pub(super) fn dcm((code, display): (&str, &str)) -> Value {
    json!({"system": DCM, "code": code, "display": display})
}

/// Emergency treatment (HL7 v3 ActReason).
pub(super) fn emergency_purpose() -> Value {
    json!([{"coding": [{"system": ACT_REASON, "code": "ETREAT", "display": "Emergency Treatment"}]}])
}

/// A moment as an instant.
pub(super) fn instant(ms: i64) -> Value {
    Timestamp::from_millisecond(ms).map_or(Value::Null, |at| json!(at.to_string()))
}

/// A unit, by its ODS code.
pub(super) fn unit_reference(ods: &str) -> Value {
    json!({"type": "Organization", "identifier": {"system": ODS_CODE, "value": ods}})
}

/// One side of a transfer. `address` is the SPIFFE id of the unit's agent.
pub(super) fn side(role: (&str, &str), ods: &str, trust_domain: &str) -> Value {
    json!({
        "type": {"coding": [dcm(role)]},
        "who": unit_reference(ods),
        "requestor": false,
        "network": {"address": format!("spiffe://{trust_domain}/unit/{ods}"), "type": NETWORK_URI},
    })
}

/// Who did it.
pub(super) fn actor(leaf: &AuditLeaf, values: &[AuditValue], trust_domain: &str) -> Value {
    let actor = leaf.actor.clone().unwrap_or_default();
    let mut reference = json!({"display": who(leaf, values)});
    let uri = match (actor.kind(), value(values, AuditField::Actor)) {
        (AuditActorKind::Agent, _) => Some(format!("spiffe://{trust_domain}/unit/{}", actor.unit)),
        (_, Some(id)) => Some(format!("spiffe://{trust_domain}/person/{id}")),
        _ => None,
    };
    if let Some(uri) = uri {
        reference["identifier"] = json!({"value": uri});
    }
    let mut agent = json!({"who": reference, "requestor": actor.kind() != AuditActorKind::Daemon});
    if matches!(actor.kind(), AuditActorKind::Agent | AuditActorKind::Daemon) {
        agent["type"] = json!({"coding": [dcm(("110150", "Application"))]});
    }
    agent
}

/// A person as a unit's own system names them, by which right they looked, and why, in its own words.
pub(super) fn viewer(name: &str, permission: Option<&str>, reason: Option<&str>) -> Value {
    let coding = json!({"system": PARTICIPATION, "code": "IRCP", "display": "information recipient"});
    let mut agent = json!({"type": {"coding": [coding]}, "who": {"display": name}, "requestor": true});
    if let Some(permission) = permission {
        agent["role"] = json!([{"text": permission}]);
    }
    if let Some(reason) = reason {
        agent["purposeOfUse"] = json!([{"text": reason}]);
    }
    agent
}

/// What the log was asked for.
pub(super) fn query(call: &str, asked: &str) -> Value {
    let text = format!("{call} {asked}");
    json!({
        "type": {"system": ENTITY_TYPE, "code": "2", "display": "System Object"},
        "role": {"system": OBJECT_ROLE, "code": "24", "display": "Query"},
        "query": STANDARD.encode(text.trim_end()),
    })
}

/// Where the event was recorded.
pub(super) fn observer(who: Value, trust_domain: &str) -> Value {
    json!({
        "site": trust_domain,
        "observer": who,
        "type": [{"system": SOURCE_TYPE, "code": "4", "display": "Application Server"}],
    })
}

/// The patient whom it is about.
pub(super) fn patient(number: &str) -> Value {
    json!({
        "what": {"type": "Patient", "identifier": {"system": NHS_NUMBER, "value": number}},
        "type": {"system": ENTITY_TYPE, "code": "1", "display": "Person"},
        "role": {"system": OBJECT_ROLE, "code": "1", "display": "Patient"},
    })
}

/// A record of the source, at the version that was sent.
pub(super) fn record(source: &str, record: &str, seq: u64, trust_domain: &str) -> Value {
    let kind = record.split('/').next().unwrap_or_default();
    json!({
        "what": {
            "type": kind,
            "identifier": {
                "system": format!("spiffe://{trust_domain}/unit/{source}"),
                "value": format!("{record}#{seq}"),
            },
        },
        "type": {"system": ENTITY_TYPE, "code": "2", "display": "System Object"},
        "role": {"system": OBJECT_ROLE, "code": "4", "display": "Domain Resource"},
    })
}

/// The entry of the audit log that says so.
pub(super) fn entry(index: u64, trust_domain: &str) -> Value {
    json!({
        "what": {"identifier": {"system": format!("spiffe://{trust_domain}/audit"), "value": index.to_string()}},
        "type": {"system": ENTITY_TYPE, "code": "4", "display": "Other"},
        "role": {"system": OBJECT_ROLE, "code": "13", "display": "Security Resource"},
    })
}
