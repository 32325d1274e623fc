//! What every peer is to the loop that drives it.

use std::sync::Arc;

use futures::future::BoxFuture;
use serde::{Deserialize, Serialize};

use super::{options::Kind, work::Work};

/// A source or a recipient at work. It ends only with an error, or when it is dropped.
pub(super) type Client = BoxFuture<'static, anyhow::Result<()>>;

/// A server that is up, and how to be a client of it.
pub(super) trait Peer: Send + Sync {
    /// What it is and how it is set.
    fn about(&self) -> About;

    /// Its process; its descendants count as it.
    fn pid(&self) -> anyhow::Result<u32>;

    /// A source: sends when [`Work::turn`] says so, and tells what it has sent and what is durable.
    fn source(&self, place: usize, work: Arc<Work>) -> anyhow::Result<Client>;

    /// A recipient: says when it is ready, and tells what it got. How far it is becomes durable at the server, at
    /// most every [`CURSOR_EVERY`](super::work::CURSOR_EVERY).
    fn recipient(&self, place: usize, work: Arc<Work>) -> anyhow::Result<Client>;

    /// The round reached its end: nothing more is shown of it.
    fn finished(self: Box<Self>);
}

/// What a peer is and how it is set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct About {
    /// Which.
    pub peer: Kind,
    /// What its program says of itself.
    pub version: String,
    /// What was set, and how its clients work.
    pub settings: Vec<String>,
}
