//! Every rule of the checker with sequences made by hand.

use std::time::Duration;

use bytes::Bytes;
use handfast_proto::{
    amendment::{Batch, Form, Op},
    v1::{Deliver, ReconcileScope, Side},
};

use super::{
    Saboteur,
    testing::{FROM, GRANT, ME, SOURCE, Scene},
};
use crate::{
    harness::nhs_number,
    load::plan::{Changes, Sabotage},
};

const SOUND: [u64; 5] = [0; 5];

#[tokio::test]
async fn what_comes_as_it_must_is_sound_and_timed() {
    let mut scene = Scene::joined();
    scene.sends_some(4);
    scene.sends(Op::Amend, 2, false);
    scene.sends(Op::Retract, 0, false);
    scene.live(&[1, 2]);
    assert!(scene.checker.quiet(Duration::ZERO).await.is_some());
    scene.live(&[3, 4, 5, 6]);
    assert_eq!(scene.checker.quiet(Duration::ZERO).await, None);
    assert_eq!(scene.concludes(), SOUND);
    assert_eq!(scene.checker.delivered(), 6);
    let mut latency = super::latencies().unwrap();
    scene.checker.take_latencies(&mut latency).unwrap();
    assert_eq!(latency.len(), 6);
}

#[test]
fn a_pair_without_an_agreement_leaks() {
    let mut scene = Scene::joined();
    scene.sends_some(2);
    let batch = scene.message(&[1, 2]);
    scene.with(|me| me.deliver("Z00003", GRANT, 0, &batch));
    scene.with(|me| me.deliver("Z00009", GRANT, 0, &batch));
    assert_eq!(scene.found(), [4, 0, 0, 0, 0]);
}

#[test]
fn a_grant_that_no_call_began_leaks() {
    let mut scene = Scene::joined();
    scene.sends_some(1);
    scene.under(GRANT + 1, 0, &[1]);
    scene.under(GRANT - 1, 0, &[1]);
    assert_eq!(scene.found(), [2, 0, 0, 0, 0]);
}

#[test]
fn what_follows_the_call_that_ended_its_grant_leaks() {
    let mut scene = Scene::joined();
    scene.sends_some(3);
    scene.live(&[1]);
    scene.off(GRANT, 0);
    scene.live(&[2]);
    assert!(!scene.with(|me| me.piece(SOURCE, GRANT, 3)));
    assert_eq!(scene.found(), [2, 0, 0, 0, 0]);
}

#[test]
fn what_a_receipt_leaves_in_doubt_may_come_on_the_connection_that_was_cut() {
    let mut scene = Scene::joined();
    scene.sends_some(4);
    scene.live(&[1]);
    scene.off(GRANT, 2);
    scene.live(&[2]);
    assert_eq!(scene.found(), SOUND);
    scene.live(&[3]);
    assert_eq!(scene.found(), [1, 0, 0, 0, 0]);
    scene.with(super::Recipient::connecting);
    scene.live(&[2]);
    assert_eq!(scene.found(), [2, 0, 0, 0, 0]);
}

#[test]
fn what_follows_the_mark_of_its_grants_end_leaks_also_later() {
    let mut scene = Scene::joined();
    scene.sends_some(2);
    scene.with(|me| me.fenced(SOURCE, GRANT));
    scene.live(&[1]);
    scene.with(super::Recipient::connecting);
    scene.live(&[2]);
    assert_eq!(scene.found(), [2, 0, 0, 0, 0]);
}

#[test]
fn what_is_private_leaks_and_need_not_come() {
    let mut scene = Scene::joined();
    scene.sends(Op::Create, 0, true);
    scene.sends(Op::Create, 1, false);
    scene.live(&[2]);
    assert_eq!(scene.concludes(), SOUND);
    let mut scene = Scene::joined();
    scene.sends(Op::Create, 0, true);
    scene.live(&[1]);
    assert_eq!(scene.concludes(), [1, 0, 0, 0, 0]);
}

#[test]
fn a_patient_who_said_no_leaks_once_it_is_in_force_and_is_to_be_removed() {
    for (unit, side) in [(FROM, Side::ShareOut), (ME, Side::ShareIn)] {
        let mut scene = Scene::joined();
        scene.sends_some(2);
        scene.sends(Op::Amend, 1, false);
        scene.sends(Op::Amend, 1, false);
        scene.known.consents.saying(unit, side, 1);
        scene.live(&[1, 2, 3]);
        assert_eq!(scene.found(), SOUND);
        scene.known.consents.said_no(unit, side, 1);
        assert_eq!(scene.checker.clone().conclude().leaks, 1, "still held");
        let number = nhs_number(1).unwrap().as_u64();
        scene.edge(GRANT, 9, false, 0, ReconcileScope::Patient, number);
        scene.edge(GRANT, 9, true, 4, ReconcileScope::Patient, number);
        scene.live(&[4]);
        assert_eq!(scene.found(), [2, 0, 0, 0, 0]);
    }
}

#[test]
fn what_is_held_at_the_end_and_must_not_be_leaks() {
    let mut scene = Scene::joined();
    scene.sends_some(2);
    scene.live(&[1, 2]);
    scene.off(GRANT, 0);
    assert_eq!(scene.concludes(), [2, 0, 0, 0, 0]);
    let mut scene = Scene::joined();
    scene.sends_some(2);
    scene.live(&[1, 2]);
    scene.off(GRANT, 0);
    assert_eq!(scene.withdraw(GRANT), 2);
    assert_eq!(scene.concludes(), SOUND);
}

#[test]
fn a_seq_that_the_live_feed_passes_over_was_lost_and_counts_once() {
    let mut scene = Scene::joined();
    scene.sends_some(4);
    scene.live(&[1, 3]);
    assert_eq!(scene.found(), [0, 1, 0, 0, 0]);
    // Record 3 as well: the last that was sent did not come.
    assert_eq!(scene.concludes(), [0, 2, 0, 0, 0]);
    let words = scene.checker.findings().words;
    assert!(
        words[0].contains("Z00002 did not receive seq 2 of Z00001"),
        "{words:?}"
    );
}

#[test]
fn what_was_withheld_for_a_patient_who_speaks_was_not_lost() {
    let mut scene = Scene::joined();
    scene.sends_some(3);
    scene.known.consents.saying(FROM, Side::ShareOut, 1);
    scene.live(&[1, 3]);
    scene.known.consents.said_no(FROM, Side::ShareOut, 1);
    assert_eq!(scene.concludes(), SOUND);
}

#[test]
fn an_older_version_at_the_end_was_lost() {
    let mut scene = Scene::joined();
    scene.sends_some(1);
    scene.live(&[1]);
    scene.off(GRANT, 0);
    scene.withdraw(GRANT);
    scene.sends(Op::Amend, 0, false);
    // The catch-up of the next grant brings the first version, and says that it is complete.
    scene.known.consents.turning_on((FROM, ME));
    scene.known.consents.turned_on((FROM, ME), 4);
    scene.edge(4, 4, false, 0, ReconcileScope::Everything, 0);
    scene.under(4, 4, &[1]);
    scene.edge(4, 4, true, 2, ReconcileScope::Everything, 0);
    assert_eq!(scene.concludes(), [0, 1, 0, 0, 0]);
}

#[test]
fn the_same_seq_twice_on_a_connection_is_a_duplicate_and_on_a_later_one_a_repeat() {
    let mut scene = Scene::joined();
    scene.sends_some(3);
    scene.live(&[1, 2]);
    scene.live(&[2, 3]);
    assert_eq!(scene.found(), [0, 0, 1, 0, 0]);
    scene.with(super::Recipient::connecting);
    scene.live(&[2, 3]);
    assert_eq!(scene.found(), [0, 0, 1, 0, 0]);
    assert_eq!(scene.with(|me| me.repeats), 2);
    scene.live(&[3]);
    assert_eq!(scene.concludes(), [0, 0, 2, 0, 0]);
}

#[test]
fn under_a_new_grant_the_same_comes_again() {
    let mut scene = Scene::joined();
    scene.sends_some(2);
    scene.live(&[1, 2]);
    scene.off(GRANT, 0);
    scene.with(|me| me.fenced(SOURCE, GRANT));
    scene.withdraw(GRANT);
    scene.known.consents.turning_on((FROM, ME));
    scene.edge(5, 8, false, 0, ReconcileScope::Everything, 0);
    scene.under(5, 8, &[1, 2]);
    scene.known.consents.turned_on((FROM, ME), 5);
    scene.edge(5, 8, true, 2, ReconcileScope::Everything, 0);
    assert_eq!(scene.concludes(), SOUND);
}

#[test]
fn a_seq_that_falls_or_comes_before_its_catch_up_is_out_of_order() {
    let mut scene = Scene::joined();
    scene.sends_some(4);
    scene.live(&[2]);
    assert_eq!(scene.found(), [0, 1, 0, 0, 0]);
    scene.live(&[1]);
    assert_eq!(scene.found(), [0, 0, 0, 1, 0], "late is not lost");
    scene.off(GRANT, 0);
    scene.known.consents.turning_on((FROM, ME));
    scene.under(4, 0, &[3]);
    assert_eq!(scene.found(), [0, 2, 0, 2, 0]);
}

#[test]
fn a_message_of_a_job_that_did_not_begin_is_out_of_order() {
    let mut scene = Scene::joined();
    scene.sends_some(1);
    scene.under(GRANT, 12, &[1]);
    assert_eq!(scene.found(), [0, 0, 0, 1, 0]);
}

#[test]
fn other_bytes_another_record_or_what_was_never_sent_is_forged() {
    let mut scene = Scene::joined();
    scene.sends_some(3);
    scene.sent[0].payload = Bytes::from_static(b"0 1 7");
    scene.sent[1].record = "Observation/9".parse().unwrap();
    scene.sent[2].subject.as_mut().unwrap().patient = nhs_number(40).unwrap();
    scene.live(&[1, 2, 3]);
    assert_eq!(scene.found(), [0, 0, 0, 0, 3]);
    let more = scene.sent[0].clone();
    scene.sent.push(more);
    scene.live(&[4]);
    assert_eq!(scene.found(), [0, 0, 0, 0, 4]);
}

fn deliver(scene: &Scene, seqs: &[usize]) -> Deliver {
    let batch = scene.message(seqs);
    Deliver {
        source: SOURCE.to_owned(),
        grant: GRANT,
        job: 0,
        header: batch.header().clone(),
        body: batch.body().clone(),
    }
}

fn sabotaged(what: Sabotage, toggles_per_second: f64) -> [u64; 5] {
    let mut scene = Scene::joined();
    scene.sends_some(6);
    let changes = Changes {
        toggles_per_second,
        ..Changes::default()
    };
    let saboteur = Saboteur::new(what, &changes);
    let pass = |scene: &Scene, seqs: &[usize]| {
        let tampered = saboteur.tamper(&scene.known, (ME, 1), deliver(scene, seqs));
        for deliver in tampered {
            let batch = Batch::parse(deliver.header, deliver.body, Form::Delivered).unwrap();
            scene.with(|me| me.deliver(SOURCE, deliver.grant, 0, &batch));
        }
    };
    pass(&scene, &[1, 2]);
    saboteur.arm(true);
    pass(&scene, &[3, 4]);
    if toggles_per_second > 0.0 {
        scene.off(GRANT, 0);
        scene.withdraw(GRANT);
        scene.known.consents.turning_on((FROM, ME));
        scene.edge(5, 8, false, 0, ReconcileScope::Everything, 0);
        scene.edge(5, 8, true, 4, ReconcileScope::Everything, 0);
        let last = scene.message(&[5, 6]);
        let last = Deliver {
            grant: 5,
            header: last.header().clone(),
            body: last.body().clone(),
            ..deliver(&scene, &[5])
        };
        for deliver in saboteur.tamper(&scene.known, (ME, 1), last) {
            let batch = Batch::parse(deliver.header, deliver.body, Form::Delivered).unwrap();
            scene.with(|me| me.deliver(SOURCE, deliver.grant, 0, &batch));
        }
        assert!(saboteur.is_done());
        return scene.found();
    }
    pass(&scene, &[5, 6]);
    assert!(saboteur.is_done());
    scene.concludes()
}

#[test]
fn each_sabotage_is_found_once() {
    assert_eq!(sabotaged(Sabotage::Drop, 0.0), [0, 1, 0, 0, 0]);
    assert_eq!(sabotaged(Sabotage::Forge, 0.0), [0, 0, 0, 0, 1]);
    assert_eq!(sabotaged(Sabotage::Leak, 0.0), [1, 0, 0, 0, 0]);
    assert_eq!(sabotaged(Sabotage::Drop, 1.0), [0, 1, 0, 0, 0]);
    assert_eq!(sabotaged(Sabotage::Leak, 1.0), [1, 0, 0, 0, 0]);
}
