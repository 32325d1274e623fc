//! The Agreements service: translation between its messages and the acts.

use std::{pin::Pin, sync::Arc};

use futures::{Stream, StreamExt as _};
use handfast_proto::v1::{
    self, InForce, ListAgreementsRequest, ListAgreementsResponse, PreviewAgreementResponse,
    RevocationReceipt, SetAgreementRequest, SetAgreementResponse,
    agreements_server::{Agreements as Service, AgreementsServer},
};
use tonic::{Request, Response, Status, async_trait};

use super::{
    answer::{Desk, ods, ods_if_any},
    identity::Identities,
};
use crate::{
    consent::{Pair, Side},
    delivery::{HalfInForce, Receipt},
    sharing::{Agreements, SetHalf},
    store::{AgreementRow, HalfRow, WithdrawalRow, WithdrawalState},
};

/// Bytes of a request: two codes and a reason are far smaller.
const MAX_REQUEST_BYTES: usize = 32 * 1024;

/// Serves Set, List and Watch.
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
        let asked = request.into_inner();
        let half = SetHalf {
            pair: Pair {
                source: ods("source", &asked.source)?,
                recipient: ods("recipient", &asked.recipient)?,
            },
            side: side(asked.side())?,
            on: asked.on,
            reason: asked.reason,
        };
        let set = self.agreements.set(&caller, half).await;
        self.desk.answer(&caller, METHOD, set.map(set_message))
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

    async fn preview(
        &self,
        request: Request<SetAgreementRequest>,
    ) -> Result<Response<PreviewAgreementResponse>, Status> {
        self.desk.caller(&request, "Agreements.Preview").await?;
        Err(Status::unimplemented("this daemon does not preview a change yet"))
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

fn side(side: v1::Side) -> Result<Side, Status> {
    match side {
        v1::Side::ShareOut => Ok(Side::ShareOut),
        v1::Side::ShareIn => Ok(Side::ShareIn),
        v1::Side::Unspecified => Err(Status::invalid_argument("side: share-out or share-in")),
    }
}

fn list_message(rows: Vec<AgreementRow>) -> ListAgreementsResponse {
    ListAgreementsResponse {
        agreements: rows.into_iter().map(message).collect(),
    }
}

fn message(row: AgreementRow) -> v1::Agreement {
    v1::Agreement {
        source: row.pair.source.to_string(),
        recipient: row.pair.recipient.to_string(),
        share_out: Some(half(row.share_out)),
        share_in: Some(half(row.share_in)),
        grant: row.grant.map_or(0, |grant| grant.0),
        withdrawal: row.withdrawal.as_ref().map(withdrawal),
    }
}

fn half(row: HalfRow) -> v1::Half {
    v1::Half {
        on: row.on,
        set_by: row.set_by,
        set_at: row.set_at,
        reason: row.reason,
        scope: None,
    }
}

fn withdrawal(row: &WithdrawalRow) -> v1::Withdrawal {
    let state = match row.state {
        WithdrawalState::Pending => v1::WithdrawalState::Pending,
        WithdrawalState::Received => v1::WithdrawalState::Received,
        WithdrawalState::Confirmed => v1::WithdrawalState::Confirmed,
    };
    v1::Withdrawal {
        job: row.job.0,
        ended_grant: row.ended_grant.0,
        state: state.into(),
        removed: row.removed,
        not_removed: row.not_removed,
        since: row.since,
        confirmed_at: row.confirmed_at.unwrap_or(0),
    }
}

fn set_message(set: HalfInForce) -> SetAgreementResponse {
    let in_force = if set.in_force {
        InForce::Yes
    } else {
        InForce::Pending
    };
    let newest = set.outcome.agreement.withdrawal;
    SetAgreementResponse {
        in_force: in_force.into(),
        receipt: set.receipt.map(|receipt| receipt_message(&receipt, newest)),
        agreement: Some(message(set.outcome.agreement)),
    }
}

/// The withdrawal belongs to the receipt only where it follows from the same grant's end.
fn receipt_message(receipt: &Receipt, newest: Option<WithdrawalRow>) -> RevocationReceipt {
    let (from, to) = receipt.may_have_received.unwrap_or((0, 0));
    let follows = newest.filter(|w| w.ended_grant == receipt.ended);
    RevocationReceipt {
        ended_grant: receipt.ended.0,
        received_through: receipt.received_through,
        may_have_received_from: from,
        may_have_received_to: to,
        connection_cut: receipt.connection_cut,
        withdrawal: follows.as_ref().map(withdrawal),
    }
}
