//! Enrol and Renew through the door, and how tokens cannot be misused.

use handfast_proto::{
    ids::Holder,
    token::EnrolmentToken,
    v1::{EnrolRequest, EnrolResponse, RenewRequest, enrol_response, enrolment_client::EnrolmentClient},
};
use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256};
use tonic::{Code, Status};
use x509_parser::prelude::{FromDer as _, GeneralName, X509Certificate};

use super::door::{DAY_MS, Door, Wanted};
use crate::{
    config::Limits,
    store::{NewPerson, Role, UnitChange, UnitState, With},
};

/// A request that asks for names that it must not get.
fn csr() -> Vec<u8> {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
    let params = CertificateParams::new(vec!["admin.example".to_owned()]).unwrap();
    params.serialize_request(&key).unwrap().der().to_vec()
}

async fn enrol(door: &Door, token: &str, csr: Vec<u8>) -> Result<EnrolResponse, Status> {
    let request = EnrolRequest {
        token: token.to_owned(),
        csr_der: csr.into(),
    };
    let answer = EnrolmentClient::new(door.channel(None)).enrol(request).await;
    answer.map(tonic::Response::into_inner)
}

async fn renew(door: &Door, uri: &str) -> Result<EnrolResponse, Status> {
    let who = door.kept.sign(&Wanted {
        sans: &[uri],
        ..Wanted::default()
    });
    let request = RenewRequest {
        csr_der: csr().into(),
    };
    let answer = EnrolmentClient::new(door.channel(Some(who))).renew(request).await;
    answer.map(tonic::Response::into_inner)
}

fn uri_of(response: &EnrolResponse) -> String {
    let (_, leaf) = X509Certificate::from_der(&response.chain_der[0]).unwrap();
    let names = leaf.subject_alternative_name().unwrap().unwrap();
    match names.value.general_names.as_slice() {
        [GeneralName::URI(uri)] => (*uri).to_owned(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_gives_one_certificate_that_names_its_holder_and_nothing_else() {
    let door = Door::open(&Limits::default()).await;
    let token = door.register("Z00101").await.reveal();
    let enrolled = enrol(&door, &token, csr()).await.unwrap();
    assert_eq!(uri_of(&enrolled), "spiffe://test.example/unit/Z00101");
    assert_eq!(
        enrolled.holder,
        Some(enrol_response::Holder::Unit("Z00101".to_owned()))
    );
    assert_eq!(enrolled.ca_der, [door.authority.certificate().to_vec()]);
    assert_eq!(enrolled.chain_der.len(), 2);
    assert!(enrolled.not_after * 1000 > door.now + 29 * DAY_MS);
    let again = enrol(&door, &token, csr()).await.unwrap_err();
    assert_eq!(again.code(), Code::PermissionDenied);
    assert!(door.store.units(door.now).await.unwrap()[0].agent_enrolled);
    door.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tokens_cannot_be_misused() {
    let door = Door::open(&Limits::default()).await;
    let token = door.register("Z00101").await;
    let refused = |token: String| {
        let door = &door;
        async move { enrol(door, &token, csr()).await.unwrap_err().code() }
    };
    let unit = Holder::Unit("Z00101".parse().unwrap());

    let (unknown, _) = door.token(unit.clone(), door.now + DAY_MS);
    assert_eq!(refused(unknown.reveal()).await, Code::PermissionDenied);
    let elsewhere = EnrolmentToken::new([9; 32], [1; 32]);
    assert_eq!(refused(elsewhere.reveal()).await, Code::PermissionDenied);
    assert_eq!(refused(String::new()).await, Code::PermissionDenied);
    let mut torn = token.reveal();
    torn.pop();
    assert_eq!(refused(torn).await, Code::PermissionDenied);

    // A request that is not good does not use the token up; nor do two at once get two certificates.
    let text = token.reveal();
    let bad = enrol(&door, &text, vec![1, 2, 3]).await.unwrap_err();
    assert_eq!(bad.code(), Code::InvalidArgument);
    let race = futures::future::join_all((0..8).map(|_| enrol(&door, &text, csr()))).await;
    assert_eq!(race.iter().filter(|r| r.is_ok()).count(), 1);

    // A newer token makes the older one void; an expired one is none.
    let (older, keep) = door.token(unit.clone(), door.now + DAY_MS);
    door.store
        .add_token(&keep, door.now, &With::nothing())
        .await
        .unwrap();
    let (expired, keep) = door.token(unit, door.now - 1);
    door.store
        .add_token(&keep, door.now - DAY_MS, &With::nothing())
        .await
        .unwrap();
    assert_eq!(refused(older.reveal()).await, Code::PermissionDenied);
    assert_eq!(refused(expired.reveal()).await, Code::PermissionDenied);
    door.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_is_renewed_only_for_whom_it_names_and_while_they_belong() {
    let door = Door::open(&Limits::default()).await;
    let _token = door.register("Z00101").await;
    let unit = "spiffe://test.example/unit/Z00101";
    let renewed = renew(&door, unit).await.unwrap();
    assert_eq!(uri_of(&renewed), unit);
    let stranger = renew(&door, "spiffe://test.example/unit/Z00109")
        .await
        .unwrap_err();
    assert_eq!(stranger.code(), Code::PermissionDenied);

    let ods = "Z00101".parse().unwrap();
    let set = async |state| {
        let change = UnitChange {
            ods,
            state,
            withdraw: false,
            by: "a test".to_owned(),
            reason: String::new(),
            at: door.now,
        };
        door.store.set_unit_state(&change, &With::nothing()).await
    };
    set(UnitState::Suspended).await.unwrap();
    assert!(
        renew(&door, unit).await.is_ok(),
        "a suspended unit must be able to confirm removals"
    );
    set(UnitState::Retired).await.unwrap();
    assert_eq!(
        renew(&door, unit).await.unwrap_err().code(),
        Code::PermissionDenied
    );

    let ann: handfast_proto::ids::PersonId = "ann-1".parse().unwrap();
    let person = NewPerson {
        id: ann.clone(),
        name: "Ann".to_owned(),
        unit: None,
        role: Role::Operator,
    };
    let (_, keep) = door.token(Holder::Person(ann.clone()), door.now + DAY_MS);
    door.store
        .add_person(&person, &keep, door.now, &With::nothing())
        .await
        .unwrap();
    let uri = "spiffe://test.example/person/ann-1";
    assert!(renew(&door, uri).await.is_ok());
    door.store
        .revoke_person(&ann, "left", door.now, &With::nothing())
        .await
        .unwrap();
    assert_eq!(
        renew(&door, uri).await.unwrap_err().code(),
        Code::PermissionDenied
    );
    door.close().await;
}
