//! Recipients' subscriptions and what they report. Times are milliseconds since 1970-01-01T00:00:00Z.

use handfast_proto::ids::{NhsNumber, OdsCode, RecordId, StoreId};

use super::agreements::Job;
use crate::consent::{GrantId, Pair};

/// What an inbox says of itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Hello {
    /// Whose inbox.
    pub recipient: OdsCode,
    /// Which inbox.
    pub store: StoreId,
    /// The last session it took part in; 0 = none.
    pub session: u64,
    /// The number of the last message of that session that is durable in it.
    pub durable: u64,
}

/// A pair as a new subscription finds it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PairState {
    /// Which pair.
    pub pair: Pair,
    /// The grant in force.
    pub grant: GrantId,
    /// The patient of an emergency access; `None`: the agreement's grant.
    pub patient: Option<NhsNumber>,
    /// Everything up to this seq was received or withheld, but for what its jobs still owe.
    pub cursor: u64,
}

/// A subscription that was opened.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Subscription {
    /// Its session.
    pub session: u64,
    /// False: the inbox is older than what it had confirmed, or a copy; nothing was changed.
    pub accepted: bool,
    /// True: this inbox is seen for the first time; every pair has a new catch-up.
    pub anew: bool,
    /// The recipient's pairs with a grant in force.
    pub pairs: Vec<PairState>,
    /// Its jobs that are not over, in order. Received withdrawals are over for the feed.
    pub jobs: Vec<Job>,
}

/// A dead letter that a recipient reports. No clinical content.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DeadLetterRow {
    /// Whose amendment, and who could not write it.
    pub pair: Pair,
    /// Which amendment.
    pub seq: u64,
    /// Which record.
    pub record: RecordId,
    /// Why.
    pub reason: String,
    /// Whether it is over.
    pub resolved: bool,
}
