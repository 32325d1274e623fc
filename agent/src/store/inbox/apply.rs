//! Applies a group of messages: one transaction, one fsync, however many messages it has.
//!
//! Invariant: content, positions, ended grants, withdrawals, the queue for outputs and (session, durable)
//! change in the same transaction, so whatever is interrupted comes again and finds its place.

use std::{
    collections::HashSet,
    sync::{LazyLock, atomic::Ordering},
};

use handfast_proto::ids::OdsCode;
use sqlx::{Connection as _, SqliteConnection};

use super::{
    columns::{Bulk, count},
    edges,
    error::InboxError,
    fold::{Delivery, Fold},
    model::{Applied, Group, Incoming, Message, Violation},
    open::Inbox,
    state::{Granted, State},
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
        let news_before = writer.state.last_change;
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
        flush(&mut tx, state).await?;
        tx.commit().await?;
        writer.clean = true;
        if messages
            .iter()
            .any(|m| matches!(m.content, Incoming::Welcome { .. }))
        {
            self.0.welcomed.store(true, Ordering::Release);
        }
        let news = writer.state.last_change;
        drop(guard);
        if news != news_before || applied.withdrawals > 0 {
            self.0.news.send_replace(news);
        }
        Ok(applied)
    }
}

/// The messages up to the first that belongs to an ended grant, and that one.
fn lawful<'a>(messages: &'a [Message], state: &State) -> (&'a [Message], Option<Violation>) {
    let mut ended: HashSet<(OdsCode, u64)> = HashSet::new();
    for (place, message) in messages.iter().enumerate() {
        let (source, grant) = match &message.content {
            Incoming::Deliver { source, grant, .. }
            | Incoming::CatchUpBegins { source, grant, .. }
            | Incoming::CatchUpComplete { source, grant, .. } => (*source, *grant),
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
            Incoming::Welcome { .. } | Incoming::Nothing => continue,
        };
        let known = state
            .sources
            .get(&source)
            .is_some_and(|s| s.ended.contains(&grant));
        if known || ended.contains(&(source, grant)) {
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
                    job: state.stamp(*job),
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
        Incoming::CatchUpBegins { source, grant, job } => {
            let job = state.stamp(*job);
            edges::catch_up_begins(conn, state, *source, *grant, job).await
        }
        Incoming::CatchUpComplete {
            source,
            grant,
            job,
            upto_seq,
        } => {
            let job = state.stamp(*job);
            edges::catch_up_complete(conn, state, (*source, *grant, job), *upto_seq, now).await
        }
        Incoming::Fenced { source, grant } => edges::fenced(conn, state, *source, *grant).await,
        Incoming::Withdraw {
            job,
            source,
            ended_grant,
        } => {
            applied.withdrawals += 1;
            edges::withdraw(conn, state, (*job, *source, *ended_grant), now).await
        }
        Incoming::Welcome { anew: false, grants } => edges::welcome_back(conn, state, grants).await,
        Incoming::Deliver { .. } | Incoming::Nothing => Ok(()),
    }
}

/// Writes what changed of the writer's state.
async fn flush(conn: &mut SqliteConnection, state: &mut State) -> Result<(), InboxError> {
    static GRANTED: LazyLock<Bulk> = LazyLock::new(|| {
        Bulk::new(
            "INSERT INTO granted (source_id, grant_no, position, catch_up_job, anew)",
            5,
            "ON CONFLICT (source_id, grant_no) DO UPDATE SET position = excluded.position, \
             catch_up_job = excluded.catch_up_job, anew = excluded.anew",
        )
    });
    let mut granted: Vec<(i64, u64, Granted)> = Vec::new();
    for source in state.sources.values_mut().filter(|s| s.dirty) {
        source.dirty = false;
        granted.extend(source.grants.iter().map(|(number, g)| (source.id, *number, *g)));
        sqlx::query("UPDATE source SET held = ?2, last_applied_at = ?3 WHERE id = ?1")
            .bind(source.id)
            .bind(count(source.held))
            .bind(source.last_applied_at)
            .execute(&mut *conn)
            .await?;
    }
    GRANTED
        .write(conn, &granted, |query, (source, number, g)| {
            query
                .bind(*source)
                .bind(count(*number))
                .bind(g.position.map(count))
                .bind(g.catch_up.map(count))
                .bind(g.anew)
        })
        .await?;
    sqlx::query("UPDATE meta SET session = ?1, durable = ?2, last_change = ?3, epoch = ?4")
        .bind(count(state.session))
        .bind(count(state.durable))
        .bind(count(state.last_change))
        .bind(count(state.epoch))
        .execute(conn)
        .await?;
    Ok(())
}
