//! What a server's answer means for a record: [`judge`] is the whole rule.

use std::time::Duration;

use http::{HeaderMap, StatusCode, header::RETRY_AFTER};
use jiff::Timestamp;
use serde::Deserialize;

/// A server may ask for no longer pause than this.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(3600);

/// Characters taken from an issue's code or place.
const MAX_WORD_CHARS: usize = 80;

/// What was asked of the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verb {
    Put,
    Delete,
}

/// What an answer means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Outcome {
    /// Carried out.
    Done,
    /// Refused for good.
    Refused(Fault),
    /// To be tried again. `own`: the trouble may be this record's alone.
    Again {
        fault: Fault,
        own: bool,
        retry_after: Option<Duration>,
    },
}

/// Why not, without content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) status: Option<u16>,
    pub(super) reason: String,
}

/// An answer, as far as it matters.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) retry_after: Option<Duration>,
    /// From an OperationOutcome: `code` and `expression`, which name no content.
    pub(super) issue: Option<String>,
}

/// 401, 403, 408, 409, 429 and 5xx are tried again, redirects too (they are not followed: the address is
/// wrong); what was deleted before counts as deleted; everything else is refused for good.
pub(super) fn judge(verb: Verb, answer: &Answer) -> Outcome {
    let status = answer.status;
    if status.is_success() {
        return Outcome::Done;
    }
    let done_before = matches!(status, StatusCode::NOT_FOUND | StatusCode::GONE);
    if verb == Verb::Delete && done_before {
        return Outcome::Done;
    }
    let (own, what) = match status.as_u16() {
        300..=399 => (false, "redirects elsewhere; correct base_url"),
        401 => (
            false,
            "does not accept the agent's credentials; check credentials_file",
        ),
        403 => (true, "does not allow it; check what the agent may do there"),
        408 => (true, "waited too long for the request"),
        409 => (true, "says that it conflicts with what it holds"),
        429 => (false, "asks for fewer requests"),
        502..=504 => (false, "is not available"),
        500..=599 => (true, "failed"),
        _ => return Outcome::Refused(answer.fault("refuses it")),
    };
    Outcome::Again {
        fault: answer.fault(what),
        own,
        retry_after: answer.retry_after,
    }
}

impl Outcome {
    /// For a server that did not answer.
    pub(super) fn unreachable(why: impl Into<String>) -> Self {
        Self::Again {
            fault: Fault {
                status: None,
                reason: why.into(),
            },
            own: false,
            retry_after: None,
        }
    }
}

impl Answer {
    fn fault(&self, what: &str) -> Fault {
        let status = self.status.as_u16();
        let issue = self.issue.as_ref().map_or_else(String::new, |i| format!("; {i}"));
        Fault {
            status: Some(status),
            reason: format!("the server {what} ({status}{issue})"),
        }
    }
}

/// How long the server asks to wait (RFC 9110, section 10.2.3), bounded.
pub(super) fn retry_after(headers: &HeaderMap, now_ms: i64) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let asked = match text.parse() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => {
            let at: Timestamp = jiff::fmt::rfc2822::parse(text).ok()?.timestamp();
            Duration::from_millis(u64::try_from(at.as_millisecond() - now_ms).unwrap_or(0))
        }
    };
    Some(asked.min(MAX_RETRY_AFTER))
}

/// What an OperationOutcome says of its first error, as far as it cannot name content: the issue's code
/// (a fixed list in FHIR) and the element's path. Its texts are left out.
pub(super) fn issue(body: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Body {
        issue: Vec<Issue>,
    }
    #[derive(Deserialize)]
    struct Issue {
        code: String,
        #[serde(default)]
        expression: Vec<String>,
    }
    let body: Body = serde_json::from_slice(body).ok()?;
    let first = body.issue.first()?;
    let word = |text: &str| {
        let plain = text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'[' | b']'));
        (plain && !text.is_empty() && text.len() <= MAX_WORD_CHARS).then(|| text.to_owned())
    };
    let code = word(&first.code)?;
    Some(match first.expression.first().and_then(|e| word(e)) {
        Some(place) => format!("{code} at {place}"),
        None => code,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16) -> Answer {
        Answer {
            status: StatusCode::from_u16(status).unwrap(),
            retry_after: None,
            issue: None,
        }
    }

    #[test]
    fn every_status_has_its_meaning() {
        for status in [200, 201, 202, 204] {
            assert_eq!(judge(Verb::Put, &answer(status)), Outcome::Done);
            assert_eq!(judge(Verb::Delete, &answer(status)), Outcome::Done);
        }
        for status in [404, 410] {
            assert_eq!(judge(Verb::Delete, &answer(status)), Outcome::Done);
            assert!(matches!(judge(Verb::Put, &answer(status)), Outcome::Refused(_)));
        }
        for status in [400, 405, 412, 413, 415, 422] {
            assert!(
                matches!(judge(Verb::Put, &answer(status)), Outcome::Refused(_)),
                "{status}"
            );
            assert!(
                matches!(judge(Verb::Delete, &answer(status)), Outcome::Refused(_)),
                "{status}"
            );
        }
        for (status, is_own) in [
            (302, false),
            (401, false),
            (403, true),
            (408, true),
            (409, true),
            (429, false),
            (500, true),
            (503, false),
        ] {
            let outcome = judge(Verb::Put, &answer(status));
            assert!(
                matches!(outcome, Outcome::Again { own, .. } if own == is_own),
                "{status}"
            );
        }
    }

    #[test]
    fn a_pause_that_the_server_asks_for_is_bounded() {
        let after = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, text.parse().unwrap());
            // 2015-10-21T07:28:00Z
            retry_after(&headers, 1_445_412_480_000)
        };
        assert_eq!(after("7"), Some(Duration::from_secs(7)));
        assert_eq!(after("99999999"), Some(MAX_RETRY_AFTER));
        assert_eq!(
            after("Wed, 21 Oct 2015 07:28:30 GMT"),
            Some(Duration::from_secs(30))
        );
        assert_eq!(after("Wed, 21 Oct 2015 07:27:30 GMT"), Some(Duration::ZERO));
        assert_eq!(after("soon"), None);
    }

    #[test]
    fn a_reason_names_no_content() {
        let body = br#"{"resourceType":"OperationOutcome","issue":[{"severity":"error","code":"required",
            "diagnostics":"Mr Smith has no status","expression":["Observation.status"]}]}"#;
        assert_eq!(issue(body).as_deref(), Some("required at Observation.status"));
        assert_eq!(issue(br#"{"issue":[{"code":"Mr Smith"}]}"#), None);
        assert_eq!(issue(b"<html>"), None);
    }
}
