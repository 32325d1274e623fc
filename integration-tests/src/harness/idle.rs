//! Agents that are connected, publish nothing and are sent nothing: both streams over one connection, and what keeps
//! them alive.

use anyhow::{Context as _, ensure};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use handfast_proto::{
    ids::{Holder, OdsCode},
    limits::{BESIDE_THE_SESSION, MAX_CREDIT_BYTES},
    v1::{
        PublishHello, PublishRequest, RegisterUnitRequest, SubscribeHello, SubscribeReceipt,
        SubscribeRequest, UnitKind, publish_request, publish_response, subscribe_request, subscribe_response,
        sync_client::SyncClient, units_client::UnitsClient,
    },
};
use tokio::{sync::mpsc, task::JoinHandle};
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;

use super::{
    deployment::{Deployment, TRUST_DOMAIN},
    identity::{Forged, Identity, forge},
    shared::{Held, SharedConnection},
    tls::{Windows, connect},
};

/// Messages that may wait for the transport.
const OUT_QUEUE_MESSAGES: usize = 4;
/// Units registered, or agents connected, at one time.
const AT_ONCE: usize = 8;
/// The unit that is registered first; the others follow it.
const FIRST_UNIT: usize = 50_000;

/// One agent; its streams end when it is dropped.
#[derive(Debug)]
pub struct IdleAgent {
    _held: Held,
    reading: JoinHandle<anyhow::Result<()>>,
}

/// What a deployment must let one caller do for [`idle_units`].
pub const IDLE_OPTIONS: [&str; 4] = [
    "--unary-calls-per-second",
    "100000",
    "--unary-calls-burst",
    "100000",
];

/// Registers units and makes a certificate for each, signed by the deployment's authority: thousands of handshakes to
/// enrol would be waited for otherwise.
pub async fn idle_units(deployment: &Deployment, units: usize) -> anyhow::Result<Vec<Identity>> {
    let operator = Identity::load(&deployment.operator())?;
    let desk = connect(&deployment.url(), &operator, Windows::default()).await?;
    let (ca, key) = deployment.authority()?;
    stream::iter(0..units)
        .map(|n| register(desk.clone(), FIRST_UNIT + n))
        .buffered(AT_ONCE)
        .and_then(|ods| {
            let holder = Holder::Unit(ods);
            let forged = forge((&ca, &key), &holder, TRUST_DOMAIN, Forged::Sound, &ca);
            std::future::ready(forged)
        })
        .try_collect()
        .await
}

async fn register(desk: Channel, n: usize) -> anyhow::Result<OdsCode> {
    let ods = format!("Z{n:05}");
    let request = RegisterUnitRequest {
        ods: ods.clone(),
        name: format!("Unit {ods}"),
        kind: UnitKind::Gp.into(),
    };
    let registered = UnitsClient::new(desk).register(request).await;
    registered.with_context(|| format!("register {ods}"))?;
    ods.parse().context("an ODS code")
}

/// Connects an agent of each unit, some at a time.
pub async fn connect_idle(url: &str, units: &[Identity]) -> anyhow::Result<Vec<IdleAgent>> {
    stream::iter(units)
        .map(|identity| IdleAgent::connect(url, identity))
        .buffer_unordered(AT_ONCE)
        .try_collect()
        .await
}

impl IdleAgent {
    /// Connects, and returns once both streams are welcomed.
    pub async fn connect(url: &str, identity: &Identity) -> anyhow::Result<Self> {
        let held = SharedConnection::new(url, identity).hold().await?;
        let store: [u8; 16] = rand::random();
        let publishing = publish(held.channel(), store).await?;
        let subscribed = subscribe(held.channel(), store).await?;
        let reading = tokio::spawn(async move {
            tokio::try_join!(publishing, subscribed)?;
            Ok(())
        });
        Ok(Self { _held: held, reading })
    }

    /// Whether both its streams stand.
    pub fn stands(&self) -> bool {
        !self.reading.is_finished()
    }
}

impl Drop for IdleAgent {
    fn drop(&mut self) {
        self.reading.abort();
    }
}

/// Opens a Publish stream; what it gives reads it to its end.
async fn publish(
    channel: Channel,
    store: [u8; 16],
) -> anyhow::Result<impl Future<Output = anyhow::Result<()>> + Send + 'static> {
    let (out, requests) = mpsc::channel(OUT_QUEUE_MESSAGES);
    let hello = PublishHello {
        store_id: store.to_vec().into(),
        agent_version: "test".to_owned(),
        ..PublishHello::default()
    };
    out.send(PublishRequest {
        message: Some(publish_request::Message::Hello(hello)),
    })
    .await?;
    let answer = SyncClient::new(channel)
        .publish(ReceiverStream::new(requests))
        .await?;
    let mut stream = answer.into_inner();
    let first = stream.message().await?.and_then(|first| first.message);
    let welcomed = matches!(&first, Some(publish_response::Message::Welcome(said)) if said.accepted);
    ensure!(welcomed, "instead of a welcome: {first:?}");
    Ok(async move {
        let _out = out;
        while stream.message().await?.is_some() {}
        anyhow::bail!("the daemon ended the Publish stream")
    })
}

/// Opens a Subscribe stream; what it gives reads it to its end, and answers.
async fn subscribe(
    channel: Channel,
    store: [u8; 16],
) -> anyhow::Result<impl Future<Output = anyhow::Result<()>> + Send + 'static> {
    let (out, requests) = mpsc::channel(OUT_QUEUE_MESSAGES);
    let hello = SubscribeHello {
        store_id: store.to_vec().into(),
        credit_bytes: MAX_CREDIT_BYTES,
        agent_version: "test".to_owned(),
        ..SubscribeHello::default()
    };
    out.send(request(subscribe_request::Message::Hello(hello)))
        .await?;
    let answer = SyncClient::new(channel)
        .subscribe(ReceiverStream::new(requests))
        .await?;
    let mut stream = answer.into_inner();
    let first = stream.message().await?.context("the daemon ended the stream")?;
    let welcomed =
        matches!(&first.message, Some(subscribe_response::Message::Welcome(said)) if said.accepted);
    ensure!(welcomed, "instead of a welcome: {first:?}");
    Ok(async move {
        let mut number = first.number;
        loop {
            if number != BESIDE_THE_SESSION {
                let receipt = SubscribeReceipt {
                    arrived: number,
                    durable: number,
                };
                out.send(request(subscribe_request::Message::Receipt(receipt)))
                    .await?;
            }
            let next = stream.message().await?;
            number = next.context("the daemon ended the Subscribe stream")?.number;
        }
    })
}

fn request(message: subscribe_request::Message) -> SubscribeRequest {
    SubscribeRequest {
        message: Some(message),
    }
}
