//! Benchmarks of single parts of the data path, through what the daemon's library makes public and nothing else: no
//! part is opened up to be measured. `cargo micro`, or `cargo micro gate` for some of them; what they said stands in
//! integration-tests/BENCHMARKS.md.
//!
//! - `gate`: what the gate says of a batch, with a full book.
//! - `store`: a commit to SQLite, on the disk that holds the target folder, fsync included.
//! - `feed`: the handover of a batch to recipients, from its commit to their receipts.
//!
//! Every figure is for batches of 64 amendments of 1 KiB; divan counts amendments.

#![expect(clippy::unwrap_used, reason = "a benchmark panics where it fails")]

mod feed;
mod gate;
mod kit;
mod store;

fn main() {
    divan::main();
}
