//! `GET /fhir/metadata`: what this endpoint can do (FHIR R4, "CapabilityStatement").

use axum::response::Response;
use http::StatusCode;
use serde_json::{Value, json};

use super::answer::json_response;

/// Types that clinical systems commonly share. Others are taken as well, where they name a patient.
const TYPES: [&str; 26] = [
    "AllergyIntolerance",
    "Appointment",
    "AuditEvent",
    "CarePlan",
    "CareTeam",
    "Composition",
    "Condition",
    "Consent",
    "DiagnosticReport",
    "DocumentReference",
    "Encounter",
    "EpisodeOfCare",
    "Flag",
    "Goal",
    "Immunization",
    "List",
    "MedicationAdministration",
    "MedicationDispense",
    "MedicationRequest",
    "MedicationStatement",
    "Observation",
    "Patient",
    "Procedure",
    "QuestionnaireResponse",
    "ServiceRequest",
    "Task",
];

/// The CapabilityStatement.
pub(super) async fn metadata() -> Response {
    let interactions = json!([{"code": "read"}, {"code": "update"}, {"code": "delete"}]);
    let resources: Vec<Value> = TYPES
        .iter()
        .map(|kind| {
            json!({"type": kind, "interaction": interactions, "versioning": "versioned-update",
                   "readHistory": false, "updateCreate": true, "conditionalCreate": false})
        })
        .collect();
    let statement = json!({
        "resourceType": "CapabilityStatement",
        "status": "active",
        "date": "2026-01-01",
        "kind": "instance",
        "fhirVersion": "4.0.1",
        "format": ["json"],
        "software": {"name": "handfast-agent", "version": env!("CARGO_PKG_VERSION")},
        "implementation": {"description": "Takes what this unit records, to share it where both units agree"},
        "rest": [{
            "mode": "server",
            "documentation": "Resources are put under ids of the clinical system's own. What names a patient whose \
                              NHS number is not known yet is answered with 202 and taken later. A Consent of scope \
                              patient-privacy is a patient's word, an AuditEvent the report of a view: both go to \
                              the daemon alone, and to no other unit.",
            "resource": resources,
            "interaction": [{"code": "transaction"}, {"code": "batch"}]
        }]
    });
    json_response(StatusCode::OK, &statement)
}
