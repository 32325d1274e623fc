//! Emergency accesses and their reviews. Times are milliseconds since 1970-01-01T00:00:00Z.

use handfast_proto::{
    emergency::Ground,
    ids::{NhsNumber, OdsCode, PersonId},
};

use super::{
    agreements::{HalfOutcome, WithdrawalState},
    alerts::{AlertId, AlertState, ReviewRow},
    emergencies::EmergencyRow,
};
use crate::consent::GrantId;

/// Numbers an emergency access. Rises in a deployment.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct AccessId(pub u64);

/// An emergency access that is to be opened.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NewAccess {
    /// At which unit.
    pub recipient: OdsCode,
    /// Who asked; not revoked.
    pub person: PersonId,
    /// Whose records.
    pub patient: NhsNumber,
    /// Which units' records; at least one, none of them the recipient.
    pub sources: Vec<OdsCode>,
    /// Alert type and reason.
    pub ground: Ground,
    /// Why, in the person's words.
    pub note: String,
    /// Its first moment.
    pub at: i64,
    /// The first moment at which it no longer holds.
    pub until: i64,
}

/// What became of opening one source.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OpenedSource {
    /// Which unit's records.
    pub source: OdsCode,
    /// The grant that carries it: its own, or that of another access of the same patient.
    pub grant: GrantId,
}

/// An emergency access as the store keeps it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AccessRow {
    /// Its number.
    pub id: AccessId,
    /// What was asked; `sources` is every unit that it was asked of, in order.
    pub access: NewAccess,
    /// The name of who asked.
    pub person_name: String,
    /// What became of it at each source, in the order of `access.sources`.
    pub sources: Vec<SourceRow>,
}

/// One source of an emergency access.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SourceRow {
    /// Which unit's records.
    pub source: OdsCode,
    /// The grant that carries it; `None` where the daemon was stopped before it was opened.
    pub grant: Option<GrantId>,
    /// The first moment at which it no longer holds.
    pub until: i64,
    /// When it ended: before its time, or when the grant that carried it did.
    pub ended_at: Option<i64>,
    /// Who ended it before its time, as the audit names them, and of which unit.
    pub ended_by: Option<(String, OdsCode)>,
    /// What followed at the recipient, where nothing else let the records stay.
    pub removal: Option<RemovalRow>,
    /// The alert about it.
    pub alert: AlertId,
    /// How the alert stands.
    pub state: AlertState,
    /// Its reviews, in order.
    pub reviews: Vec<ReviewRow>,
}

/// What a recipient was told to remove because an access ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RemovalRow {
    /// How far it is.
    pub state: WithdrawalState,
    /// Records removed.
    pub removed: u64,
    /// Records that an output could not remove.
    pub not_removed: u64,
}

/// Whose accesses are asked for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum AccessesOf {
    /// This one.
    One(AccessId),
    /// A person's own.
    Person(PersonId),
    /// Those that concern a unit, as the recipient or as a source.
    Unit(OdsCode),
}

/// Which accesses are asked for, the newest first.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AccessQuery {
    /// Whose.
    pub of: AccessesOf,
    /// Only those of which at this moment a source (a unit's own, where it asks as a source) holds or is not
    /// reviewed.
    pub open_at: Option<i64>,
    /// Only those below this number.
    pub before: Option<AccessId>,
    /// At most so many.
    pub limit: u32,
}

/// An emergency access is to end before its time.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct EndAccess {
    /// Which.
    pub id: AccessId,
    /// As far as these sources go.
    pub sources: Vec<OdsCode>,
    /// Who ends it, as the audit names them.
    pub by: String,
    /// Of which unit.
    pub unit: OdsCode,
    /// When it ends.
    pub at: i64,
}

/// What the early end of an access did to the grants that carried it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct AccessEnded {
    /// The grants that carry no access any more, also those that had ended before.
    pub over: Vec<GrantId>,
    /// What the end of those came to, one a pair.
    pub outcomes: Vec<HalfOutcome>,
    /// The grants that go on for other accesses, for as long as the longest of these.
    pub go_on: Vec<EmergencyRow>,
}
