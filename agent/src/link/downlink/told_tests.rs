//! The downlink and what the daemon tells beside records: scoped jobs, how grants stand, heads of its audit log.

use handfast_proto::{
    amendment::Op::{Create, Remove},
    v1::{
        CatchUp, Deliver, GrantInForce, GrantStands, ReconcileScope, SubscribeWelcome, WithdrawalConfirmed,
        subscribe_request::Message as Said, subscribe_response::Message as Says,
    },
};

use super::{heads::tests::Log, testing::*};
use crate::store::inbox::{
    NoticeCode, NoticeReason,
    testing::{PATIENT, encoded, ods},
};

async fn confirmed(session: &mut Session) -> WithdrawalConfirmed {
    loop {
        if let Some(Said::WithdrawalConfirmed(confirmed)) = session.hears().await {
            return confirmed;
        }
    }
}

fn edge(job: u64, scope: ReconcileScope, complete: bool) -> Says {
    Says::CatchUp(CatchUp {
        job,
        source: A.to_owned(),
        grant: 1,
        complete,
        upto_seq: 9,
        scope: scope as i32,
        patient: if scope == ReconcileScope::Patient {
            PATIENT
        } else {
            0
        },
    })
}

#[tokio::test]
async fn jobs_over_a_patient_and_over_changes_are_confirmed_with_what_they_removed() {
    let folder = tempfile::tempdir().unwrap();
    let mut daemon = Daemon::start().await;
    let agent = agent(folder.path(), &daemon).await;
    let (mut session, _) = daemon.welcomed(1).await;
    let lines = [(1, Create, "Patient/1", "p"), (2, Create, "Observation/1", "o")];
    session.say(deliver(1, &lines)).await;
    session.say(edge(7, ReconcileScope::Changes, false)).await;
    let (header, body) = encoded(&[(2, Remove, "Observation/1", "")]);
    session
        .say(Says::Deliver(Deliver {
            source: A.to_owned(),
            grant: 1,
            job: 7,
            header,
            body,
        }))
        .await;
    session.say(edge(7, ReconcileScope::Changes, true)).await;
    let of = |job, removed| WithdrawalConfirmed {
        job,
        removed,
        not_removed: 0,
    };
    assert_eq!(confirmed(&mut session).await, of(7, 1));
    session.say(edge(8, ReconcileScope::Patient, false)).await;
    session.say(edge(8, ReconcileScope::Patient, true)).await;
    assert_eq!(confirmed(&mut session).await, of(8, 1));
    session.say(edge(9, ReconcileScope::Patient, false)).await;
    session.say(edge(9, ReconcileScope::Patient, true)).await;
    assert_eq!(confirmed(&mut session).await, of(9, 0));
    assert_eq!(content(&agent.inbox, "Patient/1").await, None);
}

#[tokio::test]
async fn a_job_over_a_patient_without_one_breaks_the_protocol() {
    let folder = tempfile::tempdir().unwrap();
    let mut daemon = Daemon::start().await;
    let _agent = agent(folder.path(), &daemon).await;
    for (number, scope) in [(1, ReconcileScope::Patient as i32), (2, 77)] {
        let (mut session, _) = daemon.welcomed(number).await;
        session
            .say(Says::CatchUp(CatchUp {
                job: 1,
                source: A.to_owned(),
                grant: 1,
                scope,
                ..CatchUp::default()
            }))
            .await;
        session.gone().await;
    }
}

#[tokio::test]
async fn how_grants_stand_is_kept_from_the_welcome_and_after() {
    let folder = tempfile::tempdir().unwrap();
    let mut daemon = Daemon::start().await;
    let agent = agent(folder.path(), &daemon).await;
    let (mut session, _) = daemon.session().await;
    let stands = |stale| GrantInForce {
        source: A.to_owned(),
        grant: 1,
        categories: vec![2, 3],
        stale,
        ..GrantInForce::default()
    };
    let welcome = SubscribeWelcome {
        session: 1,
        accepted: true,
        anew: true,
        grants: vec![stands(false)],
    };
    session.say(Says::Welcome(welcome)).await;
    session.say(edge(1, ReconcileScope::Everything, false)).await;
    let complete = session.say(edge(1, ReconcileScope::Everything, true)).await;
    session.durable(complete).await;
    let about = async || agent.inbox.abouts(None).await.unwrap().remove(0);
    let page = about().await;
    assert_eq!((page.source, page.categories.unwrap().len()), (ods(A), 2));
    assert_eq!(page.notices[0].reasons, [NoticeReason::NarrowedScope]);
    let told = GrantStands {
        grant: Some(stands(true)),
    };
    let number = session.say(Says::GrantStands(told)).await;
    session.durable(number).await;
    assert_eq!(about().await.notices[0].code, NoticeCode::Stale);
    // None at all is not every one.
    let nothing = GrantInForce {
        categories: vec![0],
        ..stands(false)
    };
    let told = GrantStands { grant: Some(nothing) };
    let number = session.say(Says::GrantStands(told)).await;
    session.durable(number).await;
    assert_eq!(about().await.categories, Some(Vec::new()));
}

#[tokio::test]
async fn a_rewritten_audit_log_is_noticed_at_the_next_connection_and_records_flow_on() {
    let folder = tempfile::tempdir().unwrap();
    let mut daemon = Daemon::start().await;
    let agent = agent(folder.path(), &daemon).await;
    let (mut session, hello) = daemon.welcomed(1).await;
    assert_eq!(hello.tree_size, 0);
    session.head(Log::of(1, 3).head(0)).await;
    session.head(Log::of(1, 5).head(3)).await;
    let number = session.say(deliver(1, &[(1, Create, "Patient/0", "p")])).await;
    session.durable(number).await;
    let number = session.say(deliver(1, &[(2, Create, "Patient/1", "p")])).await;
    session.durable(number).await;
    drop(session);
    let (mut session, hello) = daemon.welcomed(2).await;
    assert_eq!(hello.tree_size, 5);
    let standing = async || agent.inbox.head_standing().await.unwrap();
    assert_eq!((standing().await.size, standing().await.alarm), (5, None));
    session.head(Log::of(1, 7).rewritten().head(5)).await;
    let number = session.say(deliver(1, &[(3, Create, "Patient/2", "p")])).await;
    session.durable(number).await;
    assert_eq!(content(&agent.inbox, "Patient/2").await, Some(1));
    session.head(Log::of(1, 7).head(5)).await;
    let number = session.say(deliver(1, &[(4, Create, "Patient/3", "p")])).await;
    session.durable(number).await;
    let after = session.say(deliver(1, &[(5, Create, "Patient/4", "p")])).await;
    session.durable(after).await;
    let alarm = standing().await.alarm.unwrap();
    assert!(alarm.why.contains("rewritten"), "{}", alarm.why);
    assert_eq!(standing().await.size, 7, "a good head is kept all the same");
}
