//! Who is on the other side of a connection, as its certificate says.

use std::fmt;

use handfast_proto::ids::{Holder, OdsCode, PersonId};
use rustls_pki_types::CertificateDer;
use x509_parser::prelude::{FromDer as _, GeneralName, X509Certificate};

/// Who a connection is from. A certificate that names nobody of this trust domain makes no peer.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Peer {
    /// Showed no certificate: may enrol, and ask for the daemon's health.
    Anonymous,
    /// A unit's agent.
    Unit(OdsCode),
    /// A person.
    Person(PersonId),
}

/// Why a certificate, though signed by the deployment's authority, names nobody.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PeerError {
    /// Not X.509.
    #[error("the certificate cannot be read")]
    Unreadable,
    /// Not one URI SAN, or another kind of name beside it.
    #[error("the certificate does not have exactly one SAN, a URI")]
    Names,
    /// The URI names no unit or person, or one of another trust domain.
    #[error("the certificate names no unit or person of this trust domain")]
    Holder,
}

impl Peer {
    /// Reads the holder's certificate. rustls-webpki cannot check URI names, so this is where they are.
    pub fn from_certificate(certificate: &CertificateDer<'_>, trust_domain: &str) -> Result<Self, PeerError> {
        let (_, parsed) = X509Certificate::from_der(certificate).map_err(|_| PeerError::Unreadable)?;
        let names = parsed
            .subject_alternative_name()
            .map_err(|_| PeerError::Names)?
            .ok_or(PeerError::Names)?;
        let [GeneralName::URI(uri)] = names.value.general_names.as_slice() else {
            return Err(PeerError::Names);
        };
        match Holder::from_uri(uri, trust_domain).map_err(|_| PeerError::Holder)? {
            Holder::Unit(ods) => Ok(Self::Unit(ods)),
            Holder::Person(id) => Ok(Self::Person(id)),
        }
    }

    /// Whom the certificate names.
    pub fn holder(&self) -> Option<Holder> {
        match self {
            Self::Anonymous => None,
            Self::Unit(ods) => Some(Holder::Unit(*ods)),
            Self::Person(id) => Some(Holder::Person(id.clone())),
        }
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Anonymous => f.write_str("nobody named"),
            Self::Unit(ods) => write!(f, "unit {ods}"),
            Self::Person(id) => write!(f, "person {id}"),
        }
    }
}
