//! Alerts to privacy officers, their reviews, and the hand-off of alerts to other systems. Times are
//! milliseconds since 1970-01-01T00:00:00Z.

pub use handfast_proto::v1::AlertKind;
use handfast_proto::{
    ids::{NhsNumber, OdsCode, PersonId},
    v1,
};

use super::accesses::AccessId;

/// Numbers an alert. Rises in a deployment.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct AlertId(pub u64);

/// An alert that is to be raised.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NewAlert {
    /// What happened. Never `Unspecified`.
    pub kind: AlertKind,
    /// Where.
    pub unit: OdsCode,
    /// The other unit that it concerns: the source of an emergency access.
    pub source: Option<OdsCode>,
    /// Whom it is about, where that is one patient.
    pub patient: Option<NhsNumber>,
    /// The person who did it, and who may not review it; `None` where no person did.
    pub person: Option<PersonId>,
    /// Who did it, as the audit names them.
    pub by: String,
    /// More about it; may be empty.
    pub note: String,
    /// When.
    pub at: i64,
}

/// How an alert stands.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum AlertState {
    /// Not reviewed.
    Open,
    /// Not reviewed in time.
    Escalated,
    /// Reviewed.
    Reviewed,
}

impl AlertState {
    /// As people and scripts read it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Escalated => "escalated",
            Self::Reviewed => "reviewed",
        }
    }
}

impl From<AlertState> for v1::AlertState {
    fn from(state: AlertState) -> Self {
        match state {
            AlertState::Open => Self::Open,
            AlertState::Escalated => Self::Escalated,
            AlertState::Reviewed => Self::Reviewed,
        }
    }
}

/// An alert as the store keeps it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AlertRow {
    /// Its number.
    pub id: AlertId,
    /// What was raised.
    pub alert: NewAlert,
    /// The emergency access that it is about.
    pub access: Option<AccessId>,
    /// How it stands.
    pub state: AlertState,
    /// Since when it is escalated; stays when it is reviewed.
    pub escalated_at: Option<i64>,
    /// When it was first reviewed.
    pub reviewed_at: Option<i64>,
    /// Its reviews, in order.
    pub reviews: Vec<ReviewRow>,
}

/// What a privacy officer found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ReviewRow {
    /// Who.
    pub person: PersonId,
    /// Of which unit.
    pub unit: OdsCode,
    /// What they found.
    pub justified: bool,
    /// Why.
    pub note: String,
    /// When.
    pub at: i64,
}

/// Whose alerts are asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AlertsOf {
    /// This one.
    One(AlertId),
    /// Those that concern a unit, on either side; of one kind only where it is given.
    Unit(OdsCode, Option<AlertKind>),
    /// Those that are or were escalated, of a unit where it is given.
    Escalated(Option<OdsCode>),
}

/// Which alerts are asked for, the newest first.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AlertQuery {
    /// Whose.
    pub of: AlertsOf,
    /// Only those that are not reviewed.
    pub open: bool,
    /// Only those below this number.
    pub before: Option<AlertId>,
    /// At most so many.
    pub limit: u32,
}

// === Hand-off ===

/// Where alerts are handed off to.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum Target {
    /// An HTTP endpoint.
    Webhook,
    /// A folder of messages for a mail system.
    Mail,
}

impl Target {
    /// As the store and the log name it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Webhook => "webhook",
            Self::Mail => "mail",
        }
    }
}

/// An alert of which a target does not know yet how it stands. Nothing in it identifies a person.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HandOff {
    /// Which alert.
    pub alert: AlertId,
    /// What happened.
    pub kind: AlertKind,
    /// Where.
    pub unit: OdsCode,
    /// The other unit that it concerns.
    pub source: Option<OdsCode>,
    /// How it stands now.
    pub state: AlertState,
    /// When it was raised.
    pub raised_at: i64,
    /// Tries since the target was last told something of it.
    pub tries: u32,
}

/// What came of handing an alert off.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HandedOff {
    /// Which alert.
    pub alert: AlertId,
    /// To which target.
    pub target: Target,
    /// What it was to be told. Where the alert has moved on since, it is due again at once.
    pub state: AlertState,
    /// When.
    pub at: i64,
    /// `None`: it was told. Else: when to try again, and why it failed.
    pub failed: Option<(i64, String)>,
}
