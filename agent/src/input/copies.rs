//! Whether what the unit's clinical system sends is the unit's own, or came from another unit by way of an
//! output and is only sent back. Pure.
//!
//! A copy at a FHIR server is known by its id, which no system gives by itself, or by its origin in
//! `meta.source`. A file of an output folder carries neither: it is known by its name together with its
//! content, and one that was changed by most of its content. Two systems may count their records alike, so
//! where the content is not the same, and both the name and the Patient named may be the unit's own as well,
//! it is taken for its own; but an id that is a UUID is never given twice.
//!
//! What was removed here may still come back so, as the system exports what it had: for a while it is known by name
//! and content as before.
//!
//! A Patient as it was received is in doubt in another way: two units may well hold the same of the same
//! person under the same id. It is kept aside until something of the unit's own names it.
//!
//! A Consent may be about somebody of whom nothing but what was received is known. A denial is then taken for whoever
//! was received under the name that it gives, even where the unit may count alike: what is denied in error comes
//! back once the unit's own Patient of that name is known. A permit is so taken only where no two can have the name.

use handfast_proto::ids::{NhsNumber, RecordId};
use serde_json::{Map, Value};

use crate::{
    codec::fhir::{
        Change, ConsentWord, Content, PatientLink, Said, Version, content_digest, copy_digest, is_derived_id,
        rewrite,
    },
    store::{inbox::HeldCopy, outbox::Refusal},
};

/// The coding by which an output marks what it tells about a source.
const ABOUT_SYSTEM: &str = "urn:handfast:about";

/// What something is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The unit's own.
    Own,
    /// A Patient that may be either; whether it is exactly as received.
    Aside {
        /// Exactly.
        exact: bool,
    },
    /// An unchanged copy.
    Echo,
    /// A copy that is not the unit's to publish.
    Refused(Refusal),
}

/// Of something that is marked as a copy; `held`: what it is a copy of.
pub(super) fn judge_marked(change: &Change, held: Option<&HeldCopy>) -> Verdict {
    match (&change.content, held) {
        // The output removed it, and the server says so.
        (Content::Retract, None) => Verdict::Echo,
        (Content::Put(version), None) if is_about(change.record.resource_type(), &version.payload) => {
            Verdict::Echo
        }
        (Content::Put(_), None) => Verdict::Refused(Refusal::LostCopy),
        (Content::Put(version), Some(held)) if held.behind || is_copy(version, held) => Verdict::Echo,
        (_, Some(held)) => Verdict::Refused(Refusal::ChangedCopy { unit: held.source }),
    }
}

/// Whether it is what an output tells about a source.
fn is_about(kind: &str, payload: &[u8]) -> bool {
    let read = |raw| serde_json::from_slice::<Value>(raw).ok();
    let system = |v: Value| {
        v.pointer("/code/coding/0/system")
            .and_then(Value::as_str)
            .map(str::to_owned)
    };
    kind == "Basic" && read(payload).and_then(system).as_deref() == Some(ABOUT_SYSTEM)
}

fn is_copy(version: &Version, held: &HeldCopy) -> bool {
    let written = rewrite(&held.payload, held.source, &held.record);
    written.is_ok_and(|written| {
        let digest = copy_digest(&written);
        digest.is_some() && digest == copy_digest(&version.payload)
    })
}

/// Of something that is not marked, whose name other units' records have that are held, and that the outbox
/// does not hold as the unit's own. `own_patient`: whether it names one of the unit's own Patients.
pub(super) fn judge_named(
    record: &RecordId,
    version: &Version,
    held: &[HeldCopy],
    own_patient: bool,
) -> Verdict {
    let exact = |h: &&HeldCopy| content_digest(&h.payload) == Some(version.digest);
    let alike = |h: &&HeldCopy| resembles(&h.payload, &version.payload);
    if record.resource_type() == "Patient" {
        return match held.iter().any(|h| exact(&h)) {
            true => Verdict::Aside { exact: true },
            false if held.iter().any(|h| alike(&h)) => Verdict::Aside { exact: false },
            false => Verdict::Own,
        };
    }
    if held.iter().any(|h| exact(&h)) {
        return Verdict::Echo;
    }
    let by_number = matches!(version.patient, PatientLink::Number(_));
    let given_once = uuid::Uuid::try_parse(record.id()).is_ok();
    if (own_patient || by_number) && !given_once {
        return Verdict::Own;
    }
    match held.iter().find(alike) {
        Some(held) => Verdict::Refused(Refusal::ChangedCopy { unit: held.source }),
        None => Verdict::Own,
    }
}

/// Of something that is exactly what was held until lately, and that the outbox does not hold as the unit's own.
pub(super) fn judge_late(record: &RecordId) -> Verdict {
    match record.resource_type() {
        "Patient" => Verdict::Aside { exact: true },
        _ => Verdict::Echo,
    }
}

/// Whether most of what two resources say is the same, and of the same patient.
fn resembles(one: &[u8], other: &[u8]) -> bool {
    let read = |raw| serde_json::from_slice::<Map<String, Value>>(raw).ok();
    let (Some(one), Some(other)) = (read(one), read(other)) else {
        return false;
    };
    let tells = |key: &&String| !matches!(key.as_str(), "resourceType" | "id" | "meta" | "text");
    let same_patient = ["subject", "patient"]
        .iter()
        .all(|key| one.get(*key) == other.get(*key));
    let both = one
        .keys()
        .filter(tells)
        .filter(|key| other.contains_key(*key))
        .count();
    let all = one.keys().filter(tells).count() + other.keys().filter(tells).count() - both;
    let equal = one
        .keys()
        .filter(tells)
        .filter(|key| one.get(*key) == other.get(*key))
        .count();
    same_patient && 2 * equal > all
}

/// Tells a Consent under which number the Patient that it names was received: it is the number that the Patient's
/// source relies on, as nothing leaves a unit under another. `patients`: what is held under the Patient's name.
pub(super) fn place_word(version: &mut Version, patients: &[HeldCopy]) {
    let PatientLink::Id(id) = &version.patient else {
        return;
    };
    let given_once = is_derived_id(id) || uuid::Uuid::try_parse(id).is_ok();
    if let ([number], Some(Said::Consent(says))) = (numbers(patients).as_slice(), &mut version.said)
        && (given_once || says.word == ConsentWord::No)
    {
        says.received = Some(*number);
    }
}

/// The numbers of those whose these are.
pub(super) fn numbers(patients: &[HeldCopy]) -> Vec<NhsNumber> {
    let mut numbers: Vec<_> = patients.iter().filter_map(|p| p.patient).collect();
    numbers.sort_unstable();
    numbers.dedup();
    numbers
}

/// Tells a view of whom and of whose records it was, where what was looked at is named as an output named
/// it, or as its source did. `patients`: what is held under the Patient's name; `seen`: under the other
/// names.
pub(super) fn place_view(version: &mut Version, patients: &[HeldCopy], seen: &[HeldCopy]) {
    if let ([number], PatientLink::Id(_)) = (numbers(patients).as_slice(), &version.patient) {
        version.patient = PatientLink::Number(*number);
    }
    let mut sources: Vec<_> = patients.iter().chain(seen).map(|h| h.source).collect();
    sources.sort_unstable();
    sources.dedup();
    if let ([source], Some(Said::View(view))) = (sources.as_slice(), &mut version.said) {
        view.source = Some(*source);
    }
}
