//! What a unit says to the daemon itself, as it is read from a resource: a patient's word (Consent), a view
//! of what was received (AuditEvent). It travels as a statement; the resource itself never does.

use handfast_proto::{
    amendment::Text,
    ids::{NhsNumber, OdsCode, RecordId},
    statement::WordSide,
    v1::ConsentManner,
};

/// What a resource says to the daemon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Said {
    /// A patient's word.
    Consent(ConsentSays),
    /// A view.
    View(ViewSaid),
}

/// What a version of a Consent says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsentSays {
    /// Its word.
    pub word: ConsentWord,
    /// About which sides of the unit's sharing; at least one.
    pub sides: Vec<WordSide>,
    /// When the patient said so, milliseconds since 1970-01-01T00:00:00Z; `None`: when it is taken.
    pub said_at: Option<i64>,
    /// How it was said. Never `Unspecified`.
    pub manner: ConsentManner,
    /// Who took it down; may be empty.
    pub taken_by: Text,
    /// What its author should know of how it is read.
    pub note: Option<ConsentNote>,
    /// Under which number the Patient that it names was received from another unit, where that may be relied on.
    pub received: Option<NhsNumber>,
}

/// The word of a Consent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConsentWord {
    /// Permit.
    Yes,
    /// Deny.
    No,
    /// It is over: what it said before no longer stands.
    Ended,
    /// Nothing that could be honoured. A permit that it said before no longer stands; a denial does.
    Nothing,
}

/// How a Consent is read where that may not be what its author meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ConsentNote {
    /// A denial of a part.
    #[error(
        "it denies only in part, or in a way that cannot be honoured so finely: it counts as a denial of everything"
    )]
    WholeDenial,
    /// A permit of a part.
    #[error(
        "it permits only in part (nested provisions, a period, data classes, actors other than this unit or the \
         like), which cannot be honoured: it counts as no permission, and a denial that it said before stands"
    )]
    PartialPermit,
    /// Not in force.
    #[error(
        "its status is neither active nor an ended one: it says nothing, and a denial that it said before stands"
    )]
    NotInForce,
    /// Neither yes nor no.
    #[error("it neither permits nor denies: it says nothing; give provision.type permit or deny")]
    Undecided,
}

/// A view of what was received, as the unit's system reports it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ViewSaid {
    /// Who looked. Never empty.
    pub person: Text,
    /// By which permission; may be empty.
    pub permission: Text,
    /// Why; may be empty.
    pub reason: Text,
    /// When, milliseconds since 1970-01-01T00:00:00Z.
    pub viewed_at: i64,
    /// What was looked at, as the unit's system names it, beside the Patient.
    pub seen: Vec<RecordId>,
    /// Whose records, where that is known.
    pub source: Option<OdsCode>,
}

impl ConsentSays {
    /// Whether it can be taken without knowing whose it is: it only takes back.
    pub fn takes_back_only(&self) -> bool {
        matches!(self.word, ConsentWord::Ended | ConsentWord::Nothing)
    }
}
