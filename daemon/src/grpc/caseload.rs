//! The Caseload service: translation between its messages and the acts.

use std::sync::Arc;

use handfast_proto::v1::{
    AddToCaseloadRequest, CaseloadEntry, ChangeCaseloadResponse, ListCaseloadRequest, ListCaseloadResponse,
    RemoveFromCaseloadRequest,
    caseload_server::{Caseload as Service, CaseloadServer},
};
use tonic::{Request, Response, Status, async_trait};

use super::{
    answer::{Desk, ods_if_any, page_size},
    identity::Identities,
    sharing_messages::{after, in_force, patients, receipts},
};
use crate::{
    sharing::{Caseload, Claimed},
    store::ClaimRow,
};

/// Bytes of a request: a hundred NHS numbers and a reason are far smaller.
const MAX_REQUEST_BYTES: usize = 32 * 1024;

/// Serves Add, Remove and List.
pub struct CaseloadService {
    caseload: Caseload,
    desk: Desk,
}

impl CaseloadService {
    /// The service, ready for the routes.
    pub fn server(caseload: Caseload, identities: Arc<Identities>) -> CaseloadServer<Self> {
        let service = Self {
            caseload,
            desk: Desk::new(identities),
        };
        CaseloadServer::new(service).max_decoding_message_size(MAX_REQUEST_BYTES)
    }
}

#[async_trait]
impl Service for CaseloadService {
    async fn add(
        &self,
        request: Request<AddToCaseloadRequest>,
    ) -> Result<Response<ChangeCaseloadResponse>, Status> {
        const METHOD: &str = "Caseload.Add";
        let caller = self.desk.caller(&request, METHOD).await?;
        let asked = request.into_inner();
        let (unit, patients) = (ods_if_any("unit", &asked.unit)?, patients(&asked.patients)?);
        let added = self.caseload.add(&caller, unit, &patients, &asked.reason).await;
        self.desk
            .answer(&caller, METHOD, added.map(|claimed| changed(&claimed)))
    }

    async fn remove(
        &self,
        request: Request<RemoveFromCaseloadRequest>,
    ) -> Result<Response<ChangeCaseloadResponse>, Status> {
        const METHOD: &str = "Caseload.Remove";
        let caller = self.desk.caller(&request, METHOD).await?;
        let asked = request.into_inner();
        let (unit, patients) = (ods_if_any("unit", &asked.unit)?, patients(&asked.patients)?);
        let removed = self
            .caseload
            .remove(&caller, unit, &patients, &asked.reason)
            .await;
        self.desk
            .answer(&caller, METHOD, removed.map(|claimed| changed(&claimed)))
    }

    async fn list(
        &self,
        request: Request<ListCaseloadRequest>,
    ) -> Result<Response<ListCaseloadResponse>, Status> {
        const METHOD: &str = "Caseload.List";
        let caller = self.desk.caller(&request, METHOD).await?;
        let asked = request.into_inner();
        let (unit, after) = (ods_if_any("unit", &asked.unit)?, after(&asked.after)?);
        let found = self
            .caseload
            .list(&caller, unit, after, page_size(asked.limit))
            .await;
        let found = found.map(|(unit, claims)| ListCaseloadResponse {
            unit: unit.to_string(),
            next: claims
                .last()
                .map_or_else(String::new, |claim| claim.patient.reveal()),
            patients: claims.into_iter().map(entry).collect(),
        });
        self.desk.answer(&caller, METHOD, found)
    }
}

fn changed(claimed: &Claimed) -> ChangeCaseloadResponse {
    let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    ChangeCaseloadResponse {
        in_force: in_force(claimed.in_force.in_force).into(),
        receipts: receipts(&claimed.in_force.receipts),
        changed: count(claimed.changed),
        unchanged: count(claimed.unchanged),
        recorded: count(claimed.recorded),
        alerted: count(claimed.alerted),
        unit: claimed.unit.to_string(),
    }
}

fn entry(claim: ClaimRow) -> CaseloadEntry {
    CaseloadEntry {
        patient: claim.patient.reveal(),
        added_by: claim.by,
        reason: claim.reason,
        added_at: claim.at,
    }
}
