//! Limits: a client that is slow on purpose is cut, one that opens too much or sends too much is refused,
//! and one over its rate is slowed; others notice nothing.
//!
//! Detects: a handshake without a bound in time, limits that are there and not kept, and connections that
//! say nothing but hold the places that others need for their handshakes.

use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use handfast_integration_tests::harness::{Deployment, Identity, Member, Rig, Windows, amendment, connect};
use handfast_proto::{
    amendment::BatchBuilder,
    chain::Chain,
    ids::StoreId,
    v1::{
        PublishBatch, PublishHello, PublishRequest, SetAgreementRequest, StatusRequest,
        agreements_client::AgreementsClient, publish_request::Message, publish_response,
        sync_client::SyncClient, units_client::UnitsClient,
    },
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use tonic::{Code, Status, metadata::AsciiMetadataValue};

/// How long a slow client may stay in all, in seconds: the limit it is over, and what a busy machine adds.
const SLACK: Duration = Duration::from_secs(8);
/// The daemon's time for a handshake and for a first request, in milliseconds. It holds for good clients as
/// well, which may wait their turn for the processor: under a second they are cut on a busy machine.
const LIMIT_MS: &str = "4000";
/// How long a good client may take beside those who say nothing: less than it takes to cut them.
const UNHINDERED: Duration = Duration::from_secs(3);

/// A daemon with short times for handshakes and first requests.
async fn rig() -> anyhow::Result<Rig> {
    let options = [
        "--handshake-timeout-ms",
        LIMIT_MS,
        "--first-request-timeout-ms",
        LIMIT_MS,
    ];
    Rig::over(Deployment::with_options(&options).await?, 1).await
}

/// Until the daemon closes a connection.
async fn closed(socket: &mut TcpStream) -> anyhow::Result<Duration> {
    let begun = Instant::now();
    let mut buffer = [0; 4096];
    loop {
        match tokio::time::timeout(SLACK, socket.read(&mut buffer)).await {
            Err(_) => bail!("still open after {:?}", begun.elapsed()),
            Ok(Ok(0) | Err(_)) => return Ok(begun.elapsed()),
            Ok(Ok(_)) => {}
        }
    }
}

async fn works(rig: &Rig) -> anyhow::Result<Duration> {
    let begun = Instant::now();
    let member = rig.member(0)?;
    let channel = connect(&rig.deployment.url(), &member.identity, Windows::default()).await?;
    UnitsClient::new(channel).status(StatusRequest {}).await?;
    Ok(begun.elapsed())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_say_nothing_are_cut_and_hold_up_nobody() -> anyhow::Result<()> {
    let rig = rig().await?;
    let address = ("127.0.0.1", rig.deployment.port());
    let mut silent = Vec::new();
    for _ in 0..200 {
        silent.push(TcpStream::connect(address).await.context("connect")?);
    }
    let took = works(&rig).await?;
    ensure!(took < UNHINDERED, "a good client waited {took:?}");
    for socket in &mut silent {
        closed(socket).await?;
    }
    rig.deployment.finished();
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handshake_byte_by_byte_is_cut() -> anyhow::Result<()> {
    let rig = rig().await?;
    let mut socket = TcpStream::connect(("127.0.0.1", rig.deployment.port())).await?;
    // The beginning of a TLS record with a ClientHello that never gets whole.
    let begun = Instant::now();
    for byte in [0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3].into_iter().cycle() {
        if socket.write_all(&[byte]).await.is_err() {
            break;
        }
        ensure!(begun.elapsed() < SLACK, "still open after {:?}", begun.elapsed());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    rig.deployment.finished();
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn plain_text_is_cut() -> anyhow::Result<()> {
    let rig = rig().await?;
    let mut socket = TcpStream::connect(("127.0.0.1", rig.deployment.port())).await?;
    socket
        .write_all(b"GET / HTTP/1.1\r\nHost: handfast\r\n\r\n")
        .await?;
    closed(&mut socket).await?;
    works(&rig).await?;
    rig.deployment.finished();
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_unit_has_so_many_connections_and_no_more() -> anyhow::Result<()> {
    let options = ["--max-connections-per-unit", "4"];
    let rig = Rig::over(Deployment::with_options(&options).await?, 2).await?;
    let member = rig.member(0)?;
    let mut held = Vec::new();
    let mut refused = 0;
    for _ in 0..8 {
        let Ok(channel) = connect(&rig.deployment.url(), &member.identity, Windows::default()).await else {
            refused += 1;
            continue;
        };
        match UnitsClient::new(channel.clone()).status(StatusRequest {}).await {
            Ok(_) => held.push(channel),
            Err(_) => refused += 1,
        }
    }
    ensure!(
        held.len() == 4 && refused == 4,
        "{} open, {refused} refused",
        held.len()
    );
    // Another unit is none the worse.
    let other = rig.member(1)?;
    let channel = connect(&rig.deployment.url(), &other.identity, Windows::default()).await?;
    UnitsClient::new(channel).status(StatusRequest {}).await?;
    rig.deployment.finished();
    Ok(())
}

/// Says hello, then sends one message; the daemon's answer to it.
async fn publish_one(url: &str, member: &Member, message: Message) -> anyhow::Result<Result<u64, Status>> {
    let channel = connect(url, &member.identity, Windows::default()).await?;
    let (out, requests) = tokio::sync::mpsc::channel(4);
    let hello = PublishHello {
        store_id: vec![1; 16].into(),
        ..PublishHello::default()
    };
    for message in [Message::Hello(hello), message] {
        out.send(PublishRequest {
            message: Some(message),
        })
        .await?;
    }
    let requests = tokio_stream::wrappers::ReceiverStream::new(requests);
    let mut stream = match SyncClient::new(channel).publish(requests).await {
        Ok(stream) => stream.into_inner(),
        Err(status) => return Ok(Err(status)),
    };
    loop {
        match tokio::time::timeout(SLACK, stream.message())
            .await
            .context("no answer")?
        {
            Err(status) => return Ok(Err(status)),
            Ok(None) => bail!("the stream ended without a word"),
            Ok(Some(answer)) => {
                if let Some(publish_response::Message::Ack(ack)) = answer.message {
                    return Ok(Ok(ack.seq));
                }
            }
        }
    }
}

fn batch(first_seq: u64, count: u64, size: usize) -> anyhow::Result<PublishBatch> {
    let mut builder = BatchBuilder::new(first_seq);
    for n in 0..count {
        builder.push(&amendment(n, 0, size)?);
    }
    let encoded = builder.finish();
    let chain = Chain::start(StoreId::from_random([1; 16]));
    Ok(PublishBatch {
        header: encoded.header,
        body: encoded.body,
        chain_before: chain.as_bytes().to_vec().into(),
        chain_after: chain.as_bytes().to_vec().into(),
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_that_break_the_contract_are_refused_with_a_reason() -> anyhow::Result<()> {
    let rig = rig().await?;
    let (url, member) = (rig.deployment.url(), rig.member(0)?);
    let garbled = PublishBatch {
        header: vec![0xff; 40].into(),
        ..batch(1, 1, 100)?
    };
    let short_body = PublishBatch {
        body: vec![0; 10].into(),
        ..batch(1, 1, 100)?
    };
    let wrong = [
        ("a gap", batch(7, 1, 100)?),
        ("65 amendments", batch(1, 65, 100)?),
        ("more payload than a batch holds", batch(1, 3, 60_000)?),
        ("more than a message may hold", batch(1, 10, 60_000)?),
        ("a garbled header", garbled),
        ("a body that is too short", short_body),
    ];
    for (what, batch) in wrong {
        let answer = publish_one(&url, member, Message::Batch(batch)).await?;
        let status = answer.err().with_context(|| format!("{what} was taken"))?;
        ensure!(
            matches!(
                status.code(),
                Code::InvalidArgument
                    | Code::OutOfRange
                    | Code::ResourceExhausted
                    | Code::FailedPrecondition
                    | Code::Aborted
            ),
            "{what}: {status}"
        );
        ensure!(!status.message().is_empty(), "{what}: no reason");
    }
    let taken = publish_one(&url, member, Message::Batch(batch(1, 64, 1024)?)).await?;
    ensure!(taken.is_ok_and(|seq| seq == 64), "a good batch was not taken");
    rig.deployment.finished();
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_headers_and_large_calls_are_refused() -> anyhow::Result<()> {
    let rig = rig().await?;
    let member = rig.member(0)?;
    let channel = connect(&rig.deployment.url(), &member.identity, Windows::default()).await?;
    let mut request = tonic::Request::new(StatusRequest {});
    let value = AsciiMetadataValue::try_from("x".repeat(64 * 1024))?;
    request.metadata_mut().insert("x-large", value);
    let answer = UnitsClient::new(channel).status(request).await;
    ensure!(answer.is_err(), "64 KiB of headers were taken");

    let admin = Identity::load(&member.unit.admin_profile)?;
    let channel = connect(&rig.deployment.url(), &admin, Windows::default()).await?;
    let request = SetAgreementRequest {
        source: "Z00001".to_owned(),
        recipient: "Z00002".to_owned(),
        side: 1,
        on: true,
        reason: "x".repeat(8 * 1024 * 1024),
        scope: None,
    };
    let answer = AgreementsClient::new(channel).set(request).await;
    ensure!(answer.is_err(), "a reason of 8 MiB was taken");
    works(&rig).await?;
    rig.deployment.finished();
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_unit_over_its_rate_is_slowed_not_cut() -> anyhow::Result<()> {
    let options = [
        "--amendments-per-second-per-unit",
        "500",
        "--amendments-burst-per-unit",
        "500",
    ];
    let rig = Rig::over(Deployment::with_options(&options).await?, 1).await?;
    let publisher = rig.publisher(0)?;
    let begun = Instant::now();
    let some = (0..2_000)
        .map(|n| amendment(n, 0, 100))
        .collect::<Result<_, _>>()?;
    publisher.offer(some).await?;
    publisher.wait_acked(2_000, Duration::from_secs(30)).await?;
    let took = begun.elapsed();
    ensure!(
        took > Duration::from_millis(2_400),
        "2,000 amendments at 500/s in {took:?}"
    );
    rig.deployment.finished();
    Ok(())
}
