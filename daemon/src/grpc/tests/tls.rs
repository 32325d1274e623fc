//! Who comes in: the matrix of certificates, and our own certificate changing under live connections.

use handfast_proto::v1::{RenewRequest, enrolment_client::EnrolmentClient};
use rcgen::ExtendedKeyUsagePurpose;
use tokio::time::timeout;
use tonic::{Code, Status, transport::Channel};
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};

use super::door::{Door, PATIENCE, TestAuthority, Wanted};
use crate::config::Limits;

async fn health(channel: Channel) -> Result<(), Status> {
    let request = HealthCheckRequest::default();
    let answer = timeout(PATIENCE, HealthClient::new(channel).check(request)).await;
    answer.unwrap().map(|_| ())
}

async fn renew(channel: Channel) -> Status {
    let request = RenewRequest::default();
    let answer = timeout(PATIENCE, EnrolmentClient::new(channel).renew(request)).await;
    answer.unwrap().unwrap_err()
}

const UNIT: &str = "spiffe://test.example/unit/Z00101";

/// Names that a certificate of ours may not have: URIs, and a DNS name.
const BAD_NAMES: [(&str, &[&str], Option<&str>); 7] = [
    (
        "another trust domain",
        &["spiffe://other.example/unit/Z00101"],
        None,
    ),
    ("two URIs", &[UNIT, "spiffe://test.example/unit/Z00102"], None),
    ("a URI and a DNS name", &[UNIT], Some("localhost")),
    ("no SAN", &[], None),
    ("only a DNS name", &[], Some("localhost")),
    ("neither unit nor person", &["spiffe://test.example/node/1"], None),
    (
        "a URI with more behind it",
        &["spiffe://test.example/unit/Z00101/x"],
        None,
    ),
];

fn refused() -> Vec<(&'static str, Wanted<'static>)> {
    let years = |from, to| Wanted {
        years: (from, to),
        ..Wanted::default()
    };
    let for_servers = Wanted {
        usage: ExtendedKeyUsagePurpose::ServerAuth,
        ..Wanted::default()
    };
    let mut all = vec![
        ("expired", years(2019, 2020)),
        ("not yet valid", years(2089, 2090)),
        ("for servers only", for_servers),
    ];
    all.extend(BAD_NAMES.map(|(what, sans, dns)| {
        let wanted = Wanted {
            sans,
            dns,
            ..Wanted::default()
        };
        (what, wanted)
    }));
    all
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn i1_only_a_certificate_that_is_wholly_good_gets_through_the_handshake() {
    let door = Door::open(&Limits::default()).await;
    let good = Wanted::default();
    health(door.channel(Some(door.kept.sign(&good)))).await.unwrap();
    for (what, wanted) in &refused() {
        let answer = health(door.channel(Some(door.kept.sign(wanted)))).await;
        assert!(answer.is_err(), "{what} was let in");
    }
    let (other, _) = TestAuthority::new();
    assert!(
        health(door.channel(Some(other.sign(&good)))).await.is_err(),
        "another authority's was let in"
    );
    door.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn i1_without_a_certificate_only_health_and_enrol_answer() {
    let door = Door::open(&Limits::default()).await;
    health(door.channel(None)).await.unwrap();
    assert_eq!(renew(door.channel(None)).await.code(), Code::Unauthenticated);
    // A good certificate of a unit that nobody registered.
    let stranger = door.kept.sign(&Wanted::default());
    assert_eq!(
        renew(door.channel(Some(stranger))).await.code(),
        Code::PermissionDenied
    );
    door.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn our_own_certificate_is_replaced_without_touching_live_connections() {
    let mut door = Door::open(&Limits::default()).await;
    let shown = |stream: &tokio_rustls::client::TlsStream<tokio::net::TcpStream>| {
        let chain = stream.get_ref().1.peer_certificates().unwrap().to_vec();
        assert_eq!(chain.len(), 2, "leaf and authority");
        chain
    };
    let live = door.channel(None);
    health(live.clone()).await.unwrap();
    let before = shown(&door.dial(None).await.unwrap());
    assert_eq!(before[1], *door.authority.certificate());
    assert_eq!(before, shown(&door.dial(None).await.unwrap()));

    door.own_leaf.renew().unwrap();
    let after = shown(&door.dial(None).await.unwrap());
    assert_ne!(before[0], after[0]);
    assert_eq!(before[1], after[1]);
    health(live).await.unwrap();
    drop((before, after));
    door.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_session_is_resumed() {
    use tokio::io::AsyncReadExt as _;
    let door = Door::open(&Limits::default()).await;
    for _ in 0..3 {
        let mut stream = door.dial(Some(door.kept.sign(&Wanted::default()))).await.unwrap();
        // What the server sends first would carry a ticket, if there were one.
        let mut first = [0; 1];
        timeout(PATIENCE, stream.read_exact(&mut first))
            .await
            .unwrap()
            .unwrap();
        assert_eq!(stream.get_ref().1.tls13_tickets_received(), 0);
    }
    door.close().await;
}
