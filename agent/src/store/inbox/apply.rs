//! Applies a group of messages: one transaction, one fsync, however many messages it has.
//!
//! Invariant: content, positions, ended grants, withdrawals, the queue for outputs and (session, durable)
//! change in the same transaction, so whatever is interrupted comes again and finds its place.

use std::{collections::HashSet, sync::atomic::Ordering};

use handfast_proto::ids::OdsCode;
use sqlx::{Connection as _, SqliteConnection};

use super::{
    edges::{self, Edge},
    error::InboxError,
    fold::{Delivery, Fold},
    model::{Applied, Group, Incoming, Message, Scope, Violation},
    open::Inbox,
    state::State,
};

impl Inbox {
    /// Applies a group and makes it durable. Whatever breaks the protocol cuts the group short: what
    /// stands before it is applied, and the violation is returned. After an error nothing of the group is
    /// applied, and the same group may be given again.
    ///
    /// Not to be given a group of an earlier session once a later one was applied.
    pub async fn apply(&self, group: &Group) -> Result<Applied, InboxError> {
        let now = self.now();
        let mut guard = self.writer().await?;
        let writer = &mut *guard;
        let (messages, violation) = lawful(&group.messages, &writer.state);
        let durable = match &violation {
            Some(v) => group.durable.min(v.number.saturating_sub(1)),
            None => group.durable,
        };
        let (news_before, residue_before) = (writer.state.last_change, writer.state.residue);
        writer.clean = false;
        let mut tx = writer.conn.begin_with("BEGIN IMMEDIATE").await?;
        let state = &mut writer.state;
        let mut applied = Applied {
            durable,
            violation,
            ..Applied::default()
        };
        apply_all(&mut tx, state, messages, now, &mut applied).await?;
        state.session = group.session;
        state.durable = durable;
        state.flush(&mut tx).await?;
        tx.commit().await?;
        writer.clean = true;
        if messages
            .iter()
            .any(|m| matches!(m.content, Incoming::Welcome { .. }))
        {
            self.0.welcomed.store(true, Ordering::Release);
        }
        let news = writer.state.last_change;
        let told = writer.state.residue != residue_before || messages.iter().any(is_told);
        self.keep_room(writer).await;
        drop(guard);
        if told {
            self.standing_changed();
        }
        if news != news_before || applied.withdrawals > 0 {
            self.0.news.send_replace(news);
        }
        Ok(applied)
    }
}

/// Whether a message may change what is told of a source.
fn is_told(message: &Message) -> bool {
    !matches!(message.content, Incoming::Deliver { .. } | Incoming::Nothing)
}

/// The messages up to the first that belongs to an ended grant, and that one.
fn lawful<'a>(messages: &'a [Message], state: &State) -> (&'a [Message], Option<Violation>) {
    let mut ended: HashSet<(OdsCode, u64)> = HashSet::new();
    let mut granted: HashSet<(OdsCode, u64)> = HashSet::new();
    for (place, message) in messages.iter().enumerate() {
        let (source, grant) = match &message.content {
            Incoming::Deliver { source, grant, .. }
            | Incoming::JobBegins { source, grant, .. }
            | Incoming::JobComplete { source, grant, .. } => (*source, *grant),
            // The daemon's word on what is in force outweighs what was remembered.
            Incoming::Welcome { anew: true, grants } => {
                granted.extend(grants.iter().map(|g| (g.source, g.number)));
                continue;
            }
            Incoming::Fenced { source, grant } => {
                ended.insert((*source, *grant));
                continue;
            }
            Incoming::Withdraw {
                source, ended_grant, ..
            } => {
                ended.insert((*source, *ended_grant));
                continue;
            }
            Incoming::Welcome { .. } | Incoming::Stands(_) | Incoming::Nothing => continue,
        };
        let known = state
            .sources
            .get(&source)
            .is_some_and(|s| s.ended.contains(&grant));
        let key = (source, grant);
        if ended.contains(&key) || (known && !granted.contains(&key)) {
            let violation = Violation {
                number: message.number,
                source,
                grant,
            };
            return (messages.get(..place).unwrap_or_default(), Some(violation));
        }
    }
    (messages, None)
}

/// Deliveries that follow one another are worked out together; everything else one by one.
async fn apply_all(
    conn: &mut SqliteConnection,
    state: &mut State,
    messages: &[Message],
    now: i64,
    applied: &mut Applied,
) -> Result<(), InboxError> {
    let mut run = Vec::new();
    for message in messages {
        match &message.content {
            Incoming::Deliver {
                source,
                grant,
                job,
                batch,
            } => {
                run.push(Delivery {
                    source: *source,
                    grant: *grant,
                    job: *job,
                    batch,
                });
                continue;
            }
            Incoming::Nothing => continue,
            _ => {}
        }
        if !run.is_empty() {
            applied.amendments += Fold::apply(conn, state, &run, now).await?;
            run.clear();
        }
        edge(conn, state, &message.content, now, applied).await?;
    }
    if !run.is_empty() {
        applied.amendments += Fold::apply(conn, state, &run, now).await?;
    }
    Ok(())
}

async fn edge(
    conn: &mut SqliteConnection,
    state: &mut State,
    content: &Incoming,
    now: i64,
    applied: &mut Applied,
) -> Result<(), InboxError> {
    match content {
        Incoming::Welcome { anew: true, grants } => edges::welcome_anew(conn, state, grants, now).await,
        Incoming::Welcome { anew: false, grants } => edges::welcome_back(conn, state, grants).await,
        Incoming::Stands(grant) => edges::stands(conn, state, grant).await,
        Incoming::JobBegins {
            source,
            grant,
            job,
            scope,
        } => edges::job_begins(conn, state, edge_of(*source, *grant, *job, *scope)).await,
        Incoming::JobComplete {
            source,
            grant,
            job,
            scope,
            upto_seq,
        } => {
            let edge = edge_of(*source, *grant, *job, *scope);
            if *scope == Scope::Everything {
                return edges::catch_up_complete(conn, state, edge, *upto_seq, now).await;
            }
            applied.withdrawals += 1;
            edges::job_complete(conn, state, edge, *upto_seq, now).await
        }
        Incoming::Fenced { source, grant } => edges::fenced(conn, state, *source, *grant).await,
        Incoming::Withdraw {
            job,
            source,
            ended_grant,
            patient,
        } => {
            applied.withdrawals += 1;
            edges::withdraw(conn, state, (*job, *source, *ended_grant), *patient, now).await
        }
        Incoming::Deliver { .. } | Incoming::Nothing => Ok(()),
    }
}

fn edge_of(source: OdsCode, grant: u64, job: u64, scope: Scope) -> Edge {
    Edge {
        source,
        grant,
        job,
        scope,
    }
}
