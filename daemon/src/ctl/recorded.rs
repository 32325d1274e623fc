//! What came of recording patients' words, for people and for programs.

use handfast_proto::{
    ids::NhsNumber,
    v1::{
        InForce, PairReceipt, PatientWordValue, RecordPatientConsentRequest, RecordPatientConsentResponse,
        RecordedWord, Side,
    },
};
use serde_json::{Value, json};

use super::{
    receipts::{pair_lines, pairs_json},
    show::{moment, moment_json},
    terms,
};

/// What was recorded so far.
#[derive(Default)]
pub(super) struct Done {
    /// Patients, in all.
    pub(super) patients: usize,
    one: Option<NhsNumber>,
    unit: String,
    units: u32,
    said_at: i64,
    /// Whether any of it is pending.
    pub(super) pending: bool,
    words: Vec<RecordedWord>,
    receipts: Vec<PairReceipt>,
}

impl Done {
    pub(super) fn add(&mut self, patients: &[NhsNumber], answer: RecordPatientConsentResponse) {
        self.pending |= answer.in_force() != InForce::Yes;
        self.patients += patients.len();
        self.one = patients.first().copied();
        self.unit = answer.unit;
        self.units = answer.units;
        self.said_at = answer.said_at;
        self.words.extend(answer.words);
        self.receipts.extend(answer.receipts);
    }

    /// For a person. NHS numbers show only by their end: others may see the screen.
    pub(super) fn text(&self, asked: &RecordPatientConsentRequest) -> String {
        let who = match self.one {
            Some(one) if self.patients == 1 => format!("patient {one}"),
            _ => format!("{} patients", self.patients),
        };
        let at = match self.units {
            1 => self.unit.clone(),
            n => format!("{n} units"),
        };
        let mut lines = vec![format!(
            "Recorded at {at} for {who}, as said on {}:",
            moment(self.said_at)
        )];
        for (side, word) in [
            (Side::ShareOut, asked.share_out()),
            (Side::ShareIn, asked.share_in()),
        ] {
            if word != PatientWordValue::Unspecified {
                lines.push(format!(
                    "  {}: {}{}",
                    terms::side(side),
                    terms::patient_word(word),
                    self.later(side, word)
                ));
            }
        }
        lines.extend(pair_lines(&self.receipts));
        lines.push(if self.pending {
            "PENDING: that is committed, but it could not be established in time that nothing of what it ended is \
             on its way any more. Run the same command again."
                .to_owned()
        } else {
            "In force.".to_owned()
        });
        lines.join("\n")
    }

    /// Of how many patients a word that was said later stands.
    fn later(&self, side: Side, word: PatientWordValue) -> String {
        let want = if word == PatientWordValue::Ended {
            PatientWordValue::Unspecified
        } else {
            word
        };
        let other: Vec<&RecordedWord> = self
            .words
            .iter()
            .filter(|w| w.side() == side && w.now() != want)
            .collect();
        match other.as_slice() {
            [] => String::new(),
            [one] if self.patients == 1 => {
                format!(
                    " (as history: {} was said later, and stands)",
                    terms::patient_word(one.now())
                )
            }
            some => format!(
                " (of {} of them as history: what was said later stands)",
                some.len()
            ),
        }
    }

    pub(super) fn json(&self) -> Value {
        let standing = |word| match word {
            PatientWordValue::Unspecified => Value::Null,
            word => json!(terms::patient_word(word)),
        };
        let words = self.words.iter().map(|w| {
            json!({
                "patient": w.patient,
                "side": terms::side(w.side()),
                "before": standing(w.before()),
                "now": standing(w.now()),
            })
        });
        json!({
            "unit": if self.unit.is_empty() { Value::Null } else { json!(self.unit) },
            "units": self.units,
            "patients": self.patients,
            "said_at": moment_json(self.said_at),
            "in_force": if self.pending { "pending" } else { "yes" },
            "words": words.collect::<Vec<_>>(),
            "receipts": pairs_json(&self.receipts),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(share_out: PatientWordValue) -> RecordPatientConsentRequest {
        RecordPatientConsentRequest {
            share_out: share_out.into(),
            ..RecordPatientConsentRequest::default()
        }
    }

    fn done(now: PatientWordValue, in_force: InForce) -> Done {
        let word = RecordedWord {
            patient: "9990000018".to_owned(),
            side: Side::ShareOut.into(),
            now: now.into(),
            ..RecordedWord::default()
        };
        let answer = RecordPatientConsentResponse {
            in_force: in_force.into(),
            words: vec![word],
            said_at: 1_795_392_000_000,
            units: 1,
            unit: "Z00101".to_owned(),
            ..RecordPatientConsentResponse::default()
        };
        let mut done = Done::default();
        done.add(&["9990000018".parse().unwrap()], answer);
        done
    }

    #[test]
    fn what_was_recorded_is_said_without_the_whole_number() {
        use PatientWordValue::{Ended, No, Unspecified, Yes};
        let text = done(No, InForce::Yes).text(&asked(No));
        let want = "Recorded at Z00101 for patient *******018, as said on 2026-11-23 00:00:00 UTC:\n  \
                    share-out: no\nIn force.";
        assert_eq!(text, want);
        let late = done(No, InForce::Yes).text(&asked(Yes));
        assert!(
            late.contains("share-out: yes (as history: no was said later, and stands)"),
            "{late}"
        );
        assert!(
            !done(Unspecified, InForce::Yes)
                .text(&asked(Ended))
                .contains("history")
        );
        let json = done(No, InForce::Yes).json();
        assert_eq!(
            (&json["words"][0]["now"], &json["words"][0]["before"]),
            (&json!("no"), &Value::Null)
        );
    }

    #[test]
    fn pending_never_looks_like_done() {
        for in_force in [InForce::Pending, InForce::Unspecified] {
            let done = done(PatientWordValue::No, in_force);
            let text = done.text(&asked(PatientWordValue::No));
            assert!(text.contains("PENDING") && !text.contains("In force."), "{text}");
            assert_eq!(done.json()["in_force"], "pending");
        }
    }
}
