//! Messages that concern a whole source or a whole patient: a welcome, how a grant stands, the edges of a job, a
//! fence, a withdrawal. Each runs within the caller's transaction.

use handfast_proto::ids::{NhsNumber, OdsCode};
use sqlx::SqliteConnection;

use super::{
    columns::count,
    error::InboxError,
    job::{self, Over, Place},
    model::{Grant, Scope},
    source::Granted,
    state::State,
    sweep::{self, Unconfirmed, Which},
    tombstone,
};

/// A job's edge: its source, grant and number, and what it goes over.
#[derive(Debug, Clone, Copy)]
pub(super) struct Edge {
    pub(super) source: OdsCode,
    pub(super) grant: u64,
    pub(super) job: u64,
    pub(super) scope: Scope,
}

/// A store that is new to the daemon: what no grant in force carries goes, the rest waits for its
/// catch-up, which decides even against the seqs held.
pub(super) async fn welcome_anew(
    conn: &mut SqliteConnection,
    state: &mut State,
    grants: &[Grant],
    now: i64,
) -> Result<(), InboxError> {
    state.epoch += 1;
    // What the daemon has not seen confirmed it sends again, and it may have numbered its jobs anew.
    for sql in ["DELETE FROM withdrawal", "DELETE FROM job"] {
        sqlx::query(sql).execute(&mut *conn).await?;
    }
    for grant in grants {
        state.source(conn, grant.source).await?;
    }
    let known: Vec<OdsCode> = state.sources.keys().copied().collect();
    for ods in known {
        let heard = state.heard;
        state.source(conn, ods).await?.keep_as_of(heard);
        let of_source = || grants.iter().filter(|g| g.source == ods);
        if of_source().all(|g| g.patient.is_some()) {
            let patients = of_source().filter_map(|g| g.patient).collect();
            sweep::remove(conn, state, ods, Which::NotOf(patients), 0, now).await?;
        }
        let source = state.source(conn, ods).await?;
        sqlx::query("DELETE FROM granted WHERE source_id = ?1")
            .bind(source.id)
            .execute(&mut *conn)
            .await?;
        source.grants.clear();
        source.dirty = true;
        tombstone::forget_ended(conn, source).await?;
    }
    for grant in grants {
        let source = state.source(conn, grant.source).await?;
        let fresh = Granted {
            anew: true,
            ..Granted::default()
        };
        source.grants.insert(grant.number, fresh);
        // The daemon's word on what is in force outweighs what was remembered.
        if source.ended.remove(&grant.number) {
            sqlx::query("DELETE FROM ended_grant WHERE source_id = ?1 AND grant_no = ?2")
                .bind(source.id)
                .bind(count(grant.number))
                .execute(&mut *conn)
                .await?;
        }
        stands(conn, state, grant).await?;
    }
    Ok(())
}

/// A store that the daemon knows. A grant that is not among those in force ended while this agent was away: what
/// it brought is removed when the daemon says so, and no grant spares it any more.
pub(super) async fn welcome_back(
    conn: &mut SqliteConnection,
    state: &mut State,
    grants: &[Grant],
) -> Result<(), InboxError> {
    let heard = state.heard;
    for (ods, source) in &mut state.sources {
        let is_listed = |number: &u64| grants.iter().any(|g| g.source == *ods && g.number == *number);
        let gone: Vec<u64> = source
            .live()
            .into_iter()
            .filter(|number| !is_listed(number))
            .collect();
        if !gone.is_empty() {
            source.keep_as_of(heard);
        }
        for number in gone {
            source.let_go(conn, number).await?;
        }
    }
    for grant in grants {
        stands(conn, state, grant).await?;
    }
    Ok(())
}

/// How a grant stands. One that is new here is not caught up yet; one that has ended stays so.
pub(super) async fn stands(
    conn: &mut SqliteConnection,
    state: &mut State,
    grant: &Grant,
) -> Result<(), InboxError> {
    let patient = grant.patient.map(|p| state.tags.patient(p));
    let heard = state.heard;
    let source = state.source(conn, grant.source).await?;
    if source.ended.contains(&grant.number) {
        return Ok(());
    }
    source.keep_as_of(heard);
    let granted = source.grants.entry(grant.number).or_default();
    granted.patient = patient;
    granted.categories.clone_from(&grant.categories);
    (granted.stale, granted.not_everyone) = (grant.stale, grant.not_everyone);
    source.dirty = true;
    Ok(())
}

/// A job begins. Over everything: what is held of the source is unconfirmed until the job names it.
pub(super) async fn job_begins(
    conn: &mut SqliteConnection,
    state: &mut State,
    edge: Edge,
) -> Result<(), InboxError> {
    let stamp = state.stamp(edge.job);
    let (over, heard) = (over(state, edge.scope), state.heard);
    let source = state.source(conn, edge.source).await?;
    source.keep_as_of(heard);
    let granted = source.grants.entry(edge.grant).or_default();
    source.dirty = true;
    let Some(over) = over else {
        granted.catch_up = Some(stamp);
        return Ok(());
    };
    let place = Place {
        source: source.id,
        grant: edge.grant,
        job: stamp,
    };
    job::begin(conn, place, over).await
}

/// A catch-up is complete: what it did not name goes; the live feed goes on after `upto`.
pub(super) async fn catch_up_complete(
    conn: &mut SqliteConnection,
    state: &mut State,
    edge: Edge,
    upto: u64,
    now: i64,
) -> Result<(), InboxError> {
    let stamp = state.stamp(edge.job);
    let source = state.source(conn, edge.source).await?;
    let granted = source.grants.entry(edge.grant).or_default();
    if granted.catch_up == Some(stamp) {
        // Of what was withdrawn without being known, all is here with a new grant that is not narrowed. What is only
        // sent again says nothing about it. What is known to be absent is told until it is back.
        if !granted.anew && granted.is_whole() {
            source.withdrawn_at = None;
        }
        let unconfirmed = Which::Unconfirmed(Unconfirmed {
            patient: None,
            grant: edge.grant,
            job: stamp,
            upto,
        });
        sweep::remove(conn, state, edge.source, unconfirmed, 0, now).await?;
    }
    let source = state.source(conn, edge.source).await?;
    tombstone::forget_ended(conn, source).await?;
    let granted = source.grants.entry(edge.grant).or_default();
    granted.position = Some(granted.position.unwrap_or(0).max(upto));
    granted.catch_up = None;
    granted.anew = false;
    source.dirty = true;
    Ok(())
}

/// A job over a patient or over changes is complete. Of a patient's records what it did not name goes. Then it
/// is confirmed as a withdrawal is, with all that it removed.
pub(super) async fn job_complete(
    conn: &mut SqliteConnection,
    state: &mut State,
    edge: Edge,
    upto: u64,
    now: i64,
) -> Result<(), InboxError> {
    let stamp = state.stamp(edge.job);
    let patient = match edge.scope {
        Scope::Patient(patient) => Some(patient),
        Scope::Everything | Scope::Changes => None,
    };
    let over = Over::of(&state.tags, patient);
    let source = state.source(conn, edge.source).await?;
    let place = Place {
        source: source.id,
        grant: edge.grant,
        job: stamp,
    };
    let counted = job::complete(&mut *conn, place, over).await?;
    let mut removed = counted.unwrap_or(0);
    if let (Some(_), Some(patient)) = (counted, patient) {
        let unconfirmed = Which::Unconfirmed(Unconfirmed {
            patient: Some(patient),
            grant: edge.grant,
            job: stamp,
            upto,
        });
        removed += sweep::remove(conn, state, edge.source, unconfirmed, edge.job, now).await?;
        let source = state.source(conn, edge.source).await?;
        let granted = source.grants.entry(edge.grant).or_default();
        // An emergency is caught up with its patient; a grant that had no catch-up yet may be one, untold.
        if granted.patient.is_some() {
            (granted.caught_up, granted.anew) = (true, false);
        } else if !granted.anew && granted.catch_up.is_none() && granted.position.is_none() {
            granted.caught_up = true;
        }
        source.dirty = true;
    }
    enter(conn, state, edge.source, edge.job, removed, true).await
}

/// Nothing of the grant is applied any more.
pub(super) async fn fenced(
    conn: &mut SqliteConnection,
    state: &mut State,
    ods: OdsCode,
    grant: u64,
) -> Result<(), InboxError> {
    let heard = state.heard;
    let source = state.source(conn, ods).await?;
    source.keep_as_of(heard);
    source.end(conn, grant).await
}

/// Removes what is held of a source, or of one patient of it, and stands under no grant in force; and enters the
/// withdrawal, to be confirmed when every output has carried it out.
pub(super) async fn withdraw(
    conn: &mut SqliteConnection,
    state: &mut State,
    (job, ods, ended_grant): (u64, OdsCode, u64),
    patient: Option<NhsNumber>,
    now: i64,
) -> Result<(), InboxError> {
    fenced(&mut *conn, state, ods, ended_grant).await?;
    let grants = state.source(conn, ods).await?.live();
    let which = Which::NotUnder { grants, patient };
    let removed = sweep::remove(conn, state, ods, which, job, now).await?;
    let source = state.source(conn, ods).await?;
    tombstone::forget_ended(conn, source).await?;
    if patient.is_none() {
        close_letters(conn, source.id, now).await?;
    }
    enter(conn, state, ods, job, removed, patient.is_some()).await
}

/// Closes letters about writing what is not held: their records went before, by whatever way.
async fn close_letters(conn: &mut SqliteConnection, source_id: i64, now: i64) -> Result<(), InboxError> {
    sqlx::query(
        "UPDATE dead_letter SET state = 'resolved', closed_at = ?2 \
         WHERE source_id = ?1 AND state IN ('waiting', 'refused') AND op = 'write' \
         AND NOT EXISTS (SELECT 1 FROM record AS r WHERE r.source_id = ?1 AND r.record = dead_letter.record \
         AND r.removed = 0)",
    )
    .bind(source_id)
    .bind(now)
    .execute(conn)
    .await?;
    Ok(())
}

/// Enters what is to be confirmed once every output has carried it out.
async fn enter(
    conn: &mut SqliteConnection,
    state: &mut State,
    ods: OdsCode,
    job: u64,
    removed: u64,
    partial: bool,
) -> Result<(), InboxError> {
    let change_no = count(state.last_change);
    let source = state.source(conn, ods).await?;
    sqlx::query(
        "INSERT INTO withdrawal (job, source_id, change_no, removed, purged, confirmed_at, partial) \
         VALUES (?1, ?2, ?3, ?4, 0, NULL, ?5) \
         ON CONFLICT (job) DO UPDATE SET change_no = excluded.change_no, purged = 0, confirmed_at = NULL, \
         removed = withdrawal.removed + excluded.removed",
    )
    .bind(count(job))
    .bind(source.id)
    .bind(change_no)
    .bind(count(removed))
    .bind(partial)
    .execute(conn)
    .await?;
    Ok(())
}

/// What a job goes over; `None`: everything.
fn over(state: &State, scope: Scope) -> Option<Over> {
    match scope {
        Scope::Everything => None,
        Scope::Patient(patient) => Some(Over::of(&state.tags, Some(patient))),
        Scope::Changes => Some(Over::Changes),
    }
}
