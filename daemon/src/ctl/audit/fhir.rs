//! Entries as FHIR R4 AuditEvents. What was handed over follows the IHE BALP patterns for a privacy disclosure,
//! one event for each patient: as its source records it (110106), and as its recipient does (110107). The rest
//! are events of DICOM's kinds with the words of the log.

use std::collections::BTreeMap;

use handfast_proto::v1::{
    AuditEntry, AuditField, AuditKind, AuditLeaf, DaemonChange, ExportedEntry, HandedOver, Op,
    WithdrawalStep, audit_leaf::Event,
};
use serde_json::{Value, json};

use super::{
    entry::{value, what},
    fhir_parts::{
        DCM, DESTINATION_ROLE, LIFECYCLE, SOURCE_ROLE, actor, dcm, emergency_purpose, entry, instant,
        observer, patient, query, record, side, unit_reference, viewer,
    },
};

/// Where the profiles are.
pub(super) const PROFILES: &str = "https://profiles.ihe.net/ITI/BALP/StructureDefinition/";

/// Outcomes of an AuditEvent (FHIR R4, audit-event-outcome).
const SUCCESS: &str = "0";
const MINOR_FAILURE: &str = "4";
const SERIOUS_FAILURE: &str = "8";

/// Writes AuditEvents of one deployment.
pub(super) struct Writer {
    trust_domain: String,
}

impl Writer {
    pub(super) fn new(trust_domain: &str) -> Self {
        Self {
            trust_domain: trust_domain.to_owned(),
        }
    }

    /// The events of an entry: of one that discloses, two for each patient; of any other, one.
    pub(super) fn events(&self, exported: &ExportedEntry) -> Vec<Value> {
        let Some(seen) = &exported.entry else {
            return Vec::new();
        };
        let leaf = seen.leaf.clone().unwrap_or_default();
        let sent = exported.handed_over.iter().filter(|h| h.op() != Op::Remove);
        let mut by_patient: BTreeMap<&str, Vec<&HandedOver>> = BTreeMap::new();
        let disclosed = [AuditKind::Disclosed, AuditKind::PerhapsDisclosed];
        for handed in sent.filter(|h| disclosed.contains(&h.kind())) {
            by_patient
                .entry(handed.patient.as_str())
                .or_default()
                .push(handed);
        }
        if by_patient.is_empty() {
            let first = exported.handed_over.first().map(|h| h.seq);
            return vec![self.plain(exported, seen, &leaf, first)];
        }
        let each = by_patient.into_iter();
        let mut events: Vec<Value> = each
            .flat_map(|(number, records)| self.disclosure(seen, &leaf, number, &records))
            .collect();
        if exported.emergency {
            for event in &mut events {
                event["purposeOfEvent"] = emergency_purpose();
            }
        }
        events
    }

    fn disclosure(
        &self,
        seen: &AuditEntry,
        leaf: &AuditLeaf,
        number: &str,
        records: &[&HandedOver],
    ) -> [Value; 2] {
        let perhaps = records.iter().any(|h| h.kind() == AuditKind::PerhapsDisclosed);
        let (outcome, said) = if perhaps {
            (MINOR_FAILURE, "sent; it is not known whether it arrived")
        } else {
            (SUCCESS, "received")
        };
        let domain = self.trust_domain.as_str();
        // An entry may come in parts; a version stands in one part, and under one patient.
        let first = records.iter().map(|h| h.seq).min().unwrap_or(0);
        let mut entities = vec![patient(number)];
        entities.extend(
            records
                .iter()
                .map(|h| record(&h.source, &h.record, h.seq, domain)),
        );
        entities.push(entry(seen.index, domain));
        let event = |profile: &str, kind: (&str, &str), action: &str, at: &str, suffix: &str| {
            json!({
                "resourceType": "AuditEvent",
                "id": format!("{}-{first}-{suffix}", seen.index),
                "meta": {"profile": [format!("{PROFILES}IHE.BasicAudit.PrivacyDisclosure.{profile}")]},
                "type": dcm(kind),
                "subtype": [{"system": LIFECYCLE, "code": "disclose", "display": "Disclose Record Lifecycle Event"}],
                "action": action,
                "recorded": instant(leaf.at),
                "outcome": outcome,
                "outcomeDesc": said,
                "agent": [
                    side(SOURCE_ROLE, &leaf.source, domain),
                    side(DESTINATION_ROLE, &leaf.recipient, domain),
                ],
                "source": observer(unit_reference(at), domain),
                "entity": entities,
            })
        };
        [
            event("Source", ("110106", "Export"), "R", &leaf.source, "source"),
            event(
                "Recipient",
                ("110107", "Import"),
                "C",
                &leaf.recipient,
                "recipient",
            ),
        ]
    }

    /// `part`: with what the part of the entry begins.
    fn plain(
        &self,
        exported: &ExportedEntry,
        seen: &AuditEntry,
        leaf: &AuditLeaf,
        part: Option<u64>,
    ) -> Value {
        let domain = self.trust_domain.as_str();
        let id = part.map_or_else(|| seen.index.to_string(), |seq| format!("{}-{seq}", seen.index));
        let shape = shape(leaf);
        let mut event = json!({
            "resourceType": "AuditEvent",
            "id": id,
            "type": dcm(shape.kind),
            "action": shape.action,
            "recorded": instant(leaf.at),
            "outcome": shape.outcome,
            "outcomeDesc": what(leaf, &seen.values),
            "agent": self.agents(seen, leaf),
            "source": observer(json!({"display": "handfastd"}), domain),
            "entity": [entry(seen.index, domain)],
        });
        if let Some((system, code, display)) = shape.subtype {
            event["subtype"] = json!([{"system": system, "code": code, "display": display}]);
        }
        if shape.emergency || exported.emergency {
            event["purposeOfEvent"] = emergency_purpose();
        }
        if let Some(number) = value(&seen.values, AuditField::Patient)
            && let Some(entities) = event["entity"].as_array_mut()
        {
            entities.insert(0, patient(number));
        }
        if let Some(Event::AuditRead(read)) = &leaf.event
            && let Some(entities) = event["entity"].as_array_mut()
        {
            entities.push(query(&read.call, &read.asked));
        }
        event
    }

    /// Who did it; of a view, who looked, and the agent that reported it.
    fn agents(&self, seen: &AuditEntry, leaf: &AuditLeaf) -> Vec<Value> {
        let mut agents = Vec::new();
        if matches!(leaf.event, Some(Event::Viewed(_))) {
            let of = |field| value(&seen.values, field);
            agents.push(viewer(
                of(AuditField::Viewer).unwrap_or("not told"),
                of(AuditField::Permission),
                of(AuditField::Reason),
            ));
        }
        let mut by = actor(leaf, &seen.values, &self.trust_domain);
        if !agents.is_empty() {
            by["requestor"] = json!(false);
        }
        agents.push(by);
        agents
    }
}

/// DICOM's kind of an event, and the rest that follows from the kind of entry.
struct Shape {
    kind: (&'static str, &'static str),
    /// System, code and display.
    subtype: Option<(&'static str, &'static str, &'static str)>,
    action: &'static str,
    outcome: &'static str,
    emergency: bool,
}

const ALERT: (&str, &str) = ("110113", "Security Alert");
const PATIENT_RECORD: (&str, &str) = ("110110", "Patient Record");
const LOG_USED: (&str, &str) = ("110101", "Audit Log Used");
const ACTIVITY: (&str, &str) = ("110100", "Application Activity");
const RESTRICTED: (&str, &str, &str) = (DCM, "110132", "Use of Restricted Function");
const ATTRIBUTES: (&str, &str, &str) = (DCM, "110135", "Object Security Attributes Changed");
const ROLES: (&str, &str, &str) = (DCM, "110136", "Security Roles Changed");
const USER: (&str, &str, &str) = (DCM, "110137", "User Security Attributes Changed");
const CONFIGURATION: (&str, &str, &str) = (DCM, "110129", "Security Configuration");
const OVERRIDE_STARTED: (&str, &str, &str) = (DCM, "110127", "Emergency Override Started");
const OVERRIDE_STOPPED: (&str, &str, &str) = (DCM, "110138", "Emergency Override Stopped");
const REVIEWED: (&str, &str, &str) = (LIFECYCLE, "verify", "Verify Record Lifecycle Event");
const STARTED: (&str, &str, &str) = (DCM, "110120", "Application Start");
const STOPPED: (&str, &str, &str) = (DCM, "110121", "Application Stop");

fn shape(leaf: &AuditLeaf) -> Shape {
    let of = |kind, subtype, action, outcome| Shape {
        kind,
        subtype,
        action,
        outcome,
        emergency: false,
    };
    let emergency = |subtype, outcome| Shape {
        emergency: true,
        ..of(ALERT, Some(subtype), "E", outcome)
    };
    let Some(event) = &leaf.event else {
        return of(ALERT, None, "E", SERIOUS_FAILURE);
    };
    match event {
        Event::HalfSet(_)
        | Event::PolicySet(_)
        | Event::PatientWord(_)
        | Event::NumbersJoined(_)
        | Event::Caseload(_)
        | Event::GrantEnded(_) => of(ALERT, Some(ATTRIBUTES), "U", SUCCESS),
        Event::Withdrawal(e) if e.step() == WithdrawalStep::Due => of(ALERT, Some(ATTRIBUTES), "U", SUCCESS),
        Event::Withdrawal(e) => {
            let outcome = if e.not_removed > 0 { MINOR_FAILURE } else { SUCCESS };
            of(PATIENT_RECORD, None, "D", outcome)
        }
        // Told of as disclosures are those with versions: what is left is what its recipient removed.
        Event::Disclosed(e) if e.runs.is_empty() => of(PATIENT_RECORD, None, "D", SUCCESS),
        Event::Disclosed(_) => of(PATIENT_RECORD, None, "R", SUCCESS),
        Event::PerhapsDisclosed(_) => of(PATIENT_RECORD, None, "R", MINOR_FAILURE),
        Event::Withheld(_) => of(ALERT, Some(RESTRICTED), "E", MINOR_FAILURE),
        Event::EmergencyOpened(_) => emergency(OVERRIDE_STARTED, SUCCESS),
        Event::EmergencyEnded(_) => emergency(OVERRIDE_STOPPED, SUCCESS),
        Event::EmergencyReviewed(_) => emergency(REVIEWED, SUCCESS),
        Event::EmergencyRefused(_) => emergency(OVERRIDE_STARTED, SERIOUS_FAILURE),
        Event::Viewed(_) => of(PATIENT_RECORD, None, "R", SUCCESS),
        Event::Enrolled(_) | Event::TokenMade(_) => of(ALERT, Some(USER), "C", SUCCESS),
        Event::UnitChanged(_) => of(ALERT, Some(CONFIGURATION), "U", SUCCESS),
        Event::PersonChanged(_) => of(ALERT, Some(ROLES), "U", SUCCESS),
        Event::CallRefused(_) | Event::CallsRefused(_) => of(ALERT, Some(RESTRICTED), "E", SERIOUS_FAILURE),
        Event::AuditRead(_) => of(LOG_USED, None, "R", SUCCESS),
        Event::PersonalErased(_) => of(LOG_USED, None, "D", SUCCESS),
        Event::Daemon(e) if e.change() == DaemonChange::Stopped => of(ACTIVITY, Some(STOPPED), "E", SUCCESS),
        Event::Daemon(_) => of(ACTIVITY, Some(STARTED), "E", SUCCESS),
        Event::Alert(_) => of(ALERT, None, "E", SUCCESS),
    }
}
