//! Keeps a Publish stream up: over the agent's connection it publishes, and after a break waits and begins again,
//! for as long as the agent runs.

use std::{sync::Arc, time::Duration};

use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::session::{Ended, publish};
use crate::{
    clock::Clock,
    link::{Link, LinkError, Retry},
    status::{LinkState, StatusBoard},
    store::outbox::Outbox,
};

/// A stream that stood this long was a good one: after it the delays start small again.
const GOOD_SESSION: Duration = Duration::from_secs(10);

/// What the uplink works with.
#[derive(Clone)]
pub struct UplinkContext {
    /// The agent's connection.
    pub link: Link,
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
        let (ended, delay) = match ended {
            Err(not_connected) => not_connected,
            Ok(ended) => {
                if progress || started.elapsed() >= GOOD_SESSION {
                    retry.reset();
                }
                (ended, retry.next_delay())
            }
        };
        show(&ctx, &ended, delay);
        tokio::select! {
            biased;
            () = shutdown.cancelled() => break,
            () = sleep(delay) => {}
        }
    }
    ctx.board.uplink(LinkState::Idle);
}

/// `Err` where there was no connection, with the time until it is tried again.
async fn one_session(ctx: &UplinkContext, progress: &mut bool) -> Result<Ended, (Ended, Duration)> {
    match Box::pin(ctx.link.connection()).await {
        Ok(connection) => Ok(publish(ctx, connection.channel(), progress).await),
        Err(not) => {
            let why = not.error.to_string();
            let ended = match not.error {
                LinkError::Unreachable { .. } => Ended::Lost(why),
                _ => Ended::Refused(why),
            };
            Err((ended, not.again_in))
        }
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
