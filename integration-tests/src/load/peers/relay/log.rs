//! The relay's log: one file, appended to by one thread. What came meanwhile is written together and synced
//! once; then it is acknowledged and forwarded.
//!
//! Invariants: nothing is acknowledged or forwarded before it is synced; every queue is bounded, and a
//! subscriber whose queue is full holds everyone up (a relay of one's own would have to do better).

use std::{
    fs::File,
    io::{IoSlice, Write as _},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use anyhow::Context as _;
use bytes::{BufMut as _, Bytes, BytesMut};
use handfast_proto::v1::Deliver;
use parking_lot::Mutex;
use tokio::sync::{mpsc, watch};

/// What may wait to be written: some 16 MiB.
const QUEUE_ENTRIES: usize = 256;
/// What is written together at most; each takes three slices of the 1,024 that one write may have.
const COMMIT_ENTRIES: usize = 256;
/// Deliveries that may wait for a subscriber's transport: 4 MiB.
const SUBSCRIBER_QUEUE: usize = 64;

/// Kinds of frames in the file.
const BATCH: u8 = 1;
const CURSOR: u8 = 2;

/// What is written.
pub(super) enum Entry {
    /// A batch, acknowledged with its last seq.
    Batch {
        deliver: Deliver,
        last_seq: u64,
        acks: Arc<watch::Sender<u64>>,
    },
    /// How far a consumer is, where it has moved.
    Cursor(Arc<Cursor>),
}

/// How far a consumer is; written with whatever is written next.
#[derive(Debug, Default)]
pub(super) struct Cursor {
    consumer: [u8; 16],
    at: AtomicU64,
    waits: AtomicBool,
}

/// The way to the log.
#[derive(Clone)]
pub(super) struct Log {
    entries: mpsc::Sender<Entry>,
    subscribers: Arc<Mutex<Vec<mpsc::Sender<Deliver>>>>,
}

impl Log {
    /// Begins to write to a file; ends when the last `Log` is dropped.
    pub(super) fn start(file: File) -> anyhow::Result<Self> {
        let (entries, queue) = mpsc::channel(QUEUE_ENTRIES);
        let subscribers = Arc::new(Mutex::new(Vec::new()));
        let writer = Writer {
            file,
            queue,
            subscribers: Arc::clone(&subscribers),
        };
        std::thread::Builder::new()
            .name("log".to_owned())
            .spawn(move || writer.run())
            .context("start the log's thread")?;
        Ok(Self { entries, subscribers })
    }

    /// Hands an entry over; false where the log is not written any more.
    pub(super) async fn write(&self, entry: Entry) -> bool {
        self.entries.send(entry).await.is_ok()
    }

    /// Everything that is synced from now on.
    pub(super) fn subscribe(&self) -> mpsc::Receiver<Deliver> {
        let (to, from) = mpsc::channel(SUBSCRIBER_QUEUE);
        self.subscribers.lock().push(to);
        from
    }

    /// A consumer has got so far.
    pub(super) async fn moved(&self, cursor: &Arc<Cursor>, at: u64) -> bool {
        cursor.at.store(at, Ordering::Release);
        let waits = cursor.waits.swap(true, Ordering::AcqRel);
        waits || self.write(Entry::Cursor(Arc::clone(cursor))).await
    }
}

impl Cursor {
    pub(super) fn of(consumer: [u8; 16]) -> Arc<Self> {
        Arc::new(Self {
            consumer,
            ..Self::default()
        })
    }
}

struct Writer {
    file: File,
    queue: mpsc::Receiver<Entry>,
    subscribers: Arc<Mutex<Vec<mpsc::Sender<Deliver>>>>,
}

impl Writer {
    fn run(mut self) {
        let mut entries = Vec::with_capacity(COMMIT_ENTRIES);
        while self.queue.blocking_recv_many(&mut entries, COMMIT_ENTRIES) > 0 {
            if let Err(e) = commit(&mut self.file, &entries) {
                tell(&e);
                return;
            }
            self.publish(entries.drain(..));
        }
    }

    fn publish(&self, entries: impl Iterator<Item = Entry>) {
        let mut subscribers = self.subscribers.lock().clone();
        for entry in entries {
            if let Entry::Batch {
                deliver,
                last_seq,
                acks,
            } = entry
            {
                acks.send_replace(last_seq);
                subscribers.retain(|to| to.blocking_send(deliver.clone()).is_ok());
            }
        }
        self.subscribers.lock().retain(|to| !to.is_closed());
    }
}

/// Writes and syncs.
fn commit(file: &mut File, entries: &[Entry]) -> anyhow::Result<()> {
    let frames: Vec<(Bytes, Bytes, Bytes)> = entries.iter().map(frame).collect();
    let mut slices: Vec<IoSlice<'_>> = frames
        .iter()
        .flat_map(|(head, header, body)| [head, header, body])
        .filter(|part| !part.is_empty())
        .map(|part| IoSlice::new(part))
        .collect();
    let mut rest = slices.as_mut_slice();
    while !rest.is_empty() {
        let written = file.write_vectored(rest).context("write to the log")?;
        anyhow::ensure!(written > 0, "the log takes nothing");
        IoSlice::advance_slices(&mut rest, written);
    }
    file.sync_data().context("sync the log")
}

/// A frame: its kind and lengths, and what follows.
fn frame(entry: &Entry) -> (Bytes, Bytes, Bytes) {
    let mut head = BytesMut::with_capacity(64);
    match entry {
        Entry::Batch { deliver, .. } => {
            head.put_u8(BATCH);
            for part in [deliver.source.len(), deliver.header.len(), deliver.body.len()] {
                head.put_u32(u32::try_from(part).unwrap_or(u32::MAX));
            }
            head.put(deliver.source.as_bytes());
            (head.freeze(), deliver.header.clone(), deliver.body.clone())
        }
        Entry::Cursor(cursor) => {
            cursor.waits.store(false, Ordering::Release);
            head.put_u8(CURSOR);
            head.put(cursor.consumer.as_slice());
            head.put_u64(cursor.at.load(Ordering::Acquire));
            (head.freeze(), Bytes::new(), Bytes::new())
        }
    }
}

#[expect(clippy::print_stderr, reason = "the relay's log of itself")]
fn tell(error: &anyhow::Error) {
    eprintln!("the log failed: {error:#}");
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    #[tokio::test]
    async fn what_is_acknowledged_stands_in_the_file_and_cursors_with_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let log = Log::start(File::create(&path).unwrap()).unwrap();
        let mut feed = log.subscribe();
        let (acks, mut acked) = watch::channel(0);
        let cursor = Cursor::of([7; 16]);
        assert!(log.moved(&cursor, 41).await);
        let deliver = Deliver {
            source: "Z00001".to_owned(),
            header: Bytes::from_static(b"header"),
            body: Bytes::from_static(b"body"),
            ..Deliver::default()
        };
        let entry = Entry::Batch {
            deliver: deliver.clone(),
            last_seq: 9,
            acks: Arc::new(acks),
        };
        assert!(log.write(entry).await);
        acked.wait_for(|seq| *seq == 9).await.unwrap();
        let mut file = Vec::new();
        File::open(&path).unwrap().read_to_end(&mut file).unwrap();
        assert!(file.ends_with(b"Z00001headerbody"));
        assert_eq!(file[0], CURSOR);
        assert_eq!(file[17..25], 41_u64.to_be_bytes());
        assert_eq!(feed.recv().await, Some(deliver));
    }
}
