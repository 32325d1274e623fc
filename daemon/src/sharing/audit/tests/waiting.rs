//! What is read from the projection waits for it, and says so where that takes too long.
//!
//! Detects: an answer that calls itself whole while the projection is behind the log; one that waits for a unit that
//! the reader is not to know of.

use std::time::Duration;

use handfast_proto::amendment::Op;

use super::kit::{Told, of, search};
use crate::{
    consent::{Side, Terms},
    ingest::Projector,
    sharing::{
        ActError, AuditDesk, Projected,
        preview::{Asker, Question, preview},
        testing::{ods, patient},
    },
};

/// A desk whose readers wait so long for a projector.
fn desk(told: &Told, projector: &Projector, patience: Duration) -> AuditDesk {
    let mut ctx = told.world.ctx.clone();
    ctx.projected = Projected::new(ctx.store.clone(), projector.clone()).within(patience);
    AuditDesk::new(ctx)
}

async fn behind() -> (Told, Vec<crate::store::RecordVersion>) {
    let mut told = Told::new().await;
    let versions = told
        .append(&[("Observation/a", of(patient(0)), Op::Create)])
        .await;
    told.disclosed("Z00202", 1, 1).await;
    (told, versions)
}

fn is_told_to_wait<T>(result: Result<T, ActError>) -> bool {
    matches!(result, Err(ActError::Unavailable(why)) if why.contains("Z00101"))
}

#[tokio::test]
async fn whatever_is_read_behind_the_log_waits_for_it() {
    let (told, versions) = behind().await;
    let (one, projector) = (patient(0), Projector::default());
    let soon = desk(&told, &projector, Duration::from_millis(20));
    for who in ["pam", "pat"] {
        let caller = told.world.caller(who).await;
        let found = soon.search(&caller, search(Some(one))).await;
        assert!(is_told_to_wait(found), "{who}");
        let report = soon.patient_report(&caller, one, (0, 0), "why").await;
        assert!(is_told_to_wait(report), "{who}");
        let explained = soon.explain(&caller, one, told.to("Z00202"), "why", "").await;
        assert!(is_told_to_wait(explained), "{who}");
    }
    let patient_desk = desk(&told, &projector, Duration::from_secs(60));
    let pat = told.world.caller("pat").await;
    let report = patient_desk.patient_report(&pat, one, (0, 0), "why");
    let projected = async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        told.project(&versions).await;
        projector.set(ods("Z00101"), 1);
    };
    let (report, ()) = tokio::join!(report, projected);
    let report = report.unwrap();
    assert!(report.complete && report.sendings.len() == 1);
}

#[tokio::test]
async fn i1_nobody_waits_for_a_unit_that_sent_them_nothing() {
    let (told, _) = behind().await;
    let soon = desk(&told, &Projector::default(), Duration::ZERO);
    let tom = told.world.caller("tom").await;
    let report = soon.patient_report(&tom, patient(0), (0, 0), "why").await;
    let report = report.unwrap();
    assert!(report.complete && report.sendings.is_empty());
}

#[tokio::test]
async fn a_preview_waits_for_the_source() {
    let (told, versions) = behind().await;
    let mut ctx = told.world.ctx.clone();
    let projector = Projector::default();
    ctx.projected = Projected::new(ctx.store.clone(), projector).within(Duration::ZERO);
    let pair = told.to("Z00202");
    let book = ctx.revoker.book();
    let mut half = Terms::of(&book.terms(pair), book.policy()).share_out;
    half.on = false;
    let asked = Question {
        pair,
        side: Side::ShareOut,
        half,
        asker: Asker::Source,
    };
    assert!(is_told_to_wait(preview(&ctx, asked).await));
    told.project(&versions).await;
    assert_eq!(preview(&ctx, asked).await.unwrap().ends.all.records, 1);
}
