//! What a recipient says on its Subscribe stream.

use std::sync::Arc;

use handfast_proto::{
    amendment::Text,
    ids::{OdsCode, RecordId, StoreId},
    v1::{DeadLetter, SubscribeHello, SubscribeRequest, subscribe_request},
};
use tonic::{Status, Streaming};

use crate::{
    consent::Pair,
    delivery::Subscription,
    ingest::RateLimit,
    store::{DeadLetterRow, Hello},
};

pub(super) fn parse_hello(recipient: OdsCode, hello: &SubscribeHello) -> Result<Hello, Status> {
    let store = StoreId::from_slice(&hello.store_id).map_err(|e| Status::invalid_argument(e.to_string()))?;
    Ok(Hello {
        recipient,
        store,
        session: hello.session,
        durable: hello.durable,
    })
}

/// Listens until the stream or the subscription is over; then the subscription is over.
pub(super) async fn listen(
    subscription: Subscription,
    mut inbound: Streaming<SubscribeRequest>,
    rate: Arc<RateLimit>,
) {
    let recipient = subscription.recipient();
    loop {
        let message = tokio::select! {
            () = subscription.over() => break,
            message = inbound.message() => message,
        };
        let taken = match message {
            Ok(Some(request)) => take(&subscription, request, &rate).await,
            Ok(None) => break,
            Err(status) => {
                tracing::debug!(%recipient, code = ?status.code(), "a subscription broke off");
                break;
            }
        };
        if let Err(status) = taken {
            tracing::warn!(%recipient, why = status.message(), "ended a subscription for what it said");
            break;
        }
    }
    subscription.end();
}

async fn take(
    subscription: &Subscription,
    request: SubscribeRequest,
    rate: &RateLimit,
) -> Result<(), Status> {
    match request.message {
        Some(subscribe_request::Message::Receipt(receipt)) => subscription
            .receipt(receipt.arrived, receipt.durable)
            .map_err(|impossible| Status::invalid_argument(impossible.to_string())),
        Some(subscribe_request::Message::WithdrawalConfirmed(confirmed)) => {
            rate.admit(subscription.recipient(), 1).await;
            let recorded = subscription
                .withdrawal_confirmed(confirmed.job, confirmed.removed, confirmed.not_removed)
                .await;
            recorded.map_err(|error| Status::unavailable(error.to_string()))
        }
        Some(subscribe_request::Message::DeadLetter(letter)) => {
            rate.admit(subscription.recipient(), 1).await;
            let letter = parse_letter(subscription.recipient(), letter)?;
            let recorded = subscription.dead_letter(&letter).await;
            recorded.map_err(|error| Status::unavailable(error.to_string()))
        }
        Some(subscribe_request::Message::Hello(_)) | None => {
            Err(Status::invalid_argument("a second hello, or an empty message"))
        }
    }
}

fn parse_letter(recipient: OdsCode, letter: DeadLetter) -> Result<DeadLetterRow, Status> {
    let invalid = |what: &str| Status::invalid_argument(format!("the {what} of a dead letter"));
    let source = letter.source.parse().map_err(|_| invalid("source"))?;
    let record: RecordId = letter.record.parse().map_err(|_| invalid("record"))?;
    let reason = Text::new(letter.reason).ok_or_else(|| invalid("reason"))?;
    Ok(DeadLetterRow {
        pair: Pair { source, recipient },
        seq: letter.seq,
        record,
        reason: reason.as_str().to_owned(),
        resolved: letter.resolved,
    })
}
