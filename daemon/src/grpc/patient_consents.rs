//! The PatientConsents service: translation between its messages and the acts.

use std::sync::Arc;

use handfast_proto::v1::{
    GetPatientConsentRequest, GetPatientConsentResponse, ListPatientConsentsRequest,
    ListPatientConsentsResponse, PatientConsent, PatientWordValue, RecordPatientConsentRequest,
    RecordPatientConsentResponse, RecordedWord,
    patient_consents_server::{PatientConsents as Service, PatientConsentsServer},
};
use tonic::{Request, Response, Status, async_trait};

use super::{
    answer::{Desk, ods_if_any, page_size},
    identity::Identities,
    sharing_messages::{after, in_force, patient, patients, receipts, side_message},
};
use crate::{
    consent::PatientWord,
    sharing::{PatientConsents, Recorded, SaidWords},
    store::WordRow,
};

/// Bytes of a request: a hundred NHS numbers and a name are far smaller.
const MAX_REQUEST_BYTES: usize = 32 * 1024;

/// Serves Record, Get and List.
pub struct PatientConsentsService {
    consents: PatientConsents,
    desk: Desk,
}

impl PatientConsentsService {
    /// The service, ready for the routes.
    pub fn server(consents: PatientConsents, identities: Arc<Identities>) -> PatientConsentsServer<Self> {
        let service = Self {
            consents,
            desk: Desk::new(identities),
        };
        PatientConsentsServer::new(service).max_decoding_message_size(MAX_REQUEST_BYTES)
    }
}

#[async_trait]
impl Service for PatientConsentsService {
    async fn record(
        &self,
        request: Request<RecordPatientConsentRequest>,
    ) -> Result<Response<RecordPatientConsentResponse>, Status> {
        const METHOD: &str = "PatientConsents.Record";
        let caller = self.desk.caller(&request, METHOD).await?;
        let asked = request.into_inner();
        let unit = ods_if_any("unit", &asked.unit)?;
        let said = |word: PatientWordValue| (word != PatientWordValue::Unspecified).then_some(word);
        let words = SaidWords {
            patients: patients(&asked.patients)?,
            share_out: said(asked.share_out()),
            share_in: said(asked.share_in()),
            manner: asked.manner(),
            said_on: asked.said_on,
            taken_by: asked.taken_by,
        };
        let recorded = match (asked.all_units, unit) {
            (false, unit) => self.consents.record(&caller, unit, words).await,
            (true, None) => self.consents.record_everywhere(&caller, words).await,
            (true, Some(_)) => {
                return Err(Status::invalid_argument(
                    "unit: name one, or ask for all units, not both",
                ));
            }
        };
        self.desk.answer(&caller, METHOD, recorded.map(recorded_message))
    }

    async fn get(
        &self,
        request: Request<GetPatientConsentRequest>,
    ) -> Result<Response<GetPatientConsentResponse>, Status> {
        const METHOD: &str = "PatientConsents.Get";
        let caller = self.desk.caller(&request, METHOD).await?;
        let asked = request.into_inner();
        let (unit, patient) = (ods_if_any("unit", &asked.unit)?, patient(&asked.patient)?);
        let found = self.consents.get(&caller, unit, patient).await;
        let found = found.map(|(unit, words)| GetPatientConsentResponse {
            unit: unit.to_string(),
            words: words.iter().map(message).collect(),
        });
        self.desk.answer(&caller, METHOD, found)
    }

    async fn list(
        &self,
        request: Request<ListPatientConsentsRequest>,
    ) -> Result<Response<ListPatientConsentsResponse>, Status> {
        const METHOD: &str = "PatientConsents.List";
        let caller = self.desk.caller(&request, METHOD).await?;
        let asked = request.into_inner();
        let (unit, after) = (ods_if_any("unit", &asked.unit)?, after(&asked.after)?);
        let found = self
            .consents
            .list(&caller, unit, after, page_size(asked.limit))
            .await;
        let found = found.map(|(unit, words)| ListPatientConsentsResponse {
            unit: unit.to_string(),
            next: words
                .last()
                .map_or_else(String::new, |row| row.change.patient.reveal()),
            words: words.iter().map(message).collect(),
        });
        self.desk.answer(&caller, METHOD, found)
    }
}

fn recorded_message(recorded: Recorded) -> RecordPatientConsentResponse {
    let words = recorded
        .words
        .iter()
        .map(|(patient, side, outcome)| RecordedWord {
            patient: patient.reveal(),
            side: side_message(*side).into(),
            before: standing(outcome.before).into(),
            now: standing(outcome.now).into(),
        });
    RecordPatientConsentResponse {
        in_force: in_force(recorded.in_force.in_force).into(),
        words: words.collect(),
        receipts: receipts(&recorded.in_force.receipts),
        said_at: recorded.said_at,
        units: u32::try_from(recorded.units).unwrap_or(u32::MAX),
        unit: recorded.unit.map_or_else(String::new, |ods| ods.to_string()),
    }
}

fn standing(word: PatientWord) -> PatientWordValue {
    match word {
        PatientWord::NotRecorded => PatientWordValue::Unspecified,
        PatientWord::Yes => PatientWordValue::Yes,
        PatientWord::No => PatientWordValue::No,
    }
}

fn message(row: &WordRow) -> PatientConsent {
    let word = &row.change;
    PatientConsent {
        patient: word.patient.reveal(),
        side: side_message(word.side).into(),
        word: word.word.into(),
        in_force: row.in_force,
        said_at: word.said_at,
        manner: word.manner.into(),
        taken_by: word.taken_by.clone(),
        recorded_by: word.by.clone(),
        recorded_at: word.at,
    }
}
