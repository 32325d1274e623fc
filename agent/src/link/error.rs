//! Why there is no connection to the daemon, sorted by what a caller can do about it.

use std::io;

use rustls::{AlertDescription, CertificateError};

/// Why there is no connection. The texts are for people.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LinkError {
    /// Nobody answers, or the connection broke while it was made. Worth trying again.
    #[error("the daemon at {daemon} cannot be reached: {why}")]
    Unreachable {
        /// Its address.
        daemon: String,
        /// What went wrong.
        why: String,
    },
    /// Whoever answers cannot show that it is the daemon this agent enrolled with.
    #[error("what answers at {daemon} is not trusted: {why}. Nothing was sent to it")]
    NotTrusted {
        /// Its address.
        daemon: String,
        /// What is wrong with its certificate.
        why: String,
    },
    /// The daemon does not take this agent's certificate.
    #[error(
        "the daemon at {daemon} refuses this agent's certificate ({why}): {}",
        ENROL_AGAIN
    )]
    Refused {
        /// Its address.
        daemon: String,
        /// The reason it gave.
        why: String,
    },
    /// The daemon says that this agent's certificate has expired.
    #[error(
        "this agent's certificate has expired, says the daemon at {daemon}: {}",
        ENROL_AGAIN
    )]
    Expired {
        /// Its address.
        daemon: String,
    },
    /// Something answers that does not speak TLS 1.3 and HTTP/2 as a daemon does.
    #[error("what answers at {daemon} does not speak as a Handfast daemon does: {why}. Check the address")]
    Protocol {
        /// Its address.
        daemon: String,
        /// What it did.
        why: String,
    },
}

const ENROL_AGAIN: &str =
    "ask an administrator of the unit for a new token and run 'handfast-agent enrol --replace'";

pub(super) fn unreachable_because(daemon: &str, error: &io::Error) -> LinkError {
    LinkError::Unreachable {
        daemon: daemon.to_owned(),
        why: match error.kind() {
            io::ErrorKind::ConnectionRefused => "nothing listens there (connection refused)".to_owned(),
            io::ErrorKind::UnexpectedEof => "it closed the connection at once".to_owned(),
            _ => error.to_string(),
        },
    }
}

/// Sorts what TLS says into what a caller can do about it.
pub(super) fn tls_error(daemon: &str, error: &io::Error) -> LinkError {
    let inner = error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<rustls::Error>());
    let daemon = daemon.to_owned();
    match inner {
        None => unreachable_because(&daemon, error),
        Some(rustls::Error::InvalidCertificate(fault)) => LinkError::NotTrusted {
            daemon,
            why: certificate_fault(fault),
        },
        Some(rustls::Error::AlertReceived(AlertDescription::CertificateExpired)) => {
            LinkError::Expired { daemon }
        }
        Some(rustls::Error::AlertReceived(alert)) if is_about_our_certificate(*alert) => LinkError::Refused {
            daemon,
            why: alert_text(*alert).to_owned(),
        },
        Some(other) => LinkError::Protocol {
            daemon,
            why: other.to_string(),
        },
    }
}

fn is_about_our_certificate(alert: AlertDescription) -> bool {
    matches!(
        alert,
        AlertDescription::AccessDenied
            | AlertDescription::BadCertificate
            | AlertDescription::CertificateRequired
            | AlertDescription::CertificateRevoked
            | AlertDescription::CertificateUnknown
            | AlertDescription::DecryptError
            | AlertDescription::UnknownCA
            | AlertDescription::UnsupportedCertificate
    )
}

fn alert_text(alert: AlertDescription) -> &'static str {
    match alert {
        AlertDescription::CertificateRevoked => "it is revoked",
        AlertDescription::UnknownCA => "it is from another authority than the daemon's",
        AlertDescription::CertificateRequired => "none was shown",
        AlertDescription::AccessDenied => "access denied",
        _ => "it is not valid there",
    }
}

fn certificate_fault(fault: &CertificateError) -> String {
    match fault {
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            "its certificate is not from the authority that this agent enrolled with".to_owned()
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            "its certificate has expired, or this machine's clock is wrong".to_owned()
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "its certificate is not valid yet, or this machine's clock is wrong".to_owned()
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            "its certificate is for another name than the one in the address".to_owned()
        }
        // A verifier of ours gives its own text.
        CertificateError::Other(other) => other.to_string(),
        other => format!("its certificate is not valid ({other})"),
    }
}
