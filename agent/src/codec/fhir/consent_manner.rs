//! When a patient said what a Consent says, how, and who took it down.
//!
//! How: a `category` coded in `urn:handfast:manner` (spoken, written, by-proxy) says it plainly; else a
//! RelatedPerson who performs the Consent or with whom it was verified means by proxy, an attached or
//! referred-to source means written, and nothing of these means spoken.

use handfast_proto::{amendment::Text, v1::ConsentManner};
use serde_json::{Map, Value};

use super::{
    ConsentWord,
    consent::codings,
    meta::short_text,
    reference::local,
    when::{Moments, moments},
};

/// Codes of Handfast's own for how something was said.
const MANNERS: &str = "urn:handfast:manner";

/// When it was said. Of a day, month or year, the source's own time of change is taken where it lies within;
/// else for a denial the last moment, for anything else the first, so that what is not known never lets a
/// permit undo a denial.
pub(super) fn said_at(
    consent: &Map<String, Value>,
    word: ConsentWord,
    last_updated: Option<i64>,
) -> Option<i64> {
    let text = consent.get("dateTime").and_then(Value::as_str);
    let Some(Moments { first, last }) = text.and_then(moments) else {
        return last_updated;
    };
    Some(match (last_updated, word) {
        (Some(updated), _) if (first..=last).contains(&updated) => updated,
        (_, ConsentWord::No) => last,
        _ => first,
    })
}

/// How it was said.
pub(super) fn manner(consent: &Map<String, Value>) -> ConsentManner {
    let plain = codings(consent.get("category")).find_map(|coding| {
        let text = |key| coding.get(key).and_then(Value::as_str);
        match (text("system")?, text("code")?) {
            (MANNERS, "spoken") => Some(ConsentManner::Spoken),
            (MANNERS, "written") => Some(ConsentManner::Written),
            (MANNERS, "by-proxy") => Some(ConsentManner::ByProxy),
            _ => None,
        }
    });
    let list = |key| consent.get(key).and_then(Value::as_array).into_iter().flatten();
    let mut verified_with = list("verification").filter_map(|v| v.get("verifiedWith"));
    let by_proxy = list("performer").any(is_relative) || verified_with.any(is_relative);
    let attached = consent.contains_key("sourceAttachment") || consent.contains_key("sourceReference");
    plain.unwrap_or(match (by_proxy, attached) {
        (true, _) => ConsentManner::ByProxy,
        (false, true) => ConsentManner::Written,
        (false, false) => ConsentManner::Spoken,
    })
}

/// Who took it down: the first performer who is neither the patient nor a relative, else the organisation.
pub(super) fn taken_by(consent: &Map<String, Value>) -> Text {
    let list = |key| consent.get(key).and_then(Value::as_array).into_iter().flatten();
    let staff = list("performer").filter(|p| !is_relative(p) && !is_of_type(p, "Patient"));
    let found = staff.chain(list("organization")).find_map(|reference| {
        let text = |key| reference.get(key).and_then(Value::as_str);
        text("display").or_else(|| text("reference"))
    });
    short_text(found.unwrap_or_default())
}

fn is_relative(reference: &Value) -> bool {
    is_of_type(reference, "RelatedPerson")
}

fn is_of_type(reference: &Value, kind: &str) -> bool {
    let text = |key| reference.get(key).and_then(Value::as_str);
    let literal = text("reference").and_then(local).map(|(kind, _)| kind);
    literal == Some(kind) || text("type") == Some(kind)
}
