//! Sources that insert, and recipients that read on from their cursor and commit the newest on a connection of its own.
//!
//! An amendment's key is (source, seq), and a cursor is a seq for each source: with one rising id for all, a
//! reader could pass over a row that was numbered before, and committed after, the last it saw.

use std::{sync::Arc, time::Duration};

use anyhow::Context as _;
use bytes::Bytes;
use futures::{FutureExt as _, StreamExt as _, future::BoxFuture, stream::FuturesOrdered};
use tokio::{
    sync::watch,
    time::{MissedTickBehavior, interval},
};
use tokio_postgres::{
    Client as Connection, Config, Error, Row, Statement,
    types::{ToSql, Type},
};

use super::cluster::{Cluster, SETTINGS, connect};
use crate::load::{
    peers::{
        options::{Kind, Shape},
        payloads::{MAX_STRETCH, PAYLOAD_BYTES, Payloads},
        peer::{About, Client, Peer},
        work::{CURSOR_EVERY, MAX_UNACKED, Work},
    },
    report::words::count,
};

/// Rows of an insert where a source sends as fast as it may.
const BATCH: u64 = MAX_STRETCH;
/// Inserts under way at most where amendments are due at times: an insert takes all that became due while the two
/// before it were committed, so that none waits behind many commits of one row each.
const STEADY_IN_FLIGHT: u64 = 2;
/// Rows of such an insert at most.
const STEADY_BATCH: u64 = MAX_UNACKED / STEADY_IN_FLIGHT;
/// Rows that a recipient reads at once, of all sources together, and of one at least.
const READ_ROWS: usize = 1_024;
const READ_ROWS_LEAST: usize = 64;
/// How long a recipient waits where there was nothing to read. It is not told by NOTIFY, which has commits wait for one
/// another.
const IDLE: Duration = Duration::from_millis(2);

const TABLES: &str = "
    CREATE TABLE amendment (
        source int4 NOT NULL, seq int8 NOT NULL, payload bytea NOT NULL, PRIMARY KEY (source, seq));
    ALTER TABLE amendment ALTER COLUMN payload SET STORAGE EXTERNAL;
    CREATE TABLE consumer (id int4 PRIMARY KEY, cursors int8[] NOT NULL) WITH (fillfactor = 10);";
const INSERT: &str = "INSERT INTO amendment SELECT $1, s, p FROM unnest($2::int8[], $3::bytea[]) AS t (s, p)";
const READ: &str = "
    SELECT l.source, l.seq, l.payload
    FROM unnest($1::int4[], $2::int8[]) AS c (source, cursor)
    CROSS JOIN LATERAL (
        SELECT a.source, a.seq, a.payload FROM amendment a
        WHERE a.source = c.source AND a.seq > c.cursor ORDER BY a.seq LIMIT $3) AS l";
const COMMIT: &str = "UPDATE consumer SET cursors = $2 WHERE id = $1";

/// A cluster with the tables.
pub(in crate::load::peers) struct PostgreSql {
    cluster: Cluster,
}

impl PostgreSql {
    pub(in crate::load::peers) async fn start(shape: Shape) -> anyhow::Result<Self> {
        let cluster = Cluster::start().await?;
        let client = connect(&cluster.config()).await?;
        client.batch_execute(TABLES).await.context("make the tables")?;
        let none = vec![0_i64; shape.sources];
        for consumer in 0..i32::try_from(shape.recipients)? {
            let row: [&(dyn ToSql + Sync); 2] = [&consumer, &none];
            client
                .execute("INSERT INTO consumer VALUES ($1, $2)", &row)
                .await?;
        }
        Ok(Self { cluster })
    }
}

impl Peer for PostgreSql {
    fn about(&self) -> About {
        About {
            peer: Kind::PostgreSql,
            version: self.cluster.version.clone(),
            settings: vec![
                SETTINGS.join(", "),
                format!(
                    "sources: batches of {BATCH} by UNNEST, a prepared statement and a commit each, pipelined on a \
                     connection of their own, {} amendments on their way unconfirmed at most, by a unix socket in \
                     plain text",
                    count(MAX_UNACKED)
                ),
                format!(
                    "at a steady rate: all that is due in one insert, {STEADY_IN_FLIGHT} inserts under way at most"
                ),
                format!(
                    "recipients: up to {READ_ROWS} rows beyond the cursor at once; the newest cursor committed every \
                     {} ms at most, on a connection of its own",
                    CURSOR_EVERY.as_millis()
                ),
                format!(
                    "recipients look every {} ms where there was nothing, because NOTIFY would have the commits queue: \
                     the latency has this wait in it",
                    IDLE.as_millis()
                ),
            ],
        }
    }

    fn pid(&self) -> anyhow::Result<u32> {
        Ok(self.cluster.pid())
    }

    fn source(&self, place: usize, work: Arc<Work>) -> anyhow::Result<Client> {
        Ok(Box::pin(source(self.cluster.config(), place, work)))
    }

    fn recipient(&self, place: usize, work: Arc<Work>) -> anyhow::Result<Client> {
        Ok(Box::pin(recipient(self.cluster.config(), place, work)))
    }

    fn finished(self: Box<Self>) {}
}

async fn source(config: Config, place: usize, work: Arc<Work>) -> anyhow::Result<()> {
    let client = Arc::new(connect(&config).await?);
    let types = [Type::INT4, Type::INT8_ARRAY, Type::BYTEA_ARRAY];
    let insert = client
        .prepare_typed(INSERT, &types)
        .await
        .context("prepare the insert")?;
    // As fast as it goes, what may be unconfirmed bounds the inserts under way.
    let (batch, most) = match work.schedule() {
        None => (BATCH, MAX_UNACKED / BATCH),
        Some(_) => (STEADY_BATCH, STEADY_IN_FLIGHT),
    };
    let mut next = 1;
    let mut in_flight: FuturesOrdered<BoxFuture<'static, Result<u64, Error>>> = FuturesOrdered::new();
    let mut durable = 0;
    loop {
        tokio::select! {
            Some(rows) = in_flight.next(), if !in_flight.is_empty() => {
                durable += rows.context("insert")?;
                work.acked(place, durable)?;
            }
            count = work.turn(place, batch), if (in_flight.len() as u64) < most => {
                work.sent(place, count);
                let payloads = Arc::clone(&work.payloads);
                let rows = Rows { payloads, source: place, first: next, count };
                in_flight.push_back(insert_rows(Arc::clone(&client), insert.clone(), rows));
                next += count;
            }
        }
    }
}

/// A source's amendments, to be inserted together.
struct Rows {
    payloads: Arc<Payloads>,
    source: usize,
    first: u64,
    count: u64,
}

fn insert_rows(
    client: Arc<Connection>,
    insert: Statement,
    rows: Rows,
) -> BoxFuture<'static, Result<u64, Error>> {
    async move {
        let seqs: Vec<i64> = (rows.first..rows.first + rows.count)
            .map(u64::cast_signed)
            .collect();
        let stretches: Vec<Bytes> = (0..rows.count)
            .step_by(MAX_STRETCH as usize)
            .map(|before| {
                rows.payloads
                    .stretch(rows.source, rows.first + before, rows.count - before)
            })
            .collect();
        let payloads: Vec<&[u8]> = stretches
            .iter()
            .flat_map(|s| s.chunks_exact(PAYLOAD_BYTES))
            .collect();
        let source = rows.source as i32;
        let row: [&(dyn ToSql + Sync); 3] = [&source, &seqs, &payloads];
        client.execute(&insert, &row).await
    }
    .boxed()
}

async fn recipient(config: Config, place: usize, work: Arc<Work>) -> anyhow::Result<()> {
    let (newest, cursors) = watch::channel(vec![0_i64; work.shape.sources]);
    let keeper = Keeper::open(&config, place, cursors).await?;
    tokio::select! {
        ended = read_on(&config, place, &work, &newest) => ended,
        ended = keeper.run() => ended,
    }
}

/// Reads what there is, and tells how far it is. Ends only with an error.
async fn read_on(
    config: &Config,
    place: usize,
    work: &Work,
    newest: &watch::Sender<Vec<i64>>,
) -> anyhow::Result<()> {
    let client = connect(config).await?;
    let types = [Type::INT4_ARRAY, Type::INT8_ARRAY, Type::INT8];
    let read = client
        .prepare_typed(READ, &types)
        .await
        .context("prepare the reading")?;
    let sources: Vec<i32> = (0..i32::try_from(work.shape.sources)?).collect();
    let limit = i64::try_from((READ_ROWS / sources.len().max(1)).max(READ_ROWS_LEAST))?;
    let mut cursors = newest.borrow().clone();
    work.ready();
    loop {
        let reading: [&(dyn ToSql + Sync); 3] = [&sources, &cursors, &limit];
        let rows = client.query(&read, &reading).await.context("read")?;
        if rows.is_empty() {
            tokio::time::sleep(IDLE).await;
            continue;
        }
        take(&rows, place, &mut cursors, work)?;
        newest.send_replace(cursors.clone());
    }
}

/// Commits the cursors of a recipient on a connection of its own, so that no reading waits for a commit.
struct Keeper {
    client: Connection,
    commit: Statement,
    id: i32,
    newest: watch::Receiver<Vec<i64>>,
}

impl Keeper {
    async fn open(config: &Config, place: usize, newest: watch::Receiver<Vec<i64>>) -> anyhow::Result<Self> {
        let client = connect(config).await?;
        let commit = client
            .prepare_typed(COMMIT, &[Type::INT4, Type::INT8_ARRAY])
            .await
            .context("prepare the cursor")?;
        let id = i32::try_from(place)?;
        Ok(Self {
            client,
            commit,
            id,
            newest,
        })
    }

    /// One commit under way, of the newest, at most every [`CURSOR_EVERY`]. Ends only with an error.
    async fn run(mut self) -> anyhow::Result<()> {
        let mut every = interval(CURSOR_EVERY);
        every.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            self.newest.changed().await.context("nobody reads any more")?;
            every.tick().await;
            let cursors = self.newest.borrow_and_update().clone();
            let row: [&(dyn ToSql + Sync); 2] = [&self.id, &cursors];
            let committed = self.client.execute(&self.commit, &row).await;
            committed.context("commit the cursor")?;
        }
    }
}

/// Counts what was read, stretch by stretch of one source.
fn take(rows: &[Row], place: usize, cursors: &mut [i64], work: &Work) -> anyhow::Result<()> {
    let of = |row: &Row| row.try_get::<_, i32>(0);
    for stretch in rows.chunk_by(|a, b| of(a).ok() == of(b).ok()) {
        let [first, ..] = stretch else { continue };
        let source = usize::try_from(of(first)?)?;
        let amendments: Result<Vec<(u64, &[u8])>, Error> = stretch.iter().map(amendment).collect();
        let amendments = amendments.context("read a row")?;
        let cursor = cursors.get_mut(source).context("a source")?;
        *cursor = amendments.last().map_or(*cursor, |(seq, _)| seq.cast_signed());
        work.got(source, place, amendments)?;
    }
    Ok(())
}

/// A row: its seq and its payload.
fn amendment(row: &Row) -> Result<(u64, &[u8]), Error> {
    Ok((row.try_get::<_, i64>(1)?.cast_unsigned(), row.try_get(2)?))
}
