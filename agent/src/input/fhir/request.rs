//! What a request must be before it is read: from this machine's own programs and not by way of a web
//! page, of a FHIR media type, and within the bounds.

use std::time::Duration;

use axum::body::{Body, Bytes};
use http::{HeaderMap, StatusCode, header};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use tokio::time::timeout;

use super::answer::Told;
use crate::codec::fhir::Expected;

/// How long a body may take to arrive.
const BODY_TIMEOUT: Duration = Duration::from_secs(60);

/// A web page must not reach an address of this machine under a name of its own (DNS rebinding): only
/// addresses and localhost are answered to.
pub(super) fn check_host(headers: &HeaderMap) -> Result<(), Told> {
    let host = headers
        .get(header::HOST)
        .and_then(|h| h.to_str().ok())
        .unwrap_or_default();
    let name = match host.strip_prefix('[') {
        Some(v6) => v6.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    if name.eq_ignore_ascii_case("localhost") || name.parse::<std::net::IpAddr>().is_ok() {
        return Ok(());
    }
    Err(Told::error(
        StatusCode::MISDIRECTED_REQUEST,
        "forbidden",
        "address this endpoint by its IP address or as localhost",
    ))
}

/// FHIR JSON or plain JSON (FHIR R4, "HTTP": MIME types). What else is sent is not for this endpoint; that
/// includes what a web page may send without being asked.
pub(super) fn check_media_type(headers: &HeaderMap) -> Result<(), Told> {
    let value = headers
        .get(header::CONTENT_TYPE)
        .and_then(|h| h.to_str().ok())
        .unwrap_or_default();
    let essence = value
        .split(';')
        .next()
        .unwrap_or_default()
        .trim()
        .to_ascii_lowercase();
    if matches!(
        essence.as_str(),
        "application/fhir+json" | "application/json" | "application/json+fhir"
    ) {
        return Ok(());
    }
    Err(Told::error(
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        "not-supported",
        "send Content-Type: application/fhir+json",
    ))
}

/// What the headers expect of the record.
pub(super) fn expected(headers: &HeaderMap) -> Result<Expected, Told> {
    let invalid = |what: &str| {
        Told::error(
            StatusCode::BAD_REQUEST,
            "invalid",
            format!("{what} is not understood; send it as W/\"3\""),
        )
    };
    let text = |name| {
        headers
            .get(name)
            .map(|h: &http::HeaderValue| h.to_str().unwrap_or_default().trim())
    };
    if let Some(tag) = text(header::IF_MATCH) {
        let version = tag.trim_start_matches("W/").trim_matches('"').parse().ok();
        return version.map(Expected::Version).ok_or_else(|| invalid("If-Match"));
    }
    match text(header::IF_NONE_MATCH) {
        Some("*") => Ok(Expected::Absent),
        Some(_) => Err(invalid("If-None-Match other than *")),
        None => Ok(Expected::Anything),
    }
}

/// Bytes that a body is expected to have, at most.
pub(super) fn expected_bytes(headers: &HeaderMap, bound: usize) -> usize {
    let said = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|h| h.to_str().ok()?.parse().ok());
    said.unwrap_or(bound).min(bound)
}

/// Reads a body of at most `bound` bytes.
pub(super) async fn body(body: Body, headers: &HeaderMap, bound: usize) -> Result<Bytes, Told> {
    let too_large = || {
        Told::error(
            StatusCode::PAYLOAD_TOO_LARGE,
            "too-long",
            format!("the body has more than {bound} bytes; split it, or raise max_payload_mib"),
        )
    };
    let said: Option<usize> = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|h| h.to_str().ok()?.parse().ok());
    if said.is_some_and(|bytes| bytes > bound) {
        return Err(too_large());
    }
    let read = timeout(BODY_TIMEOUT, Limited::new(body, bound).collect()).await;
    match read {
        Ok(Ok(read)) => Ok(read.to_bytes()),
        Ok(Err(e)) if e.downcast_ref::<LengthLimitError>().is_some() => Err(too_large()),
        Ok(Err(_)) => Err(Told::error(
            StatusCode::BAD_REQUEST,
            "structure",
            "the body broke off",
        )),
        Err(_) => Err(Told::error(
            StatusCode::REQUEST_TIMEOUT,
            "timeout",
            "the body did not arrive in time",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: header::HeaderName, value: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(name, http::HeaderValue::from_static(value))])
    }

    #[test]
    fn only_addresses_and_localhost_are_answered_to() {
        for host in [
            "127.0.0.1:8089",
            "localhost",
            "LOCALHOST:1",
            "[::1]:8089",
            "192.0.2.1",
        ] {
            assert!(check_host(&headers(header::HOST, host)).is_ok(), "{host}");
        }
        for host in [
            "attacker.example",
            "attacker.example:8089",
            "localhost.attacker.example",
            "",
        ] {
            assert!(check_host(&headers(header::HOST, host)).is_err(), "{host}");
        }
    }

    #[test]
    fn expectations_are_read() {
        assert_eq!(
            expected(&headers(header::IF_MATCH, "W/\"3\"")),
            Ok(Expected::Version(3))
        );
        assert_eq!(
            expected(&headers(header::IF_MATCH, "\"3\"")),
            Ok(Expected::Version(3))
        );
        assert_eq!(
            expected(&headers(header::IF_NONE_MATCH, "*")),
            Ok(Expected::Absent)
        );
        assert_eq!(expected(&HeaderMap::new()), Ok(Expected::Anything));
        assert!(expected(&headers(header::IF_MATCH, "W/\"x\"")).is_err());
    }
}
