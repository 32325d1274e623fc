//! Bundles whose entries are records of their own (FHIR R4, "Bundle": transaction, batch, collection).
//!
//! An entry's payload is its resource's text as it stands in the Bundle. Two things are written into it
//! where the Bundle leaves them to the server: the id of an entry without one (from its `urn:uuid`), and
//! the address behind a reference to another entry's `urn`.

use std::borrow::Cow;

use handfast_proto::ids::RecordId;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{
    Change, Codec, Expected, Fault,
    parse::fault,
    reference::{Neighbours, local},
};

/// Entries in one Bundle.
const MAX_ENTRIES: usize = 50_000;

/// A Bundle, read.
#[derive(Debug)]
pub struct Bundle {
    /// Which rules it asks for.
    pub kind: BundleType,
    /// Its entries in order.
    pub entries: Vec<Entry>,
}

/// Which Bundles are taken apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BundleType {
    /// All entries or none.
    Transaction,
    /// Each entry by itself, each with an answer.
    Batch,
    /// Each entry by itself.
    Collection,
}

/// One entry: a change, or why it is none.
#[derive(Debug)]
pub struct Entry {
    /// The record it names, where that could be read.
    pub record: Option<RecordId>,
    /// The change.
    pub change: Result<Change, Fault>,
}

impl BundleType {
    /// `None`: the Bundle is a document, a resource of its own.
    pub(super) fn read(code: Option<&str>) -> Result<Option<Self>, Fault> {
        match code {
            Some("transaction") => Ok(Some(Self::Transaction)),
            Some("batch") => Ok(Some(Self::Batch)),
            Some("collection") => Ok(Some(Self::Collection)),
            Some("document") => Ok(None),
            _ => Err(Fault::BundleType),
        }
    }
}

#[derive(Deserialize)]
struct BundleText<'a> {
    #[serde(borrow, default)]
    entry: Vec<EntryText<'a>>,
}

#[derive(Deserialize)]
struct EntryText<'a> {
    #[serde(borrow, rename = "fullUrl", default)]
    full_url: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    resource: Option<&'a RawValue>,
    #[serde(borrow, default)]
    request: Option<RequestText<'a>>,
}

#[derive(Deserialize)]
struct RequestText<'a> {
    #[serde(borrow)]
    method: Cow<'a, str>,
    #[serde(borrow)]
    url: Cow<'a, str>,
    #[serde(borrow, rename = "ifMatch", default)]
    if_match: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
struct Name<'a> {
    #[serde(borrow, rename = "resourceType")]
    kind: Cow<'a, str>,
    #[serde(borrow, default)]
    id: Option<Cow<'a, str>>,
}

/// Reads every entry; an entry at fault does not keep the others from being read.
pub(super) fn read(codec: &Codec, kind: BundleType, text: &str) -> Result<Bundle, Fault> {
    let bundle: BundleText<'_> = serde_json::from_str(text).map_err(|e| fault(&e))?;
    if bundle.entry.len() > MAX_ENTRIES {
        return Err(Fault::TooManyEntries { bound: MAX_ENTRIES });
    }
    let names: Vec<Option<RecordId>> = bundle.entry.iter().map(name).collect();
    let mut neighbours = Neighbours::new();
    for (entry, name) in bundle.entry.iter().zip(&names) {
        if let (Some(url), Some(name)) = (&entry.full_url, name) {
            neighbours.insert(url.clone().into_owned(), name.clone());
        }
    }
    let entries = bundle
        .entry
        .iter()
        .zip(names)
        .map(|(entry, record)| Entry {
            change: change(codec, entry, record.as_ref(), &neighbours),
            record,
        })
        .collect();
    Ok(Bundle { kind, entries })
}

/// The record that an entry names by its resource, its `urn:uuid`, or for `DELETE` its address.
fn name(entry: &EntryText<'_>) -> Option<RecordId> {
    let Some(resource) = entry.resource else {
        let (kind, id) = local(&entry.request.as_ref()?.url)?;
        return RecordId::new(kind, id).ok();
    };
    let name: Name<'_> = serde_json::from_str(resource.get()).ok()?;
    let from_urn = entry
        .full_url
        .as_deref()
        .and_then(|u| u.strip_prefix("urn:uuid:"));
    RecordId::new(&name.kind, name.id.as_deref().or(from_urn)?).ok()
}

fn change(
    codec: &Codec,
    entry: &EntryText<'_>,
    record: Option<&RecordId>,
    neighbours: &Neighbours,
) -> Result<Change, Fault> {
    let method = entry.request.as_ref().map_or("PUT", |r| r.method.as_ref());
    let mut change = match (method, entry.resource) {
        ("DELETE", _) => {
            let url = entry.request.as_ref().map_or("", |r| r.url.as_ref());
            let (kind, id) = local(url)
                .filter(|_| !url.contains('?'))
                .ok_or(Fault::BundleEntry)?;
            Change::retraction(RecordId::new(kind, id).map_err(Fault::Id)?)
        }
        ("PUT" | "POST", Some(resource)) => {
            let text = written_in(resource.get(), record, neighbours);
            codec.change(&text, neighbours)?
        }
        ("PUT" | "POST", None) => return Err(Fault::BundleEntry),
        _ => return Err(Fault::BundleRequest),
    };
    let Some(request) = &entry.request else {
        return Ok(change);
    };
    if method == "PUT" && local(&request.url) != Some((change.record.resource_type(), change.record.id())) {
        return Err(Fault::AddressMismatch);
    }
    if let Some(tag) = &request.if_match {
        change.expected = expected(tag).ok_or(Fault::BundleRequest)?;
    }
    Ok(change)
}

/// The version in an entity tag such as `W/"3"`.
fn expected(tag: &str) -> Option<Expected> {
    let version = tag.trim().trim_start_matches("W/").trim_matches('"');
    version.parse().ok().map(Expected::Version)
}

/// The resource's text, with its id and the addresses of its neighbours where it lacked them.
fn written_in<'a>(text: &'a str, record: Option<&RecordId>, neighbours: &Neighbours) -> Cow<'a, str> {
    let mut text = Cow::Borrowed(text);
    let has_id = serde_json::from_str::<Name<'_>>(&text).is_ok_and(|n| n.id.is_some());
    if let (false, Some(record)) = (has_id, record)
        && let Some(members) = text.strip_prefix('{')
    {
        text = Cow::Owned(format!("{{\"id\":\"{}\",{members}", record.id()));
    }
    if text.contains("\"urn:") {
        text = Cow::Owned(resolve(&text, neighbours));
    }
    text
}

/// Replaces `"reference":"urn:…"` by the address of the neighbour it names. A quote inside a string is
/// always escaped in JSON, so a match that begins and ends with a bare quote is a whole string.
fn resolve(text: &str, neighbours: &Neighbours) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("\"urn:") {
        let (before, from) = rest.split_at(at);
        out.push_str(before);
        let urn = from
            .get(1..)
            .and_then(|f| f.split_once('"'))
            .map_or("", |(urn, _)| urn);
        let is_reference = before
            .trim_end()
            .strip_suffix(':')
            .is_some_and(|b| b.trim_end().ends_with("\"reference\""));
        match neighbours.get(urn) {
            Some(record) if is_reference => {
                out.push('"');
                out.push_str(record.as_str());
                out.push('"');
                rest = from.get(urn.len() + 2..).unwrap_or_default();
            }
            _ => {
                out.push('"');
                rest = from.get(1..).unwrap_or_default();
            }
        }
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::fhir::{Content, Document, PatientLink, PrivateCodes};

    fn bundle(text: &str) -> Bundle {
        match Codec::new(PrivateCodes::default(), 10_000)
            .document(text.as_bytes())
            .unwrap()
        {
            Document::Bundle(bundle) => bundle,
            Document::Resource(_) => panic!("a resource"),
        }
    }

    fn payload(change: &Change) -> &str {
        match &change.content {
            Content::Put(version) => std::str::from_utf8(&version.payload).unwrap(),
            Content::Retract => "",
        }
    }

    #[test]
    fn a_posted_bundle_gets_ids_and_addresses() {
        let b = bundle(
            r#"{"resourceType":"Bundle","type":"transaction","entry":[
            {"fullUrl":"urn:uuid:aa","resource":{"resourceType":"Patient"},"request":{"method":"POST","url":"Patient"}},
            {"fullUrl":"urn:uuid:bb","resource":{"resourceType":"Condition","x":1.50,"note":"\"urn:uuid:aa\"",
              "id2":"urn:uuid:aa","subject":{"reference" : "urn:uuid:aa"}},"request":{"method":"POST","url":"Condition"}}]}"#,
        );
        assert_eq!(b.kind, BundleType::Transaction);
        let changes: Vec<_> = b.entries.into_iter().map(|e| e.change.unwrap()).collect();
        assert_eq!(payload(&changes[0]), r#"{"id":"aa","resourceType":"Patient"}"#);
        assert!(payload(&changes[1]).starts_with(r#"{"id":"bb","resourceType":"Condition","x":1.50,"#));
        assert!(payload(&changes[1]).contains(r#""subject":{"reference" : "Patient/aa"}"#));
        assert!(payload(&changes[1]).contains(r#""id2":"urn:uuid:aa""#));
        assert!(matches!(&changes[1].content,
            Content::Put(v) if v.patient == PatientLink::Id("aa".to_owned())));
    }

    #[test]
    fn entries_are_judged_one_by_one() {
        let b = bundle(
            r#"{"resourceType":"Bundle","type":"batch","entry":[
            {"request":{"method":"DELETE","url":"Condition/1"}},
            {"request":{"method":"DELETE","url":"Condition?code=1"}},
            {"request":{"method":"GET","url":"Condition/1"}},
            {"resource":{"resourceType":"Patient","id":"p"},"request":{"method":"PUT","url":"Patient/q"}},
            {"resource":{"resourceType":"Patient","id":"p"},"request":{"method":"PUT","url":"Patient/p","ifMatch":"W/\"2\""}},
            {"resource":{"resourceType":"Patient","id":"p"}},
            {"request":{"method":"PUT","url":"Patient/p"}}]}"#,
        );
        let got: Vec<_> = b
            .entries
            .iter()
            .map(|e| e.change.as_ref().map(|c| &c.content))
            .collect();
        assert!(matches!(got[0], Ok(Content::Retract)));
        assert_eq!(got[1], Err(&Fault::BundleEntry));
        assert_eq!(got[2], Err(&Fault::BundleRequest));
        assert_eq!(got[3], Err(&Fault::AddressMismatch));
        assert_eq!(
            b.entries[4].change.as_ref().unwrap().expected,
            Expected::Version(2)
        );
        assert!(got[5].is_ok());
        assert_eq!(got[6], Err(&Fault::BundleEntry));
    }
}
