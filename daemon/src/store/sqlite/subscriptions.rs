//! Recipients' inboxes: which one is a recipient's own, and what it is still owed.

use handfast_proto::ids::OdsCode;
use sqlx::SqliteConnection;

use super::{
    database::Database,
    emergencies,
    fault::fault,
    jobs, units,
    values::{Columns, int},
};
use crate::{
    consent::GrantId,
    store::{Hello, Job, JobId, PairState, ReachMove, StoreError, Subscription},
};

/// What is known of a recipient's inbox.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Known {
    /// Whether the hello comes from it.
    same: bool,
    /// The newest session.
    session: u64,
    /// The last message (session, number) that it said is durable.
    receipted: (u64, u64),
}

/// How an inbox is met.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Meeting {
    /// As one that is older than it may be, or a copy.
    Refused,
    /// As the recipient's own, where it left off.
    Resumed,
    /// As a new one.
    Anew,
}

/// A store that takes part for the first time says session 0. One that has taken part must be the
/// recipient's own and hold at least what it has receipted; a session that was never given out means that
/// the daemon's own store is an older one, and a new inbox puts both in step.
fn meet(hello: &Hello, known: Option<&Known>) -> Meeting {
    match known {
        Some(known) if known.same => {
            let holds = (hello.session, hello.durable);
            if holds < known.receipted || hello.session > known.session {
                Meeting::Refused
            } else {
                Meeting::Resumed
            }
        }
        _ if hello.session == 0 => Meeting::Anew,
        _ => Meeting::Refused,
    }
}

/// Opens a recipient's next session.
pub(super) async fn open(main: &Database, hello: &Hello, at: i64) -> Result<Subscription, StoreError> {
    let mut write = main.write().await?;
    let result = open_in(write.conn(), hello, at).await;
    write.finish(result).await
}

async fn open_in(conn: &mut SqliteConnection, hello: &Hello, at: i64) -> Result<Subscription, StoreError> {
    units::state_of(conn, hello.recipient).await?;
    let known = known(conn, hello).await?;
    let session = known.map_or(0, |known| known.session);
    let meeting = meet(hello, known.as_ref());
    let next = session + 1;
    match meeting {
        Meeting::Refused => {
            return Ok(Subscription {
                session,
                accepted: false,
                anew: false,
                pairs: Vec::new(),
                jobs: Vec::new(),
            });
        }
        Meeting::Resumed => resume(conn, hello, next).await?,
        Meeting::Anew => begin_anew(conn, hello, next, at).await?,
    }
    let (pairs, jobs) = owed(conn, hello.recipient).await?;
    Ok(Subscription {
        session: next,
        accepted: true,
        anew: meeting == Meeting::Anew,
        pairs,
        jobs,
    })
}

async fn known(conn: &mut SqliteConnection, hello: &Hello) -> Result<Option<Known>, StoreError> {
    let sql = "SELECT store, session, receipted_session, receipted FROM inbox WHERE recipient = ?1";
    let row = sqlx::query(sql)
        .bind(hello.recipient.as_str())
        .fetch_optional(conn)
        .await
        .map_err(fault)?;
    let Some(row) = row else { return Ok(None) };
    Ok(Some(Known {
        same: row.store_id("store")? == Some(hello.store),
        session: row.count("session")?,
        receipted: (row.count("receipted_session")?, row.count("receipted")?),
    }))
}

/// What the inbox says it holds counts as receipted.
async fn resume(conn: &mut SqliteConnection, hello: &Hello, session: u64) -> Result<(), StoreError> {
    let sql = "UPDATE inbox SET session = ?2, receipted_session = ?3, receipted = ?4 WHERE recipient = ?1";
    sqlx::query(sql)
        .bind(hello.recipient.as_str())
        .bind(int(session)?)
        .bind(int(hello.session)?)
        .bind(int(hello.durable)?)
        .execute(conn)
        .await
        .map_err(fault)?;
    Ok(())
}

/// Everything is owed again: the current records of each grant, and the withdrawals of those that ended.
async fn begin_anew(
    conn: &mut SqliteConnection,
    hello: &Hello,
    session: u64,
    at: i64,
) -> Result<(), StoreError> {
    let recipient = hello.recipient.as_str();
    let sql = "INSERT INTO inbox (recipient, store, since_session, session) VALUES (?1, ?2, ?3, ?3)
               ON CONFLICT (recipient) DO UPDATE SET
                   store = excluded.store, since_session = excluded.since_session,
                   session = excluded.session, receipted_session = 0, receipted = 0";
    sqlx::query(sql)
        .bind(recipient)
        .bind(hello.store.as_bytes().to_vec())
        .bind(int(session)?)
        .execute(&mut *conn)
        .await
        .map_err(fault)?;
    let steps = [
        // What is owed to a grant is in its catch-up, or in an emergency access's reconcile, from here on.
        "DELETE FROM job WHERE recipient = ?1 AND kind <> 'withdraw' AND state <> 'confirmed'",
        "UPDATE job SET state = 'due' WHERE recipient = ?1 AND kind = 'withdraw' AND state = 'received'",
        "UPDATE sharing_grant SET cursor = max(cursor, stream.head_seq) FROM stream
         WHERE stream.source = sharing_grant.source AND sharing_grant.recipient = ?1
           AND sharing_grant.ended_at IS NULL",
    ];
    for sql in steps {
        sqlx::query(sql)
            .bind(recipient)
            .execute(&mut *conn)
            .await
            .map_err(fault)?;
    }
    let sql = "INSERT INTO job (grant_id, source, recipient, kind, upto, since)
               SELECT id, source, recipient, 'catch-up', cursor, ?2 FROM sharing_grant
               WHERE recipient = ?1 AND ended_at IS NULL AND patient IS NULL ORDER BY source";
    sqlx::query(sql)
        .bind(recipient)
        .bind(at)
        .execute(&mut *conn)
        .await
        .map_err(fault)?;
    emergencies::reconcile_all(conn, hello.recipient, at).await
}

/// The pairs and jobs of a recipient, from one state of the store.
pub(super) async fn pairs_and_jobs(
    main: &Database,
    recipient: OdsCode,
) -> Result<(Vec<PairState>, Vec<Job>), StoreError> {
    let mut read = main.read().await?;
    owed(&mut read, recipient).await
}

/// How far each stream to a recipient was handed over at most.
/// The recipients of grants in force and of jobs that are due.
pub(super) async fn owed_recipients(main: &Database) -> Result<Vec<OdsCode>, StoreError> {
    let sql = "SELECT recipient FROM sharing_grant WHERE ended_at IS NULL
               UNION
               SELECT recipient FROM job WHERE state = 'due' AND state <> 'confirmed'
               ORDER BY recipient";
    let rows = sqlx::query(sql).fetch_all(main.readers()).await.map_err(fault)?;
    rows.iter().map(|row| row.parsed("recipient")).collect()
}

pub(super) async fn reaches(main: &Database, recipient: OdsCode) -> Result<Vec<ReachMove>, StoreError> {
    let sql = "SELECT id AS grant_id, 0 AS job, 0 AS reach_from, reach FROM sharing_grant WHERE recipient = ?1 AND ended_at IS NULL
               UNION ALL
               SELECT grant_id, id, reach_from, reach FROM job WHERE recipient = ?1 AND state = 'due' AND state <> 'confirmed'";
    let rows = sqlx::query(sql)
        .bind(recipient.as_str())
        .fetch_all(main.readers())
        .await
        .map_err(fault)?;
    let each = rows.iter().map(|row| {
        Ok(ReachMove {
            grant: GrantId(row.count("grant_id")?),
            job: Some(JobId(row.count("job")?)).filter(|job| job.0 > 0),
            from: row.count("reach_from")?,
            upto: row.count("reach")?,
        })
    });
    each.collect()
}

async fn owed(
    conn: &mut SqliteConnection,
    recipient: OdsCode,
) -> Result<(Vec<PairState>, Vec<Job>), StoreError> {
    let sql = "SELECT id, source, recipient, patient, cursor FROM sharing_grant
               WHERE recipient = ?1 AND ended_at IS NULL ORDER BY source, id";
    let rows = sqlx::query(sql)
        .bind(recipient.as_str())
        .fetch_all(&mut *conn)
        .await
        .map_err(fault)?;
    let pairs = rows.iter().map(|row| {
        Ok(PairState {
            pair: row.pair()?,
            grant: GrantId(row.count("id")?),
            patient: row.patient_or_none("patient")?,
            cursor: row.count("cursor")?,
        })
    });
    let pairs = pairs.collect::<Result<_, StoreError>>()?;
    Ok((pairs, jobs::owed(conn, recipient).await?))
}
