//! The commands on what patients said.

use std::time::Duration;

use handfast_proto::v1::{
    GetPatientConsentRequest, InForce, ListPatientConsentsRequest, PatientConsent, PatientWordValue,
    RecordPatientConsentRequest, RecordPatientConsentResponse,
    patient_consents_client::PatientConsentsClient,
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
    recorded::Done,
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
