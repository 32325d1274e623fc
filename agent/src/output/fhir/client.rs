//! Speaks to the FHIR server: HTTP/1.1 over kept connections, one request at a time, nothing followed.

use std::{error::Error as _, path::PathBuf, time::Duration};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Uri, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use tokio::time::timeout;

use super::{
    credentials::Credentials,
    outcome::{Answer, Outcome, Verb, issue, judge, retry_after},
    tls,
};
use crate::output::Pause;

/// Bytes of an answer's body that are read; a longer one costs the connection.
const MAX_ANSWER_BYTES: usize = 256 * 1024;

/// How long a connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// The media type of what is sent (FHIR R4, http 3.1.0.1.9).
const FHIR_JSON: HeaderValue = HeaderValue::from_static("application/fhir+json");

/// Which server, and who the agent is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FhirSettings {
    /// The server's base URL, without a slash at the end.
    pub base_url: String,
    /// `USER:PASSWORD`, a bearer token, or a certificate and its key; read again after each pause.
    pub credentials_file: Option<PathBuf>,
    /// The authority of the server's certificate (PEM), where it is not one that the machine trusts.
    pub ca_file: Option<PathBuf>,
    /// How long one request may take.
    pub timeout: Duration,
}

/// A client of one server.
pub(super) struct FhirClient {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    base_url: String,
    authorization: Option<HeaderValue>,
    timeout: Duration,
}

impl FhirClient {
    /// Reads what the settings name. Blocking.
    pub(super) fn new(settings: &FhirSettings) -> Result<Self, Pause> {
        let credentials = match &settings.credentials_file {
            Some(path) => {
                Credentials::read(path).map_err(|e| Pause::because(format!("{}: {e}", path.display())))?
            }
            None => Credentials::None,
        };
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(CONNECT_TIMEOUT));
        let builder = HttpsConnectorBuilder::new();
        let secure = settings.base_url.starts_with("https://");
        let ca_file = settings.ca_file.as_deref();
        let connector = if secure {
            let tls = tls::config(ca_file, &credentials).map_err(|e| Pause::because(e.to_string()))?;
            builder
                .with_tls_config(tls)
                .https_only()
                .enable_http1()
                .wrap_connector(tcp)
        } else {
            builder
                .with_tls_config(tls::nothing_trusted().map_err(|e| Pause::because(e.to_string()))?)
                .https_or_http()
                .enable_http1()
                .wrap_connector(tcp)
        };
        Ok(Self {
            client: Client::builder(TokioExecutor::new()).build(connector),
            base_url: settings.base_url.trim_end_matches('/').to_owned(),
            authorization: match credentials {
                Credentials::Header(value) => Some(value),
                _ => None,
            },
            timeout: settings.timeout,
        })
    }

    /// Writes a resource under an id of our own (FHIR R4, http 3.1.0.4 and 3.1.0.4.1).
    pub(super) async fn put(&self, resource_type: &str, id: &str, body: Vec<u8>, now_ms: i64) -> Outcome {
        self.ask(Verb::Put, resource_type, id, body.into(), now_ms).await
    }

    /// Deletes what was written under an id of our own.
    pub(super) async fn delete(&self, resource_type: &str, id: &str, now_ms: i64) -> Outcome {
        self.ask(Verb::Delete, resource_type, id, Bytes::new(), now_ms)
            .await
    }

    /// Whether the server answers at all, asked for what it can do (FHIR R4, http 3.1.0.9).
    pub(super) async fn works(&self) -> bool {
        let asked = async {
            let uri: Uri = format!("{}/metadata", self.base_url).parse().ok()?;
            let request = self
                .request(Method::GET, uri)
                .body(Full::new(Bytes::new()))
                .ok()?;
            let response = self.client.request(request).await.ok()?;
            Some(response.status().is_success())
        };
        matches!(timeout(self.timeout, asked).await, Ok(Some(true)))
    }

    fn request(&self, method: Method, uri: Uri) -> http::request::Builder {
        let request = Request::builder()
            .method(method)
            .uri(uri)
            .header(header::ACCEPT, FHIR_JSON)
            .header(
                header::USER_AGENT,
                concat!("handfast-agent/", env!("CARGO_PKG_VERSION")),
            );
        match &self.authorization {
            Some(value) => request.header(header::AUTHORIZATION, value.clone()),
            None => request,
        }
    }

    async fn ask(&self, verb: Verb, resource_type: &str, id: &str, body: Bytes, now_ms: i64) -> Outcome {
        let asked = timeout(self.timeout, self.answer(verb, resource_type, id, body, now_ms)).await;
        match asked {
            Ok(Ok(answer)) => judge(verb, &answer),
            Ok(Err(outcome)) => outcome,
            Err(_) => Outcome::unreachable(format!(
                "{} gave no answer within {} ms",
                self.base_url,
                self.timeout.as_millis()
            )),
        }
    }

    async fn answer(
        &self,
        verb: Verb,
        resource_type: &str,
        id: &str,
        body: Bytes,
        now_ms: i64,
    ) -> Result<Answer, Outcome> {
        let uri: Uri = format!("{}/{resource_type}/{id}", self.base_url)
            .parse()
            .map_err(|_| {
                Outcome::unreachable(format!("{} is not an address; correct base_url", self.base_url))
            })?;
        let method = match verb {
            Verb::Put => Method::PUT,
            Verb::Delete => Method::DELETE,
        };
        let mut request = self.request(method, uri);
        if verb == Verb::Put {
            // The resource is not wanted back.
            request = request
                .header(header::CONTENT_TYPE, FHIR_JSON)
                .header("prefer", "return=minimal");
        }
        let request = request
            .body(Full::new(body))
            .map_err(|_| Outcome::unreachable("the request could not be made"))?;
        let response = self.client.request(request).await.map_err(|e| {
            let why = e.source().map_or_else(|| e.to_string(), ToString::to_string);
            Outcome::unreachable(format!("{} cannot be reached: {why}", self.base_url))
        })?;
        let (parts, body) = response.into_parts();
        let body = Limited::new(body, MAX_ANSWER_BYTES).collect().await;
        let body = body.map(http_body_util::Collected::to_bytes).unwrap_or_default();
        Ok(Answer {
            status: parts.status,
            retry_after: retry_after(&parts.headers, now_ms),
            issue: issue(&body),
        })
    }
}
