//! The kinds of entries, and what else stands in them, in words.

use clap::ValueEnum;
use handfast_proto::v1::{AuditKind, WithheldReason};

/// A kind of entry, as people type it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(in crate::ctl) enum KindArg {
    HalfSet,
    PolicySet,
    PatientWord,
    NumbersJoined,
    Caseload,
    GrantEnded,
    Withdrawal,
    Disclosed,
    Withheld,
    PerhapsDisclosed,
    EmergencyOpened,
    EmergencyEnded,
    EmergencyReviewed,
    EmergencyRefused,
    Viewed,
    Enrolled,
    TokenMade,
    UnitChanged,
    PersonChanged,
    CallRefused,
    CallsRefused,
    AuditRead,
    PersonalErased,
    Daemon,
    Alert,
}

const KINDS: [(KindArg, AuditKind); 25] = [
    (KindArg::HalfSet, AuditKind::HalfSet),
    (KindArg::PolicySet, AuditKind::PolicySet),
    (KindArg::PatientWord, AuditKind::PatientWord),
    (KindArg::NumbersJoined, AuditKind::NumbersJoined),
    (KindArg::Caseload, AuditKind::Caseload),
    (KindArg::GrantEnded, AuditKind::GrantEnded),
    (KindArg::Withdrawal, AuditKind::Withdrawal),
    (KindArg::Disclosed, AuditKind::Disclosed),
    (KindArg::Withheld, AuditKind::Withheld),
    (KindArg::PerhapsDisclosed, AuditKind::PerhapsDisclosed),
    (KindArg::EmergencyOpened, AuditKind::EmergencyOpened),
    (KindArg::EmergencyEnded, AuditKind::EmergencyEnded),
    (KindArg::EmergencyReviewed, AuditKind::EmergencyReviewed),
    (KindArg::EmergencyRefused, AuditKind::EmergencyRefused),
    (KindArg::Viewed, AuditKind::Viewed),
    (KindArg::Enrolled, AuditKind::Enrolled),
    (KindArg::TokenMade, AuditKind::TokenMade),
    (KindArg::UnitChanged, AuditKind::UnitChanged),
    (KindArg::PersonChanged, AuditKind::PersonChanged),
    (KindArg::CallRefused, AuditKind::CallRefused),
    (KindArg::CallsRefused, AuditKind::CallsRefused),
    (KindArg::AuditRead, AuditKind::AuditRead),
    (KindArg::PersonalErased, AuditKind::PersonalErased),
    (KindArg::Daemon, AuditKind::Daemon),
    (KindArg::Alert, AuditKind::Alert),
];

impl From<KindArg> for AuditKind {
    fn from(arg: KindArg) -> Self {
        KINDS
            .iter()
            .find(|(a, _)| *a == arg)
            .map_or(Self::Unspecified, |(_, kind)| *kind)
    }
}

/// A kind as scripts name it.
pub(super) fn kind_word(kind: AuditKind) -> String {
    let known = KINDS.iter().find(|(_, k)| *k == kind);
    let word = known.and_then(|(arg, _)| arg.to_possible_value());
    word.map_or_else(|| "unknown".to_owned(), |value| value.get_name().to_owned())
}

/// Why something was withheld, for a person.
pub(super) fn withheld_words(reason: WithheldReason) -> &'static str {
    match reason {
        WithheldReason::Unspecified => "",
        WithheldReason::SameUnit => "it is the same unit",
        WithheldReason::SourceNotEnrolled => "the source does not take part",
        WithheldReason::SourceSuspended => "the source is suspended",
        WithheldReason::RecipientNotEnrolled => "the recipient does not take part",
        WithheldReason::RecipientSuspended => "the recipient is suspended",
        WithheldReason::ShareOutOff => "the source does not share out",
        WithheldReason::ShareOutEnded => "the source's share-out has ended",
        WithheldReason::ShareInOff => "the recipient does not share in",
        WithheldReason::ShareInEnded => "the recipient's share-in has ended",
        WithheldReason::CategoryNotSharedOut => "the source does not share this category out",
        WithheldReason::CategoryNotSharedIn => "the recipient does not share this category in",
        WithheldReason::PatientDissentOut => "the patient said no at the source",
        WithheldReason::PatientNotAgreedOut => {
            "the patient's yes is asked for at the source, and is not recorded"
        }
        WithheldReason::PatientDissentIn => "the patient said no at the recipient",
        WithheldReason::PatientNotAgreedIn => {
            "the patient's yes is asked for at the recipient, and is not recorded"
        }
        WithheldReason::PrivateEntry => "the entry is private",
        WithheldReason::RestrictedPatient => "the patient is restricted",
        WithheldReason::NotOnCaseload => "the patient is not on the recipient's caseload",
        WithheldReason::EmergencyOver => "the emergency access is over",
    }
}

/// The same for scripts: share_out_off.
pub(super) fn withheld_code(reason: WithheldReason) -> Option<String> {
    let name = reason.as_str_name().trim_start_matches("WITHHELD_REASON_");
    (reason != WithheldReason::Unspecified).then(|| name.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_a_word() {
        let all = (1..100).filter_map(|n| AuditKind::try_from(n).ok());
        let mut count = 0;
        for kind in all {
            assert_ne!(kind_word(kind), "unknown", "{kind:?}");
            count += 1;
        }
        assert_eq!(count, KINDS.len());
        assert_eq!(
            withheld_code(WithheldReason::ShareOutOff).as_deref(),
            Some("share_out_off")
        );
        assert_eq!(withheld_code(WithheldReason::Unspecified), None);
    }
}
