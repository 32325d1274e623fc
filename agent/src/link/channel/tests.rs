//! Whom a connection trusts, by whom it is trusted, and what is said where it is not.

use handfast_proto::v1::{RenewRequest, enrolment_client::EnrolmentClient};
use rustls_pki_types::CertificateDer;
use tokio::{io::AsyncReadExt as _, net::TcpListener};
use tonic::Code;

use super::*;
use crate::identity::{
    Identity,
    testing::{Authority, FakeDaemon, Names, Script, Validity},
};

const WINDOWS: Windows = Windows {
    stream_bytes: 64 * 1024,
    connection_bytes: 128 * 1024,
};

async fn daemon(
    authority: &Authority,
    names: Names<'_>,
    validity: Validity,
    clients: CertificateDer<'static>,
) -> FakeDaemon {
    FakeDaemon::start(authority.server(names, validity), clients, Script::silent()).await
}

async fn connect_as(identity: Identity) -> Result<Connection, LinkError> {
    Connector::new(CurrentIdentity::new(identity))
        .connect(WINDOWS)
        .await
}

#[tokio::test]
async fn the_daemon_of_the_own_authority_is_trusted_and_answers() {
    let ca = Authority::new("ours");
    let daemon = daemon(&ca, &["127.0.0.1"], Validity::NOW, ca.der()).await;
    let channel = connect_as(ca.agent("Z00101", &daemon.url(), Validity::NOW))
        .await
        .unwrap();
    let status = EnrolmentClient::new(channel.channel())
        .renew(RenewRequest::default())
        .await
        .unwrap_err();
    assert_eq!(status.code(), Code::Unimplemented);
}

#[tokio::test]
async fn a_channel_does_not_outlive_its_connection() {
    let ca = Authority::new("ours");
    let daemon = daemon(&ca, &["127.0.0.1"], Validity::NOW, ca.der()).await;
    let relay = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}", relay.local_addr().unwrap());
    let port = daemon.port();
    let relaying = tokio::spawn(async move {
        let (mut here, _) = relay.accept().await.unwrap();
        let mut there = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        tokio::io::copy_bidirectional(&mut here, &mut there)
            .await
            .unwrap();
    });
    let channel = connect_as(ca.agent("Z00101", &url, Validity::NOW)).await.unwrap();
    relaying.abort();
    relaying.await.unwrap_err();
    let mut client = EnrolmentClient::new(channel.channel());
    // The call under way may be told that it was cancelled; from then on there is no way back.
    client.renew(RenewRequest::default()).await.unwrap_err();
    let second = client.renew(RenewRequest::default()).await.unwrap_err();
    assert_eq!(second.code(), Code::Unavailable, "{second}");
}

#[tokio::test]
async fn a_daemon_of_another_authority_is_not_trusted() {
    let (ours, other) = (Authority::new("ours"), Authority::new("ours"));
    let daemon = daemon(&other, &["127.0.0.1"], Validity::NOW, ours.der()).await;
    let error = connect_as(ours.agent("Z00101", &daemon.url(), Validity::NOW))
        .await
        .unwrap_err();
    assert!(matches!(error, LinkError::NotTrusted { .. }), "{error}");
    assert!(error.to_string().contains("not from the authority"), "{error}");
}

#[tokio::test]
async fn a_daemon_with_another_name_is_not_trusted() {
    let ca = Authority::new("ours");
    let daemon = daemon(&ca, &["elsewhere.example"], Validity::NOW, ca.der()).await;
    let error = connect_as(ca.agent("Z00101", &daemon.url(), Validity::NOW))
        .await
        .unwrap_err();
    assert!(matches!(error, LinkError::NotTrusted { .. }), "{error}");
    assert!(error.to_string().contains("another name"), "{error}");
}

#[tokio::test]
async fn a_daemon_with_an_expired_certificate_is_not_trusted() {
    let ca = Authority::new("ours");
    let daemon = daemon(&ca, &["127.0.0.1"], Validity::PAST, ca.der()).await;
    let error = connect_as(ca.agent("Z00101", &daemon.url(), Validity::NOW))
        .await
        .unwrap_err();
    assert!(matches!(error, LinkError::NotTrusted { .. }), "{error}");
    assert!(error.to_string().contains("has expired"), "{error}");
}

#[tokio::test]
async fn an_agent_whose_certificate_expired_is_told_what_to_do() {
    let ca = Authority::new("ours");
    let daemon = daemon(&ca, &["127.0.0.1"], Validity::NOW, ca.der()).await;
    let error = connect_as(ca.agent("Z00101", &daemon.url(), Validity::PAST))
        .await
        .unwrap_err();
    assert!(matches!(error, LinkError::Expired { .. }), "{error}");
    assert!(error.to_string().contains("enrol --replace"), "{error}");
}

#[tokio::test]
async fn an_agent_of_another_authority_learns_that_it_is_refused() {
    let (ca, other) = (Authority::new("ours"), Authority::new("theirs"));
    let daemon = daemon(&ca, &["127.0.0.1"], Validity::NOW, other.der()).await;
    let error = connect_as(ca.agent("Z00101", &daemon.url(), Validity::NOW))
        .await
        .unwrap_err();
    assert!(matches!(error, LinkError::Refused { .. }), "{error}");
}

#[tokio::test]
async fn a_renewed_identity_is_used_from_the_next_connection_on() {
    let ca = Authority::new("ours");
    let daemon = daemon(&ca, &["127.0.0.1"], Validity::NOW, ca.der()).await;
    let current = CurrentIdentity::new(ca.agent("Z00101", &daemon.url(), Validity::PAST));
    let connector = Connector::new(Arc::clone(&current));
    connector.connect(WINDOWS).await.unwrap_err();
    current.swap(ca.agent("Z00101", &daemon.url(), Validity::NOW));
    connector.connect(WINDOWS).await.unwrap();
}

#[tokio::test]
async fn nobody_there_is_unreachable() {
    let ca = Authority::new("ours");
    let free = TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap();
    let error = connect_as(ca.agent("Z00101", &format!("https://{free}"), Validity::NOW))
        .await
        .unwrap_err();
    assert!(matches!(error, LinkError::Unreachable { .. }), "{error}");
    assert!(error.to_string().contains("nothing listens there"), "{error}");
}

#[tokio::test]
async fn something_else_there_is_told_apart() {
    let ca = Authority::new("ours");
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}", listener.local_addr().unwrap());
    let answer = tokio::spawn(async move {
        let (mut tcp, _) = listener.accept().await.unwrap();
        let mut hello = [0; 64];
        tcp.read_exact(&mut hello).await.unwrap();
        tokio::io::AsyncWriteExt::write_all(&mut tcp, b"HTTP/1.1 400 Bad Request\r\n\r\n")
            .await
            .unwrap();
        tcp
    });
    let error = connect_as(ca.agent("Z00101", &url, Validity::NOW))
        .await
        .unwrap_err();
    assert!(matches!(error, LinkError::Protocol { .. }), "{error}");
    answer.await.unwrap();
}

#[tokio::test]
async fn silence_ends_in_time() {
    let ca = Authority::new("ours");
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}", listener.local_addr().unwrap());
    let hold = tokio::spawn(async move {
        let held = listener.accept().await;
        std::future::pending::<()>().await;
        held
    });
    let identity = ca.agent("Z00101", &url, Validity::NOW);
    let begun = tokio::time::Instant::now();
    tokio::time::pause();
    let error = connect_as(identity).await.unwrap_err();
    assert!(begun.elapsed() <= CONNECT_TIMEOUT + Duration::from_secs(1));
    assert!(error.to_string().contains("no answer within 10 s"), "{error}");
    hold.abort();
}

#[tokio::test]
async fn without_tls_only_loopback_is_reached() {
    let there = "192.0.2.1:7443".parse().unwrap();
    assert_eq!(Connector::plaintext(there).unwrap_err(), NotLoopback(there));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    drop(listener);
    let error = Connector::plaintext(addr)
        .unwrap()
        .connect(WINDOWS)
        .await
        .unwrap_err();
    assert!(matches!(error, LinkError::Unreachable { .. }), "{error}");
}
