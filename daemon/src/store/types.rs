//! What goes into the store and comes out of it. Times are milliseconds since 1970-01-01T00:00:00Z.

use std::sync::Arc;

use bytes::Bytes;
use handfast_proto::{
    amendment::{Batch, Subject},
    chain::Chain,
    ids::{Holder, OdsCode, PersonId, RecordId, StoreId},
};

use crate::consent::{GrantId, Pair, Policy, Side};

pub use handfast_proto::v1::{Role, UnitKind};

// === The deployment ===

/// What was chosen when the deployment was made.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Deployment {
    /// The SPIFFE trust domain.
    pub trust_domain: String,
    /// Whether it was made for synthetic data only.
    pub test: bool,
    /// What is asked of patients.
    pub policy: Policy,
    /// Whether the operator may set any half.
    pub operator_sets_halves: bool,
    /// When it was made.
    pub made_at: i64,
}

// === The log ===

/// A batch on its way into the log.
#[derive(Debug)]
pub struct LogBatch {
    /// The unit that recorded it.
    pub source: OdsCode,
    /// The outbox it came from.
    pub store: StoreId,
    /// The amendments.
    pub batch: Arc<Batch>,
    /// The source's chain before the first amendment.
    pub chain_before: Option<Chain>,
    /// The source's chain after the last amendment.
    pub chain_after: Chain,
}

/// Everything that one commit holds. All of it is kept, or nothing.
#[derive(Debug, Default)]
pub struct AppendGroup {
    /// In order; those of one source are consecutive.
    pub batches: Vec<Arc<LogBatch>>,
    /// At most one a pair.
    pub cursors: Vec<CursorMove>,
    /// At most one a job.
    pub catch_ups: Vec<CatchUpMove>,
    /// At most one a recipient.
    pub receipts: Vec<RecipientReceipt>,
    /// Withdrawals that the recipients' inboxes hold now.
    pub withdrawals_received: Vec<JobId>,
    /// When the commit was put together.
    pub at: i64,
}

/// A pair's cursor goes forward. Has no effect once the grant has ended or where it would go back.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CursorMove {
    /// Which pair.
    pub pair: Pair,
    /// Under which grant.
    pub grant: GrantId,
    /// Everything up to this seq was received or withheld.
    pub seq: u64,
}

/// A catch-up goes forward. Has no effect where it would go back or the job is over.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CatchUpMove {
    /// Which job.
    pub job: JobId,
    /// Records up to this seq were received or withheld.
    pub through: u64,
    /// Whether the recipient has the end marker.
    pub complete: bool,
}

/// What a recipient's inbox has made durable.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RecipientReceipt {
    /// Which unit.
    pub recipient: OdsCode,
    /// Its subscription session.
    pub session: u64,
    /// The number of the last durable message.
    pub durable: u64,
}

/// Where a source's stream stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Head {
    /// The last durable seq; 0 = none.
    pub seq: u64,
    /// The chain after it; `None` only while `seq` is 0.
    pub chain: Option<Chain>,
    /// The outbox it came from; `None` only while `seq` is 0.
    pub store: Option<StoreId>,
}

/// A batch as the log has it.
#[derive(Clone, Debug)]
pub struct LogRow {
    /// The seq of its first amendment.
    pub first_seq: u64,
    /// The seq of its last amendment.
    pub last_seq: u64,
    /// The encoded header.
    pub header: Bytes,
    /// The payloads.
    pub body: Bytes,
}

/// The newest version of a record, for the projection. Of one record in a slice the last counts.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RecordVersion {
    /// Which record.
    pub record: RecordId,
    /// The seq that last changed it.
    pub seq: u64,
    /// What the gate reads; `None` with a tombstone whose subject is not known.
    pub subject: Option<Subject>,
    /// Whether it was retracted.
    pub retracted: bool,
}

// === Units, people, tokens ===

/// How a unit stands, as the store keeps it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum UnitState {
    /// Takes part.
    Enrolled,
    /// Takes no part for the time being.
    Suspended,
    /// Has left for good.
    Retired,
}

/// A unit.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct UnitRow {
    /// Its ODS code.
    pub ods: OdsCode,
    /// Its name.
    pub name: String,
    /// Its kind. Never `Unspecified`.
    pub kind: UnitKind,
    /// How it stands.
    pub state: UnitState,
    /// When it was registered.
    pub registered_at: i64,
    /// Whether an agent has enrolled for it.
    pub agent_enrolled: bool,
    /// Whether it has an administrator who was not revoked and has enrolled or still may.
    pub has_administrator: bool,
}

/// A unit to be registered.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NewUnit {
    /// Its ODS code.
    pub ods: OdsCode,
    /// Its name.
    pub name: String,
    /// Its kind. Never `Unspecified`.
    pub kind: UnitKind,
}

/// A person.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PersonRow {
    /// Given by the daemon.
    pub id: PersonId,
    /// Their name.
    pub name: String,
    /// Their unit; `None` with the operator's role.
    pub unit: Option<OdsCode>,
    /// Their role. Never `Unspecified`.
    pub role: Role,
    /// Whether they were revoked.
    pub revoked: bool,
    /// When they were added.
    pub added_at: i64,
}

/// A person to be added.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NewPerson {
    /// Chosen by the caller, unique.
    pub id: PersonId,
    /// Their name.
    pub name: String,
    /// Their unit; `None` with the operator's role.
    pub unit: Option<OdsCode>,
    /// Their role. Never `Unspecified`.
    pub role: Role,
}

/// SHA-256 of a token's secret.
pub type TokenHash = [u8; 32];

/// A token to be kept.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NewToken {
    /// Whom its certificate will name.
    pub holder: Holder,
    /// What is kept of it.
    pub hash: TokenHash,
    /// The first moment at which it no longer holds.
    pub expires_at: i64,
    /// Who made it, for the record.
    pub made_by: String,
}

/// A token that was found good.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct IssuedToken {
    /// Whom its certificate is to name.
    pub holder: Holder,
}

/// A certificate that was issued.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Certificate {
    /// Whom it names.
    pub holder: Holder,
    /// Its serial number, big-endian.
    pub serial: Vec<u8>,
    /// Its last moment.
    pub not_after: i64,
}

// === Agreements, grants, jobs ===

/// One half as the store keeps it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct HalfRow {
    /// Whether it is on.
    pub on: bool,
    /// Who set it last; empty while never set.
    pub set_by: String,
    /// When.
    pub set_at: i64,
    /// Why.
    pub reason: String,
}

/// An agreement as the store keeps it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AgreementRow {
    /// Which pair.
    pub pair: Pair,
    /// The source's half.
    pub share_out: HalfRow,
    /// The recipient's half.
    pub share_in: HalfRow,
    /// The grant in force.
    pub grant: Option<GrantId>,
    /// The newest withdrawal.
    pub withdrawal: Option<WithdrawalRow>,
}

/// One half is to be turned.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HalfChange {
    /// Which pair.
    pub pair: Pair,
    /// Which half.
    pub side: Side,
    /// On or off.
    pub on: bool,
    /// Who turns it.
    pub by: String,
    /// Why.
    pub reason: String,
    /// When.
    pub at: i64,
}

/// What turning a half did.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HalfOutcome {
    /// The agreement afterwards.
    pub agreement: AgreementRow,
    /// The grant that it ended, with its cursor at that moment.
    pub ended: Option<(GrantId, u64)>,
    /// The grant that it started; its cursor stands at the source's head of that moment, and a catch-up is due.
    pub started: Option<GrantId>,
}

/// What changing a unit's state did.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct UnitStateOutcome {
    /// The unit afterwards.
    pub unit: UnitRow,
    /// The agreements whose grants it ended (a retired unit's halves go off).
    pub ended: Vec<HalfOutcome>,
}

/// Numbers a reconcile job. Rises in a deployment; the jobs of a pair are carried out in its order.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct JobId(pub u64);

/// What a reconcile job does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum JobKind {
    /// Sends the current version of every record up to a seq.
    CatchUp {
        /// The head when the grant started.
        upto: u64,
        /// Records up to this seq were received or withheld already.
        through: u64,
    },
    /// Has the recipient remove everything it holds of the source.
    Withdraw,
}

/// A reconcile job that is not over.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Job {
    /// Its number.
    pub id: JobId,
    /// Which pair.
    pub pair: Pair,
    /// The grant it serves, or that ended.
    pub grant: GrantId,
    /// What it does.
    pub kind: JobKind,
}

/// How far a withdrawal is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum WithdrawalState {
    /// Not yet in the recipient's inbox.
    Pending,
    /// In the recipient's inbox.
    Received,
    /// Carried out by every output.
    Confirmed,
}

/// A withdrawal, for people.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct WithdrawalRow {
    /// Its job.
    pub job: JobId,
    /// The grant that ended.
    pub ended_grant: GrantId,
    /// How far it is.
    pub state: WithdrawalState,
    /// Records removed.
    pub removed: u64,
    /// Records that an output could not remove.
    pub not_removed: u64,
    /// Since when it is due.
    pub since: i64,
    /// When it was confirmed.
    pub confirmed_at: Option<i64>,
}

/// A recipient says that a withdrawal was carried out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ConfirmWithdrawal {
    /// Who says so; only its own jobs are touched.
    pub recipient: OdsCode,
    /// Which job.
    pub job: JobId,
    /// Records removed.
    pub removed: u64,
    /// Records that an output could not remove.
    pub not_removed: u64,
    /// When.
    pub at: i64,
}

// === Subscriptions ===

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
