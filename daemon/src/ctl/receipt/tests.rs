//! What is told of a half that was turned.

use handfast_proto::v1::{Agreement, PreviewCounts, RevocationReceipt};

use super::*;

fn turned(side: Side, on: bool, answer: SetAgreementResponse) -> Turned {
    Turned {
        source: "Z00101".parse().unwrap(),
        recipient: "Z00303".parse().unwrap(),
        side,
        on,
        answer,
        preview: None,
    }
}

fn withdrawal(state: WithdrawalState) -> Withdrawal {
    Withdrawal {
        job: 9,
        ended_grant: 12,
        state: state.into(),
        removed: 120,
        since: 1_795_392_000_000,
        confirmed_at: 1_795_392_001_000,
        ..Withdrawal::default()
    }
}

fn off(in_force: InForce, receipt: Option<RevocationReceipt>) -> Turned {
    let answer = SetAgreementResponse {
        in_force: in_force.into(),
        receipt,
        ..SetAgreementResponse::default()
    };
    turned(Side::ShareOut, false, answer)
}

#[test]
fn a_receipt_in_words() {
    let receipt = RevocationReceipt {
        ended_grant: 12,
        received_through: 812,
        withdrawal: Some(withdrawal(WithdrawalState::Confirmed)),
        ..RevocationReceipt::default()
    };
    assert_eq!(
        off(InForce::Yes, Some(receipt)).text(),
        "share-out of Z00101 → Z00303 is off, in force.\n\
         Grant 12 has ended.\n\
         Z00303 received everything that was handed over up to seq 812.\n\
         Nothing else was on its way.\n\
         Withdrawal confirmed: Z00303 removed 120 of Z00101's records (2026-11-23 00:00:01 UTC).\n\
         What emergency accesses at Z00303 opened of it, if there were any, ends and is removed as well."
    );
}

#[test]
fn a_cut_connection_and_what_may_have_been_received() {
    let mut pending = withdrawal(WithdrawalState::Pending);
    pending.not_removed = 2;
    let receipt = RevocationReceipt {
        ended_grant: 12,
        received_through: 0,
        may_have_received_from: 813,
        may_have_received_to: 820,
        connection_cut: true,
        withdrawal: Some(pending),
    };
    let text = off(InForce::Yes, Some(receipt)).text();
    for want in [
        "Z00303 had confirmed nothing of it.",
        "may have received seq 813 to 820",
        "its connection was cut",
        "Withdrawal pending: Z00303 has not been told yet",
        "2 records could not be removed",
    ] {
        assert!(text.contains(want), "{want}\n{text}");
    }
}

#[test]
fn pending_never_looks_like_done() {
    let pending = off(InForce::Pending, None);
    assert!(!pending.in_force());
    assert!(
        pending
            .text()
            .starts_with("PENDING: share-out of Z00101 → Z00303")
    );
    assert!(!pending.text().contains("in force."));
    assert_eq!(pending.json()["in_force"], "pending");
    // An answer of a version that says something else is not in force either.
    assert!(!off(InForce::Unspecified, None).in_force());
}

#[test]
fn turning_on_says_what_is_still_missing() {
    let half = |side, grant| {
        let answer = SetAgreementResponse {
            agreement: Some(Agreement {
                grant,
                ..Agreement::default()
            }),
            in_force: InForce::Yes.into(),
            receipt: None,
        };
        turned(side, true, answer).text()
    };
    assert!(half(Side::ShareOut, 0).contains("until share-in is on too, which an administrator of Z00303"));
    assert!(half(Side::ShareIn, 0).contains("until share-out is on too, which an administrator of Z00101"));
    assert!(half(Side::ShareIn, 13).contains("grant 13 is in force"));
}

#[test]
fn a_half_that_was_narrowed_says_what_of_it_was_on_its_way() {
    let receipt = RevocationReceipt {
        ended_grant: 13,
        received_through: 40,
        ..RevocationReceipt::default()
    };
    let answer = |in_force: InForce| SetAgreementResponse {
        agreement: Some(Agreement {
            grant: 13,
            ..Agreement::default()
        }),
        in_force: in_force.into(),
        receipt: Some(receipt),
    };
    let text = turned(Side::ShareOut, true, answer(InForce::Yes)).text();
    assert_eq!(
        text,
        "share-out of Z00101 → Z00303 is on. Both halves are on: grant 13 goes on for less than before.\n\
         How much it sends, and of how many patients who are not on the recipient's caseload, could not be counted \
         in time. See 'agreement preview'.\n\
         What Z00303 holds outside it is being removed, or is as soon as its agent \
         is connected. See 'agreement list'.\n\
         Grant 13 goes on for the rest.\n\
         Z00303 received everything that was handed over up to seq 40.\n\
         Nothing else was on its way."
    );
    let pending = turned(Side::ShareOut, true, answer(InForce::Pending)).text();
    assert!(
        pending.starts_with("PENDING: share-out of Z00101 → Z00303 is on, for less"),
        "{pending}"
    );
    assert!(!pending.contains("is in force"), "{pending}");
}

/// Fails where only what begins is told: then whoever narrows a half reads that records are on their way.
#[test]
fn a_half_that_was_narrowed_says_what_is_removed() {
    let counts = |patients, records| {
        Some(PreviewCounts {
            patients,
            records,
            ..PreviewCounts::default()
        })
    };
    let narrowed = |begins| {
        let answer = SetAgreementResponse {
            agreement: Some(Agreement {
                grant: 13,
                ..Agreement::default()
            }),
            in_force: InForce::Yes.into(),
            receipt: None,
        };
        let preview = PreviewAgreementResponse {
            begins,
            ends: counts(2, 7),
            ..PreviewAgreementResponse::default()
        };
        Turned {
            preview: Some(preview),
            ..turned(Side::ShareOut, true, answer)
        }
    };
    let removed = "It ends 7 records of 2 patients: what Z00303 holds of that is being removed, or is as soon as \
                   its agent is connected. See 'agreement list'.";
    assert_eq!(
        narrowed(None).text(),
        format!(
            "share-out of Z00101 → Z00303 is on. Both halves are on: grant 13 goes on for less than before.\n{removed}"
        )
    );
    let both = narrowed(counts(1, 2)).text();
    for want in [
        "what Z00303 may see is on its way",
        "It sends 2 records of 1 patient",
        removed,
    ] {
        assert!(both.contains(want), "{want}\n{both}");
    }
}

#[test]
fn json_has_the_receipt_and_the_withdrawal() {
    let receipt = RevocationReceipt {
        ended_grant: 12,
        received_through: 812,
        withdrawal: Some(withdrawal(WithdrawalState::Received)),
        ..RevocationReceipt::default()
    };
    let mut turned = off(InForce::Yes, Some(receipt));
    turned.withdrawal_is(withdrawal(WithdrawalState::Confirmed));
    let json = turned.json();
    assert_eq!(json["receipt"]["received_through"], 812);
    assert_eq!(json["receipt"]["may_have_received_from"], Value::Null);
    assert_eq!(json["withdrawal"]["state"], "confirmed");
    assert_eq!(json["side"], "share-out");
}
