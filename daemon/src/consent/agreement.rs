//! The terms of a sharing agreement: two halves for an ordered pair of units.

use std::fmt;

use handfast_proto::{amendment::Category, ids::OdsCode};

/// An ordered pair: amendments go from `source` to `recipient`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Pair {
    /// The unit that records.
    pub source: OdsCode,
    /// The unit that would receive.
    pub recipient: OdsCode,
}

impl fmt::Display for Pair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} → {}", self.source, self.recipient)
    }
}

/// Which half of a pair's agreement.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Side {
    /// The source's.
    ShareOut,
    /// The recipient's.
    ShareIn,
}

impl Side {
    /// The unit whose administrators set this half.
    pub fn owner(self, pair: Pair) -> OdsCode {
        match self {
            Self::ShareOut => pair.source,
            Self::ShareIn => pair.recipient,
        }
    }

    /// As people write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ShareOut => "share-out",
            Self::ShareIn => "share-in",
        }
    }
}

/// Numbers one stretch of time in which both halves of a pair are on. Never used twice in a deployment.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct GrantId(pub u64);

impl fmt::Display for GrantId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A set of categories.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct CategorySet(u32);

impl CategorySet {
    /// Every category, those of later versions too.
    pub const ALL: Self = Self(u32::MAX);
    /// None.
    pub const NONE: Self = Self(0);

    /// The set with one more category.
    #[must_use]
    pub fn with(self, category: Category) -> Self {
        Self(self.0 | Self::bit(category))
    }

    /// The set whose bit `n` stands for the category numbered `n`, as [`Self::bits`] gives it.
    pub fn from_bits(bits: u32) -> Self {
        Self(bits)
    }

    /// As the store keeps it.
    pub fn bits(self) -> u32 {
        self.0
    }

    /// Whether a category is in it.
    pub fn contains(self, category: Category) -> bool {
        self.0 & Self::bit(category) != 0
    }

    fn bit(category: Category) -> u32 {
        1 << (category as u32)
    }
}

/// Whose records a half lets through.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Patients {
    /// Those of every patient.
    All,
    /// Those of patients on the recipient's caseload.
    Caseload,
}

/// How a half is narrowed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Scope {
    /// Which categories.
    pub categories: CategorySet,
    /// Whose records.
    pub patients: Patients,
}

impl Scope {
    /// Everything.
    pub const EVERYTHING: Self = Self {
        categories: CategorySet::ALL,
        patients: Patients::All,
    };
}

/// One half, as the gate reads it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct HalfTerms {
    /// Whether it is on.
    pub on: bool,
    /// When it ends, milliseconds since 1970-01-01T00:00:00Z: the first moment at which it no longer holds.
    pub ends_at: Option<i64>,
    /// How it is narrowed.
    pub scope: Scope,
    /// Whether it asks for the patient's explicit yes, whatever the deployment's policy.
    pub requires_explicit: bool,
}

impl HalfTerms {
    /// A half that nobody has turned on.
    pub const OFF: Self = Self {
        on: false,
        ends_at: None,
        scope: Scope::EVERYTHING,
        requires_explicit: false,
    };
    /// A half that is on without being narrowed.
    pub const ON: Self = Self {
        on: true,
        ..Self::OFF
    };

    /// Whether it has ended at `now`.
    pub fn ended(&self, now: i64) -> bool {
        self.ends_at.is_some_and(|end| now >= end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pair_is_written_from_source_to_recipient_and_each_side_has_its_owner() {
        let ods = |code: &str| code.parse::<OdsCode>().unwrap();
        let pair = Pair {
            source: ods("Z00101"),
            recipient: ods("Z00202"),
        };
        assert_eq!(pair.to_string(), "Z00101 → Z00202");
        let sides = [Side::ShareOut, Side::ShareIn].map(|side| (side.owner(pair), side.as_str()));
        assert_eq!(sides, [(pair.source, "share-out"), (pair.recipient, "share-in")]);
        assert_eq!(GrantId(7).to_string(), "7");
    }

    #[test]
    fn a_set_holds_what_was_put_in_and_is_kept_as_bits() {
        let set = CategorySet::NONE
            .with(Category::Demographics)
            .with(Category::Allergies)
            .with(Category::Allergies);
        let holds = [Category::Demographics, Category::Problems, Category::Allergies];
        assert_eq!(holds.map(|c| set.contains(c)), [true, false, true]);
        assert_eq!(set.bits(), 0b1010);
        assert_eq!(CategorySet::from_bits(set.bits()), set);
        assert!(CategorySet::ALL.contains(Category::Other) && !CategorySet::NONE.contains(Category::Other));
    }

    #[test]
    fn a_half_ends_at_the_first_moment_at_which_it_no_longer_holds() {
        let ending = HalfTerms {
            ends_at: Some(5),
            ..HalfTerms::ON
        };
        assert_eq!([4, 5, 6].map(|now| ending.ended(now)), [false, true, true]);
        assert!(!HalfTerms::ON.ended(i64::MAX), "it has no end");
    }
}
