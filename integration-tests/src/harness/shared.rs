//! The one connection of a unit's protocol clients: as an agent does, its source and its recipient share it.
//!
//! Invariants: there is at most one at a time of those who ask for it; it is closed when the last of them lets go.

use std::sync::{Arc, Weak};

use tokio::sync::Mutex;
use tonic::transport::Channel;

use super::{
    identity::Identity,
    tls::{Windows, connect},
};

/// Where a unit's clients get their connection. Clones share it.
#[derive(Debug, Clone)]
pub struct SharedConnection(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    url: String,
    identity: Identity,
    windows: Windows,
    open: Mutex<Weak<Channel>>,
}

/// The connection, for as long as it is held.
#[derive(Debug, Clone)]
pub struct Held(Arc<Channel>);

impl SharedConnection {
    /// Connects once somebody asks.
    pub fn new(url: &str, identity: &Identity) -> Self {
        Self::with_windows(url, identity, Windows::default())
    }

    /// With flow-control windows of the test's choice.
    pub fn with_windows(url: &str, identity: &Identity, windows: Windows) -> Self {
        Self(Arc::new(Inner {
            url: url.to_owned(),
            identity: identity.clone(),
            windows,
            open: Mutex::default(),
        }))
    }

    /// The connection that another holds, or a new one. Where the daemon has ended the one that is held, the first
    /// call on it fails, and the next makes it anew.
    pub async fn hold(&self) -> anyhow::Result<Held> {
        let mut open = self.0.open.lock().await;
        if let Some(held) = open.upgrade() {
            return Ok(Held(held));
        }
        let made = Arc::new(connect(&self.0.url, &self.0.identity, self.0.windows).await?);
        *open = Arc::downgrade(&made);
        Ok(Held(made))
    }
}

impl Held {
    /// Where calls go.
    pub fn channel(&self) -> Channel {
        self.0.as_ref().clone()
    }
}
