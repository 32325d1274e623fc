//! The Sync service: translates the two streams; what they mean is in `ingest` and `delivery`.

use std::{pin::Pin, sync::Arc, time::Duration};

use futures::{Stream, stream};
use handfast_proto::v1::{
    PublishRequest, PublishResponse, SubscribeRequest, SubscribeResponse, publish_request, subscribe_request,
    subscribe_response, sync_server::Sync,
};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use super::{
    Access, ConnectionInfo, Identities,
    heads::WithHeads,
    sync_publish::{PublishStream, RESPONSES},
    sync_subscribe,
};
use crate::{
    audit::AuditTree,
    delivery::{Delivery, Opened, SubscribeRefused},
    ingest::{Committer, Publishers, RateLimit},
};

/// How long a stream may be open before its hello.
const HELLO_BOUND: Duration = Duration::from_secs(10);

/// What the service stands on.
#[derive(Clone)]
pub struct SyncParts {
    /// Who calls.
    pub identities: Arc<Identities>,
    /// Who commits.
    pub committer: Committer,
    /// Who publishes.
    pub publishers: Arc<Publishers>,
    /// How fast a unit may publish.
    pub rate: Arc<RateLimit>,
    /// The delivery side.
    pub delivery: Delivery,
    /// Heads of the audit log, which every recipient keeps.
    pub tree: AuditTree,
    /// Bytes of one amendment's payload that are taken.
    pub max_payload_bytes: usize,
}

/// The Sync service.
#[derive(Clone)]
pub struct SyncService {
    parts: SyncParts,
}

impl SyncService {
    /// Over its parts.
    pub fn new(parts: SyncParts) -> Self {
        Self { parts }
    }
}

type Responses<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

#[tonic::async_trait]
impl Sync for SyncService {
    type PublishStream = Responses<PublishResponse>;
    type SubscribeStream = Responses<SubscribeResponse>;

    async fn publish(
        &self,
        request: Request<Streaming<PublishRequest>>,
    ) -> Result<Response<Self::PublishStream>, Status> {
        let unit = self
            .parts
            .identities
            .unit(&request, "Sync.Publish", Access::TakingPart)
            .await?;
        let mut inbound = request.into_inner();
        let first = hello(inbound.message()).await?;
        let Some(publish_request::Message::Hello(hello)) = first.message else {
            return Err(Status::invalid_argument(
                "the first message of a Publish stream is a hello",
            ));
        };
        let (responses, receiver) = mpsc::channel(RESPONSES);
        let stream = PublishStream::open(unit, self.parts.clone(), inbound, responses, &hello)?;
        tokio::spawn(stream.run());
        Ok(Response::new(Box::pin(ReceiverStream::new(receiver))))
    }

    async fn subscribe(
        &self,
        request: Request<Streaming<SubscribeRequest>>,
    ) -> Result<Response<Self::SubscribeStream>, Status> {
        let unit = self
            .parts
            .identities
            .unit(&request, "Sync.Subscribe", Access::Removals)
            .await?;
        let connection = request
            .extensions()
            .get::<ConnectionInfo>()
            .map(|info| info.cutter.clone());
        let Some(connection) = connection else {
            return Err(Status::internal("the connection is not known"));
        };
        let mut inbound = request.into_inner();
        let first = hello(inbound.message()).await?;
        let Some(subscribe_request::Message::Hello(hello)) = first.message else {
            return Err(Status::invalid_argument(
                "the first message of a Subscribe stream is a hello",
            ));
        };
        let (credit, kept) = (hello.credit_bytes, hello.tree_size);
        let hello = sync_subscribe::parse_hello(unit, &hello)?;
        let delivery = self.parts.delivery.clone();
        // A task of its own: a caller that goes away must not leave half of an opening behind.
        let opening =
            tokio::spawn(async move { delivery.subscribe(hello, credit, Arc::new(connection)).await });
        let opened = opening
            .await
            .map_err(|_| Status::internal("the subscription could not be opened"))?;
        match opened.map_err(|refused| refusal(&refused))? {
            Opened::NotAccepted(welcome) => {
                let message = subscribe_response::Message::Welcome(welcome);
                let only = SubscribeResponse {
                    number: 1,
                    message: Some(message),
                };
                Ok(Response::new(Box::pin(stream::iter([Ok(only)]))))
            }
            Opened::Live(feed, subscription) => {
                tokio::spawn(sync_subscribe::listen(
                    subscription,
                    inbound,
                    Arc::clone(&self.parts.rate),
                ));
                let feed = WithHeads::new(feed, self.parts.tree.clone(), kept);
                Ok(Response::new(Box::pin(feed)))
            }
        }
    }
}

async fn hello<T>(first: impl Future<Output = Result<Option<T>, Status>>) -> Result<T, Status> {
    let first = tokio::time::timeout(HELLO_BOUND, first).await;
    let first = first.map_err(|_| Status::deadline_exceeded("no hello within 10 s"))??;
    first.ok_or_else(|| Status::invalid_argument("the stream ended before its hello"))
}

fn refusal(refused: &SubscribeRefused) -> Status {
    let message = refused.to_string();
    match refused {
        SubscribeRefused::AnotherStoreIsLive => Status::failed_precondition(message),
        SubscribeRefused::OlderConnection | SubscribeRefused::Store(_) => Status::unavailable(message),
    }
}
