//! The gate over its whole table: every combination of what it reads, against the table as DESIGN writes
//! it, row by row.

use handfast_proto::{
    amendment::{Category, Confidentiality, Subject},
    ids::NhsNumber,
};

use super::*;

const NOW: i64 = 1_000;

/// One cell of the table, as indices into the lists of values.
#[derive(Clone, Copy, Debug)]
struct Case {
    same_unit: bool,
    source: Standing,
    recipient: Standing,
    out: Switch,
    in_: Switch,
    category_out: bool,
    category_in: bool,
    word_out: PatientWord,
    word_in: PatientWord,
    policy: Policy,
    explicit_out: bool,
    explicit_in: bool,
    confidentiality: u32,
    caseload_out: bool,
    caseload_in: bool,
    on_caseload: bool,
    emergency: Emergency,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Switch {
    Off,
    On,
    OnUntilLater,
    Ended,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Emergency {
    None,
    ToCome,
    InForce,
    Over,
}

impl Case {
    fn half(switch: Switch, category: bool, caseload: bool, requires_explicit: bool) -> HalfTerms {
        let categories = CategorySet::NONE.with(if category {
            Category::Allergies
        } else {
            Category::Documents
        });
        HalfTerms {
            on: switch != Switch::Off,
            ends_at: match switch {
                Switch::Off | Switch::On => None,
                Switch::OnUntilLater => Some(NOW + 1),
                Switch::Ended => Some(NOW),
            },
            scope: Scope {
                categories,
                patients: if caseload {
                    Patients::Caseload
                } else {
                    Patients::All
                },
            },
            requires_explicit,
        }
    }

    fn decide(self) -> Decision {
        let subject = Subject {
            patient: NhsNumber::from_u64(9_990_000_018).unwrap(),
            category: Category::Allergies,
            confidentiality: Confidentiality::from_bits(self.confidentiality).unwrap(),
        };
        let consents = Consents {
            share_out: Self::half(self.out, self.category_out, self.caseload_out, self.explicit_out),
            share_in: Self::half(self.in_, self.category_in, self.caseload_in, self.explicit_in),
            policy: self.policy,
            patient_out: self.word_out,
            patient_in: self.word_in,
            on_caseload: self.on_caseload,
            emergency: match self.emergency {
                Emergency::None => None,
                Emergency::ToCome => Some(EmergencyWindow {
                    from: NOW + 1,
                    until: NOW + 2,
                }),
                Emergency::InForce => Some(EmergencyWindow {
                    from: NOW,
                    until: NOW + 1,
                }),
                Emergency::Over => Some(EmergencyWindow {
                    from: NOW - 1,
                    until: NOW,
                }),
            },
        };
        let ods = |code: &str| code.parse().unwrap();
        let source = Party {
            ods: ods("Z00101"),
            standing: self.source,
        };
        let recipient = Party {
            ods: ods(if self.same_unit { "Z00101" } else { "Z00202" }),
            standing: self.recipient,
        };
        decide(&subject, &source, &recipient, &consents, NOW)
    }

    /// The rows of the table in order: whether each holds, and what is said where it does not.
    fn rows(self) -> [(bool, Reason); 16] {
        use Reason::*;
        let emergency = self.emergency == Emergency::InForce;
        let explicit = self.policy == Policy::Explicit;
        let agreed_out = self.word_out == PatientWord::Yes || !(explicit || self.explicit_out);
        let agreed_in = self.word_in == PatientWord::Yes || !(explicit || self.explicit_in);
        let holds = |switch| matches!(switch, Switch::On | Switch::OnUntilLater);
        [
            (!self.same_unit, SameUnit),
            (self.source != Standing::NotEnrolled, SourceNotEnrolled),
            (self.source != Standing::Suspended, SourceSuspended),
            (self.recipient != Standing::NotEnrolled, RecipientNotEnrolled),
            (self.recipient != Standing::Suspended, RecipientSuspended),
            (
                holds(self.out),
                if self.out == Switch::Off {
                    ShareOutOff
                } else {
                    ShareOutEnded
                },
            ),
            (
                emergency || holds(self.in_),
                if self.in_ == Switch::Off {
                    ShareInOff
                } else {
                    ShareInEnded
                },
            ),
            (self.category_out, CategoryNotSharedOut),
            (emergency || self.category_in, CategoryNotSharedIn),
            (self.word_out != PatientWord::No, PatientDissentOut),
            (agreed_out, PatientNotAgreedOut),
            (emergency || self.word_in != PatientWord::No, PatientDissentIn),
            (emergency || agreed_in, PatientNotAgreedIn),
            (self.confidentiality & 1 == 0, PrivateEntry),
            (self.confidentiality & 2 == 0, RestrictedPatient),
            (
                emergency || self.on_caseload || !(self.caseload_out || self.caseload_in),
                NotOnCaseload,
            ),
        ]
    }
}

const STANDINGS: [Standing; 3] = [Standing::Enrolled, Standing::Suspended, Standing::NotEnrolled];
const SWITCHES: [Switch; 4] = [Switch::Off, Switch::On, Switch::OnUntilLater, Switch::Ended];
const WORDS: [PatientWord; 3] = [PatientWord::NotRecorded, PatientWord::Yes, PatientWord::No];
const EMERGENCIES: [Emergency; 4] = [
    Emergency::None,
    Emergency::ToCome,
    Emergency::InForce,
    Emergency::Over,
];

/// Takes one value out of a running number, so that counting to the size of the table visits every cell.
fn take<T: Copy>(number: &mut usize, values: &[T]) -> T {
    let value = values[*number % values.len()];
    *number /= values.len();
    value
}

fn case(mut n: usize) -> Case {
    let n = &mut n;
    let both = [false, true];
    Case {
        same_unit: take(n, &both),
        source: take(n, &STANDINGS),
        recipient: take(n, &STANDINGS),
        out: take(n, &SWITCHES),
        in_: take(n, &SWITCHES),
        category_out: take(n, &both),
        category_in: take(n, &both),
        word_out: take(n, &WORDS),
        word_in: take(n, &WORDS),
        policy: take(n, &[Policy::UnlessDissented, Policy::Explicit]),
        explicit_out: take(n, &both),
        explicit_in: take(n, &both),
        confidentiality: take(n, &[0, 1, 2, 3]),
        caseload_out: take(n, &both),
        caseload_in: take(n, &both),
        on_caseload: take(n, &both),
        emergency: take(n, &EMERGENCIES),
    }
}

const CELLS: usize = 2 * 3 * 3 * 4 * 4 * 2 * 2 * 3 * 3 * 2 * 2 * 2 * 4 * 2 * 2 * 2 * 4;

#[test]
fn the_gate_forwards_only_where_every_row_holds_and_names_the_first_that_does_not() {
    let mut forwarded = 0;
    for n in 0..CELLS {
        let case = case(n);
        let expected = case.rows().into_iter().find(|(holds, _)| !holds);
        let expected = expected.map_or(Decision::Forward, |(_, reason)| Decision::Withhold(reason));
        assert_eq!(case.decide(), expected, "{case:?}");
        forwarded += usize::from(expected == Decision::Forward);
    }
    assert!(
        forwarded > 0 && forwarded < CELLS / 100,
        "{forwarded} of {CELLS}: the gate is closed by default"
    );
}

#[test]
fn an_emergency_never_waives_what_stands_at_the_source() {
    for n in 0..CELLS {
        let case = case(n);
        if case.emergency != Emergency::InForce || case.decide() != Decision::Forward {
            continue;
        }
        assert!(
            case.word_out != PatientWord::No && case.confidentiality == 0,
            "{case:?}"
        );
        assert!(
            matches!(case.out, Switch::On | Switch::OnUntilLater) && case.category_out,
            "{case:?}"
        );
        assert!(!case.same_unit && case.source == Standing::Enrolled, "{case:?}");
    }
}

#[test]
fn reasons_have_names_of_their_own() {
    let mut names: Vec<&str> = Reason::ALL.iter().map(|r| r.as_str()).collect();
    let all = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), all);
    assert!(
        Reason::ALL.iter().enumerate().all(|(i, r)| *r as usize == i),
        "counters index by them"
    );
}
