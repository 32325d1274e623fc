//! The Alerts service: translation between its messages and the acts.

use std::{pin::Pin, sync::Arc};

use futures::{Stream, StreamExt as _};
use handfast_proto::ids::NhsNumber;
use handfast_proto::v1::{
    self, Alert, AlertReview, AlertState, ListAlertsRequest, ListAlertsResponse, ReviewAlertRequest,
    ReviewAlertResponse,
    alerts_server::{Alerts as Service, AlertsServer},
};
use tonic::{Request, Response, Status, async_trait};

use super::{answer::Desk, identity::Identities};
use crate::{
    sharing::{AlertDesk, AlertDetail, AlertView, Finding, Listing},
    store::{AlertId, ReviewRow},
};

/// Bytes of a request: a number and a note are far smaller.
const MAX_REQUEST_BYTES: usize = 32 * 1024;

/// Serves List, Watch and Review.
pub struct AlertsService {
    alerts: AlertDesk,
    desk: Desk,
}

impl AlertsService {
    /// The service, ready for the routes.
    pub fn server(alerts: AlertDesk, identities: Arc<Identities>) -> AlertsServer<Self> {
        let service = Self {
            alerts,
            desk: Desk::new(identities),
        };
        AlertsServer::new(service).max_decoding_message_size(MAX_REQUEST_BYTES)
    }
}

#[async_trait]
impl Service for AlertsService {
    async fn list(
        &self,
        request: Request<ListAlertsRequest>,
    ) -> Result<Response<ListAlertsResponse>, Status> {
        const METHOD: &str = "Alerts.List";
        let caller = self.desk.caller(&request, METHOD).await?;
        let asked = request.into_inner();
        let rows = self.alerts.list(&caller, listing(asked.open, asked.before)).await;
        self.desk.answer(&caller, METHOD, rows.map(list_message))
    }

    type WatchStream = Pin<Box<dyn Stream<Item = Result<ListAlertsResponse, Status>> + Send>>;

    async fn watch(
        &self,
        request: Request<ListAlertsRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        const METHOD: &str = "Alerts.Watch";
        let caller = self.desk.caller(&request, METHOD).await?;
        let asked = request.into_inner();
        let lists = self.alerts.watch(&caller, listing(asked.open, asked.before));
        let desk = self.desk.clone();
        let messages = lists.map(move |rows| {
            rows.map(list_message)
                .map_err(|error| desk.status(&caller, METHOD, error))
        });
        Ok(Response::new(Box::pin(messages)))
    }

    async fn review(
        &self,
        request: Request<ReviewAlertRequest>,
    ) -> Result<Response<ReviewAlertResponse>, Status> {
        const METHOD: &str = "Alerts.Review";
        let caller = self.desk.caller(&request, METHOD).await?;
        let asked = request.into_inner();
        let finding = finding(asked.justified, asked.note);
        let reviewed = self.alerts.review(&caller, AlertId(asked.id), &finding).await;
        let reviewed = reviewed.map(|row| ReviewAlertResponse {
            alert: Some(message(row)),
        });
        self.desk.answer(&caller, METHOD, reviewed)
    }
}

pub(super) fn listing(open: bool, before: u64) -> Listing {
    Listing {
        open,
        before: (before > 0).then_some(before),
    }
}

pub(super) fn finding(justified: bool, note: String) -> Finding {
    Finding { justified, note }
}

pub(super) fn review_message(row: ReviewRow) -> AlertReview {
    AlertReview {
        person: row.person.to_string(),
        unit: row.unit.to_string(),
        justified: row.justified,
        note: row.note,
        at: row.at,
    }
}

fn list_message(rows: Vec<AlertView>) -> ListAlertsResponse {
    ListAlertsResponse {
        alerts: rows.into_iter().map(message).collect(),
    }
}

fn message(view: AlertView) -> Alert {
    Alert {
        id: view.id.0,
        kind: view.kind.into(),
        state: AlertState::from(view.state).into(),
        unit: view.unit.to_string(),
        source: view.source.map(|ods| ods.to_string()).unwrap_or_default(),
        raised_at: view.raised_at,
        escalated_at: view.escalated_at.unwrap_or(0),
        reviewed_at: view.reviewed_at.unwrap_or(0),
        detail: view.detail.map(detail),
    }
}

fn detail(detail: AlertDetail) -> v1::AlertDetail {
    v1::AlertDetail {
        access: detail.access.map_or(0, |id| id.0),
        patient: detail.patient.map(NhsNumber::reveal).unwrap_or_default(),
        by: detail.by,
        note: detail.note,
        reviews: detail.reviews.into_iter().map(review_message).collect(),
    }
}
