//! What is explained of each record, and to whom.
//!
//! Detects: a standing or a reason that is not the gate's, and to a recipient's people what was withheld from them or
//! came after what they received.

use handfast_proto::{amendment::Op, v1::WithheldReason};

use super::kit::Told;
use crate::{
    consent::{Reason, Side},
    sharing::{
        Agreements, Standing,
        testing::{half, pair, patient},
    },
};

#[tokio::test]
async fn an_explanation_says_why_and_tells_the_recipient_only_what_it_received() {
    let mut told = Told::new().await;
    let one = patient(0);
    told.publish(&[
        ("Observation/a", one, Op::Create),
        ("Observation/b", one, Op::Create),
        ("Observation/c", one, Op::Create),
        ("Observation/x", patient(1), Op::Create),
    ])
    .await;
    told.publish(&[("Observation/c", one, Op::Retract)]).await;
    told.disclosed("Z00202", 1, 1).await;
    told.disclosed("Z00202", 3, 3).await;
    let explain = async |who: &str| {
        let caller = told.world.caller(who).await;
        let pair = pair("Z00101", "Z00202");
        let explained = told
            .desk
            .explain(&caller, one, pair, "a complaint", "")
            .await
            .unwrap();
        let each = explained.records.into_iter();
        each.map(|r| (r.record.id().to_owned(), r.standing, r.withheld))
            .collect::<Vec<_>>()
    };
    let none = WithheldReason::Unspecified;
    assert_eq!(
        explain("pam").await,
        [
            ("a".to_owned(), Standing::Forwarded, none),
            ("b".to_owned(), Standing::Due, none),
            ("c".to_owned(), Standing::Withdrawn, none),
        ]
    );
    let agreements = Agreements::new(told.world.ctx.clone());
    let ann = told.world.caller("ann").await;
    let off = half("Z00101", "Z00202", Side::ShareOut, false);
    agreements.set(&ann, off).await.unwrap();
    let why = WithheldReason::ShareOutOff;
    assert_eq!(
        explain("pam").await,
        [
            ("a".to_owned(), Standing::Withdrawn, why),
            ("b".to_owned(), Standing::Withheld, why),
            ("c".to_owned(), Standing::Withdrawn, none),
        ]
    );
    let received = explain("pat").await;
    assert_eq!(
        received,
        [
            ("a".to_owned(), Standing::Withdrawn, none),
            ("c".to_owned(), Standing::Withdrawn, none)
        ]
    );
}

#[tokio::test]
async fn a_recipient_is_told_of_the_version_that_it_received_and_of_none_after_it() {
    let mut told = Told::new().await;
    let one = patient(0);
    told.publish(&[("Observation/a", one, Op::Create)]).await;
    told.publish(&[("Observation/a", one, Op::Amend)]).await;
    told.publish(&[("Observation/a", one, Op::Retract)]).await;
    told.disclosed("Z00202", 1, 1).await;
    told.withheld(Reason::PrivateEntry, 2, 2).await;
    for (who, seq, retracted, events) in [("pam", 3, true, 2), ("pat", 1, false, 1)] {
        let caller = told.world.caller(who).await;
        let explained = told
            .desk
            .explain(&caller, one, told.to("Z00202"), "why", "")
            .await;
        let records = explained.unwrap().records;
        let [record] = records.as_slice() else {
            panic!("{records:?}")
        };
        let found = (record.seq, record.retracted, record.events.len());
        assert_eq!(found, (seq, retracted, events), "{who}");
    }
}
