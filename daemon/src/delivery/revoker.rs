//! What the delivery side promises to whoever changes a consent (S1).
//!
//! Invariants: changes are carried out one after the other; `in_force` is true only where it was
//! established that nothing of what ended can leave any more. "Pending" is an answer, never an error: the
//! change itself is committed, and asking again is safe.

use std::sync::Arc;

use async_trait::async_trait;
use handfast_proto::ids::OdsCode;

use crate::{
    consent::{Book, GrantId, Pair, Policy, Reason},
    store::{
        AccessId, ClaimChange, EmergencyRow, EndAccess, HalfChange, HalfOutcome, NewEntry, OpenEmergency,
        OpenedSource, StoreError, UnitChange, UnitStateOutcome, WordChange, WordOutcome,
    },
};

/// What the delivery side does when consents change.
///
/// Neither of the writing calls is cancellation-safe: a caller whose own future may be dropped (a gRPC
/// handler) runs them in a task of its own.
#[async_trait]
pub trait Revoker: Send + Sync + 'static {
    /// Turns a half: commits it in order with every other change, swaps the book, and waits, bounded,
    /// until what is in flight of an ended grant has arrived or its connection is cut.
    ///
    /// Turning off a half that is off asks again: the answer has no `ended` grant, but the receipt of the
    /// newest grant of the pair that ended, where one is remembered.
    /// Where its scope is narrowed under a grant that stays, what that ended is waited for in the same way.
    async fn set_half(&self, change: HalfChange, audit: Vec<NewEntry>) -> Result<HalfInForce, StoreError>;

    /// Records patients' words, in the same order and with the same wait for what a dissent ended.
    async fn record_words(
        &self,
        changes: Vec<WordChange>,
        audit: Vec<NewEntry>,
    ) -> Result<WordsInForce, StoreError>;

    /// Puts patients on caseloads by name, or takes them off.
    async fn set_claims(
        &self,
        changes: Vec<ClaimChange>,
        audit: Vec<NewEntry>,
    ) -> Result<InForce, StoreError>;

    /// Changes what is asked of patients.
    async fn set_policy(&self, policy: Policy, audit: Vec<NewEntry>) -> Result<InForce, StoreError>;

    /// The book in force, for previews and explanations. Cheap.
    fn book(&self) -> Arc<Book>;

    /// Changes how a unit stands, in the same order and with the same wait.
    async fn set_unit_state(
        &self,
        change: UnitChange,
        audit: Vec<NewEntry>,
    ) -> Result<UnitInForce, StoreError>;

    /// Opens one patient's records of some sources at a recipient: a grant of its own for each source, in force
    /// when this returns. What may not be opened is refused as the store says
    /// ([`crate::store::EmergencyGrants::open_emergency`]); whether the patient's word at a source lets anything
    /// through is for the caller to look up in [`Revoker::book`], and for the gate at every amendment.
    async fn open_emergency(
        &self,
        open: OpenEmergency,
        audit: Vec<NewEntry>,
    ) -> Result<Vec<EmergencyRow>, StoreError>;

    /// Has grants that are open carry an access, for as long as that lasts
    /// ([`crate::store::AccessStore::note_opened`]).
    async fn carry_access(
        &self,
        id: AccessId,
        opened: Vec<OpenedSource>,
        audit: Vec<NewEntry>,
    ) -> Result<(), StoreError>;

    /// Ends one access before its time ([`crate::store::AccessStore::end_access`]), with the same wait for what
    /// ended with it. One that has ended already asks again.
    async fn end_access(&self, end: EndAccess, audit: Vec<NewEntry>) -> Result<InForce, StoreError>;

    /// A unit was registered, and is committed: the gate may know of it.
    fn registered(&self, ods: OdsCode);

    /// How delivery stands at this moment. Cheap: from memory.
    fn status(&self) -> DeliveryStatus;
}

/// Whether a change is in force, and what was in flight of what it ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct InForce {
    /// False: it could not be established in time that nothing is in flight any more.
    pub in_force: bool,
    /// One for each pair of which the change ended something that was in flight, or might have been.
    pub receipts: Vec<PairReceipt>,
}

/// Patients' words were recorded.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct WordsInForce {
    /// What was committed, one a change.
    pub outcomes: Vec<WordOutcome>,
    /// How it stands.
    pub in_force: InForce,
}

/// What is known of the last messages that a change ended of a pair.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PairReceipt {
    /// Which pair.
    pub pair: Pair,
    /// The grant under which it was carried; it may go on for others.
    pub receipt: Receipt,
}

/// A half was turned.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HalfInForce {
    /// What was committed.
    pub outcome: HalfOutcome,
    /// False: it could not be established in time that nothing is in flight any more.
    pub in_force: bool,
    /// Where a grant ended, now or before, or something was in flight of what a narrower scope ended.
    pub receipt: Option<Receipt>,
}

/// What is known of the last messages of a grant that ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Receipt {
    /// The grant that ended.
    pub ended: GrantId,
    /// Everything handed over up to this seq was received.
    pub received_through: u64,
    /// The first and the last seq of what was handed over and not confirmed.
    pub may_have_received: Option<(u64, u64)>,
    /// The recipient did not answer within the bound, and its connection was cut.
    pub connection_cut: bool,
}

/// A unit's state was changed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct UnitInForce {
    /// What was committed.
    pub outcome: UnitStateOutcome,
    /// False: it could not be established in time that nothing is in flight any more.
    pub in_force: bool,
}

/// How delivery stands.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct DeliveryStatus {
    /// Units whose agent has a Publish stream open.
    pub publishing: Vec<OdsCode>,
    /// Units whose agent has a Subscribe stream open.
    pub subscribed: Vec<OdsCode>,
    /// The last durable seq of each source.
    pub heads: Vec<(OdsCode, u64)>,
    /// Each pair of which a half was ever set.
    pub pairs: Vec<PairCounts>,
}

/// What a pair has forwarded and withheld since the daemon started.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PairCounts {
    /// Which pair.
    pub pair: Pair,
    /// The grant in force.
    pub grant: Option<GrantId>,
    /// Everything up to this seq was received or withheld.
    pub cursor: u64,
    /// Amendments handed over.
    pub forwarded: u64,
    /// Amendments not handed over, by reason. Without a grant all that the source recorded since the last one is
    /// among them (where there never was one: its whole stream), for the reason that the gate gives.
    pub withheld: Vec<(Reason, u64)>,
}
