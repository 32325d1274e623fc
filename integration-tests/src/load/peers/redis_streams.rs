//! Redis as a peer: a stream a source, every recipient's cursors in a key of its own.
//!
//! Invariant: appendfsync always, so that nothing is answered before it is on the disk.

use std::{
    fs,
    ops::Range,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail, ensure};
use futures::{FutureExt as _, StreamExt as _, future::BoxFuture, stream::FuturesOrdered};
use parking_lot::Mutex;
use redis::{AsyncConnectionConfig, Pipeline, RedisError, Value, aio::MultiplexedConnection, cmd};
use tempfile::TempDir;

use super::{
    find,
    options::Kind,
    payloads::{MAX_STRETCH, PAYLOAD_BYTES, Payloads},
    peer::{About, Client, Peer},
    work::{CURSOR_EVERY, MAX_UNACKED, Work},
};
use crate::{
    harness::{Process, wait_until_async},
    load::report::words::count,
};

/// Amendments of a transaction at most.
const BATCH: u64 = MAX_STRETCH;
/// Entries that a recipient reads at once, of all sources together, and of one at least.
const READ_ENTRIES: usize = 1_024;
const READ_ENTRIES_LEAST: usize = 64;
/// How long a recipient's XREAD waits for an entry at most, before it is sent again.
const BLOCK_AT_MOST: Duration = Duration::from_millis(500);
/// How long it may take until it takes connections.
const READY_WITHIN: Duration = Duration::from_secs(20);

/// What is set beside the defaults. No rewriting of the file falls into a round.
const SETTINGS: &[&str] = &[
    "appendonly yes",
    "appendfsync always",
    "auto-aof-rewrite-percentage 0",
    "save \"\"",
    "stream-node-max-bytes 1mb",
    "stream-node-max-entries 1000",
    "port 0",
];

/// A server that is up.
pub(super) struct Redis {
    // Ended before its folder goes.
    process: Process,
    dir: TempDir,
    version: String,
}

impl Redis {
    pub(super) async fn start() -> anyhow::Result<Self> {
        let program = find::redis()?;
        let version = find::version(&program).await?;
        let dir = tempfile::Builder::new()
            .prefix("handfast-redis-")
            .tempdir()
            .context("make a temporary folder")?;
        let conf = dir.path().join("redis.conf");
        let socket = dir.path().join("redis.sock");
        let own = format!(
            "dir {}\nunixsocket {}\ndaemonize no\n",
            dir.path().display(),
            socket.display()
        );
        fs::write(&conf, format!("{}\n{own}", SETTINGS.join("\n"))).context("write redis.conf")?;
        let log = dir.path().join("redis.log");
        let process = Mutex::new(Process::spawn_as(&program, &[&conf], &log, &[], true)?);
        wait_until_async("Redis takes connections", READY_WITHIN, || async {
            if let Some(status) = process.lock().ended() {
                let said = fs::read_to_string(&log).unwrap_or_default();
                return Err(format!("it ended with {status}: {said}"));
            }
            connect(&socket).await.map(drop).map_err(|e| format!("{e:#}"))
        })
        .await?;
        Ok(Self {
            process: process.into_inner(),
            dir,
            version,
        })
    }

    fn socket(&self) -> std::path::PathBuf {
        self.dir.path().join("redis.sock")
    }
}

impl Peer for Redis {
    fn about(&self) -> About {
        About {
            peer: Kind::Redis,
            version: self.version.clone(),
            settings: vec![
                SETTINGS.join(", "),
                format!(
                    "sources: a stream each, MULTI with up to {BATCH} XADD and EXEC, pipelined, {} amendments on their way \
                     unconfirmed at most, by a unix socket in plain text",
                    count(MAX_UNACKED)
                ),
                format!(
                    "recipients: XREAD of up to {READ_ENTRIES} entries at once, which blocks where there is nothing; \
                     the cursors SET with the next, every {} ms at most",
                    CURSOR_EVERY.as_millis()
                ),
            ],
        }
    }

    fn pid(&self) -> anyhow::Result<u32> {
        Ok(self.process.pid())
    }

    fn source(&self, place: usize, work: Arc<Work>) -> anyhow::Result<Client> {
        let socket = self.socket();
        Ok(Box::pin(async move { source(&socket, place, work).await }))
    }

    fn recipient(&self, place: usize, work: Arc<Work>) -> anyhow::Result<Client> {
        let socket = self.socket();
        Ok(Box::pin(async move { recipient(&socket, place, work).await }))
    }

    fn finished(self: Box<Self>) {}
}

async fn connect(socket: &Path) -> anyhow::Result<MultiplexedConnection> {
    let client = redis::Client::open(format!("redis+unix://{}", socket.display()))?;
    let config = AsyncConnectionConfig::new().set_response_timeout(None);
    Ok(client
        .get_multiplexed_async_connection_with_config(&config)
        .await?)
}

fn stream_name(source: usize) -> String {
    format!("s{source}")
}

async fn source(socket: &Path, place: usize, work: Arc<Work>) -> anyhow::Result<()> {
    let connection = connect(socket).await?;
    let mut next = 1;
    let mut in_flight: FuturesOrdered<BoxFuture<'static, Result<u64, RedisError>>> = FuturesOrdered::new();
    loop {
        tokio::select! {
            Some(last) = in_flight.next(), if !in_flight.is_empty() => {
                work.acked(place, last.context("add to a stream")?)?;
            }
            count = work.turn(place, BATCH) => {
                work.sent(place, count);
                let payloads = Arc::clone(&work.payloads);
                in_flight.push_back(add(connection.clone(), payloads, place, next..next + count));
                next += count;
            }
        }
    }
}

/// Adds a source's amendments; the last seq, once it is answered.
fn add(
    mut connection: MultiplexedConnection,
    payloads: Arc<Payloads>,
    place: usize,
    seqs: Range<u64>,
) -> BoxFuture<'static, Result<u64, RedisError>> {
    async move {
        let (name, last) = (stream_name(place), seqs.end - 1);
        let stretch = payloads.stretch(place, seqs.start, seqs.end - seqs.start);
        let mut pipeline = Pipeline::with_capacity(BATCH as usize);
        // In one transaction: Redis reads 16 KiB of a connection at a time, and would sync after each.
        pipeline.atomic();
        for (seq, payload) in seqs.zip(stretch.chunks_exact(PAYLOAD_BYTES)) {
            pipeline
                .cmd("XADD")
                .arg(&name)
                .arg(format!("{seq}-0"))
                .arg("p")
                .arg(payload)
                .ignore();
        }
        pipeline.exec_async(&mut connection).await?;
        Ok(last)
    }
    .boxed()
}

async fn recipient(socket: &Path, place: usize, work: Arc<Work>) -> anyhow::Result<()> {
    let mut connection = connect(socket).await?;
    let sources = work.shape.sources;
    let limit = (READ_ENTRIES / sources.max(1)).max(READ_ENTRIES_LEAST);
    let mut cursors = vec![0_u64; sources];
    work.ready();
    // Whether the cursors moved since they were SET, and when they may be next.
    let (mut moved, mut next) = (false, Instant::now());
    loop {
        let mut pipeline = Pipeline::new();
        if moved && Instant::now() >= next {
            let all: Vec<String> = cursors.iter().map(u64::to_string).collect();
            pipeline
                .cmd("SET")
                .arg(format!("cursors:{place}"))
                .arg(all.join(","))
                .ignore();
            (moved, next) = (false, Instant::now() + CURSOR_EVERY);
        }
        let block = block_for(moved.then(|| next.saturating_duration_since(Instant::now())));
        let mut read = cmd("XREAD");
        read.arg("COUNT")
            .arg(limit)
            .arg("BLOCK")
            .arg(block)
            .arg("STREAMS");
        for source in 0..sources {
            read.arg(stream_name(source));
        }
        for cursor in &cursors {
            read.arg(format!("{cursor}-0"));
        }
        pipeline.add_command(read);
        let (answer,): (Value,) = pipeline
            .query_async(&mut connection)
            .await
            .context("read the streams")?;
        moved |= take(&answer, place, &mut cursors, &work)?;
    }
}

/// How long an XREAD may block, in milliseconds: no longer than until the cursors are to be SET, where they are. Never
/// 0, which is for ever to Redis.
fn block_for(until_set: Option<Duration>) -> u64 {
    let block = until_set.map_or(BLOCK_AT_MOST, |left| left.min(BLOCK_AT_MOST));
    u64::try_from(block.as_millis()).unwrap_or(u64::MAX).max(1)
}

/// Counts what an XREAD answered; whether that was anything.
fn take(answer: &Value, place: usize, cursors: &mut [u64], work: &Work) -> anyhow::Result<bool> {
    let Value::Array(streams) = answer else {
        ensure!(matches!(answer, Value::Nil), "an unknown answer of XREAD");
        return Ok(false);
    };
    for stream in streams {
        let [Value::BulkString(name), Value::Array(entries)] = array(stream)? else {
            bail!("an unknown stream in an answer of XREAD");
        };
        let name = std::str::from_utf8(name)?;
        let source: usize = name.strip_prefix('s').context("a stream's name")?.parse()?;
        let amendments: Vec<(u64, &[u8])> = entries.iter().map(amendment).collect::<anyhow::Result<_>>()?;
        let cursor = cursors.get_mut(source).context("a source")?;
        *cursor = amendments.last().map_or(*cursor, |(seq, _)| *seq);
        work.got(source, place, amendments)?;
    }
    Ok(!streams.is_empty())
}

/// An entry of a stream: its seq and its payload.
fn amendment(entry: &Value) -> anyhow::Result<(u64, &[u8])> {
    let [Value::BulkString(id), fields] = array(entry)? else {
        bail!("an unknown entry in an answer of XREAD");
    };
    let [_, Value::BulkString(payload)] = array(fields)? else {
        bail!("an entry without its payload");
    };
    let id = std::str::from_utf8(id)?;
    let seq = id.strip_suffix("-0").context("an entry's id")?.parse()?;
    Ok((seq, payload))
}

fn array(value: &Value) -> anyhow::Result<&[Value]> {
    match value {
        Value::Array(items) => Ok(items),
        other => bail!("instead of a list: {other:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::peers::options::Shape;

    fn bulk(text: &str) -> Value {
        Value::BulkString(text.as_bytes().to_vec())
    }

    fn answer(work: &Work, seqs: Range<u64>) -> Value {
        let entry = |seq: u64| {
            let payload = work.payloads.stretch(1, seq, 1).to_vec();
            let fields = Value::Array(vec![bulk("p"), Value::BulkString(payload)]);
            Value::Array(vec![bulk(&format!("{seq}-0")), fields])
        };
        let entries = Value::Array(seqs.map(entry).collect());
        Value::Array(vec![Value::Array(vec![bulk("s1"), entries])])
    }

    #[test]
    fn a_reading_never_blocks_for_ever_nor_beyond_the_cursors() {
        assert_eq!(block_for(None), 500);
        assert_eq!(block_for(Some(Duration::from_millis(20))), 20);
        assert_eq!(block_for(Some(Duration::ZERO)), 1);
    }

    #[test]
    fn entries_are_counted_where_they_follow_on() {
        let shape = Shape {
            sources: 2,
            recipients: 1,
        };
        let work = Work::new(shape, Payloads::new(), None);
        let mut cursors = [0, 0];
        let mut take = |value: &Value| take(value, 0, &mut cursors, &work);
        assert!(take(&answer(&work, 1..3)).unwrap());
        assert!(!take(&Value::Nil).unwrap());
        assert!(take(&answer(&work, 4..5)).is_err());
        assert!(take(&answer(&work, 3..4)).unwrap());
        assert_eq!((cursors, work.got_in_all()), ([0, 3], 3));
    }
}
