//! How the scope of a half changes. Pure.
//!
//! Invariant: what a change leaves out stays as it was, so that turning a half on again never widens it.

use jiff::civil::Date;

use super::{ActError, Days, context::text};
use crate::{
    consent::{CategorySet, HalfTerms, Patients},
    store::{HalfRow, HalfScope},
};

/// What becomes of a day.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum DayChange {
    /// It stays as it is.
    #[default]
    Stays,
    /// There is none any more.
    Off,
    /// It is this one.
    On(Date),
}

impl DayChange {
    fn after(self, before: Option<Date>) -> Option<Date> {
        match self {
            Self::Stays => before,
            Self::Off => None,
            Self::On(day) => Some(day),
        }
    }
}

/// What is to be different about a half's scope; `None` stays.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ScopeChange {
    /// Which categories.
    pub categories: Option<CategorySet>,
    /// Whose records.
    pub patients: Option<Patients>,
    /// Whether it asks for the patient's explicit yes on its own side.
    pub explicit: Option<bool>,
    /// The last day on which it holds.
    pub ends_on: DayChange,
    /// The day by which it is to be reviewed.
    pub review_on: DayChange,
    /// The data-sharing agreement's reference; may be empty.
    pub reference: Option<String>,
    /// Its legal basis; may be empty.
    pub legal_basis: Option<String>,
}

impl ScopeChange {
    /// Whether it leaves everything as it is.
    pub fn is_nothing(&self) -> bool {
        *self == Self::default()
    }

    /// The scope of a half that is to be on, from the one that it has; `default` counts for a half that was
    /// never set. Refused where it would have ended at `now`, or is to be reviewed on a day that is over.
    pub(super) fn apply(
        &self,
        half: &HalfRow,
        default: Patients,
        days: &Days,
        now: i64,
    ) -> Result<HalfScope, ActError> {
        let before = half.scope.clone();
        let patients = if was_set(half) { before.patients } else { default };
        let ends_on = self.ends_on.after(before.ends_on);
        let ends_at = match self.ends_on {
            // The end of the day as it was when it was set: the zone's rules may have changed since.
            DayChange::Stays => before.ends_at,
            _ => ends_on
                .map(|day| days.end_of(day))
                .transpose()
                .map_err(bad("ends_on"))?,
        };
        if let Some(day) = ends_on.filter(|_| ends_at.is_some_and(|end| end <= now)) {
            let why = format!("{day} is over: give a day that is not, or that it never ends");
            return Err(ActError::invalid("ends_on", why));
        }
        if let DayChange::On(day) = self.review_on
            && day < days.today(now)
        {
            return Err(ActError::invalid(
                "review_on",
                format!("{day} is over: give a later day"),
            ));
        }
        if self.categories == Some(CategorySet::NONE) {
            return Err(ActError::invalid("categories", "name at least one, or all"));
        }
        Ok(HalfScope {
            categories: self.categories.unwrap_or(before.categories),
            patients: self.patients.unwrap_or(patients),
            explicit: self.explicit.unwrap_or(before.explicit),
            ends_on,
            ends_at,
            review_on: self.review_on.after(before.review_on),
            reference: line("reference", self.reference.as_deref(), before.reference)?,
            legal_basis: line("legal_basis", self.legal_basis.as_deref(), before.legal_basis)?,
        })
    }
}

/// Whether somebody ever turned the half.
fn was_set(half: &HalfRow) -> bool {
    !half.set_by.is_empty()
}

/// A half with another scope, as the gate reads it.
pub(super) fn terms(on: bool, scope: HalfScope) -> HalfTerms {
    let half = HalfRow {
        on,
        scope,
        ..HalfRow::default()
    };
    half.terms()
}

fn line(field: &'static str, given: Option<&str>, before: String) -> Result<String, ActError> {
    given.map_or(Ok(before), |given| text(field, given))
}

fn bad<E: ToString>(field: &'static str) -> impl Fn(E) -> ActError {
    move |error| ActError::invalid(field, error.to_string())
}

#[cfg(test)]
mod tests {
    use handfast_proto::amendment::Category;
    use jiff::civil::date;

    use super::*;

    /// Noon of 2026-11-23 in London.
    const NOON: i64 = 1_795_435_200_000;

    fn london() -> Days {
        Days::of("Europe/London").unwrap()
    }

    fn set_before(scope: HalfScope) -> HalfRow {
        HalfRow {
            set_by: "person ann".to_owned(),
            scope,
            ..HalfRow::default()
        }
    }

    fn apply(change: &ScopeChange, half: &HalfRow) -> Result<HalfScope, ActError> {
        change.apply(half, Patients::Caseload, &london(), NOON)
    }

    #[test]
    fn what_is_left_out_stays_and_only_the_first_time_has_the_default() {
        let first = apply(&ScopeChange::default(), &HalfRow::default()).unwrap();
        let begun = HalfScope {
            patients: Patients::Caseload,
            ..HalfScope::EVERYTHING
        };
        assert_eq!(first, begun);
        let narrow = HalfScope {
            categories: CategorySet::NONE.with(Category::Problems),
            patients: Patients::All,
            explicit: true,
            ends_on: Some(date(2027, 3, 31)),
            ends_at: Some(1_806_537_600_000),
            review_on: Some(date(2026, 1, 1)),
            reference: "DSA-12".to_owned(),
            legal_basis: "direct care".to_owned(),
        };
        let again = apply(&ScopeChange::default(), &set_before(narrow.clone())).unwrap();
        assert_eq!(again, narrow);
        let change = ScopeChange {
            categories: Some(CategorySet::ALL),
            ends_on: DayChange::Off,
            reference: Some(String::new()),
            ..ScopeChange::default()
        };
        let wider = HalfScope {
            categories: CategorySet::ALL,
            ends_on: None,
            ends_at: None,
            reference: String::new(),
            ..narrow.clone()
        };
        assert_eq!(apply(&change, &set_before(narrow)).unwrap(), wider);
    }

    #[test]
    fn a_half_holds_to_the_end_of_its_last_day_and_none_begins_that_has_ended() {
        let ending = |day| ScopeChange {
            ends_on: DayChange::On(day),
            ..ScopeChange::default()
        };
        let today = apply(&ending(date(2026, 11, 23)), &HalfRow::default()).unwrap();
        assert_eq!(today.ends_at, Some(NOON + 12 * 3_600_000));
        let past = apply(&ending(date(2026, 11, 22)), &HalfRow::default());
        assert!(
            matches!(past, Err(ActError::Invalid { field: "ends_on", .. })),
            "{past:?}"
        );
        let over = set_before(HalfScope {
            ends_on: Some(date(2026, 11, 22)),
            ends_at: Some(NOON - 12 * 3_600_000),
            ..HalfScope::EVERYTHING
        });
        let again = apply(&ScopeChange::default(), &over);
        assert!(
            matches!(again, Err(ActError::Invalid { field: "ends_on", .. })),
            "{again:?}"
        );
        let never = ScopeChange {
            ends_on: DayChange::Off,
            ..ScopeChange::default()
        };
        assert_eq!(apply(&never, &over).unwrap().ends_at, None);
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let bad = [
            ScopeChange {
                categories: Some(CategorySet::NONE),
                ..ScopeChange::default()
            },
            ScopeChange {
                review_on: DayChange::On(date(2026, 11, 22)),
                ..ScopeChange::default()
            },
            ScopeChange {
                reference: Some("x".repeat(201)),
                ..ScopeChange::default()
            },
            ScopeChange {
                legal_basis: Some("two\nlines".to_owned()),
                ..ScopeChange::default()
            },
        ];
        for change in bad {
            let applied = apply(&change, &HalfRow::default());
            assert!(
                matches!(applied, Err(ActError::Invalid { .. })),
                "{change:?}: {applied:?}"
            );
        }
    }
}
