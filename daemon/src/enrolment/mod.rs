//! How a unit's agent, a person, and the daemon itself come by a certificate.

mod acts;
mod authority;
mod csr;
mod leaf;

pub use acts::{EnrolError, Enrolled, Enrolment};
pub use authority::{Authority, AuthorityError, NewAuthority, check_trust_domain, read_certificate_pem};
pub use csr::{CsrError, public_key};
pub use leaf::{IssueError, Issued, ServerLeaf, Validity};
