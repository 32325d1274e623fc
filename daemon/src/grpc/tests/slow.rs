//! Clients that keep a connection and say nothing, or too little, or too slowly.

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use bytes::Bytes;
use hyper::body::{Body, Frame};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::{sleep, timeout},
};
use tower::{Service as _, ServiceExt as _};

use super::door::{Door, PATIENCE, Wanted};
use crate::config::{Bounded, Limits};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

fn short() -> Limits {
    Limits {
        handshake_timeout_ms: Bounded::new(200),
        first_request_timeout_ms: Bounded::new(200),
        anonymous_lifetime_ms: Bounded::new(600),
        unary_timeout_ms: Bounded::new(200),
        ..Limits::default()
    }
}

/// Waits until the other side has ended the connection.
async fn ended(stream: &mut (impl tokio::io::AsyncRead + Unpin)) {
    let mut buf = [0; 1024];
    let drain = async { while stream.read(&mut buf).await.is_ok_and(|n| n > 0) {} };
    timeout(PATIENCE, drain).await.unwrap();
}

/// Waits until the daemon counts no connection any more.
async fn none_open(door: &Door) {
    let began = Instant::now();
    while door.connections.open() > 0 {
        assert!(
            began.elapsed() < PATIENCE,
            "{} still open",
            door.connections.open()
        );
        sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_does_not_begin_or_end_its_handshake_is_cut() {
    let door = Door::open(&short()).await;
    let mut silent = TcpStream::connect(door.address).await.unwrap();
    ended(&mut silent).await;
    let mut partly = TcpStream::connect(door.address).await.unwrap();
    partly.write_all(&[22, 3, 1, 2, 0, 1]).await.unwrap();
    ended(&mut partly).await;
    none_open(&door).await;
    door.close().await;
}

/// Everyone comes in, and none of them before their turn.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_beyond_the_rate_wait_and_are_taken_in() {
    let limits = Limits {
        connections_per_second: Bounded::new(20),
        connections_burst: Bounded::new(1),
        ..Limits::default()
    };
    let door = Door::open(&limits).await;
    let began = Instant::now();
    let all = (0..6).map(|_| door.dial(None));
    let made = timeout(PATIENCE, futures::future::try_join_all(all))
        .await
        .unwrap()
        .unwrap();
    // The first uses the burst, and each of the next four has a twentieth of a second waited after it.
    assert!(
        began.elapsed() >= Duration::from_millis(195),
        "{:?}",
        began.elapsed()
    );
    drop(made);
    none_open(&door).await;
    door.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_is_silent_after_its_handshake_is_cut() {
    let door = Door::open(&short()).await;
    for who in [None, Some(door.kept.sign(&Wanted::default()))] {
        let mut silent = door.dial(who).await.unwrap();
        ended(&mut silent).await;
        let mut polite = door.dial(None).await.unwrap();
        // The preface and empty settings, and then no request.
        polite.write_all(PREFACE).await.unwrap();
        polite.write_all(&[0, 0, 0, 4, 0, 0, 0, 0, 0]).await.unwrap();
        ended(&mut polite).await;
    }
    none_open(&door).await;
    door.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_dribbles_is_cut_though_it_never_stops() {
    let door = Door::open(&short()).await;
    let began = Instant::now();
    let mut dribbling = door.dial(None).await.unwrap();
    for byte in PREFACE.iter().cycle() {
        if dribbling.write_all(&[*byte]).await.is_err() {
            break;
        }
        assert!(began.elapsed() < PATIENCE, "still taken");
        sleep(Duration::from_millis(30)).await;
    }
    none_open(&door).await;
    door.close().await;
}

/// A body of which nothing ever comes.
struct Never;

impl Body for Never {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Pending
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_whose_message_never_comes_is_answered_in_time_and_its_connection_does_not_stay() {
    let door = Door::open(&short()).await;
    let mut channel = door.channel(None);
    let request = http::Request::post("http://localhost/handfast.v1.Enrolment/Enrol")
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(tonic::body::Body::new(Never))
        .unwrap();
    let call = async { channel.ready().await.unwrap().call(request).await.unwrap() };
    let answer = timeout(PATIENCE, call).await.unwrap();
    // 4 is DEADLINE_EXCEEDED.
    assert_eq!(answer.headers().get("grpc-status").unwrap(), "4");
    drop(answer);
    none_open(&door).await;
    door.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_address_cannot_take_every_place() {
    let limits = Limits {
        max_unidentified_per_address: Bounded::new(3),
        ..Limits::default()
    };
    let door = Door::open(&limits).await;
    let mut held = Vec::new();
    for _ in 0..3 {
        held.push(TcpStream::connect(door.address).await.unwrap());
    }
    let began = Instant::now();
    while door.connections.open() < 3 {
        assert!(began.elapsed() < PATIENCE);
        sleep(Duration::from_millis(5)).await;
    }
    let mut fourth = TcpStream::connect(door.address).await.unwrap();
    ended(&mut fourth).await;
    drop(held);
    none_open(&door).await;
    assert!(door.dial(None).await.is_ok());
    door.close().await;
}
