//! Keeps a Publish stream up: connects, publishes, and after a break waits and connects again, for as
//! long as the agent runs.

use std::{sync::Arc, time::Duration};

use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::session::{Ended, publish};
use crate::{
    clock::Clock,
    link::{Connector, LinkError, Retry, Windows},
    status::{LinkState, StatusBoard},
    store::outbox::Outbox,
};

/// What the daemon may send unread: acknowledgements, a few bytes each.
const WINDOWS: Windows = Windows {
    stream_bytes: 64 * 1024,
    connection_bytes: 128 * 1024,
};

/// A stream that stood this long was a good one: after it the delays start small again.
const GOOD_SESSION: Duration = Duration::from_secs(10);

/// What the uplink works with.
#[derive(Clone)]
pub struct UplinkContext {
    /// Makes connections of the uplink's own.
    pub connector: Connector,
    /// What is published.
    pub outbox: Arc<Outbox>,
    /// Where the state of the stream is shown.
    pub board: StatusBoard,
    /// Tells the time for the board.
    pub clock: Arc<dyn Clock>,
}

/// Publishes until `shutdown`. May be dropped at any point: what is not acknowledged is sent again.
pub async fn run(ctx: UplinkContext, shutdown: CancellationToken) {
    let mut retry = Retry::new();
    while !shutdown.is_cancelled() {
        let started = Instant::now();
        let mut progress = false;
        ctx.board.uplink(LinkState::Connecting);
        let ended = tokio::select! {
            biased;
            () = shutdown.cancelled() => break,
            ended = Box::pin(one_session(&ctx, &mut progress)) => ended,
        };
        if progress || started.elapsed() >= GOOD_SESSION {
            retry.reset();
        }
        let delay = retry.next_delay();
        show(&ctx, &ended, delay);
        tokio::select! {
            biased;
            () = shutdown.cancelled() => break,
            () = sleep(delay) => {}
        }
    }
    ctx.board.uplink(LinkState::Idle);
}

async fn one_session(ctx: &UplinkContext, progress: &mut bool) -> Ended {
    match Box::pin(ctx.connector.connect(WINDOWS)).await {
        Ok(channel) => publish(ctx, channel, progress).await,
        Err(error @ LinkError::Unreachable { .. }) => Ended::Lost(error.to_string()),
        Err(error) => Ended::Refused(error.to_string()),
    }
}

fn show(ctx: &UplinkContext, ended: &Ended, delay: Duration) {
    let delay_ms = i64::try_from(delay.as_millis()).unwrap_or(i64::MAX);
    match ended {
        Ended::Lost(why) => {
            tracing::info!(delay_ms, "not publishing: {why}");
            ctx.board.uplink(LinkState::Waiting {
                until_ms: ctx.clock.now_ms().saturating_add(delay_ms),
                why: why.clone(),
            });
        }
        Ended::Refused(why) => {
            tracing::warn!(
                delay_ms,
                "the daemon does not take what this unit publishes: {why}"
            );
            ctx.board.uplink(LinkState::Refused { why: why.clone() });
        }
    }
}
