//! Units, people, tokens and certificates. Times are milliseconds since 1970-01-01T00:00:00Z.

use handfast_proto::ids::{Holder, OdsCode, PersonId};
pub use handfast_proto::v1::{Role, UnitKind};

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
