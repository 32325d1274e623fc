//! The outbox's one writer. Whatever was asked while a commit was running goes into the next one: no
//! timer, and one fsync for all.
//!
//! Invariants: nobody is answered before the commit that holds their changes has returned; after any
//! error the connection is opened anew and what is remembered is read back from the file, because SQLite
//! may have undone the transaction by itself, or have committed it before it failed.

use std::{
    collections::HashMap,
    path::PathBuf,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use handfast_proto::ids::RecordId;
use sqlx::SqliteConnection;
use tokio::{sync::mpsc, time::sleep};

use super::{
    OutboxError, OutboxLimits, again,
    jobs::{Done, Job, Work, collect, work},
    model::{DaemonHead, Disk, Welcomed},
    numbering::Outgoing,
    rebase,
    schema::{connect, standing, stored, write_standing},
    shared::{Shared, Standing},
    statements,
    unit_of_work::UnitOfWork,
    waiting,
};
use crate::{clock::Clock, store::room};

/// How long an acknowledgement may wait to be made durable where nothing else is written: losing it costs
/// nothing, the daemon says it again.
const ACK_LINGER: Duration = Duration::from_millis(200);

/// How often a disk that refused is tried again where nobody asks.
const PROBE_INTERVAL: Duration = Duration::from_secs(2);

/// Unacknowledged amendments above which no record is queued again.
const RESEND_BACKLOG: u64 = 50_000;

/// A wait without end.
const IDLE: Duration = Duration::from_secs(3600);

/// What the writer owns.
pub(super) struct Writer {
    pub(super) path: PathBuf,
    pub(super) conn: Option<SqliteConnection>,
    pub(super) standing: Standing,
    pub(super) waiting: u64,
    pub(super) limits: OutboxLimits,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) shared: Arc<Shared>,
    /// Records that are on their way because the daemon asked for them, and their seqs.
    pub(super) asked: HashMap<RecordId, u64>,
}

/// What is to be entered beside the requests; put back where that fails.
struct Beside {
    rejected: u64,
    echoes: u64,
    confirmed: Vec<(u64, bool)>,
    in_force: u64,
}

/// What a commit made.
struct Committed {
    standing: Standing,
    waiting: u64,
    rows: Vec<Outgoing>,
    done: Vec<Done>,
    asked: HashMap<RecordId, u64>,
}

impl Writer {
    /// Works until every handle is gone.
    pub(super) async fn run(mut self, mut jobs: mpsc::Receiver<Job>) {
        loop {
            let pause = self.pause();
            let linger = pause < IDLE;
            let first = tokio::select! {
                biased;
                job = jobs.recv() => match job {
                    Some(job) => Some(job),
                    None => break,
                },
                () = self.shared.ack.notified(), if !linger => continue,
                () = sleep(pause) => None,
            };
            let (group, alone) = collect(first, &mut jobs);
            self.group(group).await;
            if let Some(job) = alone {
                self.alone(job).await;
            }
        }
        // What the daemon acknowledged last, so that the next start has less to say.
        self.group(Vec::new()).await;
    }

    /// How long it may wait for a request.
    fn pause(&self) -> Duration {
        if *self.shared.disk.borrow() != Disk::Ok {
            PROBE_INTERVAL
        } else if self.may_resend() {
            Duration::ZERO
        } else if self.shared.wanted() > self.standing.acked_seq
            || self.shared.is_confirmed_waiting()
            || self.is_sending_again()
        {
            ACK_LINGER
        } else {
            IDLE
        }
    }

    fn may_resend(&self) -> bool {
        let backlog = self.standing.last_seq.saturating_sub(self.shared.wanted());
        self.is_sending_again() && backlog < RESEND_BACKLOG
    }

    fn is_sending_again(&self) -> bool {
        self.standing.resend_after.is_some() || self.standing.restate_after.is_some()
    }

    async fn group(&mut self, group: Vec<Job>) {
        let beside = Beside {
            rejected: self.shared.rejected.swap(0, Ordering::Relaxed),
            echoes: self.shared.echoes.swap(0, Ordering::Relaxed),
            confirmed: self.shared.take_confirmed(),
            in_force: self.shared.take_in_force(),
        };
        match Box::pin(self.commit(&group, &beside)).await {
            Ok(committed) => {
                self.standing = committed.standing;
                self.waiting = committed.waiting;
                again::note(&mut self.asked, committed.asked, self.standing.acked_seq);
                self.shared.committed(committed.standing, committed.rows);
                self.shared.disk_is(Disk::Ok);
                for (job, done) in group.into_iter().zip(committed.done) {
                    // Whoever asked may have gone; what was taken is taken.
                    let _ = job.reply.send(Ok(done));
                }
                self.keep_room().await;
            }
            Err(error) => {
                self.shared.rejected.fetch_add(beside.rejected, Ordering::Relaxed);
                self.shared.echoes.fetch_add(beside.echoes, Ordering::Relaxed);
                self.shared.put_back_confirmed(beside.confirmed);
                self.shared.confirm_through(beside.in_force);
                self.failed(&error);
                for job in group {
                    let _ = job.reply.send(Err(error.clone()));
                }
            }
        }
    }

    /// Before the log fills a small disk.
    async fn keep_room(&mut self) {
        if let Some(conn) = self.conn.as_mut().filter(|_| room::is_short(&self.path)) {
            make_room(conn).await;
        }
    }

    async fn commit(&mut self, group: &[Job], beside: &Beside) -> Result<Committed, OutboxError> {
        self.open().await?;
        let now_ms = self.clock.now_ms();
        let before = self.standing;
        let again = (before.restate_after, before.resend_after);
        let may_resend = self.may_resend();
        let wanted = self.shared.wanted();
        let conn = self.conn.as_mut().ok_or(OutboxError::Closed)?;
        begin(conn).await?;
        let mut unit = UnitOfWork::new(conn, &self.limits, now_ms, &before, self.waiting);
        unit.tally.rejected += beside.rejected;
        let mut done = Vec::with_capacity(group.len());
        for job in group {
            done.push(Box::pin(work(&mut unit, &job.work, &self.asked)).await?);
        }
        let (restate_after, resend_after) = match may_resend {
            true => Box::pin(unit.go_on(again)).await?,
            false => again,
        };
        unit.numbering.flush(unit.conn).await?;
        let (tally, numbering, asked) = (unit.tally, unit.numbering, unit.asked);
        let (last_seq, last_chain) = numbering.end();
        let mut standing = Standing {
            last_seq,
            last_chain,
            resend_after,
            restate_after,
            echoes: before.echoes + beside.echoes,
            rejected: tally.rejected,
            older: tally.older,
            ..before
        };
        for (seq, pending) in &beside.confirmed {
            statements::confirm(conn, *seq, *pending).await?;
        }
        statements::confirm_through(conn, beside.in_force).await?;
        acknowledge(conn, &mut standing, wanted).await?;
        write_standing(conn, &standing).await?;
        commit(conn).await?;
        Ok(Committed {
            standing,
            waiting: tally.waiting,
            rows: numbering.into_rows(),
            done,
            asked,
        })
    }

    /// A welcome is weighed with nothing else in the transaction.
    async fn alone(&mut self, job: Job) {
        let Work::Welcome(head) = job.work else {
            return;
        };
        let result = Box::pin(self.welcome(head)).await;
        if let Err(error) = &result {
            self.failed(error);
        }
        let _ = job.reply.send(result.map(Done::Welcomed));
    }

    async fn welcome(&mut self, head: DaemonHead) -> Result<Welcomed, OutboxError> {
        self.open().await?;
        let conn = self.conn.as_mut().ok_or(OutboxError::Closed)?;
        let continues = rebase::continues(conn, &self.standing, head).await?;
        if head.accepted && continues {
            self.shared.reset_wanted(head.seq);
            self.shared.ack.notify_one();
            return Ok(Welcomed::Continue);
        }
        if !continues && rebase::is_worth_comparing(&self.standing, head) {
            return Ok(Welcomed::Compare);
        }
        begin(conn).await?;
        let standing = rebase::rebase(conn, &self.standing, head).await?;
        write_standing(conn, &standing).await?;
        commit(conn).await?;
        tracing::warn!(
            head = head.seq,
            resending = standing.resend_after.is_some(),
            "the daemon does not continue this outbox: what is unsent was numbered anew behind its head"
        );
        self.standing = standing;
        self.asked.clear();
        self.shared.rebased(standing);
        Ok(Welcomed::Rebased)
    }

    async fn open(&mut self) -> Result<(), OutboxError> {
        if self.conn.is_none() {
            let mut conn = connect(&self.path).await?;
            make_room(&mut conn).await;
            self.standing = standing(&mut conn).await?;
            self.waiting = waiting::count(&mut conn).await?;
            // The commit that failed may have been made durable after all.
            self.shared.committed(self.standing, Vec::new());
            self.conn = Some(conn);
        }
        Ok(())
    }

    fn failed(&mut self, error: &OutboxError) {
        self.conn = None;
        let now = match error {
            OutboxError::DiskFull => Disk::Full,
            other => Disk::Failing(other.to_string()),
        };
        if *self.shared.disk.borrow() != now {
            tracing::error!("{error}");
        }
        self.shared.disk_is(now);
    }
}

/// Forgets the batches that the daemon has, up to the end of one.
async fn acknowledge(
    conn: &mut SqliteConnection,
    standing: &mut Standing,
    wanted: u64,
) -> Result<(), OutboxError> {
    if wanted <= standing.acked_seq {
        return Ok(());
    }
    let end: Option<(i64, Vec<u8>)> = sqlx::query_as(
        "SELECT last_seq, chain_after FROM batch WHERE last_seq <= ? ORDER BY last_seq DESC LIMIT 1",
    )
    .bind(stored(wanted))
    .fetch_optional(&mut *conn)
    .await?;
    let Some((seq, chain)) = end else {
        return Ok(());
    };
    let damaged = || OutboxError::Damaged("a batch has no valid end".to_owned());
    standing.acked_chain = handfast_proto::chain::Chain::from_slice(&chain).ok_or_else(damaged)?;
    standing.acked_seq = u64::try_from(seq).map_err(|_| damaged())?;
    sqlx::query("DELETE FROM batch WHERE last_seq <= ?")
        .bind(seq)
        .execute(conn)
        .await?;
    Ok(())
}

/// Takes the write-ahead log into the file and gives its room back: on a small disk it may be what fills
/// it. Where even that has no room, the next commit says so.
async fn make_room(conn: &mut SqliteConnection) {
    let done = sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)")
        .fetch_all(conn)
        .await;
    if let Err(error) = done {
        tracing::debug!(%error, "the write-ahead log could not be taken into the outbox's file");
    }
}

async fn begin(conn: &mut SqliteConnection) -> Result<(), OutboxError> {
    sqlx::query("BEGIN IMMEDIATE").execute(conn).await?;
    Ok(())
}

async fn commit(conn: &mut SqliteConnection) -> Result<(), OutboxError> {
    sqlx::query("COMMIT").execute(conn).await?;
    Ok(())
}
