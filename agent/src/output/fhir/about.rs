//! How this unit stands with a source, as a resource on its server: a `Basic` (FHIR R4, basic.html: "narrative-only
//! resources that don't map to an existing resource"), because what fits by name asks for a patient or another
//! subject (`Flag.subject` is 1..1), or would read as an empty list of records (`List`). It has no subject, no
//! clinical content and nobody's name. People read its narrative; programs its extensions:
//!
//! | extension | value |
//! |---|---|
//! | `urn:handfast:about:as-of` | instant until when the daemon was heard of the source |
//! | `urn:handfast:about:shared` | boolean: a grant is in force |
//! | `urn:handfast:about:category` | code, once for each category in scope; none: every category |
//! | `urn:handfast:about:notice` | `code` (stale, withdrawn, possibly-incomplete), `reason` codes, `since` date, `text` |

use serde_json::{Value, json};

use crate::{
    codec::fhir::about_id,
    store::inbox::{About, Notice, category_name},
};

/// The type of the resource.
pub(super) const ABOUT_TYPE: &str = "Basic";

const URN: &str = "urn:handfast:about";

/// ODS codes (NHS England, "Organisation Data Service").
const ODS_SYSTEM: &str = "https://fhir.nhs.uk/Id/ods-organization-code";

/// The resource.
pub(super) fn resource(about: &About) -> Value {
    let source = about.source.as_str();
    json!({
        "resourceType": ABOUT_TYPE,
        "id": about_id(about.source),
        "meta": { "source": format!("urn:handfast:{source}") },
        "text": { "status": "generated", "div": narrative(about) },
        "extension": extensions(about),
        "identifier": [{ "system": ODS_SYSTEM, "value": source }],
        "code": {
            "coding": [{ "system": URN, "code": "source" }],
            "text": format!("How records of {source} are shown here"),
        },
    })
}

/// XHTML (FHIR R4, narrative.html). Codes, dates and the agent's own texts have nothing to escape.
fn narrative(about: &About) -> String {
    let mut lines = vec![format!("Records of {}", about.source)];
    lines.push(match about.as_of.and_then(instant) {
        Some(at) => format!("As of {at}."),
        None => "Nothing was received yet.".to_owned(),
    });
    lines.push(match (about.shared, names(about)) {
        (false, _) => "Nothing is shared.".to_owned(),
        (true, None) => "Every category is shared.".to_owned(),
        (true, Some(names)) => format!("Categories shared: {}.", names.join(", ")),
    });
    lines.extend(about.notices.iter().map(Notice::text));
    let lines: Vec<String> = lines.iter().map(|line| format!("<p>{line}</p>")).collect();
    format!(
        r#"<div xmlns="http://www.w3.org/1999/xhtml">{}</div>"#,
        lines.concat()
    )
}

fn extensions(about: &About) -> Vec<Value> {
    let mut all = Vec::new();
    if let Some(at) = about.as_of.and_then(instant) {
        all.push(json!({ "url": format!("{URN}:as-of"), "valueInstant": at }));
    }
    all.push(json!({ "url": format!("{URN}:shared"), "valueBoolean": about.shared }));
    for name in names(about).unwrap_or_default() {
        all.push(json!({ "url": format!("{URN}:category"), "valueCode": name }));
    }
    all.extend(about.notices.iter().map(notice));
    all
}

fn notice(notice: &Notice) -> Value {
    let mut parts = vec![json!({ "url": "code", "valueCode": notice.code })];
    for reason in &notice.reasons {
        parts.push(json!({ "url": "reason", "valueCode": reason }));
    }
    if let Some(since) = &notice.since {
        parts.push(json!({ "url": "since", "valueDate": since }));
    }
    parts.push(json!({ "url": "text", "valueString": notice.text() }));
    json!({ "url": format!("{URN}:notice"), "extension": parts })
}

fn names(about: &About) -> Option<Vec<String>> {
    let all = about.categories.as_ref()?;
    Some(all.iter().copied().map(category_name).collect())
}

fn instant(ms: i64) -> Option<String> {
    jiff::Timestamp::from_millisecond(ms)
        .ok()
        .map(|at| at.to_string())
}
