//! Where the daemon is: `https://HOST[:PORT]`. A value of [`DaemonUrl`] has a name that TLS can check.

use std::{fmt, net::IpAddr, str::FromStr};

use rustls_pki_types::ServerName;

use super::error::CtlError;

/// The port of an address that names none (RFC 9110, section 4.2.2).
const DEFAULT_PORT: u16 = 443;

/// A daemon's address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct DaemonUrl {
    /// Without the brackets of an IPv6 address.
    pub(super) host: String,
    pub(super) port: u16,
    /// The name that the daemon's certificate must carry.
    pub(super) name: ServerName<'static>,
}

impl FromStr for DaemonUrl {
    type Err = CtlError;

    fn from_str(text: &str) -> Result<Self, CtlError> {
        let wrong = || {
            CtlError::Usage(format!(
                "the daemon's address {text:?} must be https://HOST or https://HOST:PORT and nothing more"
            ))
        };
        let rest = text.trim().strip_prefix("https://").ok_or_else(wrong)?;
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let authority: http::uri::Authority = rest.parse().map_err(|_| wrong())?;
        if rest.contains('@') {
            return Err(wrong());
        }
        let bracketed = authority.host();
        let host = bracketed
            .strip_prefix('[')
            .and_then(|h| h.strip_suffix(']'))
            .unwrap_or(bracketed);
        let port = match authority.port() {
            Some(port) => port.as_str().parse().map_err(|_| wrong())?,
            // "host:" and a port above 65535 parse as an authority too.
            None if rest.len() != bracketed.len() => return Err(wrong()),
            None => DEFAULT_PORT,
        };
        let name = match host.parse::<IpAddr>() {
            Ok(ip) => ServerName::IpAddress(ip.into()),
            Err(_) => ServerName::try_from(host.to_owned()).map_err(|_| wrong())?,
        };
        Ok(Self {
            host: host.to_owned(),
            port,
            name,
        })
    }
}

impl fmt::Display for DaemonUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "https://[{}]:{}", self.host, self.port)
        } else {
            write!(f, "https://{}:{}", self.host, self.port)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_that_fit_and_that_do_not() {
        for (text, shown) in [
            ("https://handfast.example:7443", "https://handfast.example:7443"),
            ("https://handfast.example/", "https://handfast.example:443"),
            (" https://[::1]:7443\n", "https://[::1]:7443"),
        ] {
            assert_eq!(text.parse::<DaemonUrl>().unwrap().to_string(), shown);
        }
        for text in [
            "http://handfast.example",
            "handfast.example:7443",
            "https://",
            "https://handfast.example:",
            "https://handfast.example:70000",
            "https://handfast.example/path",
            "https://ann@handfast.example",
            "https://hand fast",
        ] {
            let error = text.parse::<DaemonUrl>().unwrap_err();
            assert_eq!(error.exit().code(), 2, "{text}");
        }
    }
}
