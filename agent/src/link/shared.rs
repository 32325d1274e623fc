//! The one connection to the daemon that all streams and calls of an agent share.
//!
//! Invariants: one connection is made at a time, and after a try that failed none is made before its delay is over,
//! however many ask; a connection that has ended, or that somebody gave up, is handed out no more; a stream that
//! nobody reads leaves room for the others.

use std::{fmt, sync::Arc, time::Duration};

use tokio::{sync::Mutex, time::Instant};

use super::{
    LinkError,
    channel::{Connection, Connector, Windows},
};
use crate::retry::Retry;

/// A stream's is small, so that little is in flight when a grant ends; it is also the most of the connection's that
/// deliveries can take up while nobody reads them.
const WINDOWS: Windows = Windows {
    stream_bytes: 256 * 1024,
    connection_bytes: 512 * 1024,
};

const _: () = assert!(
    WINDOWS.connection_bytes >= 2 * WINDOWS.stream_bytes,
    "acknowledgements find room beside deliveries that nobody reads"
);

/// The way to the daemon. Clones share the connection.
#[derive(Clone)]
pub struct Link(Arc<Inner>);

struct Inner {
    connector: Connector,
    state: Mutex<State>,
}

struct State {
    open: Option<Connection>,
    /// The last try, where it failed.
    failed: Option<Failed>,
    retry: Retry,
}

struct Failed {
    error: LinkError,
    until: Instant,
}

/// There is no connection.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{error}")]
pub struct NotConnected {
    /// Why not.
    pub error: LinkError,
    /// When it is tried again at the soonest.
    pub again_in: Duration,
}

// === impl Link ===

impl Link {
    /// Connects by `connector`, once somebody asks.
    pub fn new(connector: Connector) -> Self {
        Self(Arc::new(Inner {
            connector,
            state: Mutex::new(State {
                open: None,
                failed: None,
                retry: Retry::new(),
            }),
        }))
    }

    /// The connection that stands, or a new one. Cancellation-safe: whoever asks next makes it then.
    pub async fn connection(&self) -> Result<Connection, NotConnected> {
        let mut state = self.0.state.lock().await;
        if let Some(open) = state.open.as_ref().filter(|open| !open.is_over()) {
            return Ok(open.clone());
        }
        state.open = None;
        if let Some(failed) = &state.failed {
            let again_in = failed.until.saturating_duration_since(Instant::now());
            if !again_in.is_zero() {
                return Err(NotConnected {
                    error: failed.error.clone(),
                    again_in,
                });
            }
        }
        match Box::pin(self.0.connector.connect(WINDOWS)).await {
            Ok(connection) => {
                state.retry.reset();
                state.failed = None;
                state.open = Some(connection.clone());
                Ok(connection)
            }
            Err(error) => {
                let again_in = state.retry.next_delay();
                state.failed = Some(Failed {
                    error: error.clone(),
                    until: Instant::now() + again_in,
                });
                Err(NotConnected { error, again_in })
            }
        }
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link")
            .field("connector", &self.0.connector)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
