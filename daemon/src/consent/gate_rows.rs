//! The gate row by row: everything holds but one thing, and that alone decides. The same with an emergency
//! access in force, which waives some rows and never the others.
//!
//! The whole table, every combination of what the gate reads, is in `gate_table`.

use handfast_proto::amendment::{Category, Confidentiality, Subject};

use super::{
    agreement::{CategorySet, HalfTerms, Patients},
    gate::{Consents, Decision, Party, Reason, Standing, decide},
    patient::{EmergencyWindow, PatientWord, Policy},
    sample::{allergy, unit},
};

const NOW: i64 = 1_000;

/// What the gate reads.
#[derive(Clone, Copy)]
struct Scene {
    subject: Subject,
    source: Party,
    recipient: Party,
    consents: Consents,
}

type Change = fn(&mut Scene);

impl Scene {
    /// Every row holds.
    fn open() -> Self {
        let party = |n| Party {
            ods: unit(n),
            standing: Standing::Enrolled,
        };
        Self {
            subject: allergy(0),
            source: party(1),
            recipient: party(2),
            consents: Consents {
                share_out: HalfTerms::ON,
                share_in: HalfTerms::ON,
                policy: Policy::UnlessDissented,
                patient_out: PatientWord::NotRecorded,
                patient_in: PatientWord::NotRecorded,
                on_caseload: false,
                emergency: None,
            },
        }
    }

    fn in_emergency() -> Self {
        Self::open().during(NOW, NOW + 1)
    }

    /// With an emergency access from one moment until before another.
    fn during(mut self, from: i64, until: i64) -> Self {
        self.consents.emergency = Some(EmergencyWindow { from, until });
        self
    }

    fn with(mut self, change: Change) -> Self {
        change(&mut self);
        self
    }

    fn withheld(&self) -> Option<Reason> {
        match decide(&self.subject, &self.source, &self.recipient, &self.consents, NOW) {
            Decision::Forward => None,
            Decision::Withhold(reason) => Some(reason),
        }
    }
}

/// The change alone makes the gate withhold for this reason, and an emergency access does not help.
fn stands(row: &str, change: Change, reason: Reason) {
    let said = Scene::open().with(change).withheld();
    assert_eq!(said, Some(reason), "{row}");
    let said = Scene::in_emergency().with(change).withheld();
    assert_eq!(said, Some(reason), "{row}, in an emergency");
}

/// The change alone makes the gate withhold for this reason, unless an emergency access is in force.
fn is_waived(row: &str, change: Change, reason: Reason) {
    let changed = Scene::open().with(change);
    assert_eq!(changed.withheld(), Some(reason), "{row}");
    for (from, until, when) in [(NOW + 1, NOW + 2, "to come"), (NOW - 1, NOW, "over")] {
        let said = changed.during(from, until).withheld();
        assert_eq!(said, Some(reason), "{row}, an emergency access that is {when}");
    }
    let said = changed.during(NOW, NOW + 1).withheld();
    assert_eq!(said, None, "{row}, in an emergency");
}

/// The change does not matter.
fn goes(what: &str, change: Change) {
    assert_eq!(Scene::open().with(change).withheld(), None, "{what}");
}

fn documents() -> CategorySet {
    CategorySet::NONE.with(Category::Documents)
}

#[test]
fn where_every_row_holds_it_goes() {
    goes("nothing changed", |_| {});
    assert_eq!(Scene::in_emergency().withheld(), None);
}

#[test]
fn row_1_nothing_goes_from_a_unit_to_itself() {
    stands("row 1", |s| s.recipient.ods = s.source.ods, Reason::SameUnit);
}

#[test]
fn row_1_both_units_are_enrolled() {
    stands(
        "row 1, source",
        |s| s.source.standing = Standing::NotEnrolled,
        Reason::SourceNotEnrolled,
    );
    stands(
        "row 1, recipient",
        |s| s.recipient.standing = Standing::NotEnrolled,
        Reason::RecipientNotEnrolled,
    );
}

#[test]
fn row_1_neither_unit_is_suspended() {
    stands(
        "row 1, source",
        |s| s.source.standing = Standing::Suspended,
        Reason::SourceSuspended,
    );
    stands(
        "row 1, recipient",
        |s| s.recipient.standing = Standing::Suspended,
        Reason::RecipientSuspended,
    );
}

#[test]
fn row_2_the_source_shares_out() {
    stands("row 2", |s| s.consents.share_out.on = false, Reason::ShareOutOff);
}

#[test]
fn row_2_the_sources_half_has_not_ended() {
    stands(
        "row 2, at its end",
        |s| s.consents.share_out.ends_at = Some(NOW),
        Reason::ShareOutEnded,
    );
    goes("row 2, before its end", |s| {
        s.consents.share_out.ends_at = Some(NOW + 1);
    });
}

#[test]
fn row_3_the_recipient_shares_in_and_an_emergency_waives_it() {
    is_waived("row 3", |s| s.consents.share_in.on = false, Reason::ShareInOff);
}

#[test]
fn row_3_the_recipients_half_has_not_ended_and_an_emergency_waives_it() {
    is_waived(
        "row 3, at its end",
        |s| s.consents.share_in.ends_at = Some(NOW),
        Reason::ShareInEnded,
    );
    goes("row 3, before its end", |s| {
        s.consents.share_in.ends_at = Some(NOW + 1);
    });
}

#[test]
fn row_4_the_category_is_within_the_sources_half() {
    stands(
        "row 4, source",
        |s| s.consents.share_out.scope.categories = documents(),
        Reason::CategoryNotSharedOut,
    );
}

#[test]
fn row_4_the_category_is_within_the_recipients_half_and_an_emergency_waives_it() {
    is_waived(
        "row 4, recipient",
        |s| s.consents.share_in.scope.categories = documents(),
        Reason::CategoryNotSharedIn,
    );
}

#[test]
fn row_5_a_dissent_at_the_source_withholds() {
    stands(
        "row 5",
        |s| s.consents.patient_out = PatientWord::No,
        Reason::PatientDissentOut,
    );
}

#[test]
fn row_5_where_explicit_is_required_at_the_source_only_a_yes_goes() {
    stands(
        "row 5, the policy asks",
        |s| {
            s.consents.policy = Policy::Explicit;
            s.consents.patient_in = PatientWord::Yes;
        },
        Reason::PatientNotAgreedOut,
    );
    stands(
        "row 5, the half asks",
        |s| s.consents.share_out.requires_explicit = true,
        Reason::PatientNotAgreedOut,
    );
    goes("row 5, yes where the half asks", |s| {
        s.consents.share_out.requires_explicit = true;
        s.consents.patient_out = PatientWord::Yes;
    });
}

#[test]
fn row_6_a_dissent_at_the_recipient_withholds_and_an_emergency_waives_it() {
    is_waived(
        "row 6",
        |s| s.consents.patient_in = PatientWord::No,
        Reason::PatientDissentIn,
    );
}

#[test]
fn row_6_where_explicit_is_required_at_the_recipient_only_a_yes_goes_and_an_emergency_waives_it() {
    is_waived(
        "row 6, the policy asks",
        |s| {
            s.consents.policy = Policy::Explicit;
            s.consents.patient_out = PatientWord::Yes;
        },
        Reason::PatientNotAgreedIn,
    );
    is_waived(
        "row 6, the half asks",
        |s| s.consents.share_in.requires_explicit = true,
        Reason::PatientNotAgreedIn,
    );
    goes("row 6, yes where the half asks", |s| {
        s.consents.share_in.requires_explicit = true;
        s.consents.patient_in = PatientWord::Yes;
    });
}

#[test]
fn row_7_a_private_entry_is_withheld() {
    stands(
        "row 7",
        |s| s.subject.confidentiality = Confidentiality::PRIVATE,
        Reason::PrivateEntry,
    );
}

#[test]
fn row_7_nothing_of_a_restricted_patient_goes() {
    stands(
        "row 7",
        |s| s.subject.confidentiality = Confidentiality::RESTRICTED,
        Reason::RestrictedPatient,
    );
}

#[test]
fn row_8_a_half_for_the_caseload_withholds_others_and_an_emergency_waives_it() {
    is_waived(
        "row 8, the source's half",
        |s| s.consents.share_out.scope.patients = Patients::Caseload,
        Reason::NotOnCaseload,
    );
    is_waived(
        "row 8, the recipient's half",
        |s| s.consents.share_in.scope.patients = Patients::Caseload,
        Reason::NotOnCaseload,
    );
    goes("row 8, on the caseload", |s| {
        s.consents.share_out.scope.patients = Patients::Caseload;
        s.consents.share_in.scope.patients = Patients::Caseload;
        s.consents.on_caseload = true;
    });
}

/// A change that makes a row fail, the reason then given, and what makes the row hold again.
const FAILING: [(Change, Reason, Change); 9] = [
    (
        |s| s.source.standing = Standing::Suspended,
        Reason::SourceSuspended,
        |s| s.source.standing = Standing::Enrolled,
    ),
    (
        |s| s.consents.share_out.on = false,
        Reason::ShareOutOff,
        |s| s.consents.share_out.on = true,
    ),
    (
        |s| s.consents.share_in.on = false,
        Reason::ShareInOff,
        |s| s.consents.share_in.on = true,
    ),
    (
        |s| s.consents.share_out.scope.categories = documents(),
        Reason::CategoryNotSharedOut,
        |s| s.consents.share_out.scope.categories = CategorySet::ALL,
    ),
    (
        |s| s.consents.share_in.scope.categories = documents(),
        Reason::CategoryNotSharedIn,
        |s| s.consents.share_in.scope.categories = CategorySet::ALL,
    ),
    (
        |s| s.consents.patient_out = PatientWord::No,
        Reason::PatientDissentOut,
        |s| s.consents.patient_out = PatientWord::Yes,
    ),
    (
        |s| s.consents.patient_in = PatientWord::No,
        Reason::PatientDissentIn,
        |s| s.consents.patient_in = PatientWord::Yes,
    ),
    (
        |s| s.subject.confidentiality = Confidentiality::PRIVATE,
        Reason::PrivateEntry,
        |s| s.subject.confidentiality = Confidentiality::NORMAL,
    ),
    (
        |s| s.consents.share_in.scope.patients = Patients::Caseload,
        Reason::NotOnCaseload,
        |s| s.consents.on_caseload = true,
    ),
];

#[test]
fn the_reason_given_is_that_of_the_first_row_that_fails() {
    let mut scene = FAILING
        .iter()
        .fold(Scene::open(), |scene, (fail, ..)| scene.with(*fail));
    for (_, reason, mend) in FAILING {
        assert_eq!(scene.withheld(), Some(reason));
        scene = scene.with(mend);
    }
    assert_eq!(scene.withheld(), None);
}
