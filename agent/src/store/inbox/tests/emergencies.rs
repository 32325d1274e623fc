//! An emergency's grant beside an agreement's, in every order in which they begin and end.
//!
//! Seen to fail: with sweeps that take what another grant in force holds, with a withdrawal of a whole source that
//! does, with a grant that ended unseen and goes on to spare, with live removals that take it, and with a welcome that keeps more than the emergency's patient.

use handfast_proto::amendment::Op::{Amend, Create, Remove};

use super::support::*;
use crate::store::inbox::{Grant, Inbox, Incoming, Scope, testing::*};

const G: u64 = 1;
const E: u64 = 2;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Act {
    GrantBegins,
    GrantEnds,
    EmergencyBegins,
    EmergencyEnds,
}

/// A daemon that does as it should: the agreement carries `Both/p` and `Agreed/q`, the emergency `Both/p` and
/// `Opened/p`, p and q being patients.
struct Daemon {
    inbox: Inbox,
    number: u64,
    job: u64,
    grants: u64,
    seq: u64,
    agreement: Option<u64>,
    emergency: Option<u64>,
    /// The agent is away when something ends.
    away: bool,
}

impl Daemon {
    async fn say(&mut self, messages: Vec<Incoming>) {
        let group = group(1, self.number, messages);
        self.number = group.durable + 1;
        let applied = self.inbox.apply(&group).await.unwrap();
        assert_eq!(applied.violation, None);
    }

    fn next_job(&mut self) -> u64 {
        self.job += 1;
        self.job
    }

    fn next_grant(&mut self) -> u64 {
        self.grants += 1;
        self.grants
    }

    async fn catch_up(&mut self, grant: u64) {
        let job = self.next_job();
        let messages = vec![
            begins(A, grant, job),
            in_job(A, grant, job, &[(self.seq, Create, "Both/p", "x")]),
            of_patient(OTHER_PATIENT, A, grant, job, &[(2, Create, "Agreed/q", "x")]),
            complete(A, grant, job, self.seq),
        ];
        self.say(messages).await;
    }

    /// A job over patient p under a grant.
    async fn over_patient(&mut self, grant: u64) {
        let (job, scope) = (self.next_job(), Scope::Patient(nhs(PATIENT)));
        let mut messages = vec![
            job_begins(A, grant, job, scope),
            in_job(A, grant, job, &[(self.seq, Create, "Both/p", "x")]),
            job_complete(A, grant, job, scope, self.seq),
        ];
        if self.emergency == Some(grant) {
            messages.insert(1, in_job(A, grant, job, &[(3, Create, "Opened/p", "x")]));
        }
        self.say(messages).await;
    }

    async fn act(&mut self, act: Act) {
        match act {
            Act::GrantBegins => {
                let number = self.next_grant();
                self.agreement = Some(number);
                self.catch_up(number).await;
            }
            Act::EmergencyBegins => {
                let number = self.next_grant();
                self.emergency = Some(number);
                self.say(vec![Incoming::Stands(emergency(A, number, PATIENT))])
                    .await;
                self.over_patient(number).await;
            }
            Act::GrantEnds => {
                let ended = self.agreement.take().unwrap();
                let job = self.next_job();
                self.say(vec![fenced(A, ended), withdraw(A, job, ended)]).await;
                if let Some(emergency) = self.emergency {
                    let opened = content(&self.inbox, A, "Opened/p").await;
                    assert!(opened.is_some(), "what the emergency holds is not withdrawn");
                    self.over_patient(emergency).await;
                }
            }
            Act::EmergencyEnds => {
                let ended = self.emergency.take().unwrap();
                // To an agent that was away there is no marker: the grant is only not among those in force.
                let listed: Vec<_> = self.agreement.iter().map(|number| (A, *number)).collect();
                let marker = if self.away {
                    welcome(false, &listed)
                } else {
                    fenced(A, ended)
                };
                self.say(vec![marker]).await;
                if let Some(agreement) = self.agreement {
                    self.over_patient(agreement).await;
                } else {
                    let job = self.next_job();
                    self.say(vec![withdraw_of(Some(PATIENT), A, job, ended)]).await;
                }
            }
        }
    }

    /// The record of both is amended; the feeds of both bring it, in one order or the other.
    async fn amend(&mut self, emergency_first: bool) {
        self.seq += 1;
        let mut grants: Vec<u64> = self.agreement.into_iter().chain(self.emergency).collect();
        if emergency_first {
            grants.reverse();
        }
        for grant in grants {
            let seq = self.seq;
            self.say(vec![live(A, grant, &[(seq, Amend, "Both/p", "x")])])
                .await;
        }
    }

    fn expected(&self) -> Vec<&'static str> {
        let both = self.agreement.is_some() || self.emergency.is_some();
        let all = [
            ("Agreed/q", self.agreement.is_some()),
            ("Both/p", both),
            ("Opened/p", self.emergency.is_some()),
        ];
        all.iter().filter(|(_, is)| *is).map(|(name, _)| *name).collect()
    }
}

fn orders() -> Vec<[Act; 4]> {
    use Act::{EmergencyBegins, EmergencyEnds, GrantBegins, GrantEnds};
    vec![
        [GrantBegins, EmergencyBegins, EmergencyEnds, GrantEnds],
        [GrantBegins, EmergencyBegins, GrantEnds, EmergencyEnds],
        [GrantBegins, GrantEnds, EmergencyBegins, EmergencyEnds],
        [EmergencyBegins, GrantBegins, EmergencyEnds, GrantEnds],
        [EmergencyBegins, GrantBegins, GrantEnds, EmergencyEnds],
        [EmergencyBegins, EmergencyEnds, GrantBegins, GrantEnds],
    ]
}

#[tokio::test]
async fn what_is_held_follows_both_grants_in_every_order() {
    for (order, reopen, emergency_first) in orders()
        .into_iter()
        .flat_map(|order| [(false, false), (true, true)].map(|(reopen, first)| (order, reopen, first)))
    {
        let folder = tempfile::tempdir().unwrap();
        let inbox = open_in_step(folder.path()).await;
        inbox.apply(&group(1, 1, vec![welcome(true, &[])])).await.unwrap();
        let mut daemon = Daemon {
            inbox,
            number: 2,
            job: 0,
            grants: 0,
            seq: 10,
            agreement: None,
            emergency: None,
            away: reopen,
        };
        for act in order {
            daemon.act(act).await;
            let place = format!("{order:?} at {act:?}, emergency first: {emergency_first}");
            assert_eq!(held(&daemon.inbox, A).await, daemon.expected(), "{place}");
            daemon.amend(emergency_first).await;
            assert_eq!(
                held(&daemon.inbox, A).await,
                daemon.expected(),
                "{place}, amended"
            );
            if reopen {
                drop(daemon.inbox);
                daemon.inbox = open(folder.path()).await;
            }
        }
        carry_out(&daemon.inbox).await;
        let pending = daemon.inbox.summary().await.unwrap().withdrawals_pending;
        assert_eq!(
            confirmable(&daemon.inbox).await.len() as u64,
            pending,
            "{order:?}"
        );
    }
}

#[tokio::test]
async fn a_removal_on_one_feed_leaves_the_version_that_the_other_brought() {
    let folder = tempfile::tempdir().unwrap();
    let inbox = open_in_step(folder.path()).await;
    // The record moves out of what the agreement carries at seq 5; the emergency still sees it.
    let begin = vec![
        welcome(true, &[(A, G)]),
        Incoming::Stands(emergency(A, E, PATIENT)),
        live(
            A,
            G,
            &[
                (1, Create, "Observation/1", "1"),
                (2, Create, "Observation/2", "2"),
            ],
        ),
        live(
            A,
            E,
            &[
                (1, Create, "Observation/1", "1"),
                (2, Create, "Observation/2", "2"),
            ],
        ),
        // The emergency's feed first.
        live(A, E, &[(5, Amend, "Observation/1", "5")]),
        live(A, G, &[(5, Remove, "Observation/1", "")]),
        // The agreement's feed first.
        live(A, G, &[(6, Remove, "Observation/2", "")]),
        live(A, E, &[(6, Amend, "Observation/2", "6")]),
    ];
    inbox.apply(&group(1, 1, begin)).await.unwrap();
    assert_eq!(content(&inbox, A, "Observation/1").await.as_deref(), Some("5"));
    assert_eq!(content(&inbox, A, "Observation/2").await.as_deref(), Some("6"));
    // A removal in a job is of every grant.
    let narrowed = vec![
        job_begins(A, G, 9, Scope::Changes),
        in_job(A, G, 9, &[(5, Remove, "Observation/1", "")]),
        job_complete(A, G, 9, Scope::Changes, 6),
    ];
    inbox.apply(&group(1, 9, narrowed)).await.unwrap();
    assert_eq!(held(&inbox, A).await, ["Observation/2"]);
}

/// The emergency's live feed is ahead of the catch-up of the agreement, which carried the record before and does not
/// carry what it became.
#[tokio::test]
async fn a_catch_up_leaves_to_the_emergency_what_that_is_ahead_with() {
    let folder = tempfile::tempdir().unwrap();
    let inbox = open_in_step(folder.path()).await;
    let crossing = vec![
        welcome(true, &[]),
        Incoming::Stands(emergency(A, E, PATIENT)),
        begins(A, G, 3),
        live(A, E, &[(18, Amend, "Observation/7", "18")]),
        of_patient(OTHER_PATIENT, A, G, 3, &[(17, Create, "Observation/7", "17")]),
        complete(A, G, 3, 17),
        live(A, G, &[(18, Remove, "Observation/7", "")]),
    ];
    inbox.apply(&group(1, 1, crossing)).await.unwrap();
    assert_eq!(content(&inbox, A, "Observation/7").await.as_deref(), Some("18"));
    // It goes with the emergency.
    let ended = vec![fenced(A, E), withdraw_of(Some(PATIENT), A, 4, E)];
    inbox.apply(&group(1, 8, ended)).await.unwrap();
    assert_eq!(held(&inbox, A).await, [""; 0]);
}

#[tokio::test]
async fn a_store_that_is_new_to_the_daemon_keeps_only_the_emergencys_patient() {
    let folder = tempfile::tempdir().unwrap();
    let inbox = open_in_step(folder.path()).await;
    let before = vec![
        welcome(true, &[(A, G)]),
        live(A, G, &[(8, Create, "Both/p", "8"), (9, Create, "Opened/p", "9")]),
        of_patient(OTHER_PATIENT, A, G, 0, &[(10, Create, "Agreed/q", "q")]),
    ];
    inbox.apply(&group(1, 1, before)).await.unwrap();
    inbox.renew_store().await.unwrap();
    // The daemon was restored: it numbers grants, jobs and seqs anew. The grant that held all is an emergency's now.
    let grants: Vec<Grant> = vec![emergency(A, G, PATIENT)];
    let scope = Scope::Patient(nhs(PATIENT));
    let anew = vec![
        Incoming::Welcome { anew: true, grants },
        // Its live feed does not wait, and is behind what is held.
        live(A, G, &[(4, Amend, "Both/p", "4")]),
    ];
    inbox.apply(&group(2, 1, anew)).await.unwrap();
    assert_eq!(held(&inbox, A).await, ["Both/p", "Opened/p"]);
    assert_eq!(content(&inbox, A, "Both/p").await.as_deref(), Some("4"));
    let job = vec![job_begins(A, G, 1, scope), job_complete(A, G, 1, scope, 3)];
    inbox.apply(&group(2, 3, job)).await.unwrap();
    assert_eq!(
        held(&inbox, A).await,
        ["Both/p"],
        "beyond the job's seq, and brought since"
    );
    assert!(inbox.is_settled().await.unwrap());
}
