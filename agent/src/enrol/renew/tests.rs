//! Renewal when it is due, with a clock that the test moves.

use std::sync::atomic::{AtomicBool, Ordering};

use handfast_proto::v1::{EnrolResponse, enrol_response::Holder};
use tempfile::TempDir;
use tonic::Status;

use super::*;
use crate::{
    clock::ManualClock,
    identity::{
        Identity,
        testing::{Answer, Authority, FakeDaemon, Script, Validity},
    },
    link::Connector,
};

struct Scene {
    _dir: TempDir,
    _daemon: FakeDaemon,
    clock: ManualClock,
    renewal: Renewal,
    retry: Retry,
}

async fn scene(ca: &Arc<Authority>, renew: Answer) -> Scene {
    let never: Answer = Box::new(|_| Err(Status::internal("not asked for")));
    let server = ca.server(&["127.0.0.1"], Validity::NOW);
    let daemon = FakeDaemon::start(server, ca.der(), Script::new(never, renew)).await;
    let dir = TempDir::new().unwrap();
    let identity = ca.agent("Z00101", &daemon.url(), Validity::NOW);
    let clock = ManualClock::at(identity.not_before_ms());
    let current = CurrentIdentity::new(identity);
    let renewal = Renewal {
        link: Link::new(Connector::new(Arc::clone(&current))),
        current,
        state_dir: dir.path().to_owned(),
        clock: Arc::new(clock.clone()),
        board: StatusBoard::new(),
    };
    Scene {
        _dir: dir,
        _daemon: daemon,
        clock,
        renewal,
        retry: Retry::between(FIRST_DELAY, LONGEST_DELAY).with_random(Box::new(|| 1.0)),
    }
}

fn issue(ca: &Arc<Authority>, ods: &'static str) -> Answer {
    let ca = Arc::clone(ca);
    Box::new(move |csr| {
        Ok(EnrolResponse {
            chain_der: vec![ca.sign(csr, ods, Validity(0, 90)).to_vec().into()],
            ca_der: vec![ca.der().to_vec().into()],
            trust_domain: "care.example".to_owned(),
            holder: Some(Holder::Unit(ods.to_owned())),
            not_before: 0,
            not_after: 0,
        })
    })
}

#[tokio::test]
async fn it_renews_at_two_thirds_and_swaps_what_is_in_force() {
    let ca = Arc::new(Authority::new("ours"));
    let mut scene = scene(&ca, issue(&ca, "Z00101")).await;
    let renewal = &scene.renewal;
    let first = renewal.current.get();
    assert_eq!(first.renew_at_ms() - first.not_before_ms(), 20 * DAY_MS);
    scene.clock.set(first.renew_at_ms() - 1000);
    assert_eq!(renewal.step(&mut scene.retry).await, Duration::from_secs(1));
    assert_eq!(renewal.current.get().not_after_ms(), first.not_after_ms());
    scene.clock.advance(1000);
    renewal.step(&mut scene.retry).await;
    let second = renewal.current.get();
    assert!(second.not_after_ms() > first.not_after_ms());
    assert_eq!(
        Identity::load(&renewal.state_dir).unwrap().not_after_ms(),
        second.not_after_ms()
    );
    assert_eq!(
        renewal.board.snapshot().certificate.not_after_ms,
        second.not_after_ms()
    );
    let link = Link::new(Connector::new(Arc::clone(&renewal.current)));
    link.connection().await.unwrap();
}

#[tokio::test]
async fn what_fails_is_shown_and_tried_again_ever_more_seldom() {
    let ca = Arc::new(Authority::new("ours"));
    let works = Arc::new(AtomicBool::new(false));
    let (later, issue) = (Arc::clone(&works), issue(&ca, "Z00101"));
    let answer: Answer = Box::new(move |csr| match later.load(Ordering::SeqCst) {
        true => issue(csr),
        false => Err(Status::unavailable("later")),
    });
    let mut scene = scene(&ca, answer).await;
    let renewal = &scene.renewal;
    let first = renewal.current.get();
    let mut waits = Vec::new();
    for after_days in (20..60).step_by(3) {
        scene.clock.set(first.not_before_ms() + after_days * DAY_MS);
        waits.push(renewal.step(&mut scene.retry).await.as_secs());
        let shown = renewal.board.snapshot().certificate.renewal_fails.unwrap();
        assert!(shown.contains("the daemon said: later"), "{shown}");
    }
    assert_eq!(waits[..4], [1, 2, 4, 8]);
    assert_eq!(waits.last(), Some(&LONGEST_DELAY.as_secs()));
    assert_eq!(renewal.current.get().not_after_ms(), first.not_after_ms());
    works.store(true, Ordering::SeqCst);
    assert_eq!(renewal.step(&mut scene.retry).await, BETWEEN_RENEWALS);
    assert_eq!(renewal.board.snapshot().certificate.renewal_fails, None);
    assert!(scene.retry.next_delay() <= FIRST_DELAY + Duration::from_nanos(1));
}

#[tokio::test]
async fn a_certificate_for_another_unit_is_not_taken() {
    let ca = Arc::new(Authority::new("ours"));
    let mut scene = scene(&ca, issue(&ca, "Z00102")).await;
    let renewal = &scene.renewal;
    scene.clock.set(renewal.current.get().renew_at_ms());
    renewal.step(&mut scene.retry).await;
    assert_eq!(renewal.current.get().unit().as_str(), "Z00101");
    assert!(!Identity::exists(&renewal.state_dir));
}
