//! The checker: holds what recipients receive against what sources sent and people consented to, by its own record
//! of both, and says what leaked, was lost, came twice, came out of order or was forged.
//!
//! What it does not see: whether a catch-up of a grant that has ended since was complete (the last one of each pair
//! is checked record by record at the end), and the last amendments of a grant before its end, which need not come.

mod consents;
mod doubtful;
mod findings;
mod known;
mod log;
mod pair;
mod recipient;
mod sabotage;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod verdict;

pub(in crate::load) use consents::Pair;
pub(in crate::load) use findings::Findings;
pub(in crate::load) use known::{Claim, Known};
pub(in crate::load) use log::{Sent, hash};
pub(in crate::load) use recipient::{Recipient, latencies};
pub(in crate::load) use sabotage::Saboteur;
pub(in crate::load) use verdict::Checker;
