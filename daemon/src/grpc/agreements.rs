//! The Agreements service: translation between its messages and the acts.

use std::{pin::Pin, sync::Arc};

use futures::{Stream, StreamExt as _};
use handfast_proto::v1::{
    self, ListAgreementsRequest, ListAgreementsResponse, PreviewAgreementResponse, SetAgreementRequest,
    SetAgreementResponse,
    agreements_server::{Agreements as Service, AgreementsServer},
};
use tonic::{Request, Response, Status, async_trait};

use super::{
    answer::{Desk, ods, ods_if_any},
    identity::Identities,
    sharing_messages::{counts, half, in_force, notice, partial, receipt, scope_change, side, withdrawal},
};
use crate::{
    consent::Pair,
    sharing::{AgreementView, Agreements, Preview, SetHalf, Turned},
};

/// Bytes of a request: two codes and a reason are far smaller.
const MAX_REQUEST_BYTES: usize = 32 * 1024;

/// Serves Set, Preview, List and Watch.
pub struct AgreementsService {
    agreements: Agreements,
    desk: Desk,
}

impl AgreementsService {
    /// The service, ready for the routes.
    pub fn server(agreements: Agreements, identities: Arc<Identities>) -> AgreementsServer<Self> {
        let service = Self {
            agreements,
            desk: Desk::new(identities),
        };
        AgreementsServer::new(service).max_decoding_message_size(MAX_REQUEST_BYTES)
    }
}

#[async_trait]
impl Service for AgreementsService {
    async fn set(
        &self,
        request: Request<SetAgreementRequest>,
    ) -> Result<Response<SetAgreementResponse>, Status> {
        const METHOD: &str = "Agreements.Set";
        let caller = self.desk.caller(&request, METHOD).await?;
        let half = asked_half(request.into_inner())?;
        let set = self.agreements.set(&caller, half).await;
        self.desk.answer(&caller, METHOD, set.map(set_message))
    }

    async fn preview(
        &self,
        request: Request<SetAgreementRequest>,
    ) -> Result<Response<PreviewAgreementResponse>, Status> {
        const METHOD: &str = "Agreements.Preview";
        let caller = self.desk.caller(&request, METHOD).await?;
        let half = asked_half(request.into_inner())?;
        let found = self.agreements.preview(&caller, half).await;
        self.desk.answer(&caller, METHOD, found.map(preview_message))
    }

    async fn list(
        &self,
        request: Request<ListAgreementsRequest>,
    ) -> Result<Response<ListAgreementsResponse>, Status> {
        const METHOD: &str = "Agreements.List";
        let caller = self.desk.caller(&request, METHOD).await?;
        let unit = ods_if_any("unit", &request.into_inner().unit)?;
        let rows = self.agreements.list(&caller, unit).await;
        self.desk.answer(&caller, METHOD, rows.map(list_message))
    }

    type WatchStream = Pin<Box<dyn Stream<Item = Result<ListAgreementsResponse, Status>> + Send>>;

    async fn watch(
        &self,
        request: Request<ListAgreementsRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        const METHOD: &str = "Agreements.Watch";
        let caller = self.desk.caller(&request, METHOD).await?;
        let unit = ods_if_any("unit", &request.into_inner().unit)?;
        let lists = self.agreements.watch(&caller, unit);
        let desk = self.desk.clone();
        let messages = lists.map(move |rows| {
            rows.map(list_message)
                .map_err(|error| desk.status(&caller, METHOD, error))
        });
        Ok(Response::new(Box::pin(messages)))
    }
}

fn asked_half(asked: SetAgreementRequest) -> Result<SetHalf, Status> {
    Ok(SetHalf {
        pair: Pair {
            source: ods("source", &asked.source)?,
            recipient: ods("recipient", &asked.recipient)?,
        },
        side: side(asked.side())?,
        on: asked.on,
        reason: asked.reason,
        scope: scope_change(asked.scope)?,
    })
}

fn list_message(views: Vec<AgreementView>) -> ListAgreementsResponse {
    ListAgreementsResponse {
        agreements: views.into_iter().map(message).collect(),
    }
}

fn message(view: AgreementView) -> v1::Agreement {
    let row = view.row;
    v1::Agreement {
        source: row.pair.source.to_string(),
        recipient: row.pair.recipient.to_string(),
        share_out: Some(half(row.share_out)),
        share_in: Some(half(row.share_in)),
        grant: row.grant.map_or(0, |grant| grant.0),
        withdrawal: row.withdrawal.as_ref().map(withdrawal),
        partial: row.grant.map(|_| partial(&row.partial)),
        stale: view.stale,
        notices: view.notices.iter().map(notice).collect(),
    }
}

fn set_message(turned: Turned) -> SetAgreementResponse {
    let newest = turned.agreement.row.withdrawal;
    SetAgreementResponse {
        in_force: in_force(turned.in_force).into(),
        receipt: turned.receipt.map(|of| receipt(&of, newest)),
        agreement: Some(message(turned.agreement)),
    }
}

fn preview_message(preview: Preview) -> PreviewAgreementResponse {
    PreviewAgreementResponse {
        begins: Some(counts(&preview.begins)),
        ends: Some(counts(&preview.ends)),
        not_on_caseload: preview.not_on_caseload,
        not_counted: preview.not_counted,
        once_both: preview.once_both.as_ref().map(counts),
    }
}
