//! One amendment, owned, and the part of it that the gate reads.

use bytes::Bytes;

use crate::{
    ids::{NhsNumber, RecordId},
    limits::MAX_TEXT_CHARS,
    v1::{Category, Op},
};

/// What its source marked on an entry or its patient, as bits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Confidentiality(u8);

impl Confidentiality {
    /// Nothing marked.
    pub const NORMAL: Self = Self(0);
    /// The entry is not to leave.
    pub const PRIVATE: Self = Self(1);
    /// Nothing of the patient is to leave.
    pub const RESTRICTED: Self = Self(2);

    /// As it travels. `None` where bits are set that have no meaning.
    pub fn from_bits(bits: u32) -> Option<Self> {
        u8::try_from(bits).ok().filter(|b| *b <= 3).map(Self)
    }

    /// As it travels.
    pub fn bits(self) -> u8 {
        self.0
    }

    /// Both marks together.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether anything is marked: then only the header travels.
    pub fn is_marked(self) -> bool {
        self != Self::NORMAL
    }

    /// Whether the entry is private.
    pub fn is_private(self) -> bool {
        self.0 & Self::PRIVATE.0 != 0
    }

    /// Whether the patient is restricted.
    pub fn is_restricted(self) -> bool {
        self.0 & Self::RESTRICTED.0 != 0
    }
}

/// What the gate reads of an amendment.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Subject {
    /// Whose record it is.
    pub patient: NhsNumber,
    /// What kind of entry. Never `Unspecified`.
    pub category: Category,
    /// What is marked on it.
    pub confidentiality: Confidentiality,
}

/// A short text that travels in a header: an author or a content type, of at most [`MAX_TEXT_CHARS`]
/// characters, none of them a control character.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct Text(String);

impl Text {
    /// Checks length and characters; `None` where they do not fit.
    pub fn new(text: impl Into<String>) -> Option<Self> {
        let text = text.into();
        let fits = text.chars().count() <= MAX_TEXT_CHARS && !text.chars().any(char::is_control);
        fits.then_some(Self(text))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// One change of a record.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Amendment {
    /// What it does.
    pub op: Op,
    /// Which record.
    pub record: RecordId,
    /// What the gate reads. Always there with `Create` and `Amend`.
    pub subject: Option<Subject>,
    /// What the gate read of the version before, where that differs.
    pub former: Option<Subject>,
    /// Who recorded it; may be empty.
    pub author: Text,
    /// When its source recorded it, milliseconds since 1970-01-01T00:00:00Z.
    pub recorded_at: i64,
    /// The payload's media type; may be empty where there is no payload.
    pub content_type: Text,
    /// The resource as its source holds it; empty with `Retract`, and where only the header travels.
    pub payload: Bytes,
}
