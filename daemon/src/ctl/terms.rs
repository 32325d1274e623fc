//! The words of the command line for halves and their scope, what patients say, and the policy.

use std::str::FromStr as _;

use clap::ValueEnum;
use handfast_proto::v1::{
    Category, ConsentManner, HalfNoticeKind, PatientWordValue, PatientsScope, PolicyValue, Side,
};

use super::words::{name, unknown};

/// Yes or no.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum YesNo {
    Yes,
    No,
}

/// One half of an agreement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum SideArg {
    /// The source's
    ShareOut,
    /// The recipient's
    ShareIn,
}

/// What a patient said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum WordArg {
    Yes,
    No,
    /// What was said before no longer stands
    Ended,
}

/// How a patient said it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum MannerArg {
    Spoken,
    Written,
    /// By someone who may speak for the patient
    ByProxy,
}

/// Whose records a half lets through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum PatientsArg {
    /// Everyone's
    All,
    /// Those of patients on the recipient's caseload
    Caseload,
}

/// What is asked of a patient.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum PolicyArg {
    /// Shared unless the patient has said no
    UnlessDissented,
    /// Shared only where the patient has said yes
    Explicit,
}

/// A category of records, or all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum CategoryArg {
    All,
    Demographics,
    Problems,
    Allergies,
    Medications,
    Immunisations,
    Observations,
    Reports,
    Procedures,
    Encounters,
    Documents,
    CarePlans,
    Referrals,
    SocialCare,
    Administrative,
    Other,
}

const CATEGORIES: [(CategoryArg, Category); 15] = [
    (CategoryArg::Demographics, Category::Demographics),
    (CategoryArg::Problems, Category::Problems),
    (CategoryArg::Allergies, Category::Allergies),
    (CategoryArg::Medications, Category::Medications),
    (CategoryArg::Immunisations, Category::Immunisations),
    (CategoryArg::Observations, Category::Observations),
    (CategoryArg::Reports, Category::Reports),
    (CategoryArg::Procedures, Category::Procedures),
    (CategoryArg::Encounters, Category::Encounters),
    (CategoryArg::Documents, Category::Documents),
    (CategoryArg::CarePlans, Category::CarePlans),
    (CategoryArg::Referrals, Category::Referrals),
    (CategoryArg::SocialCare, Category::SocialCare),
    (CategoryArg::Administrative, Category::Administrative),
    (CategoryArg::Other, Category::Other),
];

impl From<SideArg> for Side {
    fn from(arg: SideArg) -> Self {
        match arg {
            SideArg::ShareOut => Self::ShareOut,
            SideArg::ShareIn => Self::ShareIn,
        }
    }
}

impl From<WordArg> for PatientWordValue {
    fn from(arg: WordArg) -> Self {
        match arg {
            WordArg::Yes => Self::Yes,
            WordArg::No => Self::No,
            WordArg::Ended => Self::Ended,
        }
    }
}

impl From<MannerArg> for ConsentManner {
    fn from(arg: MannerArg) -> Self {
        match arg {
            MannerArg::Spoken => Self::Spoken,
            MannerArg::Written => Self::Written,
            MannerArg::ByProxy => Self::ByProxy,
        }
    }
}

impl From<PatientsArg> for PatientsScope {
    fn from(arg: PatientsArg) -> Self {
        match arg {
            PatientsArg::All => Self::All,
            PatientsArg::Caseload => Self::Caseload,
        }
    }
}

impl From<PolicyArg> for PolicyValue {
    fn from(arg: PolicyArg) -> Self {
        match arg {
            PolicyArg::UnlessDissented => Self::UnlessDissented,
            PolicyArg::Explicit => Self::Explicit,
        }
    }
}

/// The number of a category as it is typed; `None` for all of them.
pub(super) fn category_number(arg: CategoryArg) -> Option<u32> {
    let found = CATEGORIES.iter().find(|(a, _)| *a == arg);
    found.map(|(_, category)| *category as u32)
}

/// A category as it is typed; `unknown` for one of a later version.
pub(super) fn category(number: u32) -> String {
    let found = CATEGORIES.iter().find(|(_, category)| *category as u32 == number);
    found.map_or_else(unknown, |(arg, _)| name(*arg))
}

/// A half.
pub(super) fn side(side: Side) -> &'static str {
    match side {
        Side::ShareOut => "share-out",
        Side::ShareIn => "share-in",
        Side::Unspecified => "half",
    }
}

/// A patient's word; `none` where nothing stands.
pub(super) fn patient_word(word: PatientWordValue) -> &'static str {
    match word {
        PatientWordValue::Yes => "yes",
        PatientWordValue::No => "no",
        PatientWordValue::Ended => "ended",
        PatientWordValue::Unspecified => "none",
    }
}

/// How it was said.
pub(super) fn manner(manner: ConsentManner) -> &'static str {
    match manner {
        ConsentManner::Spoken => "spoken",
        ConsentManner::Written => "written",
        ConsentManner::ByProxy => "by-proxy",
        ConsentManner::Unspecified => "unknown",
    }
}

/// Whose records.
pub(super) fn patients(scope: PatientsScope) -> &'static str {
    match scope {
        PatientsScope::All => "all",
        PatientsScope::Caseload => "caseload",
        PatientsScope::Unspecified => "unknown",
    }
}

/// A policy.
pub(super) fn policy(policy: PolicyValue) -> &'static str {
    match policy {
        PolicyValue::UnlessDissented => "unless-dissented",
        PolicyValue::Explicit => "explicit",
        PolicyValue::Unspecified => "unknown",
    }
}

/// What is to be done about a half, for programs.
pub(super) fn notice(kind: HalfNoticeKind) -> &'static str {
    match kind {
        HalfNoticeKind::ReviewSoon => "review_soon",
        HalfNoticeKind::ReviewOverdue => "review_overdue",
        HalfNoticeKind::EndsSoon => "ends_soon",
        HalfNoticeKind::Ended => "ended",
        HalfNoticeKind::Unspecified => "unknown",
    }
}

/// Reads the last day of a half: a day, or never, which is the empty text.
pub(super) fn end_day(text: &str) -> Result<String, String> {
    day_or(text, "never")
}

/// Reads the day of a review: a day, or none, which is the empty text.
pub(super) fn review_day(text: &str) -> Result<String, String> {
    day_or(text, "none")
}

fn day_or(text: &str, no_day: &str) -> Result<String, String> {
    if text == no_day {
        return Ok(String::new());
    }
    let day = jiff::civil::Date::from_str(text)
        .ok()
        .filter(|day| day.to_string() == text);
    day.map(|day| day.to_string())
        .ok_or_else(|| format!("write a day as 2027-03-31, or {no_day}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_category_has_a_word_that_is_read_back() {
        for (arg, want) in CATEGORIES {
            assert_eq!(category_number(arg), Some(want as u32));
            assert_eq!(CategoryArg::from_str(&category(want as u32), false), Ok(arg));
        }
        assert_eq!(
            (category_number(CategoryArg::All), category(99)),
            (None, "unknown".to_owned())
        );
    }

    #[test]
    fn days_are_written_in_one_way() {
        assert_eq!(end_day("2027-03-31"), Ok("2027-03-31".to_owned()));
        assert_eq!(
            (end_day("never"), review_day("none")),
            (Ok(String::new()), Ok(String::new()))
        );
        for bad in [
            "none",
            "31/03/2027",
            "2027-02-30",
            "20270331",
            "2027-03-31T10:00",
            "",
        ] {
            assert!(end_day(bad).is_err(), "{bad}");
        }
    }
}
