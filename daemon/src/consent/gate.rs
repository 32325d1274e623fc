//! The gate: the one place that decides whether an amendment may be handed to a recipient.
//!
//! Pure, total, and closed: it forwards only where every row of its table holds. The rows are checked in
//! the order of the table, so the reason given is the first that fails.

use handfast_proto::{amendment::Subject, ids::OdsCode};

use super::{
    agreement::{HalfTerms, Patients},
    patient::{EmergencyWindow, PatientWord, Policy},
};

/// How a unit stands in the deployment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Standing {
    /// Takes part.
    Enrolled,
    /// Takes no part for the time being.
    Suspended,
    /// Was never enrolled, or has left for good.
    NotEnrolled,
}

/// One side of a pair, as the gate reads it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Party {
    /// Which unit.
    pub ods: OdsCode,
    /// How it stands.
    pub standing: Standing,
}

/// Everything that was consented to, for one pair and one patient.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Consents {
    /// The source's half.
    pub share_out: HalfTerms,
    /// The recipient's half.
    pub share_in: HalfTerms,
    /// The deployment's policy for both words of the patient.
    pub policy: Policy,
    /// The patient's word at the source.
    pub patient_out: PatientWord,
    /// The patient's word at the recipient.
    pub patient_in: PatientWord,
    /// Whether the patient is on the recipient's caseload.
    pub on_caseload: bool,
    /// An emergency access for this pair and patient.
    pub emergency: Option<EmergencyWindow>,
}

/// Whether an amendment goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Decision {
    /// It goes.
    Forward,
    /// It does not.
    Withhold(Reason),
}

/// Declares [`Reason`] with its names, so that the enum, the list and the names cannot fall apart.
macro_rules! reasons {
    ($($(#[$doc:meta])* $variant:ident = $name:literal,)*) => {
        /// Why an amendment was withheld.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
        pub enum Reason { $($(#[$doc])* $variant,)* }

        impl Reason {
            /// Every reason, in the order of the gate's table.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// As scripts and counters name it.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }
        }
    };
}

reasons! {
    /// Source and recipient are one unit.
    SameUnit = "same_unit",
    /// The source is not enrolled.
    SourceNotEnrolled = "source_not_enrolled",
    /// The source is suspended.
    SourceSuspended = "source_suspended",
    /// The recipient is not enrolled.
    RecipientNotEnrolled = "recipient_not_enrolled",
    /// The recipient is suspended.
    RecipientSuspended = "recipient_suspended",
    /// The source's half is off.
    ShareOutOff = "share_out_off",
    /// The source's half has ended.
    ShareOutEnded = "share_out_ended",
    /// The recipient's half is off.
    ShareInOff = "share_in_off",
    /// The recipient's half has ended.
    ShareInEnded = "share_in_ended",
    /// The category is outside the source's half.
    CategoryNotSharedOut = "category_not_shared_out",
    /// The category is outside the recipient's half.
    CategoryNotSharedIn = "category_not_shared_in",
    /// The patient said no at the source.
    PatientDissentOut = "patient_dissent_out",
    /// The patient's yes is required at the source and is not recorded.
    PatientNotAgreedOut = "patient_not_agreed_out",
    /// The patient said no at the recipient.
    PatientDissentIn = "patient_dissent_in",
    /// The patient's yes is required at the recipient and is not recorded.
    PatientNotAgreedIn = "patient_not_agreed_in",
    /// The entry is private.
    PrivateEntry = "private_entry",
    /// The patient is restricted.
    RestrictedPatient = "restricted_patient",
    /// A half lets through only the recipient's caseload, and the patient is not on it.
    NotOnCaseload = "not_on_caseload",
    /// The emergency access that would carry it is over, or is another patient's.
    EmergencyOver = "emergency_over",
}

/// Decides one amendment. `now` is milliseconds since 1970-01-01T00:00:00Z and never goes back.
pub fn decide(
    amendment: &Subject,
    source: &Party,
    recipient: &Party,
    consents: &Consents,
    now: i64,
) -> Decision {
    let emergency = consents.emergency.is_some_and(|window| window.in_force(now));
    let refused = units(source, recipient)
        .or_else(|| share_out(consents, now))
        .or_else(|| if emergency { None } else { share_in(consents, now) })
        .or_else(|| category(amendment, consents, emergency))
        .or_else(|| patient_out(consents))
        .or_else(|| if emergency { None } else { patient_in(consents) })
        .or_else(|| confidentiality(amendment))
        .or_else(|| if emergency { None } else { caseload(consents) });
    match refused {
        Some(reason) => Decision::Withhold(reason),
        None => Decision::Forward,
    }
}

/// Why nothing at all may go from one unit to another, whatever the amendment; the first three rows.
pub(super) fn refuse_pair(
    source: &Party,
    recipient: &Party,
    consents: &Consents,
    now: i64,
) -> Option<Reason> {
    units(source, recipient)
        .or_else(|| share_out(consents, now))
        .or_else(|| share_in(consents, now))
}

fn units(source: &Party, recipient: &Party) -> Option<Reason> {
    if source.ods == recipient.ods {
        return Some(Reason::SameUnit);
    }
    match (source.standing, recipient.standing) {
        (Standing::NotEnrolled, _) => Some(Reason::SourceNotEnrolled),
        (Standing::Suspended, _) => Some(Reason::SourceSuspended),
        (_, Standing::NotEnrolled) => Some(Reason::RecipientNotEnrolled),
        (_, Standing::Suspended) => Some(Reason::RecipientSuspended),
        (Standing::Enrolled, Standing::Enrolled) => None,
    }
}

fn share_out(consents: &Consents, now: i64) -> Option<Reason> {
    half(
        &consents.share_out,
        now,
        Reason::ShareOutOff,
        Reason::ShareOutEnded,
    )
}

fn share_in(consents: &Consents, now: i64) -> Option<Reason> {
    half(&consents.share_in, now, Reason::ShareInOff, Reason::ShareInEnded)
}

fn half(half: &HalfTerms, now: i64, off: Reason, ended: Reason) -> Option<Reason> {
    if !half.on {
        return Some(off);
    }
    half.ended(now).then_some(ended)
}

fn category(amendment: &Subject, consents: &Consents, emergency: bool) -> Option<Reason> {
    if !consents.share_out.scope.categories.contains(amendment.category) {
        return Some(Reason::CategoryNotSharedOut);
    }
    let within = emergency || consents.share_in.scope.categories.contains(amendment.category);
    (!within).then_some(Reason::CategoryNotSharedIn)
}

fn patient_out(consents: &Consents) -> Option<Reason> {
    let explicit = explicit(consents.policy, &consents.share_out);
    word(
        consents.patient_out,
        explicit,
        Reason::PatientDissentOut,
        Reason::PatientNotAgreedOut,
    )
}

fn patient_in(consents: &Consents) -> Option<Reason> {
    let explicit = explicit(consents.policy, &consents.share_in);
    word(
        consents.patient_in,
        explicit,
        Reason::PatientDissentIn,
        Reason::PatientNotAgreedIn,
    )
}

/// A half that asks for an explicit yes asks for the patient's word on its own side.
fn explicit(policy: Policy, half: &HalfTerms) -> bool {
    policy == Policy::Explicit || half.requires_explicit
}

fn word(word: PatientWord, explicit: bool, dissent: Reason, not_agreed: Reason) -> Option<Reason> {
    match word {
        PatientWord::No => Some(dissent),
        PatientWord::Yes => None,
        PatientWord::NotRecorded => explicit.then_some(not_agreed),
    }
}

fn confidentiality(amendment: &Subject) -> Option<Reason> {
    if amendment.confidentiality.is_private() {
        return Some(Reason::PrivateEntry);
    }
    amendment
        .confidentiality
        .is_restricted()
        .then_some(Reason::RestrictedPatient)
}

fn caseload(consents: &Consents) -> Option<Reason> {
    (asks_caseload(consents) && !consents.on_caseload).then_some(Reason::NotOnCaseload)
}

/// Whether either half lets through only the recipient's caseload.
pub(super) fn asks_caseload(consents: &Consents) -> bool {
    [&consents.share_out, &consents.share_in]
        .iter()
        .any(|half| half.scope.patients == Patients::Caseload)
}
