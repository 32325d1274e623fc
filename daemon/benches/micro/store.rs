//! A commit of the log to SQLite: durable when it returns, so what an fsync of this disk costs is in every figure, and
//! so is the checkpoint that some commits come upon. The batches of one commit are of several units, as when they
//! arrive while the commit before is running.

use std::sync::Arc;

use divan::{Bencher, counter::ItemsCount};
use handfast_daemon::store::{AppendGroup, LogBatch, Store as _};
use handfast_proto::limits::MAX_BATCH_AMENDMENTS;
use tokio::runtime;

use crate::kit::{self, Outbox};

/// Units that the batches come from, in turn.
const SOURCES: usize = 16;

/// Commits measured of each size: what they write is at most 64 batches of 64 KiB each.
const COMMITS: u32 = 100;

#[divan::bench(args = [1, 16, 64], sample_count = COMMITS, sample_size = 1)]
fn append(bencher: Bencher<'_, '_>, batches: usize) {
    let dir = kit::folder();
    let runtime = runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let store = runtime.block_on(kit::store(dir.path(), SOURCES));
    let patients = kit::patients(MAX_BATCH_AMENDMENTS);
    let mut outboxes: Vec<Outbox> = (0..SOURCES)
        .map(|n| Outbox::new(kit::unit(n), &patients))
        .collect();
    bencher
        .counter(ItemsCount::new(batches * MAX_BATCH_AMENDMENTS))
        .with_inputs(|| group(&mut outboxes, batches))
        .bench_local_values(|group| runtime.block_on(store.append(&group)).unwrap());
    runtime.block_on(store.close());
}

/// Those of one source are consecutive.
fn group(outboxes: &mut [Outbox], batches: usize) -> AppendGroup {
    let of = |n: usize| (n..batches).step_by(SOURCES).count();
    let of_each = outboxes.iter_mut().zip((0..).map(of));
    let batches: Vec<Arc<LogBatch>> = of_each
        .flat_map(|(outbox, count)| (0..count).map(|_| outbox.log_batch()).collect::<Vec<_>>())
        .collect();
    AppendGroup {
        batches,
        at: kit::T0,
        ..AppendGroup::default()
    }
}
