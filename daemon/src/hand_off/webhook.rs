//! Posts an alert to a webhook: HTTP/1.1, one post at a time, signed, nothing followed.

use std::{error::Error as _, fs, path::Path, time::Duration};

use anyhow::{Context as _, bail};
use aws_lc_rs::hmac;
use bytes::Bytes;
use http::{HeaderValue, Method, Request, StatusCode, header};
use http_body_util::Full;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use tokio::time::timeout;
use zeroize::Zeroizing;

use super::{
    notice::{Notice, signature},
    tls,
};
use crate::config::WebhookUrl;

/// How long a post may take, connecting included.
const POST_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Bytes of a secret, at least and at most.
const SECRET_BYTES: std::ops::RangeInclusive<usize> = 16..=4096;

/// Where the signature stands.
const SIGNATURE: &str = "handfast-signature";

/// Why a post was not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Untaken {
    /// Others would not be either.
    Target(String),
    /// This one was refused for what it is.
    Alert(String),
}

/// A webhook.
pub(super) struct Webhook {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    url: WebhookUrl,
    key: hmac::Key,
}

impl Webhook {
    /// Reads the secret and the authority. Blocking.
    pub(super) fn new(url: &WebhookUrl, secret: &Path, ca_file: Option<&Path>) -> anyhow::Result<Self> {
        let key = read_key(secret)?;
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(CONNECT_TIMEOUT));
        let builder = HttpsConnectorBuilder::new();
        let connector = if url.is_secure() {
            let builder = builder.with_tls_config(tls::config(ca_file)?).https_only();
            builder.enable_http1().wrap_connector(tcp)
        } else {
            let builder = builder.with_tls_config(tls::nothing_trusted()?).https_or_http();
            builder.enable_http1().wrap_connector(tcp)
        };
        Ok(Self {
            client: Client::builder(TokioExecutor::new()).build(connector),
            url: url.clone(),
            key,
        })
    }

    /// Posts one. Dropped half-way it may have been taken: the same is then posted again.
    pub(super) async fn post(&self, notice: &Notice, now: i64) -> Result<(), Untaken> {
        let body = notice.json();
        let request = Request::builder()
            .method(Method::POST)
            .uri(self.url.uri().clone())
            .header(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))
            .header(
                header::USER_AGENT,
                concat!("handfastd/", env!("CARGO_PKG_VERSION")),
            )
            .header(SIGNATURE, signature(&self.key, now, &body))
            .body(Full::new(Bytes::from(body)));
        let request = request.map_err(|e| Untaken::Target(format!("make a post: {e}")))?;
        match timeout(POST_TIMEOUT, self.client.request(request)).await {
            // The body of the answer is not read: the connection goes with it where there is one.
            Ok(Ok(response)) => judge(response.status()),
            Ok(Err(e)) => {
                let why = e.source().map_or_else(|| e.to_string(), ToString::to_string);
                Err(Untaken::Target(format!("it cannot be reached: {why}")))
            }
            Err(_) => {
                let seconds = POST_TIMEOUT.as_secs();
                Err(Untaken::Target(format!("it gave no answer within {seconds} s")))
            }
        }
    }
}

fn judge(status: StatusCode) -> Result<(), Untaken> {
    let said = || format!("it answered {status}");
    match status {
        _ if status.is_success() => Ok(()),
        StatusCode::BAD_REQUEST
        | StatusCode::CONFLICT
        | StatusCode::PAYLOAD_TOO_LARGE
        | StatusCode::UNPROCESSABLE_ENTITY => Err(Untaken::Alert(said())),
        _ => Err(Untaken::Target(said())),
    }
}

fn read_key(path: &Path) -> anyhow::Result<hmac::Key> {
    let secret =
        Zeroizing::new(fs::read(path).with_context(|| format!("read the secret {}", path.display()))?);
    let secret = secret.trim_ascii();
    if !SECRET_BYTES.contains(&secret.len()) {
        bail!(
            "the secret in {} has {} bytes: give it {} to {}",
            path.display(),
            secret.len(),
            SECRET_BYTES.start(),
            SECRET_BYTES.end()
        );
    }
    Ok(hmac::Key::new(hmac::HMAC_SHA256, secret))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_about_the_alert_is_told_from_what_is_about_the_target() {
        assert_eq!(judge(StatusCode::NO_CONTENT), Ok(()));
        assert!(matches!(
            judge(StatusCode::UNPROCESSABLE_ENTITY),
            Err(Untaken::Alert(_))
        ));
        for target in [301, 401, 404, 429, 500, 503] {
            let status = StatusCode::from_u16(target).unwrap();
            assert!(matches!(judge(status), Err(Untaken::Target(_))), "{status}");
        }
    }

    #[test]
    fn a_secret_that_is_easily_guessed_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secret");
        fs::write(&path, "short\n").unwrap();
        assert!(read_key(&path).unwrap_err().to_string().contains("16"));
        fs::write(&path, "0123456789abcdef\n").unwrap();
        assert!(read_key(&path).is_ok());
    }
}
