//! Who the agent is at the server, read from a file: `USER:PASSWORD` (RFC 7617), a bearer token (RFC 6750),
//! or a client certificate with its key (PEM).

use std::{io, path::Path};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::HeaderValue;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};
use zeroize::Zeroizing;

/// Bytes of a credentials file.
const MAX_FILE_BYTES: u64 = 256 * 1024;

/// What is wrong with a credentials file. Never holds anything of it.
#[derive(Debug, thiserror::Error)]
pub(super) enum CredentialsError {
    #[error("the credentials file cannot be read: {0}")]
    Io(#[from] io::Error),
    #[error(
        "the credentials file must hold USER:PASSWORD, or one bearer token, or a certificate with its key in PEM"
    )]
    Form,
}

/// Who the agent is.
pub(super) enum Credentials {
    /// Nobody.
    None,
    /// Says so in a header.
    Header(HeaderValue),
    /// Shows a certificate.
    Certificate(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>),
}

impl Credentials {
    /// Reads a file. Blocking.
    pub(super) fn read(path: &Path) -> Result<Self, CredentialsError> {
        if std::fs::metadata(path)?.len() > MAX_FILE_BYTES {
            return Err(CredentialsError::Form);
        }
        let text = Zeroizing::new(std::fs::read_to_string(path)?);
        Self::parse(&text)
    }

    fn parse(text: &str) -> Result<Self, CredentialsError> {
        if text.contains("-----BEGIN ") {
            let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text.as_bytes()).collect();
            let chain = chain.map_err(|_| CredentialsError::Form)?;
            let key = PrivateKeyDer::from_pem_slice(text.as_bytes()).map_err(|_| CredentialsError::Form)?;
            return if chain.is_empty() {
                Err(CredentialsError::Form)
            } else {
                Ok(Self::Certificate(chain, key))
            };
        }
        let line = text.trim();
        if line.is_empty() || line.chars().any(char::is_control) {
            return Err(CredentialsError::Form);
        }
        let value = match line.strip_prefix("Bearer ") {
            Some(token) => Zeroizing::new(format!("Bearer {}", token.trim())),
            // A bearer token has no colon (RFC 6750, section 2.1).
            None if line.contains(':') => Zeroizing::new(format!("Basic {}", STANDARD.encode(line))),
            None if line.contains(' ') => return Err(CredentialsError::Form),
            None => Zeroizing::new(format!("Bearer {line}")),
        };
        let mut header = HeaderValue::from_str(&value).map_err(|_| CredentialsError::Form)?;
        header.set_sensitive(true);
        Ok(Self::Header(header))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(text: &str) -> Option<String> {
        match Credentials::parse(text) {
            Ok(Credentials::Header(value)) => Some(value.to_str().unwrap().to_owned()),
            _ => None,
        }
    }

    #[test]
    fn each_form_is_told_from_the_others() {
        assert_eq!(
            header("agent:open sesame\n").as_deref(),
            Some("Basic YWdlbnQ6b3BlbiBzZXNhbWU=")
        );
        assert_eq!(header("abc.def-_~+/=\n").as_deref(), Some("Bearer abc.def-_~+/="));
        assert_eq!(header("Bearer abc").as_deref(), Some("Bearer abc"));
        for bad in [
            "",
            "\n",
            "two words",
            "a:b\nc:d",
            "-----BEGIN CERTIFICATE-----\nxx\n-----END CERTIFICATE-----",
        ] {
            assert!(Credentials::parse(bad).is_err(), "{bad}");
        }
    }
}
