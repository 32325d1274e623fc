//! Amendments and batches of them: what an amendment is, how a batch is read, made and cut.

mod batch;
mod build;
mod model;

pub use batch::{Batch, BatchError, Entry, Form};
pub use build::{BatchBuilder, Cut, Encoded};
pub use model::{Amendment, Confidentiality, Subject, Text};

pub use crate::v1::{Category, Op};
