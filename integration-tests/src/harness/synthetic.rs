//! Synthetic patients and records. Every NHS number begins with 999, which is never issued.

use std::sync::OnceLock;

use anyhow::Context as _;
use bytes::Bytes;
use handfast_proto::{
    amendment::{Amendment, Category, Confidentiality, Op, Subject, Text},
    ids::{NhsNumber, RecordId},
};

/// Patients that the generator knows.
const PATIENTS: usize = 1_000;

/// The NHS number of synthetic patient `k` (of [`PATIENTS`], round and round).
pub fn nhs_number(k: u64) -> anyhow::Result<NhsNumber> {
    static NUMBERS: OnceLock<Vec<NhsNumber>> = OnceLock::new();
    let numbers = NUMBERS.get_or_init(|| nhs_numbers().take(PATIENTS).collect());
    let place = usize::try_from(k).unwrap_or(usize::MAX) % PATIENTS;
    numbers.get(place).copied().context("a synthetic NHS number")
}

/// Synthetic NHS numbers, some eight hundred thousand; the first are those of [`nhs_number`].
pub fn nhs_numbers() -> impl Iterator<Item = NhsNumber> {
    // One in eleven prefixes has no check digit; those are passed over.
    (999_100_000_u64..1_000_000_000)
        .filter_map(|prefix| (0..10).find_map(|check| NhsNumber::from_u64(prefix * 10 + check).ok()))
}

/// Version `version` (from 0) of synthetic record `record`, with a payload of `size` bytes that says both.
pub fn amendment(record: u64, version: u64, size: usize) -> anyhow::Result<Amendment> {
    let subject = Subject {
        patient: nhs_number(record % 50)?,
        category: Category::Observations,
        confidentiality: Confidentiality::NORMAL,
    };
    let mut payload =
        format!("{{\"resourceType\":\"Observation\",\"id\":\"o-{record}\",\"note\":[{{\"text\":\"{version} ")
            .into_bytes();
    let end = b"\"}]}";
    payload.resize(size.saturating_sub(end.len()).max(payload.len()), b'x');
    payload.extend_from_slice(end);
    Ok(Amendment {
        op: if version == 0 { Op::Create } else { Op::Amend },
        record: RecordId::new("Observation", &format!("o-{record}"))?,
        subject: Some(subject),
        former: None,
        author: Text::default(),
        recorded_at: 1_700_000_000_000,
        content_type: Text::new("application/fhir+json").unwrap_or_default(),
        payload: Bytes::from(payload),
    })
}

/// A line with the FHIR Patient `id`.
pub fn patient_line(id: &str, number: NhsNumber, family: &str) -> String {
    format!(
        "{{\"resourceType\":\"Patient\",\"id\":\"{id}\",\"identifier\":[{{\"system\":\
         \"https://fhir.nhs.uk/Id/nhs-number\",\"value\":\"{}\"}}],\"name\":[{{\"family\":\"{family}\"}}]}}",
        number.reveal()
    )
}

/// A line with a FHIR Observation of a Patient, whose value tells one version from another.
pub fn observation_line(id: &str, patient: &str, value: u64) -> String {
    format!(
        "{{\"resourceType\":\"Observation\",\"id\":\"{id}\",\"status\":\"final\",\"code\":{{\"coding\":[{{\
         \"system\":\"http://snomed.info/sct\",\"code\":\"364075005\",\"display\":\"Heart rate\"}}]}},\
         \"subject\":{{\"reference\":\"Patient/{patient}\"}},\"valueQuantity\":{{\"value\":{value},\
         \"unit\":\"/min\"}}}}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_synthetic_and_distinct() {
        let numbers: std::collections::BTreeSet<_> =
            (0..100).map(|k| nhs_number(k).unwrap().reveal()).collect();
        assert_eq!(numbers.len(), 100);
        assert!(numbers.iter().all(|n| n.starts_with("999")));
    }

    #[test]
    fn payloads_have_the_size_asked_for() {
        assert_eq!(amendment(7, 3, 1024).unwrap().payload.len(), 1024);
    }
}
