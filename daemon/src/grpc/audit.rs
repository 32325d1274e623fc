//! The Audit service: translation between its messages and the acts.

use std::{pin::Pin, sync::Arc};

use futures::{Stream, StreamExt as _};
use handfast_proto::{
    ids::NhsNumber,
    v1::{
        EraseAuditRequest, EraseAuditResponse, ExplainRequest, ExplainResponse, ExportAuditRequest,
        ExportAuditResponse, ExportForm, PatientReportRequest, PatientReportResponse,
        ProveConsistencyRequest, ProveConsistencyResponse, ProveInclusionRequest, ProveInclusionResponse,
        PublicKeyRequest, PublicKeyResponse, SearchAuditRequest, SearchAuditResponse, SignedTreeHead,
        TreeHeadRequest,
        audit_server::{Audit as Service, AuditServer},
    },
};
use tonic::{Request, Response, Status, async_trait};

use super::{
    answer::{Desk, ods, ods_if_any},
    audit_messages as messages,
    identity::Identities,
    sharing_messages::patient,
};
use crate::{
    consent::Pair,
    sharing::{AuditDesk, Search, Wanted},
};

/// Bytes of a request: numbers, codes and a reason are far smaller.
const MAX_REQUEST_BYTES: usize = 16 * 1024;

/// Serves the log to those who may read it, and its heads and proofs to all who are enrolled.
pub struct AuditService {
    audit: AuditDesk,
    desk: Desk,
}

impl AuditService {
    /// The service, ready for the routes.
    pub fn server(audit: AuditDesk, identities: Arc<Identities>) -> AuditServer<Self> {
        let service = Self {
            audit,
            desk: Desk::new(identities),
        };
        AuditServer::new(service).max_decoding_message_size(MAX_REQUEST_BYTES)
    }
}

#[async_trait]
impl Service for AuditService {
    async fn search(
        &self,
        request: Request<SearchAuditRequest>,
    ) -> Result<Response<SearchAuditResponse>, Status> {
        const METHOD: &str = "Audit.Search";
        let caller = self.desk.caller(&request, METHOD).await?;
        let asked = request.into_inner();
        let search = Search {
            patient: patient_if_any(&asked.patient)?,
            unit: ods_if_any("unit", &asked.unit)?,
            kinds: asked.kinds().collect(),
            from: asked.from,
            to: asked.to,
            limit: asked.limit,
            after: asked.after,
            reason: asked.reason,
        };
        let found = self.audit.search(&caller, search).await;
        self.desk.answer(&caller, METHOD, found.map(messages::found))
    }

    async fn explain(&self, request: Request<ExplainRequest>) -> Result<Response<ExplainResponse>, Status> {
        const METHOD: &str = "Audit.Explain";
        let caller = self.desk.caller(&request, METHOD).await?;
        let asked = request.into_inner();
        let pair = Pair {
            source: ods("source", &asked.source)?,
            recipient: ods("recipient", &asked.recipient)?,
        };
        let patient = patient(&asked.patient)?;
        let explained = self
            .audit
            .explain(&caller, patient, pair, &asked.reason, &asked.after)
            .await;
        self.desk
            .answer(&caller, METHOD, explained.map(messages::explained))
    }

    async fn patient_report(
        &self,
        request: Request<PatientReportRequest>,
    ) -> Result<Response<PatientReportResponse>, Status> {
        const METHOD: &str = "Audit.PatientReport";
        let caller = self.desk.caller(&request, METHOD).await?;
        let asked = request.into_inner();
        let patient = patient(&asked.patient)?;
        let time = (asked.from, asked.to);
        let report = self
            .audit
            .patient_report(&caller, patient, time, &asked.reason)
            .await;
        self.desk.answer(&caller, METHOD, report.map(messages::report))
    }

    type ExportStream = Pin<Box<dyn Stream<Item = Result<ExportAuditResponse, Status>> + Send>>;

    async fn export(
        &self,
        request: Request<ExportAuditRequest>,
    ) -> Result<Response<Self::ExportStream>, Status> {
        const METHOD: &str = "Audit.Export";
        let caller = self.desk.caller(&request, METHOD).await?;
        let asked = request.into_inner();
        let (desk, who) = (self.desk.clone(), caller.clone());
        let refused = move |error| desk.status(&who, METHOD, error);
        let messages: Self::ExportStream = match asked.form() {
            ExportForm::Unspecified => return Err(Status::invalid_argument("form: must be given")),
            ExportForm::Log => {
                let file = self
                    .audit
                    .export_log(&caller, &asked.reason)
                    .await
                    .map_err(&refused)?;
                Box::pin(file.map(move |piece| {
                    let message = |data: Vec<u8>| ExportAuditResponse {
                        data: data.into(),
                        entries: Vec::new(),
                    };
                    piece.map(message).map_err(&refused)
                }))
            }
            ExportForm::Entries => {
                let wanted = Wanted {
                    patient: patient_if_any(&asked.patient)?,
                    from: asked.from,
                    to: asked.to,
                    reason: asked.reason,
                };
                let entries = self
                    .audit
                    .export_entries(&caller, wanted)
                    .await
                    .map_err(&refused)?;
                Box::pin(entries.map(move |page| page.map(messages::exported).map_err(&refused)))
            }
        };
        Ok(Response::new(messages))
    }

    async fn erase(
        &self,
        request: Request<EraseAuditRequest>,
    ) -> Result<Response<EraseAuditResponse>, Status> {
        const METHOD: &str = "Audit.Erase";
        let caller = self.desk.caller(&request, METHOD).await?;
        let asked = request.into_inner();
        let patient = patient(&asked.patient)?;
        let erased = self
            .audit
            .erase(&caller, patient, asked.before, &asked.reason)
            .await;
        self.desk.answer(
            &caller,
            METHOD,
            erased.map(|entries| EraseAuditResponse { entries }),
        )
    }

    async fn tree_head(&self, request: Request<TreeHeadRequest>) -> Result<Response<SignedTreeHead>, Status> {
        const METHOD: &str = "Audit.TreeHead";
        let caller = self.desk.caller(&request, METHOD).await?;
        let since = request.into_inner().since;
        let head = self.audit.tree_head(&caller, since).await;
        let (key, _) = self.audit.public_key(&caller);
        let head = head.map(|(signed, proof)| signed.to_wire(&key, since, &proof));
        self.desk.answer(&caller, METHOD, head)
    }

    async fn prove_inclusion(
        &self,
        request: Request<ProveInclusionRequest>,
    ) -> Result<Response<ProveInclusionResponse>, Status> {
        const METHOD: &str = "Audit.ProveInclusion";
        let caller = self.desk.caller(&request, METHOD).await?;
        let ProveInclusionRequest { index, size } = request.into_inner();
        let proof = self.audit.prove_inclusion(&caller, index, size).await;
        let message = proof.map(|(leaf, proof, size)| ProveInclusionResponse {
            index,
            size,
            leaf_hash: leaf.as_bytes().to_vec().into(),
            proof: messages::hashes(&proof),
        });
        self.desk.answer(&caller, METHOD, message)
    }

    async fn prove_consistency(
        &self,
        request: Request<ProveConsistencyRequest>,
    ) -> Result<Response<ProveConsistencyResponse>, Status> {
        const METHOD: &str = "Audit.ProveConsistency";
        let caller = self.desk.caller(&request, METHOD).await?;
        let ProveConsistencyRequest { old_size, new_size } = request.into_inner();
        let proof = self.audit.prove_consistency(&caller, old_size, new_size).await;
        let message = proof.map(|(proof, new_size)| ProveConsistencyResponse {
            old_size,
            new_size,
            proof: messages::hashes(&proof),
        });
        self.desk.answer(&caller, METHOD, message)
    }

    async fn public_key(
        &self,
        request: Request<PublicKeyRequest>,
    ) -> Result<Response<PublicKeyResponse>, Status> {
        const METHOD: &str = "Audit.PublicKey";
        let caller = self.desk.caller(&request, METHOD).await?;
        let (key, trust_domain) = self.audit.public_key(&caller);
        Ok(Response::new(PublicKeyResponse {
            public_key: key.as_bytes().to_vec().into(),
            key_id: key.id().as_bytes().to_vec().into(),
            trust_domain: trust_domain.to_owned(),
        }))
    }
}

fn patient_if_any(text: &str) -> Result<Option<NhsNumber>, Status> {
    if text.is_empty() {
        return Ok(None);
    }
    patient(text).map(Some)
}
