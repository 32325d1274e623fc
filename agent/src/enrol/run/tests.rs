//! Enrolment against a daemon of the test's own, and against one that stands in between.

use std::{fs, os::unix::fs::MetadataExt as _};

use handfast_proto::v1::{EnrolResponse, enrol_response::Holder};
use tempfile::TempDir;

use super::*;
use crate::identity::testing::{Answer, Authority, FakeDaemon, Script, Validity};

const SECRET: [u8; 32] = [9; 32];

fn issue(ca: &Arc<Authority>, holder: Holder) -> Answer {
    let ca = Arc::clone(ca);
    Box::new(move |csr| {
        let leaf = ca.sign(csr, "Z00101", Validity::NOW);
        Ok(EnrolResponse {
            chain_der: vec![leaf.to_vec().into()],
            ca_der: vec![ca.der().to_vec().into()],
            trust_domain: "care.example".to_owned(),
            holder: Some(holder.clone()),
            not_before: 0,
            not_after: 0,
        })
    })
}

fn unit() -> Holder {
    Holder::Unit("Z00101".to_owned())
}

fn refuse(code: Code, text: &'static str) -> Arc<Script> {
    let no = move || -> Answer { Box::new(move |_| Err(Status::new(code, text))) };
    Script::new(no(), no())
}

async fn daemon(ca: &Authority, script: &Arc<Script>) -> FakeDaemon {
    FakeDaemon::start(
        ca.server(&["127.0.0.1"], Validity::NOW),
        ca.der(),
        Arc::clone(script),
    )
    .await
}

fn ask(dir: &TempDir, url: &str, fingerprint: [u8; 32]) -> Enrolment {
    Enrolment {
        state_dir: dir.path().join("state"),
        daemon: url.parse().unwrap(),
        token: EnrolmentToken::new(fingerprint, SECRET),
        replace: false,
    }
}

#[tokio::test]
async fn an_agent_enrols_and_finds_its_identity_again() {
    let ca = Arc::new(Authority::new("ours"));
    let script = Script::new(issue(&ca, unit()), issue(&ca, unit()));
    let daemon = daemon(&ca, &script).await;
    let dir = TempDir::new().unwrap();
    let identity = enrol(ask(&dir, &daemon.url(), ca.fingerprint())).await.unwrap();
    assert_eq!(identity.unit().as_str(), "Z00101");
    let again = Identity::load(&dir.path().join("state")).unwrap();
    assert_eq!(again.profile(), identity.profile());
    assert_eq!(again.daemon().to_string(), daemon.url());
    assert!(again.renew_at_ms() < again.not_after_ms());
    let key = dir.path().join("state/identity/key.pem");
    assert_eq!(fs::metadata(key).unwrap().mode() & 0o777, 0o600);
    assert_eq!(
        fs::metadata(dir.path().join("state")).unwrap().mode() & 0o777,
        0o700
    );
    assert!(!dir.path().join("state/identity.new").exists());
}

#[tokio::test]
async fn an_identity_is_replaced_only_when_asked_and_the_token_is_kept() {
    let ca = Arc::new(Authority::new("ours"));
    let script = Script::new(issue(&ca, unit()), issue(&ca, unit()));
    let daemon = daemon(&ca, &script).await;
    let dir = TempDir::new().unwrap();
    enrol(ask(&dir, &daemon.url(), ca.fingerprint())).await.unwrap();
    let cert = || fs::read(dir.path().join("state/identity/cert.pem")).unwrap();
    let before = cert();
    let error = enrol(ask(&dir, &daemon.url(), ca.fingerprint()))
        .await
        .unwrap_err();
    assert!(matches!(error, EnrolError::Enrolled { .. }), "{error}");
    assert!(
        error.to_string().contains("spiffe://care.example/unit/Z00101"),
        "{error}"
    );
    assert_eq!(script.tokens.lock().len(), 1);
    assert_eq!(cert(), before);
    let mut again = ask(&dir, &daemon.url(), ca.fingerprint());
    again.replace = true;
    enrol(again).await.unwrap();
    assert_ne!(cert(), before);
    assert!(!dir.path().join("state/identity.new").exists());
}

#[tokio::test]
async fn whoever_stands_in_between_never_sees_the_token() {
    let (ca, interceptor) = (Arc::new(Authority::new("ours")), Authority::new("ours"));
    let script = Script::new(issue(&ca, unit()), issue(&ca, unit()));
    let between = daemon(&interceptor, &script).await;
    let dir = TempDir::new().unwrap();
    let error = enrol(ask(&dir, &between.url(), ca.fingerprint()))
        .await
        .unwrap_err();
    assert!(
        error
            .to_string()
            .contains("not the daemon the token was made for"),
        "{error}"
    );
    assert!(
        matches!(error, EnrolError::Link(LinkError::NotTrusted { .. })),
        "{error}"
    );
    assert!(script.tokens.lock().is_empty());
    assert!(!Identity::exists(&dir.path().join("state")));
}

#[tokio::test]
async fn showing_the_right_authority_does_not_help_who_stands_in_between() {
    let (ca, interceptor) = (Arc::new(Authority::new("ours")), Authority::new("ours"));
    let script = Script::new(issue(&ca, unit()), issue(&ca, unit()));
    // Its own leaf, and the real authority's certificate, which is public, behind it.
    let (mut chain, key) = interceptor.server(&["127.0.0.1"], Validity::NOW);
    *chain.last_mut().unwrap() = ca.der();
    let between = FakeDaemon::start((chain, key), ca.der(), Arc::clone(&script)).await;
    let dir = TempDir::new().unwrap();
    let error = enrol(ask(&dir, &between.url(), ca.fingerprint()))
        .await
        .unwrap_err();
    assert!(
        matches!(error, EnrolError::Link(LinkError::NotTrusted { .. })),
        "{error}"
    );
    assert!(script.tokens.lock().is_empty());
}

#[tokio::test]
async fn another_name_is_not_trusted_and_a_missing_authority_neither() {
    let ca = Arc::new(Authority::new("ours"));
    let script = Script::new(issue(&ca, unit()), issue(&ca, unit()));
    let elsewhere = ca.server(&["elsewhere.example"], Validity::NOW);
    let named = FakeDaemon::start(elsewhere, ca.der(), Arc::clone(&script)).await;
    let dir = TempDir::new().unwrap();
    let error = enrol(ask(&dir, &named.url(), ca.fingerprint()))
        .await
        .unwrap_err();
    assert!(error.to_string().contains("another name"), "{error}");
    let (mut chain, key) = ca.server(&["127.0.0.1"], Validity::NOW);
    chain.truncate(1);
    let bare = FakeDaemon::start((chain, key), ca.der(), Arc::clone(&script)).await;
    let error = enrol(ask(&dir, &bare.url(), ca.fingerprint())).await.unwrap_err();
    assert!(
        error.to_string().contains("does not send its authority"),
        "{error}"
    );
    assert!(script.tokens.lock().is_empty());
}

#[tokio::test]
async fn a_token_that_is_not_taken_and_a_daemon_that_cannot_are_told_apart() {
    let ca = Authority::new("ours");
    let dir = TempDir::new().unwrap();
    let used = daemon(&ca, &refuse(Code::PermissionDenied, "the token was used\u{7}")).await;
    let error = enrol(ask(&dir, &used.url(), ca.fingerprint())).await.unwrap_err();
    assert!(
        matches!(&error, EnrolError::TokenRefused(why) if why == "the token was used "),
        "{error}"
    );
    let full = daemon(&ca, &refuse(Code::ResourceExhausted, "no room")).await;
    let error = enrol(ask(&dir, &full.url(), ca.fingerprint())).await.unwrap_err();
    assert!(
        matches!(&error, EnrolError::TryAgain(why) if why == "no room"),
        "{error}"
    );
    assert!(!Identity::exists(&dir.path().join("state")));
}

#[tokio::test]
async fn a_persons_token_is_for_another_command() {
    let ca = Arc::new(Authority::new("ours"));
    let person = Holder::Person("ann-1".to_owned());
    let script = Script::new(issue(&ca, person.clone()), issue(&ca, person));
    let daemon = daemon(&ca, &script).await;
    let dir = TempDir::new().unwrap();
    let error = enrol(ask(&dir, &daemon.url(), ca.fingerprint()))
        .await
        .unwrap_err();
    assert!(error.to_string().contains("handfastctl enrol"), "{error}");
}

#[tokio::test]
async fn nothing_is_enrolled_under_a_running_agent() {
    let ca = Authority::new("ours");
    let dir = TempDir::new().unwrap();
    let ask = ask(&dir, "https://127.0.0.1:1", ca.fingerprint());
    fs::create_dir(&ask.state_dir).unwrap();
    let _running = StateLock::take(&ask.state_dir).unwrap();
    let error = enrol(ask).await.unwrap_err();
    assert!(
        matches!(error, EnrolError::Lock(LockError::Held { .. })),
        "{error}"
    );
}
