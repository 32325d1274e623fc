//! Values between rows and the types of the trait. What cannot be is reported, never guessed.

use std::str::FromStr;

use handfast_proto::ids::{Holder, NhsNumber, OdsCode, PersonId, StoreId};
use handfast_proto::v1::{ConsentManner, PatientWordValue};
use serde::Deserialize;
use sqlx::{Decode, Row as _, Sqlite, Type, sqlite::SqliteRow};

use super::fault::fault;
use crate::{
    consent::{Pair, PatientWord, Patients, Policy, Side},
    store::{Role, StoreError, UnitKind, UnitState},
};

/// A number on its way into a column. Those beyond 2^63 - 1 come only from what is not in order.
pub(super) fn int(number: u64) -> Result<i64, StoreError> {
    i64::try_from(number).map_err(|_| StoreError::Conflict("a number is beyond what can be"))
}

pub(super) fn corrupt(what: &str) -> StoreError {
    StoreError::Corrupt(what.to_owned())
}

/// Typed columns of a row, by name.
pub(super) trait Columns {
    /// A column as SQLite has it.
    fn column<'r, T: Decode<'r, Sqlite> + Type<Sqlite>>(&'r self, name: &str) -> Result<T, StoreError>;

    /// A number that is never below 0.
    fn count(&self, name: &str) -> Result<u64, StoreError> {
        u64::try_from(self.column::<i64>(name)?).map_err(|_| corrupt("a count is below 0"))
    }

    /// A text that passes the check of its type.
    fn parsed<T: FromStr>(&self, name: &str) -> Result<T, StoreError> {
        let text: &str = self.column(name)?;
        text.parse()
            .map_err(|_| StoreError::Corrupt(format!("column {name} is not what it should be")))
    }

    fn pair(&self) -> Result<Pair, StoreError> {
        Ok(Pair {
            source: self.parsed("source")?,
            recipient: self.parsed("recipient")?,
        })
    }

    fn patient(&self, name: &str) -> Result<NhsNumber, StoreError> {
        NhsNumber::from_u64(self.count(name)?).map_err(|_| corrupt("a patient is not an NHS number"))
    }

    fn patient_or_none(&self, name: &str) -> Result<Option<NhsNumber>, StoreError> {
        let there: Option<i64> = self.column(name)?;
        there.map(|_| self.patient(name)).transpose()
    }

    /// A JSON array of patients, by number.
    fn patients(&self, name: &str) -> Result<Vec<NhsNumber>, StoreError> {
        let mut patients = self
            .list::<u64>(name)?
            .into_iter()
            .map(|number| NhsNumber::from_u64(number).map_err(|_| corrupt("a patient is not an NHS number")))
            .collect::<Result<Vec<_>, _>>()?;
        // Few are out of order, if any: SQLite gathers rows as it finds them.
        patients.sort_unstable();
        Ok(patients)
    }

    /// A JSON array: many values in one row, because a row costs more than what it says.
    fn list<'r, T: Deserialize<'r>>(&'r self, name: &str) -> Result<Vec<T>, StoreError> {
        let text: &str = self.column(name)?;
        serde_json::from_str(text)
            .map_err(|_| StoreError::Corrupt(format!("column {name} is not a list of what it should be")))
    }

    fn store_id(&self, name: &str) -> Result<Option<StoreId>, StoreError> {
        let raw: Option<&[u8]> = self.column(name)?;
        raw.map(StoreId::from_slice)
            .transpose()
            .map_err(|_| corrupt("a store id is not 16 bytes"))
    }
}

impl Columns for SqliteRow {
    fn column<'r, T: Decode<'r, Sqlite> + Type<Sqlite>>(&'r self, name: &str) -> Result<T, StoreError> {
        self.try_get(name).map_err(fault)
    }
}

// === Holders ===

/// A holder as a column keeps it.
pub(super) fn holder_text(holder: &Holder) -> String {
    match holder {
        Holder::Unit(ods) => unit_holder(*ods),
        Holder::Person(id) => person_holder(id),
    }
}

pub(super) fn unit_holder(ods: OdsCode) -> String {
    format!("unit/{ods}")
}

pub(super) fn person_holder(id: &PersonId) -> String {
    format!("person/{id}")
}

pub(super) fn holder(text: &str) -> Result<Holder, StoreError> {
    let known = match text.split_once('/') {
        Some(("unit", ods)) => ods.parse().ok().map(Holder::Unit),
        Some(("person", id)) => id.parse().ok().map(Holder::Person),
        _ => None,
    };
    known.ok_or_else(|| corrupt("a holder is neither a unit nor a person"))
}

// === Names of states ===

pub(super) fn unit_state_text(state: UnitState) -> &'static str {
    match state {
        UnitState::Enrolled => "enrolled",
        UnitState::Suspended => "suspended",
        UnitState::Retired => "retired",
    }
}

pub(super) fn unit_state(text: &str) -> Result<UnitState, StoreError> {
    match text {
        "enrolled" => Ok(UnitState::Enrolled),
        "suspended" => Ok(UnitState::Suspended),
        "retired" => Ok(UnitState::Retired),
        _ => Err(corrupt("a unit's state is unknown")),
    }
}

pub(super) fn unit_kind(number: i32) -> Result<UnitKind, StoreError> {
    UnitKind::try_from(number).map_err(|_| corrupt("a unit's kind is unknown"))
}

pub(super) fn role(number: i32) -> Result<Role, StoreError> {
    Role::try_from(number).map_err(|_| corrupt("a person's role is unknown"))
}

// === Names of consents ===

pub(super) fn policy_text(policy: Policy) -> &'static str {
    match policy {
        Policy::UnlessDissented => "unless-dissented",
        Policy::Explicit => "explicit",
    }
}

pub(super) fn policy(text: &str) -> Result<Policy, StoreError> {
    match text {
        "unless-dissented" => Ok(Policy::UnlessDissented),
        "explicit" => Ok(Policy::Explicit),
        _ => Err(corrupt("a policy is unknown")),
    }
}

pub(super) fn patients_text(patients: Patients) -> &'static str {
    match patients {
        Patients::All => "all",
        Patients::Caseload => "caseload",
    }
}

pub(super) fn patients(text: &str) -> Result<Patients, StoreError> {
    match text {
        "all" => Ok(Patients::All),
        "caseload" => Ok(Patients::Caseload),
        _ => Err(corrupt("whose records a half lets through is unknown")),
    }
}

/// As the contract numbers it.
pub(super) fn side_number(side: Side) -> i64 {
    match side {
        Side::ShareOut => 1,
        Side::ShareIn => 2,
    }
}

pub(super) fn side(number: i64) -> Result<Side, StoreError> {
    match number {
        1 => Ok(Side::ShareOut),
        2 => Ok(Side::ShareIn),
        _ => Err(corrupt("a word's side is unknown")),
    }
}

/// What a word that is recorded stands for; one that ended what was recorded before stands for none.
pub(super) fn standing_word(word: PatientWordValue) -> PatientWord {
    match word {
        PatientWordValue::Yes => PatientWord::Yes,
        PatientWordValue::No => PatientWord::No,
        PatientWordValue::Ended | PatientWordValue::Unspecified => PatientWord::NotRecorded,
    }
}

pub(super) fn word(number: i32) -> Result<PatientWordValue, StoreError> {
    PatientWordValue::try_from(number).map_err(|_| corrupt("a patient's word is unknown"))
}

pub(super) fn manner(number: i32) -> Result<ConsentManner, StoreError> {
    ConsentManner::try_from(number).map_err(|_| corrupt("how a word was said is unknown"))
}
