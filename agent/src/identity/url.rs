//! Where the daemon is: `https://HOST[:PORT]`. A value of [`DaemonUrl`] has a name that TLS can check.

use std::{fmt, net::IpAddr, str::FromStr};

use rustls_pki_types::ServerName;

/// The port of an address that names none (RFC 9110, section 4.2.2).
const DEFAULT_PORT: u16 = 443;

/// What is wrong with a daemon's address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    /// Not `https://…`.
    #[error("the daemon's address {0:?} must begin with https://, as in https://handfast.example:7443")]
    Scheme(String),
    /// A path, a user or another part that has no meaning here.
    #[error("the daemon's address {0:?} must be https://HOST or https://HOST:PORT and nothing more")]
    Form(String),
    /// Neither a DNS name nor an IP address.
    #[error("{0:?} in the daemon's address is neither a DNS name nor an IP address")]
    Host(String),
}

/// A daemon's address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DaemonUrl {
    /// Without the brackets of an IPv6 address.
    host: String,
    port: u16,
    name: ServerName<'static>,
}

impl DaemonUrl {
    /// The host, an IPv6 address without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The TCP port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The name that the daemon's certificate must carry.
    pub fn server_name(&self) -> ServerName<'static> {
        self.name.clone()
    }

    /// `HOST:PORT`, as an HTTP authority.
    pub fn authority(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}

impl FromStr for DaemonUrl {
    type Err = UrlError;

    fn from_str(text: &str) -> Result<Self, UrlError> {
        let text = text.trim();
        let form = || UrlError::Form(text.to_owned());
        let rest = text
            .strip_prefix("https://")
            .ok_or_else(|| UrlError::Scheme(text.to_owned()))?;
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let authority: http::uri::Authority = rest.parse().map_err(|_| form())?;
        if rest.contains('@') {
            return Err(form());
        }
        let host = authority.host();
        let host = host
            .strip_prefix('[')
            .and_then(|h| h.strip_suffix(']'))
            .unwrap_or(host);
        let port = match authority.port() {
            Some(port) => port.as_str().parse().map_err(|_| form())?,
            // "host:" and a port above 65535 parse as an authority too.
            None if rest.len() != authority.host().len() => return Err(form()),
            None => DEFAULT_PORT,
        };
        let name = match host.parse::<IpAddr>() {
            Ok(ip) => ServerName::IpAddress(ip.into()),
            Err(_) => ServerName::try_from(host.to_owned()).map_err(|_| UrlError::Host(host.to_owned()))?,
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
        write!(f, "https://{}", self.authority())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_that_fit() {
        for (text, shown) in [
            ("https://handfast.example:7443", "https://handfast.example:7443"),
            ("https://handfast.example/", "https://handfast.example:443"),
            ("https://127.0.0.1:1", "https://127.0.0.1:1"),
            (" https://[::1]:7443\n", "https://[::1]:7443"),
        ] {
            let url: DaemonUrl = text.parse().unwrap();
            assert_eq!(url.to_string(), shown);
            assert_eq!(shown.parse::<DaemonUrl>().unwrap(), url);
        }
        assert_eq!("https://[::1]:7".parse::<DaemonUrl>().unwrap().host(), "::1");
    }

    #[test]
    fn addresses_that_do_not() {
        for text in ["http://handfast.example", "handfast.example:7443", ""] {
            assert_eq!(text.parse::<DaemonUrl>(), Err(UrlError::Scheme(text.to_owned())));
        }
        for text in [
            "https://",
            "https://a/b",
            "https://a?b",
            "https://a:b",
            "https://a:",
            "https://a:70000",
            "https://user@a",
        ] {
            assert!(
                matches!(text.parse::<DaemonUrl>(), Err(UrlError::Form(_))),
                "{text}"
            );
        }
        assert!(matches!(
            "https://a_!".parse::<DaemonUrl>(),
            Err(UrlError::Host(_))
        ));
    }
}
