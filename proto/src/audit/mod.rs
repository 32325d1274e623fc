//! The audit log's entries as both sides read them: the leaf, what is reduced in it, sets of seqs, and a log as
//! a file that is checked offline.

mod export;
mod leaf;
mod reduce;
mod runs;
mod verify;

pub use export::{EXPORT_MAGIC, ExportWriter, MAX_FRAME_BYTES};
pub use leaf::{LeafFault, MAX_LEAF_BYTES, decode_leaf, kind_of, units_of};
pub use reduce::{SALT_BYTES, ValueFault, check_values, reduce};
pub use runs::{MAX_RUNS, Runs, RunsFault};
pub use verify::{ExportFault, Exported, Fault, Verified, Verifier};
