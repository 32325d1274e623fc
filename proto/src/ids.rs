//! Checked identifiers. A value of one of these types has passed its check; there is no other way to
//! make one.

use std::{fmt, num::NonZeroU64, str::FromStr};

use bytes::Bytes;

/// What is wrong with an identifier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// Not an ODS code.
    #[error("an ODS code is 3 to 12 capital letters and digits, such as Z00101")]
    OdsCode,
    /// Not ten digits.
    #[error("an NHS number is ten digits")]
    NhsNumberLength,
    /// Ten digits with a wrong check digit.
    #[error("the NHS number's check digit is wrong (modulus 11)")]
    NhsNumberCheckDigit,
    /// Not `ResourceType/id`.
    #[error("a record id is ResourceType/id, the id being 1 to 64 letters, digits, '-' and '.'")]
    RecordId,
    /// Zero.
    #[error("a seq begins at 1")]
    Seq,
    /// Not 16 bytes.
    #[error("a store id is 16 bytes")]
    StoreId,
    /// Not a person's id.
    #[error("a person's id is 1 to 64 small letters, digits and '-'")]
    PersonId,
    /// Not `spiffe://<trust domain>/unit/<ODS>` or `/person/<id>`.
    #[error("a holder is spiffe://<trust domain>/unit/<ODS code> or …/person/<id>")]
    Holder,
}

// === OdsCode ===

const ODS_MAX: usize = 12;

/// A unit's ODS code: 3 to 12 capital letters and digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct OdsCode {
    bytes: [u8; ODS_MAX],
    len: u8,
}

impl OdsCode {
    /// The code as text.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.bytes[..usize::from(self.len)]).unwrap_or_default()
    }
}

impl FromStr for OdsCode {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let raw = text.as_bytes();
        let fits = (3..=ODS_MAX).contains(&raw.len());
        if !fits || !raw.iter().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit()) {
            return Err(IdError::OdsCode);
        }
        let mut bytes = [0; ODS_MAX];
        bytes[..raw.len()].copy_from_slice(raw);
        let len = u8::try_from(raw.len()).map_err(|_| IdError::OdsCode)?;
        Ok(Self { bytes, len })
    }
}

impl fmt::Display for OdsCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for OdsCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

// === NhsNumber ===

/// A patient's NHS number: ten digits, the last a check digit by modulus 11
/// (NHS Data Dictionary, "NHS NUMBER").
///
/// `Debug` and `Display` show only the last three digits, so that a whole number never reaches a log by
/// accident; [`NhsNumber::reveal`] is the way to the whole.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NhsNumber(u64);

impl NhsNumber {
    /// Checks a number as it travels in a batch header.
    pub fn from_u64(number: u64) -> Result<Self, IdError> {
        if number > 9_999_999_999 {
            return Err(IdError::NhsNumberLength);
        }
        let mut rest = number / 10;
        let mut sum = 0;
        for weight in 2..=10 {
            sum += rest % 10 * weight;
            rest /= 10;
        }
        let check = (11 - sum % 11) % 11;
        // A check digit of 10 does not exist: such numbers are not issued. Ten zeros would pass the sum.
        if number == 0 || check != number % 10 {
            return Err(IdError::NhsNumberCheckDigit);
        }
        Ok(Self(number))
    }

    /// The number as it travels.
    pub fn as_u64(self) -> u64 {
        self.0
    }

    /// All ten digits. Never for a log.
    pub fn reveal(self) -> String {
        format!("{:010}", self.0)
    }
}

impl FromStr for NhsNumber {
    type Err = IdError;

    /// Ten digits; spaces between them are passed over (people write 999 000 0018).
    fn from_str(text: &str) -> Result<Self, IdError> {
        let mut number = 0;
        let mut digits = 0;
        for c in text.chars().filter(|c| *c != ' ') {
            let digit = c.to_digit(10).ok_or(IdError::NhsNumberLength)?;
            digits += 1;
            if digits > 10 {
                return Err(IdError::NhsNumberLength);
            }
            number = number * 10 + u64::from(digit);
        }
        if digits != 10 {
            return Err(IdError::NhsNumberLength);
        }
        Self::from_u64(number)
    }
}

impl fmt::Display for NhsNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "*******{:03}", self.0 % 1000)
    }
}

impl fmt::Debug for NhsNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NhsNumber({self})")
    }
}

// === RecordId ===

/// A record's name within its source: `ResourceType/id` (FHIR R4, Resource.id and the resource types).
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RecordId(Bytes);

impl RecordId {
    /// Checks a name as it travels in a batch header, without copying it.
    pub fn from_bytes(raw: Bytes) -> Result<Self, IdError> {
        let slash = raw.iter().position(|b| *b == b'/').ok_or(IdError::RecordId)?;
        let (kind, id) = (&raw[..slash], &raw[slash + 1..]);
        let kind_fits = (1..=64).contains(&kind.len()) && kind.iter().all(u8::is_ascii_alphabetic);
        let id_fits = (1..=64).contains(&id.len())
            && id.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.'))
            // "." and ".." would be paths at an output.
            && id.iter().any(|b| *b != b'.');
        if kind_fits && id_fits {
            Ok(Self(raw))
        } else {
            Err(IdError::RecordId)
        }
    }

    /// The name of a resource.
    pub fn new(resource_type: &str, id: &str) -> Result<Self, IdError> {
        Self::from_bytes(Bytes::from(format!("{resource_type}/{id}")))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }

    /// The name as it travels.
    pub fn as_bytes(&self) -> &Bytes {
        &self.0
    }

    /// The part before the slash.
    pub fn resource_type(&self) -> &str {
        self.as_str().split('/').next().unwrap_or_default()
    }

    /// The part after the slash.
    pub fn id(&self) -> &str {
        self.as_str().split('/').nth(1).unwrap_or_default()
    }
}

impl FromStr for RecordId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        Self::from_bytes(Bytes::copy_from_slice(text.as_bytes()))
    }
}

impl fmt::Display for RecordId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for RecordId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

// === Numbers ===

/// An amendment's place in its source's stream: 1, 2, 3 …
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Seq(NonZeroU64);

impl Seq {
    /// Checks that it is not 0.
    pub fn new(seq: u64) -> Result<Self, IdError> {
        NonZeroU64::new(seq).map(Self).ok_or(IdError::Seq)
    }

    /// The number.
    pub fn get(self) -> u64 {
        self.0.get()
    }
}

impl fmt::Display for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Names one store of an agent: its outbox or its inbox, from its making to its end.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct StoreId([u8; 16]);

impl StoreId {
    /// From random bytes.
    pub fn from_random(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// As it travels.
    pub fn from_slice(raw: &[u8]) -> Result<Self, IdError> {
        raw.try_into().map(Self).map_err(|_| IdError::StoreId)
    }

    /// As it travels.
    pub fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl fmt::Display for StoreId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|b| write!(f, "{b:02x}"))
    }
}

impl fmt::Debug for StoreId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

// === Holders of certificates ===

/// A person's id, given by the daemon: small letters, digits and `-`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct PersonId(String);

impl PersonId {
    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for PersonId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let fits = (1..=64).contains(&text.len())
            && text
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        if fits {
            Ok(Self(text.to_owned()))
        } else {
            Err(IdError::PersonId)
        }
    }
}

impl fmt::Display for PersonId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// Whom a certificate names, in its one URI SAN.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Holder {
    /// A unit's agent.
    Unit(OdsCode),
    /// A person.
    Person(PersonId),
}

impl Holder {
    /// The SPIFFE id in a trust domain (SPIFFE-ID section 2).
    pub fn to_uri(&self, trust_domain: &str) -> String {
        match self {
            Self::Unit(ods) => format!("spiffe://{trust_domain}/unit/{ods}"),
            Self::Person(id) => format!("spiffe://{trust_domain}/person/{id}"),
        }
    }

    /// Reads a SPIFFE id; one of another trust domain is refused.
    pub fn from_uri(uri: &str, trust_domain: &str) -> Result<Self, IdError> {
        let path = uri
            .strip_prefix("spiffe://")
            .and_then(|rest| rest.strip_prefix(trust_domain))
            .ok_or(IdError::Holder)?;
        if let Some(ods) = path.strip_prefix("/unit/") {
            return ods.parse().map(Self::Unit);
        }
        let person = path.strip_prefix("/person/").ok_or(IdError::Holder)?;
        person.parse().map(Self::Person)
    }
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unit(ods) => write!(f, "unit {ods}"),
            Self::Person(id) => write!(f, "person {id}"),
        }
    }
}
