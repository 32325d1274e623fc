//! Who may see what of an entry. Pure.
//!
//! A unit's people see what concerns their unit; of the other unit's doings not who did them and why. What is
//! about everyone is for everyone. The operator sees no patient, and nothing of a view or an emergency.

use handfast_proto::{
    audit::{kind_of, units_of},
    ids::OdsCode,
    v1::{AuditField, AuditKind, AuditLeaf, AuditValue},
};

/// Who reads.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reader {
    /// A privacy officer or an auditor of a unit.
    Unit(OdsCode),
    /// The operator.
    Operator,
}

/// What a reader sees of an entry.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Sight {
    /// That it is there.
    Sealed,
    /// The entry, but of its persons only the patient.
    Outside,
    /// Everything.
    Whole,
}

impl Reader {
    /// What the reader sees.
    pub fn sight(self, leaf: &AuditLeaf) -> Sight {
        match self {
            Self::Unit(ods) => of_unit(ods, leaf),
            Self::Operator if tells_of_a_patient(leaf) => Sight::Sealed,
            Self::Operator => Sight::Whole,
        }
    }
}

fn of_unit(ods: OdsCode, leaf: &AuditLeaf) -> Sight {
    let own = ods.as_str();
    if units_of(leaf).next().is_none() {
        return if FOR_EVERYONE.contains(&kind_of(leaf)) {
            Sight::Outside
        } else {
            Sight::Sealed
        };
    }
    if units_of(leaf).all(|unit| unit != own) {
        return Sight::Sealed;
    }
    let actor = leaf.actor.as_ref().map_or("", |actor| actor.unit.as_str());
    if leaf.unit == own || actor == own || is_for_both_sides(kind_of(leaf)) {
        Sight::Whole
    } else {
        Sight::Outside
    }
}

/// The kinds of entries that are for everyone where they name no unit, because they say nothing of anybody. An
/// operator's other doings are the operator's.
pub const FOR_EVERYONE: [AuditKind; 4] = [
    AuditKind::PolicySet,
    AuditKind::CallsRefused,
    AuditKind::PersonalErased,
    AuditKind::Daemon,
];

/// Both units' privacy officers review an emergency access.
fn is_for_both_sides(kind: AuditKind) -> bool {
    matches!(
        kind,
        AuditKind::EmergencyOpened
            | AuditKind::EmergencyEnded
            | AuditKind::EmergencyReviewed
            | AuditKind::Alert
    )
}

fn tells_of_a_patient(leaf: &AuditLeaf) -> bool {
    let patient = [AuditField::Patient as i32, AuditField::FormerPatient as i32];
    let kind = kind_of(leaf);
    let clinical = is_for_both_sides(kind) && kind != AuditKind::Alert
        || matches!(kind, AuditKind::EmergencyRefused | AuditKind::Viewed);
    clinical
        || leaf
            .reduced
            .iter()
            .any(|reduced| patient.contains(&reduced.field))
}

impl Sight {
    /// Whether a personal field is shown.
    pub fn shows(self, field: AuditField) -> bool {
        match self {
            Self::Sealed => false,
            Self::Outside => matches!(field, AuditField::Patient | AuditField::FormerPatient),
            Self::Whole => true,
        }
    }
}

/// Of the values beside a leaf those that are shown, and the fields of those that are not.
pub fn shown(sight: Sight, values: Vec<AuditValue>) -> (Vec<AuditValue>, Vec<AuditField>) {
    let (here, hidden): (Vec<_>, Vec<_>) = values.into_iter().partition(|value| sight.shows(value.field()));
    (here, hidden.iter().map(AuditValue::field).collect())
}
