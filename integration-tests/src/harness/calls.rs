//! Every call of every service, as a client would make it.

use futures::future::BoxFuture;
use handfast_proto::v1::{
    AddPersonRequest, AddToCaseloadRequest, ConsentManner, CreateEnrolmentTokenRequest, EraseAuditRequest,
    ExplainRequest, ExportAuditRequest, ExportForm, GetPatientConsentRequest, GetPolicyRequest,
    ListAgreementsRequest, ListCaseloadRequest, ListPatientConsentsRequest, ListPeopleRequest,
    ListUnitsRequest, PatientReportRequest, PatientWordValue, PolicyValue, PreviewPolicyRequest,
    ProveConsistencyRequest, ProveInclusionRequest, PublicKeyRequest, PublishHello, PublishRequest,
    RecordPatientConsentRequest, RegisterUnitRequest, RemoveFromCaseloadRequest, RenewRequest,
    ResumeUnitRequest, RetireUnitRequest, RevokePersonRequest, Role, SearchAuditRequest, SetAgreementRequest,
    SetPolicyRequest, SetRoleRequest, Side, StatusRequest, SubscribeHello, SubscribeRequest,
    SuspendUnitRequest, TreeHeadRequest, UnitKind, agreements_client::AgreementsClient,
    audit_client::AuditClient, caseload_client::CaseloadClient, enrolment_client::EnrolmentClient,
    patient_consents_client::PatientConsentsClient, people_client::PeopleClient, policy_client::PolicyClient,
    publish_request, subscribe_request, sync_client::SyncClient, units_client::UnitsClient,
};
use tonic::{Status, transport::Channel};

/// The NHS number of a patient.
const PATIENT: &str = "9990000018";

/// A call's name, and how it is made.
pub type Call = (
    &'static str,
    fn(Channel) -> BoxFuture<'static, Result<(), Status>>,
);

macro_rules! unary {
    ($name:literal, $client:ident, $method:ident, $request:expr) => {
        ($name, |channel| {
            Box::pin(async move { $client::new(channel).$method($request).await.map(drop) })
        })
    };
}

fn publish(channel: Channel) -> BoxFuture<'static, Result<(), Status>> {
    let hello = PublishHello {
        store_id: vec![7; 16].into(),
        ..PublishHello::default()
    };
    let request = PublishRequest {
        message: Some(publish_request::Message::Hello(hello)),
    };
    Box::pin(async move {
        let answer = SyncClient::new(channel)
            .publish(tokio_stream::once(request))
            .await?;
        answer.into_inner().message().await.map(drop)
    })
}

fn subscribe(channel: Channel) -> BoxFuture<'static, Result<(), Status>> {
    let hello = SubscribeHello {
        store_id: vec![7; 16].into(),
        ..SubscribeHello::default()
    };
    let request = SubscribeRequest {
        message: Some(subscribe_request::Message::Hello(hello)),
    };
    Box::pin(async move {
        let answer = SyncClient::new(channel)
            .subscribe(tokio_stream::once(request))
            .await?;
        answer.into_inner().message().await.map(drop)
    })
}

fn set(source: &str, recipient: &str, side: Side) -> SetAgreementRequest {
    SetAgreementRequest {
        source: source.to_owned(),
        recipient: recipient.to_owned(),
        side: side.into(),
        on: true,
        reason: String::new(),
        scope: None,
    }
}

/// What only the operator, or people of `Z00001`, may do.
pub fn of_others() -> Vec<Call> {
    let mut all = units_of_others();
    all.extend(people_and_halves_of_others());
    all.extend(audit_of_others());
    all.extend(patients_of_others());
    all.extend(caseload_and_policy_of_others());
    all
}

fn patients_of_others() -> Vec<Call> {
    vec![
        unary!(
            "PatientConsents.Record",
            PatientConsentsClient,
            record,
            RecordPatientConsentRequest {
                unit: "Z00001".to_owned(),
                patients: vec![PATIENT.to_owned()],
                share_out: PatientWordValue::No.into(),
                manner: ConsentManner::Spoken.into(),
                ..RecordPatientConsentRequest::default()
            }
        ),
        unary!(
            "PatientConsents.Get",
            PatientConsentsClient,
            get,
            GetPatientConsentRequest {
                unit: "Z00001".to_owned(),
                patient: PATIENT.to_owned(),
            }
        ),
        unary!(
            "PatientConsents.List",
            PatientConsentsClient,
            list,
            ListPatientConsentsRequest {
                unit: "Z00001".to_owned(),
                ..ListPatientConsentsRequest::default()
            }
        ),
        unary!(
            "Agreements.Preview",
            AgreementsClient,
            preview,
            set("Z00001", "Z00003", Side::ShareOut)
        ),
    ]
}

fn caseload_and_policy_of_others() -> Vec<Call> {
    vec![
        unary!(
            "Caseload.Add",
            CaseloadClient,
            add,
            AddToCaseloadRequest {
                unit: "Z00001".to_owned(),
                patients: vec![PATIENT.to_owned()],
                reason: "mine".to_owned(),
            }
        ),
        unary!(
            "Caseload.Remove",
            CaseloadClient,
            remove,
            RemoveFromCaseloadRequest {
                unit: "Z00001".to_owned(),
                patients: vec![PATIENT.to_owned()],
                reason: "mine".to_owned(),
            }
        ),
        unary!(
            "Caseload.List",
            CaseloadClient,
            list,
            ListCaseloadRequest {
                unit: "Z00001".to_owned(),
                ..ListCaseloadRequest::default()
            }
        ),
        unary!(
            "Policy.Preview",
            PolicyClient,
            preview,
            PreviewPolicyRequest {
                policy: PolicyValue::Explicit.into(),
                after: String::new(),
            }
        ),
        unary!(
            "Policy.Set",
            PolicyClient,
            set,
            SetPolicyRequest {
                policy: PolicyValue::Explicit.into(),
                reason: "mine".to_owned(),
            }
        ),
    ]
}

fn units_of_others() -> Vec<Call> {
    vec![
        unary!(
            "Units.Register",
            UnitsClient,
            register,
            RegisterUnitRequest {
                ods: "Z00009".to_owned(),
                name: "Nobody".to_owned(),
                kind: UnitKind::Gp.into(),
            }
        ),
        unary!(
            "Units.Suspend",
            UnitsClient,
            suspend,
            SuspendUnitRequest {
                ods: "Z00001".to_owned(),
                ..SuspendUnitRequest::default()
            }
        ),
        unary!(
            "Units.Resume",
            UnitsClient,
            resume,
            ResumeUnitRequest {
                ods: "Z00001".to_owned()
            }
        ),
        unary!(
            "Units.Retire",
            UnitsClient,
            retire,
            RetireUnitRequest {
                ods: "Z00001".to_owned(),
                reason: String::new(),
            }
        ),
        unary!(
            "Units.CreateEnrolmentToken",
            UnitsClient,
            create_enrolment_token,
            CreateEnrolmentTokenRequest {
                ods: "Z00001".to_owned()
            }
        ),
    ]
}

fn people_and_halves_of_others() -> Vec<Call> {
    vec![
        unary!(
            "People.Add",
            PeopleClient,
            add,
            AddPersonRequest {
                name: "Mallory".to_owned(),
                unit: "Z00001".to_owned(),
                role: Role::UnitAdmin.into(),
            }
        ),
        unary!(
            "People.SetRole",
            PeopleClient,
            set_role,
            SetRoleRequest {
                id: "somebody".to_owned(),
                role: Role::UnitAdmin.into(),
            }
        ),
        unary!(
            "People.Revoke",
            PeopleClient,
            revoke,
            RevokePersonRequest {
                id: "somebody".to_owned(),
                reason: String::new(),
            }
        ),
        unary!(
            "Agreements.Set",
            AgreementsClient,
            set,
            set("Z00001", "Z00003", Side::ShareOut)
        ),
    ]
}

fn audit_of_others() -> Vec<Call> {
    vec![
        unary!(
            "Audit.Search",
            AuditClient,
            search,
            SearchAuditRequest {
                reason: "a test".to_owned(),
                unit: "Z00001".to_owned(),
                ..SearchAuditRequest::default()
            }
        ),
        unary!(
            "Audit.Explain",
            AuditClient,
            explain,
            ExplainRequest {
                reason: "a test".to_owned(),
                patient: PATIENT.to_owned(),
                source: "Z00001".to_owned(),
                recipient: "Z00002".to_owned(),
                after: String::new(),
            }
        ),
        unary!(
            "Audit.PatientReport",
            AuditClient,
            patient_report,
            PatientReportRequest {
                reason: "a test".to_owned(),
                patient: PATIENT.to_owned(),
                ..PatientReportRequest::default()
            }
        ),
        unary!(
            "Audit.Export",
            AuditClient,
            export,
            ExportAuditRequest {
                reason: "a test".to_owned(),
                form: ExportForm::Log.into(),
                ..ExportAuditRequest::default()
            }
        ),
        unary!(
            "Audit.Erase",
            AuditClient,
            erase,
            EraseAuditRequest {
                reason: "a test".to_owned(),
                patient: PATIENT.to_owned(),
                before: 0,
            }
        ),
    ]
}

/// What every enrolled caller may do, for themselves.
pub fn of_everyone() -> Vec<Call> {
    vec![
        unary!("Units.List", UnitsClient, list, ListUnitsRequest {}),
        unary!("Units.Status", UnitsClient, status, StatusRequest {}),
        unary!("People.List", PeopleClient, list, ListPeopleRequest::default()),
        unary!(
            "Agreements.List",
            AgreementsClient,
            list,
            ListAgreementsRequest::default()
        ),
        unary!(
            "Agreements.Watch",
            AgreementsClient,
            watch,
            ListAgreementsRequest::default()
        ),
        unary!(
            "Audit.TreeHead",
            AuditClient,
            tree_head,
            TreeHeadRequest::default()
        ),
        unary!("Audit.PublicKey", AuditClient, public_key, PublicKeyRequest {}),
        unary!(
            "Audit.ProveInclusion",
            AuditClient,
            prove_inclusion,
            ProveInclusionRequest::default()
        ),
        unary!(
            "Audit.ProveConsistency",
            AuditClient,
            prove_consistency,
            ProveConsistencyRequest::default()
        ),
        unary!("Policy.Get", PolicyClient, get, GetPolicyRequest {}),
        unary!("Enrolment.Renew", EnrolmentClient, renew, RenewRequest::default()),
        ("Sync.Publish", publish),
        ("Sync.Subscribe", subscribe),
    ]
}
