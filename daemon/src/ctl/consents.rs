//! The commands on what patients said.

use std::time::Duration;

use handfast_proto::{
    ids::NhsNumber,
    v1::{
        GetPatientConsentRequest, InForce, ListPatientConsentsRequest, PairReceipt, PatientConsent,
        PatientWordValue, RecordPatientConsentRequest, RecordPatientConsentResponse, RecordedWord, Side,
        patient_consents_client::PatientConsentsClient,
    },
};
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::{
    args::{ConsentCommand, ConsentSet, PatientCommand},
    connection::Connection,
    error::{CtlError, Exit},
    numbers::{self, NUMBERS_A_CALL},
    out::Out,
    receipt::{pair_lines, pairs_json},
    show::{NOTHING, moment, moment_json, table},
    terms::{self, WordArg},
};

/// How long to wait before asking again whether it is in force.
const ASK_AGAIN_AFTER: Duration = Duration::from_millis(100);

pub(super) async fn run(
    PatientCommand::Consent(command): PatientCommand,
    connection: &Connection,
    out: &mut Out,
) -> Result<Exit, CtlError> {
    let mut client = PatientConsentsClient::new(connection.channel());
    let unit_text =
        |unit: Option<handfast_proto::ids::OdsCode>| unit.map_or_else(String::new, |ods| ods.to_string());
    match command {
        ConsentCommand::Set(set) => Box::pin(self::set(&set, connection, out)).await,
        ConsentCommand::Show { unit, numbers } => {
            let request = GetPatientConsentRequest {
                unit: unit_text(unit),
                patient: numbers::read_one(&numbers)?.reveal(),
            };
            let asked = client.get(request);
            let found = connection.call("show what a patient said", asked).await?;
            let json = || json!({"unit": found.unit, "words": words_json(&found.words)});
            let empty = format!("Nothing is recorded of that patient at {}.", found.unit);
            out.answer(|| history(&found.words, &empty), json)?;
            Ok(Exit::Done)
        }
        ConsentCommand::List { unit } => {
            let mut request = ListPatientConsentsRequest {
                unit: unit_text(unit),
                ..ListPatientConsentsRequest::default()
            };
            let mut words = Vec::new();
            let at = loop {
                let page = connection
                    .call("list what patients said", client.list(request.clone()))
                    .await?;
                words.extend(page.words);
                if page.next.is_empty() {
                    break page.unit;
                }
                request.after = page.next;
            };
            let empty = format!("No patient's word is in force at {at}.");
            let json = || json!({"unit": at, "words": words_json(&words)});
            out.answer(|| listed(&words, &empty), json)?;
            Ok(Exit::Done)
        }
    }
}

async fn set(asked: &ConsentSet, connection: &Connection, out: &mut Out) -> Result<Exit, CtlError> {
    let patients = numbers::read(&asked.numbers)?;
    let word = |one: Option<WordArg>| {
        one.or(asked.both)
            .map_or(PatientWordValue::Unspecified, Into::into)
    };
    let mut request = RecordPatientConsentRequest {
        unit: asked.unit.map_or_else(String::new, |ods| ods.to_string()),
        share_out: word(asked.share_out).into(),
        share_in: word(asked.share_in).into(),
        said_on: asked.said_on.clone(),
        manner: handfast_proto::v1::ConsentManner::from(asked.manner).into(),
        taken_by: asked.taken_by.clone(),
        all_units: asked.all_units,
        ..RecordPatientConsentRequest::default()
    };
    let until = Instant::now() + Duration::from_secs(asked.wait);
    let mut done = Done::default();
    let many = patients.len() > NUMBERS_A_CALL;
    for some in patients.chunks(if asked.all_units { 1 } else { NUMBERS_A_CALL }) {
        request.patients = numbers::texts(some);
        match record(&mut request, until, connection).await {
            Ok(answer) => done.add(some, answer),
            Err(error) => {
                if done.patients > 0 {
                    let (n, all) = (done.patients, patients.len());
                    out.note(&format!(
                        "{n} of {all} patients were recorded before it stopped; that stands."
                    ));
                }
                return Err(error);
            }
        }
        if many {
            out.note(&format!("{} of {} patients", done.patients, patients.len()));
        }
    }
    out.answer(|| done.text(&request), || done.json())?;
    Ok(if done.pending { Exit::Pending } else { Exit::Done })
}

/// Records some, and asks again while it is pending and there is time. The first answer's receipts stay; what is
/// asked again was said at the same moment.
async fn record(
    request: &mut RecordPatientConsentRequest,
    until: Instant,
    connection: &Connection,
) -> Result<RecordPatientConsentResponse, CtlError> {
    const WHAT: &str = "record what a patient said";
    let mut client = PatientConsentsClient::new(connection.channel());
    let mut answer = connection.call(WHAT, client.record(request.clone())).await?;
    let said_on = request.said_on.clone();
    while answer.in_force() == InForce::Pending && Instant::now() < until {
        sleep(ASK_AGAIN_AFTER).await;
        request.said_on =
            Timestamp::from_millisecond(answer.said_at).map_or(said_on.clone(), |t| t.to_string());
        let next = connection.call(WHAT, client.record(request.clone())).await?;
        answer.in_force = next.in_force;
        if !next.receipts.is_empty() {
            answer.receipts = next.receipts;
        }
    }
    request.said_on = said_on;
    Ok(answer)
}

/// What was recorded so far.
#[derive(Default)]
struct Done {
    patients: usize,
    one: Option<NhsNumber>,
    unit: String,
    units: u32,
    said_at: i64,
    pending: bool,
    words: Vec<RecordedWord>,
    receipts: Vec<PairReceipt>,
}

impl Done {
    fn add(&mut self, patients: &[NhsNumber], answer: RecordPatientConsentResponse) {
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
    fn text(&self, asked: &RecordPatientConsentRequest) -> String {
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

    fn json(&self) -> Value {
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

// === Shown ===

fn history(words: &[PatientConsent], when_empty: &str) -> String {
    let rows = words.iter().map(|w| {
        [
            terms::side(w.side()).to_owned(),
            terms::patient_word(w.word()).to_owned(),
            if w.in_force { "in force" } else { NOTHING }.to_owned(),
            moment(w.said_at),
            terms::manner(w.manner()).to_owned(),
            w.taken_by.clone(),
            recorder(w),
            moment(w.recorded_at),
        ]
    });
    let header = [
        "side",
        "word",
        "",
        "said",
        "how",
        "taken down by",
        "recorded by",
        "recorded",
    ];
    table(header, rows.collect(), when_empty)
}

fn listed(words: &[PatientConsent], when_empty: &str) -> String {
    let rows = words.iter().map(|w| {
        [
            w.patient.clone(),
            terms::side(w.side()).to_owned(),
            terms::patient_word(w.word()).to_owned(),
            moment(w.said_at),
            terms::manner(w.manner()).to_owned(),
            recorder(w),
        ]
    });
    let header = ["NHS number", "side", "word", "said", "how", "recorded by"];
    table(header, rows.collect(), when_empty)
}

fn recorder(word: &PatientConsent) -> String {
    match word.recorded_by.as_str() {
        "" => "another unit".to_owned(),
        by => by.to_owned(),
    }
}

fn words_json(words: &[PatientConsent]) -> Value {
    let each = words.iter().map(|w| {
        json!({
            "patient": w.patient,
            "side": terms::side(w.side()),
            "word": terms::patient_word(w.word()),
            "in_force": w.in_force,
            "said_at": moment_json(w.said_at),
            "manner": terms::manner(w.manner()),
            "taken_by": w.taken_by,
            "recorded_by": if w.recorded_by.is_empty() { Value::Null } else { json!(w.recorded_by) },
            "recorded_at": moment_json(w.recorded_at),
        })
    });
    each.collect()
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

    #[test]
    fn whoever_of_another_unit_recorded_it_is_not_named() {
        let words = [PatientConsent {
            in_force: true,
            ..PatientConsent::default()
        }];
        assert!(history(&words, "").contains("another unit"));
        assert_eq!(words_json(&words)[0]["recorded_by"], Value::Null);
        assert_eq!(listed(&[], "nobody"), "nobody");
    }
}
