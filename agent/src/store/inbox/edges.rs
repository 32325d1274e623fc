//! Messages that concern a whole source: a welcome, the edges of a catch-up, a fence, a withdrawal.
//! Each runs within the caller's transaction.

use std::collections::HashSet;

use handfast_proto::ids::OdsCode;
use sqlx::SqliteConnection;

use super::{
    columns::count,
    error::InboxError,
    model::ChangeOp,
    state::{Granted, State},
};

/// Which records of a source go.
#[derive(Debug, Clone)]
enum Which {
    /// Those that the catch-up did not name.
    Unconfirmed { job: u64, grant: u64, live_after: u64 },
    /// Those held under none of these grants.
    NotUnder(Vec<u64>),
}

/// A store that is new to the daemon: what no grant in force carries goes, the rest waits for its
/// catch-up, which decides even against the seqs held.
pub(super) async fn welcome_anew(
    conn: &mut SqliteConnection,
    state: &mut State,
    grants: &[(OdsCode, u64)],
    now: i64,
) -> Result<(), InboxError> {
    state.epoch += 1;
    for (ods, _) in grants {
        state.source(conn, *ods).await?;
    }
    let granted: HashSet<OdsCode> = grants.iter().map(|(ods, _)| *ods).collect();
    let known: Vec<OdsCode> = state.sources.keys().copied().collect();
    for ods in known {
        if !granted.contains(&ods) {
            remove(conn, state, ods, Which::NotUnder(Vec::new()), now).await?;
        }
        let source = state.source(conn, ods).await?;
        sqlx::query("DELETE FROM granted WHERE source_id = ?1")
            .bind(source.id)
            .execute(&mut *conn)
            .await?;
        sqlx::query("DELETE FROM record WHERE source_id = ?1 AND removed = 1")
            .bind(source.id)
            .execute(&mut *conn)
            .await?;
        source.grants.clear();
        source.dirty = true;
    }
    for (ods, grant) in grants {
        let source = state.source(conn, *ods).await?;
        let fresh = Granted {
            anew: true,
            ..Granted::default()
        };
        source.grants.insert(*grant, fresh);
        // The daemon's word on what is in force outweighs what was remembered.
        if source.ended.remove(grant) {
            sqlx::query("DELETE FROM ended_grant WHERE source_id = ?1 AND grant_no = ?2")
                .bind(source.id)
                .bind(count(*grant))
                .execute(&mut *conn)
                .await?;
        }
    }
    Ok(())
}

/// A store that the daemon knows: a grant that is new here is not caught up yet.
pub(super) async fn welcome_back(
    conn: &mut SqliteConnection,
    state: &mut State,
    grants: &[(OdsCode, u64)],
) -> Result<(), InboxError> {
    for (ods, grant) in grants {
        let source = state.source(conn, *ods).await?;
        if !source.ended.contains(grant) && !source.grants.contains_key(grant) {
            source.grants.insert(*grant, Granted::default());
            source.dirty = true;
        }
    }
    Ok(())
}

/// What is held of the source is unconfirmed until this catch-up names it.
pub(super) async fn catch_up_begins(
    conn: &mut SqliteConnection,
    state: &mut State,
    ods: OdsCode,
    grant: u64,
    job: u64,
) -> Result<(), InboxError> {
    let source = state.source(conn, ods).await?;
    source.grants.entry(grant).or_default().catch_up = Some(job);
    source.dirty = true;
    Ok(())
}

/// What the catch-up did not name goes; the live feed goes on after `upto_seq`.
pub(super) async fn catch_up_complete(
    conn: &mut SqliteConnection,
    state: &mut State,
    (ods, grant, job): (OdsCode, u64, u64),
    upto_seq: u64,
    now: i64,
) -> Result<(), InboxError> {
    let granted = state.sources.get(&ods).and_then(|s| s.grants.get(&grant));
    if let Some(granted) = granted.filter(|g| g.catch_up == Some(job)) {
        // A catch-up may be repeated, edges and all, after it was applied: what the live feed brought since
        // stays. An inbox that is new to the daemon has nothing of that.
        let live_after = if granted.anew { u64::MAX } else { upto_seq };
        let unconfirmed = Which::Unconfirmed {
            job,
            grant,
            live_after,
        };
        remove(conn, state, ods, unconfirmed, now).await?;
    }
    let source = state.source(conn, ods).await?;
    sqlx::query("DELETE FROM record WHERE source_id = ?1 AND removed = 1 AND grant_no <> ?2")
        .bind(source.id)
        .bind(count(grant))
        .execute(conn)
        .await?;
    let granted = source.grants.entry(grant).or_default();
    granted.position = Some(granted.position.unwrap_or(0).max(upto_seq));
    granted.catch_up = None;
    granted.anew = false;
    source.dirty = true;
    Ok(())
}

/// Nothing of the grant is applied any more.
pub(super) async fn fenced(
    conn: &mut SqliteConnection,
    state: &mut State,
    ods: OdsCode,
    grant: u64,
) -> Result<(), InboxError> {
    let source = state.source(conn, ods).await?;
    source.end(&mut *conn, grant).await?;
    sqlx::query("DELETE FROM granted WHERE source_id = ?1 AND grant_no = ?2")
        .bind(source.id)
        .bind(count(grant))
        .execute(conn)
        .await?;
    Ok(())
}

/// Removes what is held of a source, its tombstones and dead letters, and enters the withdrawal, to be
/// confirmed when every output has carried it out. What a later grant brought already stays.
pub(super) async fn withdraw(
    conn: &mut SqliteConnection,
    state: &mut State,
    (job, ods, ended_grant): (u64, OdsCode, u64),
    now: i64,
) -> Result<(), InboxError> {
    fenced(&mut *conn, state, ods, ended_grant).await?;
    let source = state.source(conn, ods).await?;
    let live: Vec<u64> = source.grants.keys().copied().collect();
    if live.is_empty() {
        overtake(&mut *conn, source.id).await?;
    }
    let removed = remove(conn, state, ods, Which::NotUnder(live), now).await?;
    let change_no = count(state.last_change);
    let source = state.source(conn, ods).await?;
    if source.grants.is_empty() {
        sqlx::query("DELETE FROM record WHERE source_id = ?1 AND removed = 1")
            .bind(source.id)
            .execute(&mut *conn)
            .await?;
    }
    // A letter about a deletion stays: it says that something could not be removed.
    sqlx::query(
        "UPDATE dead_letter SET state = 'resolved', closed_at = ?2 \
         WHERE source_id = ?1 AND state IN ('waiting', 'refused') AND op = 'write'",
    )
    .bind(source.id)
    .bind(now)
    .execute(&mut *conn)
    .await?;
    sqlx::query(
        "INSERT INTO withdrawal (job, source_id, change_no, removed, purged, confirmed_at) \
         VALUES (?1, ?2, ?3, ?4, 0, NULL) \
         ON CONFLICT (job) DO UPDATE SET change_no = excluded.change_no, purged = 0, confirmed_at = NULL, \
         removed = withdrawal.removed + excluded.removed",
    )
    .bind(count(job))
    .bind(source.id)
    .bind(change_no)
    .bind(count(removed))
    .execute(conn)
    .await?;
    Ok(())
}

/// Lets a withdrawal overtake what no output has carried out yet: an output that lags behind must not go on
/// to write what is withdrawn.
async fn overtake(conn: &mut SqliteConnection, source_id: i64) -> Result<(), InboxError> {
    sqlx::query("DELETE FROM change WHERE source_id = ?1 AND op IN (?2, ?3)")
        .bind(source_id)
        .bind(ChangeOp::Create.code())
        .bind(ChangeOp::Amend.code())
        .execute(conn)
        .await?;
    Ok(())
}

/// Removes records of a source with their payloads, and queues a change for each. What others refer to
/// goes last (patients, then by age), so that a server which keeps references intact lets go of it.
async fn remove(
    conn: &mut SqliteConnection,
    state: &mut State,
    ods: OdsCode,
    which: Which,
    now: i64,
) -> Result<u64, InboxError> {
    let (has_outputs, base) = (state.has_outputs, count(state.last_change));
    let source = state.source(conn, ods).await?;
    let (queue, delete, argument) = match which {
        Which::Unconfirmed {
            job,
            grant,
            live_after,
        } => (
            "INSERT INTO change (number, source_id, seq, op, record, version, applied_at) \
             SELECT ?3 + row_number() OVER (ORDER BY record GLOB 'Patient/*', seq DESC), source_id, seq, ?4, \
             record, version, ?5 FROM record WHERE source_id = ?1 AND removed = 0 \
             AND confirmed_job <> ?2 ->> 0 AND NOT (grant_no = ?2 ->> 1 AND seq > ?2 ->> 2)",
            "DELETE FROM record WHERE source_id = ?1 AND removed = 0 \
             AND confirmed_job <> ?2 ->> 0 AND NOT (grant_no = ?2 ->> 1 AND seq > ?2 ->> 2)",
            format!("[{job},{grant},{}]", count(live_after)),
        ),
        Which::NotUnder(grants) => (
            "INSERT INTO change (number, source_id, seq, op, record, version, applied_at) \
             SELECT ?3 + row_number() OVER (ORDER BY record GLOB 'Patient/*', seq DESC), source_id, seq, ?4, \
             record, version, ?5 FROM record WHERE source_id = ?1 AND removed = 0 \
             AND grant_no NOT IN (SELECT value FROM json_each(?2))",
            "DELETE FROM record WHERE source_id = ?1 AND removed = 0 \
             AND grant_no NOT IN (SELECT value FROM json_each(?2))",
            format!("{grants:?}"),
        ),
    };
    if has_outputs {
        sqlx::query(queue)
            .bind(source.id)
            .bind(argument.clone())
            .bind(base)
            .bind(ChangeOp::Withdraw.code())
            .bind(now)
            .execute(&mut *conn)
            .await?;
    }
    let removed = sqlx::query(delete)
        .bind(source.id)
        .bind(argument)
        .execute(&mut *conn)
        .await?
        .rows_affected();
    if removed > 0 {
        source.held = source.held.saturating_sub(removed);
        source.last_applied_at = Some(now);
        source.dirty = true;
        state.last_change += removed;
    }
    Ok(removed)
}
