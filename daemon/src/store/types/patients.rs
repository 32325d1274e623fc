//! Patients' words and caseloads. Times are milliseconds since 1970-01-01T00:00:00Z.

use handfast_proto::{
    ids::{NhsNumber, OdsCode},
    v1::{ConsentManner, PatientWordValue},
};

use crate::consent::{PatientWord, Side};

/// A patient's word to be recorded.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct WordChange {
    /// At which unit.
    pub unit: OdsCode,
    /// Whose.
    pub patient: NhsNumber,
    /// About which side.
    pub side: Side,
    /// What was said. Never `Unspecified`.
    pub word: PatientWordValue,
    /// When it was said; not after `at`.
    pub said_at: i64,
    /// How. Never `Unspecified`.
    pub manner: ConsentManner,
    /// Who took it down; may be empty.
    pub taken_by: String,
    /// Who recorded it, as the audit names them.
    pub by: String,
    /// When it is recorded.
    pub at: i64,
}

/// What recording a word did.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct WordOutcome {
    /// What stood before.
    pub before: PatientWord,
    /// What stands now.
    pub now: PatientWord,
}

/// A word as the store keeps it, in force or history.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct WordRow {
    /// What was recorded.
    pub change: WordChange,
    /// Whether it is the one in force.
    pub in_force: bool,
}

/// A word in force, as the book is told of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct StandingWord {
    /// At which unit.
    pub unit: OdsCode,
    /// Whose.
    pub patient: NhsNumber,
    /// About which side.
    pub side: Side,
    /// What stands.
    pub word: PatientWord,
}

/// A page of the words in force.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct StandingWords {
    /// In no order; none where there are no more.
    pub words: Vec<StandingWord>,
    /// From where the next page goes on.
    pub through: u64,
}

/// A patient is put on a unit's caseload by name, or taken off.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ClaimChange {
    /// Whose caseload.
    pub unit: OdsCode,
    /// Whom.
    pub patient: NhsNumber,
    /// On or off.
    pub on: bool,
    /// Who did it.
    pub by: String,
    /// Why.
    pub reason: String,
    /// When.
    pub at: i64,
}

/// A patient who was put on a caseload by name.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ClaimRow {
    /// Whom.
    pub patient: NhsNumber,
    /// Who did it.
    pub by: String,
    /// Why.
    pub reason: String,
    /// When.
    pub at: i64,
}

/// What carrying out erasures did.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Erased {
    /// How many payloads were overwritten.
    pub payloads: u64,
    /// Sources of which any were, each with a seq up to which all of them lie; a source may come more than once.
    pub upto: Vec<(OdsCode, u64)>,
    /// Whether something that was noted is still to be done.
    pub more: bool,
}

/// Two numbers that a unit said are one patient's.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct JoinedNumbers {
    /// Which unit.
    pub unit: OdsCode,
    /// What it was.
    pub former: NhsNumber,
    /// What it is.
    pub current: NhsNumber,
}

/// What a unit's statement, alone in its batch, changes in the commit that appends it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Stated {
    /// Words, one a side.
    Words(Vec<WordChange>),
    /// Numbers that are one patient's.
    Joined(JoinedNumbers),
}
