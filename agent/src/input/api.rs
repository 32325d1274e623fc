//! What every input is, and what it works with.

use std::{io, path::PathBuf, sync::Arc};

use handfast_proto::ids::OdsCode;
use tokio_util::sync::CancellationToken;

use crate::{
    clock::Clock,
    codec::fhir::Codec,
    status::ConnectorBoard,
    store::{inbox::Inbox, outbox::Outbox},
};

/// A connector that takes changes from a clinical system.
///
/// It acknowledges to that system only what the outbox has committed, and survives being dropped at any
/// point: what was not acknowledged comes again, and a repeat changes nothing.
#[async_trait::async_trait]
pub trait Input: Send {
    /// Works until `stop`, soon after which it returns. An error means that it cannot go on; what passes by
    /// itself (a full disk, a folder that is gone for a while) is shown on the board and waited for.
    async fn run(self: Box<Self>, stop: CancellationToken) -> Result<(), InputError>;
}

/// What an input works with.
#[derive(Clone)]
pub struct InputContext {
    /// The unit.
    pub unit: OdsCode,
    /// Where changes go.
    pub outbox: Arc<Outbox>,
    /// What was received from other units, of which copies may come back.
    pub inbox: Inbox,
    /// Reads FHIR by this unit's rules.
    pub codec: Arc<Codec>,
    /// The input's own lines on the status board.
    pub board: ConnectorBoard,
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
}

/// Why an input cannot start or go on.
#[derive(Debug, thiserror::Error)]
pub enum InputError {
    /// Its folder cannot be used.
    #[error(
        "the input folder {} cannot be used: {source}. Create it and let the agent's user write in it",
        path.display()
    )]
    Folder {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Its address cannot be listened on.
    #[error("the FHIR input cannot listen on {listen}: {source}. Choose another address, or free this one")]
    Listen {
        /// Which.
        listen: std::net::SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// It stopped serving.
    #[error("the FHIR input stopped serving: {0}")]
    Serve(io::Error),
}
