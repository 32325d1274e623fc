//! The EmergencyAccess service: translation between its messages and the acts.

use std::{pin::Pin, sync::Arc};

use futures::{Stream, StreamExt as _};
use handfast_proto::{
    emergency::Ground,
    v1::{
        self, AccessSource, AccessView, AccessWithdrawal, AlertState, EndAccessRequest, EndAccessResponse,
        ListAccessesRequest, ListAccessesResponse, RequestAccessRequest, RequestAccessResponse,
        ReviewAccessRequest, ReviewAccessResponse,
        emergency_access_server::{EmergencyAccess as Service, EmergencyAccessServer},
    },
};
use tonic::{Request, Response, Status, async_trait};

use super::{
    alerts::{finding, listing, review_message},
    answer::{Desk, ods, ods_if_any},
    identity::Identities,
};
use crate::{
    sharing::{AccessOpened, AskAccess, EmergencyAccess},
    store::{AccessId, AccessRow, RemovalRow, SourceRow, WithdrawalState},
};

/// Bytes of a request: the longest names 64 units.
const MAX_REQUEST_BYTES: usize = 32 * 1024;

/// Serves Request, List, Watch, End and Review.
pub struct EmergencyService {
    accesses: EmergencyAccess,
    desk: Desk,
}

impl EmergencyService {
    /// The service, ready for the routes.
    pub fn server(accesses: EmergencyAccess, identities: Arc<Identities>) -> EmergencyAccessServer<Self> {
        let service = Self {
            accesses,
            desk: Desk::new(identities),
        };
        EmergencyAccessServer::new(service).max_decoding_message_size(MAX_REQUEST_BYTES)
    }
}

#[async_trait]
impl Service for EmergencyService {
    async fn request(
        &self,
        request: Request<RequestAccessRequest>,
    ) -> Result<Response<RequestAccessResponse>, Status> {
        const METHOD: &str = "EmergencyAccess.Request";
        let caller = self.desk.caller(&request, METHOD).await?;
        let asked = asked(request.into_inner())?;
        let opened = self.accesses.ask(&caller, asked).await;
        self.desk.answer(&caller, METHOD, opened.map(opened_message))
    }

    async fn list(
        &self,
        request: Request<ListAccessesRequest>,
    ) -> Result<Response<ListAccessesResponse>, Status> {
        const METHOD: &str = "EmergencyAccess.List";
        let caller = self.desk.caller(&request, METHOD).await?;
        let asked = request.into_inner();
        let rows = self
            .accesses
            .list(&caller, listing(asked.open, asked.before))
            .await;
        self.desk.answer(&caller, METHOD, rows.map(list_message))
    }

    type WatchStream = Pin<Box<dyn Stream<Item = Result<ListAccessesResponse, Status>> + Send>>;

    async fn watch(
        &self,
        request: Request<ListAccessesRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        const METHOD: &str = "EmergencyAccess.Watch";
        let caller = self.desk.caller(&request, METHOD).await?;
        let asked = request.into_inner();
        let lists = self.accesses.watch(&caller, listing(asked.open, asked.before));
        let desk = self.desk.clone();
        let messages = lists.map(move |rows| {
            rows.map(list_message)
                .map_err(|error| desk.status(&caller, METHOD, error))
        });
        Ok(Response::new(Box::pin(messages)))
    }

    async fn end(&self, request: Request<EndAccessRequest>) -> Result<Response<EndAccessResponse>, Status> {
        const METHOD: &str = "EmergencyAccess.End";
        let caller = self.desk.caller(&request, METHOD).await?;
        let asked = request.into_inner();
        let source = ods_if_any("source", &asked.source)?;
        let ended = self.accesses.end(&caller, AccessId(asked.id), source).await;
        let ended = ended.map(|(row, in_force)| EndAccessResponse {
            access: Some(message(row)),
            in_force,
        });
        self.desk.answer(&caller, METHOD, ended)
    }

    async fn review(
        &self,
        request: Request<ReviewAccessRequest>,
    ) -> Result<Response<ReviewAccessResponse>, Status> {
        const METHOD: &str = "EmergencyAccess.Review";
        let caller = self.desk.caller(&request, METHOD).await?;
        let asked = request.into_inner();
        let finding = finding(asked.justified, asked.note);
        let reviewed = self.accesses.review(&caller, AccessId(asked.id), &finding).await;
        let reviewed = reviewed.map(|row| ReviewAccessResponse {
            access: Some(message(row)),
        });
        self.desk.answer(&caller, METHOD, reviewed)
    }
}

fn asked(asked: RequestAccessRequest) -> Result<AskAccess, Status> {
    let ground = Ground::new(asked.alert_type(), asked.alert_reason());
    let sources = asked.sources.iter().map(|source| ods("sources", source));
    Ok(AskAccess {
        patient: asked
            .patient
            .parse()
            .map_err(|e| Status::invalid_argument(format!("patient: {e}")))?,
        sources: sources.collect::<Result<_, _>>()?,
        ground,
        note: asked.note,
        seconds: asked.seconds,
    })
}

fn opened_message(opened: AccessOpened) -> RequestAccessResponse {
    let closed = opened.not_shared_out.iter().map(ToString::to_string);
    RequestAccessResponse {
        access: Some(message(opened.access)),
        not_shared_out: closed.collect(),
    }
}

fn list_message(rows: Vec<AccessRow>) -> ListAccessesResponse {
    ListAccessesResponse {
        accesses: rows.into_iter().map(message).collect(),
    }
}

fn message(row: AccessRow) -> AccessView {
    let access = row.access;
    AccessView {
        id: row.id.0,
        recipient: access.recipient.to_string(),
        patient: access.patient.reveal(),
        person: access.person.to_string(),
        person_name: row.person_name,
        alert_type: access.ground.alert_type().into(),
        alert_reason: access.ground.reason().into(),
        note: access.note,
        at: access.at,
        until: access.until,
        sources: row.sources.into_iter().map(source).collect(),
    }
}

fn source(row: SourceRow) -> AccessSource {
    AccessSource {
        source: row.source.to_string(),
        grant: row.grant.map_or(0, |grant| grant.0),
        until: row.until,
        ended_at: row.ended_at.unwrap_or(0),
        ended_by: row.ended_by.map(|(by, _)| by).unwrap_or_default(),
        withdrawal: row.removal.map(withdrawal),
        review: AlertState::from(row.state).into(),
        reviews: row.reviews.into_iter().map(review_message).collect(),
    }
}

fn withdrawal(row: RemovalRow) -> AccessWithdrawal {
    let state = match row.state {
        WithdrawalState::Pending => v1::WithdrawalState::Pending,
        WithdrawalState::Received => v1::WithdrawalState::Received,
        WithdrawalState::Confirmed => v1::WithdrawalState::Confirmed,
    };
    AccessWithdrawal {
        state: state as u32,
        removed: row.removed,
        not_removed: row.not_removed,
    }
}
