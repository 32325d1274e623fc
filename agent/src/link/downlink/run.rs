//! Keeps a subscription open over the agent's connection, and after any end comes back with backoff.

use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tonic::Code;

use super::session::{Ended, subscribe};
use crate::{
    link::{Link, LinkError, Retry},
    status::{LinkState, StatusBoard},
    store::inbox::Inbox,
};

/// Store ids taken in a row before it is waited as after any other failure.
const MAX_QUICK_RENEWALS: u32 = 2;

/// What the downlink works with.
#[derive(Clone)]
pub struct DownlinkContext {
    /// The agent's connection.
    pub link: Link,
    /// Where everything goes.
    pub inbox: Inbox,
    /// Where it reports how it stands.
    pub board: StatusBoard,
    /// The daemon's trust domain, for which its audit log is signed.
    pub trust_domain: String,
}

/// Receives until `shutdown`. What is dropped half-way was not acknowledged and comes again.
pub async fn run(ctx: DownlinkContext, shutdown: CancellationToken) {
    shutdown
        .run_until_cancelled(Box::pin(keep_subscribed(&ctx)))
        .await;
    ctx.board.downlink(LinkState::Idle);
}

async fn keep_subscribed(ctx: &DownlinkContext) {
    let mut retry = Retry::new();
    let mut renewals = 0;
    loop {
        ctx.board.downlink(LinkState::Connecting);
        let (state, delay) = match ctx.link.connection().await {
            Ok(connection) => {
                let ended = Box::pin(subscribe(ctx, connection, &mut retry)).await;
                if matches!(ended, Ended::StoreRefused) && renewals < MAX_QUICK_RENEWALS {
                    tracing::warn!("{ended}");
                    renewals += 1;
                    continue;
                }
                renewals = 0;
                (after_end(&ended), retry.next_delay())
            }
            Err(not) => (after_failure(&not.error), not.again_in),
        };
        let until_ms = ctx.inbox.now_ms() + i64::try_from(delay.as_millis()).unwrap_or(i64::MAX / 2);
        ctx.board.downlink(match state {
            State::Waits(why) => LinkState::Waiting { until_ms, why },
            State::Refused(why) => LinkState::Refused { why },
        });
        sleep(delay).await;
    }
}

/// How the link stands until the next try.
enum State {
    Waits(String),
    /// A person should look.
    Refused(String),
}

fn after_end(ended: &Ended) -> State {
    let why = ended.to_string();
    match ended {
        Ended::Protocol(_) => {
            tracing::error!(%why, "the subscription was ended; nothing of the offending message was taken");
            State::Refused(why)
        }
        Ended::Status(status)
            if matches!(
                status.code(),
                Code::PermissionDenied | Code::Unauthenticated | Code::FailedPrecondition
            ) =>
        {
            tracing::warn!(%why, "the daemon refuses the subscription");
            State::Refused(why)
        }
        Ended::Inbox(_) => {
            tracing::error!(%why, "the subscription was ended");
            State::Waits(why)
        }
        _ => {
            tracing::info!(%why, "the subscription has ended");
            State::Waits(why)
        }
    }
}

fn after_failure(error: &LinkError) -> State {
    let why = error.to_string();
    match error {
        LinkError::Unreachable { .. } => {
            tracing::info!(%why, "no connection for the subscription");
            State::Waits(why)
        }
        _ => {
            tracing::warn!(%why, "no connection for the subscription");
            State::Refused(why)
        }
    }
}
