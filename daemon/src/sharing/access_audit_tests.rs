//! What the audit log says of emergency accesses, and that nobody can fill it with refusals.

use handfast_proto::{
    audit::kind_of,
    emergency::Ground,
    v1::{AuditKind, AuditLeaf, ScrAlertReason, ScrAlertType},
};
use prost::Message as _;

use super::{
    ActError, AlertDesk, EmergencyAccess, Finding, Listing,
    alert_tests::hospital,
    emergency_tests::{accesses, asked},
    testing::World,
};
use crate::store::AccessId;

const MANY_BYTES: usize = 64 * 1024 * 1024;

/// The entries from `from` on.
async fn entries(world: &World, from: u64) -> Vec<AuditLeaf> {
    let rows = world.ctx.store.audit_entries(from, MANY_BYTES).await.unwrap();
    rows.iter()
        .map(|row| AuditLeaf::decode(row.entry.leaf.clone()).unwrap())
        .collect()
}

/// What was entered by an act.
async fn entered(world: &World, act: impl Future<Output = ()>) -> Vec<AuditKind> {
    let before = world.ctx.store.audit_size().await.unwrap();
    act.await;
    entries(world, before).await.iter().map(kind_of).collect()
}

fn finding() -> Finding {
    Finding {
        justified: true,
        note: "seen".to_owned(),
    }
}

async fn ask(world: &World, access: &EmergencyAccess, who: &str) -> Result<AccessId, ActError> {
    let asked = access.ask(&world.caller(who).await, asked(&[])).await;
    asked.map(|opened| opened.access.id)
}

#[tokio::test]
async fn each_step_of_an_access_is_entered() {
    use AuditKind::{Alert, EmergencyEnded, EmergencyOpened, EmergencyReviewed};
    let world = hospital().await;
    let access = accesses(&world);
    let mut ids = Vec::new();
    // The second joins the grant of the first: it is entered just so.
    for who in ["carl", "dora"] {
        let kinds = entered(&world, async {
            ids.push(ask(&world, &access, who).await.unwrap());
        })
        .await;
        assert_eq!(kinds, [Alert, EmergencyOpened], "{who}");
    }
    for (who, id) in ["carl", "dora"].into_iter().zip(&ids) {
        let caller = world.caller(who).await;
        let kinds = entered(&world, async {
            drop(access.end(&caller, *id, None).await.unwrap());
        })
        .await;
        assert_eq!(kinds, [EmergencyEnded], "{who}");
        let kinds = entered(&world, async {
            drop(access.end(&caller, *id, None).await.unwrap());
        })
        .await;
        assert_eq!(kinds, [], "{who}: it was over");
    }
    let pru = world.caller("pru").await;
    let kinds = entered(&world, async {
        drop(access.review(&pru, ids[0], &finding()).await.unwrap());
    })
    .await;
    assert_eq!(kinds, [EmergencyReviewed]);
    let desk = AlertDesk::new(world.ctx.clone());
    let open = desk
        .list(
            &pru,
            Listing {
                open: true,
                before: None,
            },
        )
        .await
        .unwrap();
    let kinds = entered(&world, async {
        drop(desk.review(&pru, open[0].id, &finding()).await.unwrap());
    })
    .await;
    assert_eq!(kinds, [EmergencyReviewed], "as an alert it is the same review");

    let all = entries(&world, 0).await;
    let opened = all.iter().find(|leaf| kind_of(leaf) == EmergencyOpened).unwrap();
    assert_eq!(
        (opened.source.as_str(), opened.recipient.as_str()),
        ("Z00101", "Z00202")
    );
    assert_eq!(opened.actor.as_ref().unwrap().unit, "Z00202");
}

#[tokio::test]
async fn refused_attempts_are_entered_and_cannot_fill_the_log() {
    let world = hospital().await;
    let access = accesses(&world);
    for _ in 0..4 {
        ask(&world, &access, "carl").await.unwrap();
    }
    let kinds = entered(&world, async {
        drop(ask(&world, &access, "carl").await.unwrap_err());
    })
    .await;
    assert_eq!(kinds, [AuditKind::EmergencyRefused]);
    let kinds = entered(&world, async {
        drop(ask(&world, &access, "pam").await.unwrap_err());
    })
    .await;
    assert_eq!(kinds, [AuditKind::EmergencyRefused], "a privacy officer asked");
    let mut senseless = asked(&[]);
    senseless.note.clear();
    let dora = world.caller("dora").await;
    let kinds = entered(&world, async {
        drop(access.ask(&dora, senseless).await.unwrap_err());
    })
    .await;
    assert_eq!(kinds, [], "what makes no sense is no attempt");
    let mut groundless = asked(&[]);
    groundless.ground = Ground::new(ScrAlertType::Access, ScrAlertReason::Other);
    let kinds = entered(&world, async {
        let refused = access.ask(&dora, groundless).await.unwrap_err();
        assert!(
            matches!(
                refused,
                ActError::Invalid {
                    field: "alert_reason",
                    ..
                }
            ),
            "{refused:?}"
        );
    })
    .await;
    assert_eq!(
        kinds,
        [AuditKind::EmergencyRefused],
        "a reason that does not go with its type"
    );

    let kinds = entered(&world, async {
        for _ in 0..200 {
            ask(&world, &access, "bob").await.unwrap_err();
        }
    })
    .await;
    assert!((40..=80).contains(&kinds.len()), "{}", kinds.len());
    for (who, unit, told) in [("pam", "Z00101", false), ("pru", "Z00202", true)] {
        let before = world.ctx.store.audit_size().await.unwrap();
        ask(&world, &access, who).await.unwrap_err();
        let last = entries(&world, before).await.pop().unwrap();
        assert_eq!(last.unit, unit);
        let text = format!("{:?}", last.event);
        assert_eq!(text.contains("more were refused and not entered"), told, "{text}");
    }
}
