//! What a source sent, as its own driver wrote it down before sending: 12 bytes an amendment and 16 a record.
//!
//! Invariants: one writer; seqs are 1, 2, 3 …; an amendment is in the log before it is on the wire, so that
//! whoever receives it finds it. Nothing locks: a reader sees everything up to [`SourceLog::head`].

use std::sync::{
    OnceLock,
    atomic::{AtomicU32, Ordering::Relaxed, Ordering::Release},
};

use anyhow::Context as _;
use handfast_proto::amendment::Op;

/// Entries that are allocated at one time.
const CHUNK_ENTRIES: usize = 1 << 13;
/// Chunks of one source: with [`CHUNK_ENTRIES`], 134 million amendments.
const MAX_CHUNKS: usize = 1 << 14;
/// The bit above a patient's place (at most a million patients) that says private.
const PRIVATE: u32 = 1 << 31;
/// Where the op stands above a patient's place.
const OP_SHIFT: u32 = 28;
const PATIENT_MASK: u32 = (1 << OP_SHIFT) - 1;

/// One amendment, as it was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::load) struct Sent {
    /// Which record, counted from 0.
    pub(in crate::load) record: u32,
    /// Whose, by place.
    pub(in crate::load) patient: u32,
    pub(in crate::load) op: Op,
    pub(in crate::load) private: bool,
    /// When it was to be sent, microseconds of the run's clock, modulo 2^32.
    pub(in crate::load) due_us: u32,
}

/// What is known of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::load) struct RecordState {
    /// The hash of its name.
    pub(super) name: u32,
    pub(super) patient: u32,
    /// The seq of its newest version; 0: none.
    pub(super) last: u32,
    /// The newest seq at which it was private; 0: never.
    pub(super) private_at: u32,
}

#[derive(Debug, Default)]
struct Entry {
    record: AtomicU32,
    what: AtomicU32,
    due_us: AtomicU32,
}

#[derive(Debug, Default)]
struct Record {
    name: AtomicU32,
    patient: AtomicU32,
    last: AtomicU32,
    private_at: AtomicU32,
}

/// An array that grows at its end while others read it.
#[derive(Debug)]
struct Chunks<T>(Box<[OnceLock<Box<[T]>>]>);

impl<T: Default> Chunks<T> {
    fn new() -> Self {
        Self((0..MAX_CHUNKS).map(|_| OnceLock::new()).collect())
    }

    fn get(&self, at: usize) -> Option<&T> {
        self.0.get(at / CHUNK_ENTRIES)?.get()?.get(at % CHUNK_ENTRIES)
    }

    fn make(&self, at: usize) -> Option<&T> {
        let chunk = self.0.get(at / CHUNK_ENTRIES)?;
        let fresh = || (0..CHUNK_ENTRIES).map(|_| T::default()).collect();
        chunk.get_or_init(fresh).get(at % CHUNK_ENTRIES)
    }
}

/// What one source sent.
#[derive(Debug)]
pub(in crate::load) struct SourceLog {
    entries: Chunks<Entry>,
    records: Chunks<Record>,
    /// Entries, and records known so far.
    head: AtomicU32,
    known: AtomicU32,
}

impl SourceLog {
    pub(in crate::load) fn new() -> Self {
        Self {
            entries: Chunks::new(),
            records: Chunks::new(),
            head: AtomicU32::new(0),
            known: AtomicU32::new(0),
        }
    }

    /// Writes down the next amendment, before it is sent; `name` is the hash of its record's name. For one thread.
    pub(in crate::load) fn push(&self, sent: Sent, name: u32) -> anyhow::Result<()> {
        let at = self.head.load(Relaxed);
        let entry = self.entries.make(at as usize);
        let entry = entry.context("one source may send 134 million amendments in a run")?;
        let private = if sent.private { PRIVATE } else { 0 };
        let op = u32::try_from(sent.op as i32).unwrap_or(0) << OP_SHIFT;
        entry.record.store(sent.record, Relaxed);
        entry
            .what
            .store(sent.patient & PATIENT_MASK | op | private, Relaxed);
        entry.due_us.store(sent.due_us, Relaxed);
        let record = self.records.make(sent.record as usize);
        let record = record.context("too many records of one source")?;
        record.name.store(name, Relaxed);
        record.patient.store(sent.patient, Relaxed);
        record.last.store(at + 1, Relaxed);
        if sent.private {
            record.private_at.store(at + 1, Relaxed);
        }
        self.known.fetch_max(sent.record + 1, Relaxed);
        self.head.store(at + 1, Release);
        Ok(())
    }

    /// The last seq that was sent; 0: none.
    pub(in crate::load) fn head(&self) -> u32 {
        self.head.load(std::sync::atomic::Ordering::Acquire)
    }

    /// The amendment with a seq, where it was sent.
    pub(in crate::load) fn get(&self, seq: u32) -> Option<Sent> {
        if seq == 0 || seq > self.head() {
            return None;
        }
        let entry = self.entries.get(seq as usize - 1)?;
        let what = entry.what.load(Relaxed);
        Some(Sent {
            record: entry.record.load(Relaxed),
            patient: what & PATIENT_MASK,
            op: i32::try_from(what >> OP_SHIFT & 7)
                .ok()
                .and_then(|op| Op::try_from(op).ok())
                .unwrap_or(Op::Unspecified),
            private: what & PRIVATE != 0,
            due_us: entry.due_us.load(Relaxed),
        })
    }

    /// How many records it has had.
    pub(super) fn records(&self) -> u32 {
        self.known.load(Relaxed)
    }

    /// How a record stands.
    pub(super) fn record(&self, record: u32) -> Option<RecordState> {
        let known = self.records.get(record as usize)?;
        Some(RecordState {
            name: known.name.load(Relaxed),
            patient: known.patient.load(Relaxed),
            last: known.last.load(Relaxed),
            private_at: known.private_at.load(Relaxed),
        })
    }
}

/// FNV-1a: names are short.
pub(in crate::load) fn hash(name: &[u8]) -> u32 {
    name.iter().fold(0x811c_9dc5, |hash, byte| {
        (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_pushed_is_found_and_nothing_else() {
        let log = SourceLog::new();
        let name = hash(b"Observation/7");
        let sent = |n: u32| Sent {
            record: n % 5,
            patient: 999_999 - n,
            op: if n < 5 { Op::Create } else { Op::Retract },
            private: n.is_multiple_of(3),
            due_us: n * 17,
        };
        let many = u32::try_from(CHUNK_ENTRIES).unwrap() + 3;
        for n in 0..many {
            log.push(sent(n), name).unwrap();
        }
        assert_eq!((log.head(), log.records()), (many, 5));
        for n in [0, 1, 4, 5, many - 1] {
            assert_eq!(log.get(n + 1), Some(sent(n)));
        }
        assert_eq!((log.get(0), log.get(many + 1)), (None, None));
        let last = log.record(4).unwrap();
        assert_eq!((last.last, last.name), (many - (many - 5) % 5, name));
        assert!(last.private_at > 0 && last.private_at <= last.last);
    }
}
