//! The words of the command line for the contract's enums, in both directions.

use std::fmt;

use clap::ValueEnum;
use handfast_proto::v1::{Role, UnitKind, UnitState, WithdrawalState};

/// On or off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Switch {
    On,
    Off,
}

/// A unit's kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum KindArg {
    Gp,
    Community,
    Acute,
    UrgentCare,
    Hospice,
    MentalHealth,
    SocialCare,
}

/// A person's role.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum RoleArg {
    /// Administers the deployment; sees no patient
    Operator,
    /// Sets the unit's halves, adds its people
    UnitAdmin,
    /// Cares for patients
    Clinician,
    /// Reviews accesses
    PrivacyOfficer,
    /// Reads the audit
    Auditor,
}

const KINDS: [(KindArg, UnitKind); 7] = [
    (KindArg::Gp, UnitKind::Gp),
    (KindArg::Community, UnitKind::Community),
    (KindArg::Acute, UnitKind::Acute),
    (KindArg::UrgentCare, UnitKind::UrgentCare),
    (KindArg::Hospice, UnitKind::Hospice),
    (KindArg::MentalHealth, UnitKind::MentalHealth),
    (KindArg::SocialCare, UnitKind::SocialCare),
];

const ROLES: [(RoleArg, Role); 5] = [
    (RoleArg::Operator, Role::Operator),
    (RoleArg::UnitAdmin, Role::UnitAdmin),
    (RoleArg::Clinician, Role::Clinician),
    (RoleArg::PrivacyOfficer, Role::PrivacyOfficer),
    (RoleArg::Auditor, Role::Auditor),
];

impl From<KindArg> for UnitKind {
    fn from(arg: KindArg) -> Self {
        let found = KINDS.iter().find(|(a, _)| *a == arg);
        found.map_or(Self::Unspecified, |(_, kind)| *kind)
    }
}

impl From<RoleArg> for Role {
    fn from(arg: RoleArg) -> Self {
        let found = ROLES.iter().find(|(a, _)| *a == arg);
        found.map_or(Self::Unspecified, |(_, role)| *role)
    }
}

impl fmt::Display for RoleArg {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&name(*self))
    }
}

/// A unit's kind as it is typed; `unknown` for one of a later version.
pub(super) fn kind(kind: UnitKind) -> String {
    let found = KINDS.iter().find(|(_, k)| *k == kind);
    found.map_or_else(unknown, |(arg, _)| name(*arg))
}

/// A role as it is typed; `unknown` for one of a later version.
pub(super) fn role(role: Role) -> String {
    let found = ROLES.iter().find(|(_, r)| *r == role);
    found.map_or_else(unknown, |(arg, _)| name(*arg))
}

/// How a unit stands.
pub(super) fn unit_state(state: UnitState) -> &'static str {
    match state {
        UnitState::Enrolled => "enrolled",
        UnitState::Suspended => "suspended",
        UnitState::Retired => "retired",
        UnitState::Unspecified => "unknown",
    }
}

/// How far a withdrawal is.
pub(super) fn withdrawal(state: WithdrawalState) -> &'static str {
    match state {
        WithdrawalState::Pending => "pending",
        WithdrawalState::Received => "received",
        WithdrawalState::Confirmed => "confirmed",
        WithdrawalState::Unspecified => "unknown",
    }
}

/// Reads a kind as it is typed, in a file.
pub(super) fn parse_kind(text: &str) -> Result<UnitKind, String> {
    KindArg::from_str(text, false).map(UnitKind::from).map_err(|_| {
        let all: Vec<String> = KINDS.iter().map(|(arg, _)| name(*arg)).collect();
        format!("{text:?} is no kind of unit; one of {}", all.join(", "))
    })
}

/// A value as it is typed.
pub(super) fn name(arg: impl ValueEnum) -> String {
    arg.to_possible_value()
        .map_or_else(unknown, |v| v.get_name().to_owned())
}

/// What stands for a value of a later version.
pub(super) fn unknown() -> String {
    "unknown".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_and_role_has_a_word_that_is_read_back() {
        for (arg, want) in KINDS {
            assert_eq!(UnitKind::from(arg), want);
            assert_eq!(parse_kind(&kind(want)), Ok(want));
        }
        for (arg, want) in ROLES {
            assert_eq!(Role::from(arg), want);
            assert_eq!(RoleArg::from_str(&role(want), false), Ok(arg));
        }
        assert_eq!(kind(UnitKind::UrgentCare), "urgent-care");
        assert!(parse_kind("surgery").unwrap_err().contains("mental-health"));
    }
}
