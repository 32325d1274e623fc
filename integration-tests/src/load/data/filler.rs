//! What free text is filled with: sentences of the kind that notes and letters hold, without a word of anyone.

use std::sync::OnceLock;

use crate::load::plan::SplitMix64;

/// Bytes of prose from which parts are taken.
const PROSE_BYTES: usize = 64 * 1024;
/// The seed of the order of its sentences.
const SEED: u64 = 20_240_517;

const SENTENCES: [&str; 24] = [
    "Seen in surgery with a cough for two weeks, worse at night, no blood. ",
    "Chest clear, good air entry on both sides, no wheeze today. ",
    "Blood pressure taken sitting, after five minutes of rest, left arm. ",
    "Discussed diet and exercise; leaflet given, will come back in three months. ",
    "Wound clean and dry, edges together, dressing renewed, no sign of infection. ",
    "Insulin given as prescribed; no hypoglycaemia reported since the last visit. ",
    "Medication reviewed with the patient; no side effects, compliance good. ",
    "Bloods to be repeated in six weeks because of the change of dose. ",
    "Referred to physiotherapy for the shoulder; waiting time explained. ",
    "Mobile with a frame, transfers alone, stairs with supervision. ",
    "Lives alone, daughter visits daily, carers twice a day, key safe in place. ",
    "No known drug allergies were reported; record checked with the patient. ",
    "Attended for the annual review of asthma; inhaler technique checked and good. ",
    "Feet examined: pulses present, sensation to the monofilament normal on both sides. ",
    "Catheter changed without difficulty, clear urine drained, next change in twelve weeks. ",
    "Advised to call again, or 111, if the pain gets worse or a fever begins. ",
    "Letter from the hospital read and coded; follow-up is arranged by them. ",
    "Weight stable over the last year; appetite good; sleeps well. ",
    "Consent to share the record was explained and the answer recorded. ",
    "Smear taken with consent and a chaperone; result expected within two weeks. ",
    "Pressure areas intact; mattress and cushion in use; reassess weekly. ",
    "Anticipatory medicines are in the house; family know whom to call. ",
    "Vaccine given in the left deltoid after checking for contraindications. ",
    "Unable to attend today; telephoned, new appointment made for next week. ",
];

/// The alphabet of base64 (RFC 4648, section 4).
const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// What a free text is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Filler {
    /// Sentences.
    Prose,
    /// A file's bytes in base64; its length is a multiple of four.
    Base64,
}

impl Filler {
    /// Adds so many bytes, beginning anywhere. None of them needs an escape in JSON.
    #[inline]
    pub(super) fn fill(self, out: &mut Vec<u8>, bytes: usize, begin: u32) {
        let from = self.source();
        let mut at = begin as usize % from.len();
        let mut left = bytes;
        while left > 0 {
            let some = left.min(from.len() - at);
            out.extend_from_slice(&from[at..at + some]);
            left -= some;
            at = 0;
        }
    }

    /// The bytes that parts are taken from.
    fn source(self) -> &'static [u8] {
        static PROSE: OnceLock<Vec<u8>> = OnceLock::new();
        static FILE: OnceLock<Vec<u8>> = OnceLock::new();
        match self {
            Self::Prose => PROSE.get_or_init(prose),
            Self::Base64 => FILE.get_or_init(file),
        }
    }
}

fn prose() -> Vec<u8> {
    let mut random = SplitMix64::new(SEED);
    let mut out = Vec::with_capacity(PROSE_BYTES);
    while out.len() < PROSE_BYTES {
        let sentence = SENTENCES[random.below(SENTENCES.len() as u32) as usize];
        out.extend_from_slice(sentence.as_bytes());
    }
    out.truncate(PROSE_BYTES);
    out
}

fn file() -> Vec<u8> {
    let mut random = SplitMix64::new(SEED);
    (0..PROSE_BYTES)
        .map(|_| BASE64[random.below(64) as usize])
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_needs_an_escape() {
        for filler in [Filler::Prose, Filler::Base64] {
            let plain = |b: &u8| (b' '..=b'~').contains(b) && !b"\"\\<&".contains(b);
            assert!(filler.source().iter().all(plain));
            assert_eq!(filler.source().len(), PROSE_BYTES);
        }
    }

    #[test]
    fn it_fills_more_than_it_holds() {
        let mut out = Vec::new();
        Filler::Prose.fill(&mut out, 3 * PROSE_BYTES + 5, 17);
        assert_eq!(out.len(), 3 * PROSE_BYTES + 5);
        assert_eq!(out[..100], Filler::Prose.source()[17..117]);
    }
}
