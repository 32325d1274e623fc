//! One request for each row of the table: one that is let in, if the caller may make the call, and then does
//! nothing: what it asks for is not there, or lacks what it must have. Who asks is looked at first.

use std::collections::BTreeMap;

use handfast_proto::v1::{
    AddPersonRequest, AddToCaseloadRequest, CreateEnrolmentTokenRequest, EndAccessRequest, EnrolRequest,
    EraseAuditRequest, ExplainRequest, ExportAuditRequest, ExportForm, GetPatientConsentRequest,
    GetPolicyRequest, ListAccessesRequest, ListAgreementsRequest, ListAlertsRequest, ListCaseloadRequest,
    ListPatientConsentsRequest, ListPeopleRequest, ListUnitsRequest, PatientReportRequest, PatientWordValue,
    PolicyValue, PreviewPolicyRequest, ProveConsistencyRequest, ProveInclusionRequest, PublicKeyRequest,
    PublishRequest, RecordPatientConsentRequest, RegisterUnitRequest, RemoveFromCaseloadRequest,
    RenewRequest, RequestAccessRequest, ResumeUnitRequest, RetireUnitRequest, ReviewAccessRequest,
    ReviewAlertRequest, RevokePersonRequest, Role, ScrAlertReason, ScrAlertType, SearchAuditRequest,
    SetAgreementRequest, SetPolicyRequest, SetRoleRequest, Side, StatusRequest, SubscribeRequest,
    SuspendUnitRequest, TreeHeadRequest, UnitKind,
};
use prost::Message;

/// A unit that is not there.
const NOWHERE: &str = "Z00098";
/// An alert that is not there.
const NO_ALERT: u64 = 1_000_000;
/// A patient.
const PATIENT: &str = "9990000018";

/// What the probes need of the deployment.
#[derive(Debug, Clone, Default)]
pub(crate) struct Fixtures {
    /// A token that nobody has used.
    pub(crate) token: String,
    /// In each unit, the id of a clinician who is there to be changed.
    pub(crate) spares: BTreeMap<&'static str, String>,
    /// In each unit with people, the number of an alert that the operator revoked one of them.
    pub(crate) alerts: BTreeMap<&'static str, u64>,
    /// In each unit with people, the number of an emergency access that its clinician asked for.
    pub(crate) accesses: BTreeMap<&'static str, u64>,
}

/// Makes the request that tries a call on a unit.
type Body = Box<dyn Fn(&'static str) -> Vec<u8> + Send + Sync>;

/// A row of the table, and how it is tried.
pub(crate) struct Probe {
    pub(crate) row: &'static str,
    /// Whether it is tried on a unit of others as well as on the caller's own.
    pub(crate) has_target: bool,
    body: Body,
}

impl Probe {
    pub(crate) fn body(&self, target: &'static str) -> Vec<u8> {
        (self.body)(target)
    }
}

/// A call without a unit.
fn plain(row: &'static str, request: &impl Message) -> Probe {
    let body = request.encode_to_vec();
    Probe {
        row,
        has_target: false,
        body: Box::new(move |_| body.clone()),
    }
}

/// A call on a unit.
fn on<M: Message>(row: &'static str, request: impl Fn(String) -> M + Send + Sync + 'static) -> Probe {
    Probe {
        row,
        has_target: true,
        body: Box::new(move |target| request(target.to_owned()).encode_to_vec()),
    }
}

/// Every row, tried.
pub(crate) fn probes(with: &Fixtures) -> Vec<Probe> {
    // First: a later token would make theirs void.
    let mut all = streams_and_enrolment(with);
    all.extend(units());
    all.extend(people(with));
    all.extend(agreements());
    all.extend(patients());
    all.extend(alerts(with));
    all.extend(emergencies(with));
    all.extend(audit());
    all
}

fn units() -> Vec<Probe> {
    vec![
        // Without a name.
        plain(
            "Units.Register",
            &RegisterUnitRequest {
                ods: NOWHERE.to_owned(),
                name: String::new(),
                kind: UnitKind::Gp.into(),
            },
        ),
        plain("Units.List", &ListUnitsRequest {}),
        plain("Units.Status", &StatusRequest {}),
        plain(
            "Units.Suspend",
            &SuspendUnitRequest {
                ods: NOWHERE.to_owned(),
                ..SuspendUnitRequest::default()
            },
        ),
        plain(
            "Units.Resume",
            &ResumeUnitRequest {
                ods: NOWHERE.to_owned(),
            },
        ),
        // Without a reason.
        on("Units.Retire", |ods| RetireUnitRequest {
            ods,
            reason: String::new(),
        }),
        on("Units.CreateEnrolmentToken", |ods| CreateEnrolmentTokenRequest {
            ods,
        }),
    ]
}

fn people(with: &Fixtures) -> Vec<Probe> {
    let (to_change, to_revoke) = (with.spares.clone(), with.spares.clone());
    let id = |spares: &BTreeMap<&str, String>, unit: &str| spares.get(unit).cloned().unwrap_or_default();
    vec![
        // Without a name.
        on("People.Add", |unit| AddPersonRequest {
            name: String::new(),
            unit,
            role: Role::Clinician.into(),
        }),
        on("People.List", |unit| ListPeopleRequest { unit }),
        on("People.SetRole", move |unit| SetRoleRequest {
            id: id(&to_change, &unit),
            role: Role::Clinician.into(),
        }),
        // The operator must give a reason; for the unit's administrators the first time counts.
        on("People.Revoke", move |unit| RevokePersonRequest {
            id: id(&to_revoke, &unit),
            reason: String::new(),
        }),
    ]
}

fn half(side: Side) -> impl Fn(String) -> SetAgreementRequest + Send + Sync + 'static {
    move |unit| {
        let nowhere = NOWHERE.to_owned();
        let (source, recipient) = if side == Side::ShareOut {
            (unit, nowhere)
        } else {
            (nowhere, unit)
        };
        SetAgreementRequest {
            source,
            recipient,
            side: side.into(),
            on: true,
            ..SetAgreementRequest::default()
        }
    }
}

fn agreements() -> Vec<Probe> {
    vec![
        on("Agreements.Set (share-out)", half(Side::ShareOut)),
        on("Agreements.Set (share-in)", half(Side::ShareIn)),
        on("Agreements.Preview (share-out)", half(Side::ShareOut)),
        on("Agreements.Preview (share-in)", half(Side::ShareIn)),
        plain("Agreements.List", &ListAgreementsRequest::default()),
        plain("Agreements.Watch", &ListAgreementsRequest::default()),
        plain("Policy.Get", &GetPolicyRequest {}),
        plain(
            "Policy.Preview",
            &PreviewPolicyRequest {
                policy: PolicyValue::Explicit.into(),
                after: String::new(),
            },
        ),
        // Without a reason.
        plain(
            "Policy.Set",
            &SetPolicyRequest {
                policy: PolicyValue::Explicit.into(),
                reason: String::new(),
            },
        ),
    ]
}

fn patients() -> Vec<Probe> {
    let patients = || vec![PATIENT.to_owned()];
    vec![
        // Without a word; then without saying how it was said.
        on("PatientConsents.Record", move |unit| {
            RecordPatientConsentRequest {
                unit,
                patients: patients(),
                ..RecordPatientConsentRequest::default()
            }
        }),
        plain(
            "PatientConsents.Record (all units)",
            &RecordPatientConsentRequest {
                patients: patients(),
                all_units: true,
                share_out: PatientWordValue::No.into(),
                ..RecordPatientConsentRequest::default()
            },
        ),
        on("PatientConsents.Get", |unit| GetPatientConsentRequest {
            unit,
            patient: PATIENT.to_owned(),
        }),
        on("PatientConsents.List", |unit| ListPatientConsentsRequest {
            unit,
            ..ListPatientConsentsRequest::default()
        }),
        // Without a reason.
        on("Caseload.Add", move |unit| AddToCaseloadRequest {
            unit,
            patients: patients(),
            reason: String::new(),
        }),
        on("Caseload.Remove", move |unit| RemoveFromCaseloadRequest {
            unit,
            patients: patients(),
            reason: String::new(),
        }),
        on("Caseload.List", |unit| ListCaseloadRequest {
            unit,
            ..ListCaseloadRequest::default()
        }),
    ]
}

fn alerts(with: &Fixtures) -> Vec<Probe> {
    let alerts = with.alerts.clone();
    vec![
        plain("Alerts.List", &ListAlertsRequest::default()),
        plain("Alerts.Watch", &ListAlertsRequest::default()),
        // Without a note.
        on("Alerts.Review", move |unit| ReviewAlertRequest {
            id: alerts.get(unit.as_str()).copied().unwrap_or(NO_ALERT),
            justified: true,
            ..ReviewAlertRequest::default()
        }),
    ]
}

fn emergencies(with: &Fixtures) -> Vec<Probe> {
    let (to_end, to_review) = (with.accesses.clone(), with.accesses.clone());
    let id = |all: &BTreeMap<&str, u64>, unit: &str| all.get(unit).copied().unwrap_or(NO_ALERT);
    vec![
        // Without a note.
        plain(
            "EmergencyAccess.Request",
            &RequestAccessRequest {
                patient: PATIENT.to_owned(),
                alert_type: ScrAlertType::Access.into(),
                alert_reason: ScrAlertReason::AccessEmergency.into(),
                ..RequestAccessRequest::default()
            },
        ),
        plain("EmergencyAccess.List", &ListAccessesRequest::default()),
        plain("EmergencyAccess.Watch", &ListAccessesRequest::default()),
        // As far as a unit goes that was not asked.
        on("EmergencyAccess.End", move |unit| EndAccessRequest {
            id: id(&to_end, &unit),
            source: NOWHERE.to_owned(),
        }),
        // Without a note.
        on("EmergencyAccess.Review", move |unit| ReviewAccessRequest {
            id: id(&to_review, &unit),
            justified: true,
            note: String::new(),
        }),
    ]
}

/// Without a reason, all that take one.
fn audit() -> Vec<Probe> {
    let patient = || PATIENT.to_owned();
    let export = |form: ExportForm, patient: &str| ExportAuditRequest {
        form: form.into(),
        patient: patient.to_owned(),
        ..ExportAuditRequest::default()
    };
    vec![
        plain("Audit.Search", &SearchAuditRequest::default()),
        on("Audit.Search (of a unit)", |unit| SearchAuditRequest {
            unit,
            ..SearchAuditRequest::default()
        }),
        plain(
            "Audit.Search (of a patient)",
            &SearchAuditRequest {
                patient: patient(),
                ..SearchAuditRequest::default()
            },
        ),
        on("Audit.Explain", move |unit| ExplainRequest {
            patient: patient(),
            source: unit,
            recipient: NOWHERE.to_owned(),
            ..ExplainRequest::default()
        }),
        plain(
            "Audit.PatientReport",
            &PatientReportRequest {
                patient: patient(),
                ..PatientReportRequest::default()
            },
        ),
        plain("Audit.Export (the log)", &export(ExportForm::Log, "")),
        plain("Audit.Export (entries)", &export(ExportForm::Entries, "")),
        plain(
            "Audit.Export (of a patient)",
            &export(ExportForm::Entries, PATIENT),
        ),
        plain(
            "Audit.Erase",
            &EraseAuditRequest {
                patient: patient(),
                ..EraseAuditRequest::default()
            },
        ),
        plain("Audit.TreeHead", &TreeHeadRequest::default()),
        plain("Audit.ProveInclusion", &ProveInclusionRequest::default()),
        plain("Audit.ProveConsistency", &ProveConsistencyRequest::default()),
        plain("Audit.PublicKey", &PublicKeyRequest {}),
    ]
}

fn streams_and_enrolment(with: &Fixtures) -> Vec<Probe> {
    vec![
        // A signing request that is none does not use the token up.
        plain(
            "Enrolment.Enrol",
            &EnrolRequest {
                token: with.token.clone(),
                csr_der: vec![0; 10].into(),
            },
        ),
        plain("Enrolment.Renew", &RenewRequest::default()),
        // Not a hello.
        plain("Sync.Publish", &PublishRequest::default()),
        plain("Sync.Subscribe", &SubscribeRequest::default()),
    ]
}
