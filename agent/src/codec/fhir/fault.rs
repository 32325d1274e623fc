//! Why a resource is refused. Each text names what is wrong and what to do, and nothing of the content.

use handfast_proto::ids::IdError;

/// Why a resource, or a whole file, is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// Bytes that are not text.
    #[error("it is not UTF-8; write FHIR JSON as UTF-8")]
    NotUtf8,
    /// Not well-formed.
    #[error("the JSON is not well-formed at byte {at}; send the resource again as valid JSON")]
    NotJson {
        /// Counted from 0.
        at: usize,
    },
    /// Cut off.
    #[error("the JSON ends too early; the file or line seems to be truncated, send it again whole")]
    Truncated,
    /// Well-formed, but no FHIR resource.
    #[error("it is not a FHIR resource: a JSON object with resourceType is expected")]
    NotAResource,
    /// A member occurs twice in an object.
    #[error("the JSON has a member twice in one object at byte {at}; systems would read it differently")]
    DuplicateMember {
        /// Where the object ends, counted from 0.
        at: usize,
    },
    /// Deeper than the bound.
    #[error("the JSON is nested more than {bound} levels deep")]
    TooDeep {
        /// Levels.
        bound: usize,
    },
    /// More values than the bound.
    #[error("the JSON has more than {bound} values; split the resource")]
    TooManyValues {
        /// Values.
        bound: usize,
    },
    /// Larger than the bound.
    #[error(
        "it has {bytes} bytes and the bound is {bound}; split it, or raise max-payload here and at the daemon"
    )]
    TooLarge {
        /// Bytes it has.
        bytes: usize,
        /// Bytes it may have.
        bound: usize,
    },
    /// No id, or one that FHIR does not allow.
    #[error("it has no usable id: {0}")]
    Id(IdError),
    /// The address names another resource than the body.
    #[error("the resource's type or id is not that of its address")]
    AddressMismatch,
    /// A resource that belongs to no patient.
    #[error(
        "no patient: it names no Patient by subject or patient; only entries about one patient are shared"
    )]
    NoPatient,
    /// More than one patient.
    #[error("it names more than one patient; only entries about one patient are shared")]
    SeveralPatients,
    /// A reference that leads nowhere.
    #[error(
        "its patient reference cannot be resolved: refer to Patient/id, or to an entry of the same Bundle"
    )]
    UnresolvedReference,
    /// An NHS number that fails its check.
    #[error("invalid NHS number: {0}")]
    InvalidNumber(IdError),
    /// A contained Patient that nobody can tell.
    #[error("its contained Patient has no NHS number")]
    ContainedPatientWithoutNumber,
    /// An AuditEvent that is not about a view.
    #[error(
        "this AuditEvent reports no view: only those of type rest with subtype read, vread, search or history, \
         carried out with success, are passed on"
    )]
    NotAView,
    /// A view that does not say enough.
    #[error("the AuditEvent of a view does not say {0}")]
    ViewLacks(&'static str),
    /// A Bundle of a type that carries no entries to take.
    #[error("a Bundle of this type cannot be taken; send a transaction, batch, collection or document")]
    BundleType,
    /// An entry without what its request needs.
    #[error("a Bundle entry has no resource, or a DELETE without the address Type/id")]
    BundleEntry,
    /// More entries than the bound.
    #[error("the Bundle has more than {bound} entries; split it")]
    TooManyEntries {
        /// Entries.
        bound: usize,
    },
    /// A request that is not supported.
    #[error("a Bundle entry asks for something else than PUT, POST or DELETE of Type/id")]
    BundleRequest,
}

impl Fault {
    /// Where in the text it lies, in bytes, if it lies at one place.
    pub fn at(&self) -> Option<usize> {
        match self {
            Self::NotJson { at } | Self::DuplicateMember { at } => Some(*at),
            _ => None,
        }
    }
}
