//! The daemon's own values as the contract numbers them.

use handfast_proto::v1::{self, Category, PatientsScope, WithheldReason};

use crate::{
    consent::{CategorySet, Patients, Policy, Reason, Side},
    store::{HalfScope, JobId, Role, UnitKind},
};

pub(super) fn side(side: Side) -> v1::Side {
    match side {
        Side::ShareOut => v1::Side::ShareOut,
        Side::ShareIn => v1::Side::ShareIn,
    }
}

pub(super) fn policy(policy: Policy) -> &'static str {
    match policy {
        Policy::UnlessDissented => "unless-dissented",
        Policy::Explicit => "explicit",
    }
}

pub(super) fn half_scope(scope: &HalfScope) -> v1::HalfScope {
    let day = |day: Option<jiff::civil::Date>| day.map(|day| day.to_string()).unwrap_or_default();
    let patients = match scope.patients {
        Patients::All => PatientsScope::All,
        Patients::Caseload => PatientsScope::Caseload,
    };
    v1::HalfScope {
        categories: categories(scope.categories),
        patients: patients.into(),
        explicit: scope.explicit,
        ends_on: day(scope.ends_on),
        review_on: day(scope.review_on),
        reference: scope.reference.clone(),
        legal_basis: scope.legal_basis.clone(),
    }
}

/// Empty: every category.
fn categories(set: CategorySet) -> Vec<u32> {
    if set == CategorySet::ALL {
        return Vec::new();
    }
    let known = (Category::Demographics as i32..=Category::Other as i32).map(Category::try_from);
    let within = known
        .filter_map(Result::ok)
        .filter(|category| set.contains(*category));
    within.map(|category| category as u32).collect()
}

pub(super) fn job_number(job: Option<JobId>) -> u64 {
    job.map_or(0, |job| job.0)
}

pub(super) fn role_number(role: Role) -> u32 {
    (role as i32).unsigned_abs()
}

pub(super) fn kind_number(kind: UnitKind) -> u32 {
    (kind as i32).unsigned_abs()
}

/// As the contract numbers it.
pub fn withheld_reason(reason: Reason) -> WithheldReason {
    match reason {
        Reason::SameUnit => WithheldReason::SameUnit,
        Reason::SourceNotEnrolled => WithheldReason::SourceNotEnrolled,
        Reason::SourceSuspended => WithheldReason::SourceSuspended,
        Reason::RecipientNotEnrolled => WithheldReason::RecipientNotEnrolled,
        Reason::RecipientSuspended => WithheldReason::RecipientSuspended,
        Reason::ShareOutOff => WithheldReason::ShareOutOff,
        Reason::ShareOutEnded => WithheldReason::ShareOutEnded,
        Reason::ShareInOff => WithheldReason::ShareInOff,
        Reason::ShareInEnded => WithheldReason::ShareInEnded,
        Reason::CategoryNotSharedOut => WithheldReason::CategoryNotSharedOut,
        Reason::CategoryNotSharedIn => WithheldReason::CategoryNotSharedIn,
        Reason::PatientDissentOut => WithheldReason::PatientDissentOut,
        Reason::PatientNotAgreedOut => WithheldReason::PatientNotAgreedOut,
        Reason::PatientDissentIn => WithheldReason::PatientDissentIn,
        Reason::PatientNotAgreedIn => WithheldReason::PatientNotAgreedIn,
        Reason::PrivateEntry => WithheldReason::PrivateEntry,
        Reason::RestrictedPatient => WithheldReason::RestrictedPatient,
        Reason::NotOnCaseload => WithheldReason::NotOnCaseload,
        Reason::EmergencyOver => WithheldReason::EmergencyOver,
    }
}
