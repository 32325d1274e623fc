//! What a change would begin and end, in numbers: asked for, and in words.

use std::time::Duration;

use handfast_proto::v1::{
    PreviewAgreementResponse, PreviewCounts, SetAgreementRequest, agreements_client::AgreementsClient,
};
use serde_json::{Value, json};
use tokio::time::timeout;

use super::{
    args::PreviewHalf,
    connection::Connection,
    error::{CtlError, Exit},
    out::Out,
    scope,
    show::table,
    terms,
    words::Switch,
};

/// How long turning a half waits to be told what it would send.
const BEFORE_A_TURN: Duration = Duration::from_secs(5);

/// Counts what turning a half would do.
pub(super) async fn run(
    asked: &PreviewHalf,
    connection: &Connection,
    out: &mut Out,
) -> Result<Exit, CtlError> {
    let half = &asked.half;
    let request = SetAgreementRequest {
        source: half.from.to_string(),
        recipient: half.to.to_string(),
        side: handfast_proto::v1::Side::from(asked.side).into(),
        on: half.state == Switch::On,
        reason: String::new(),
        scope: scope::change(&half.scope)?,
    };
    let mut client = AgreementsClient::new(connection.channel());
    let what = format!(
        "preview {} of {} → {}",
        terms::side(request.side()),
        half.from,
        half.to
    );
    let found = connection.call(&what, client.preview(request.clone())).await?;
    out.answer(|| text(&request, &found), || preview_json(&found))?;
    Ok(Exit::Done)
}

/// What turning a half on would send, asked before it is turned; `None` where it could not be told in time, which
/// is no reason not to turn it.
pub(super) async fn before_turning_on(
    request: &SetAgreementRequest,
    connection: &Connection,
) -> Option<PreviewAgreementResponse> {
    let mut client = AgreementsClient::new(connection.channel());
    let call = connection.try_call(client.preview(request.clone()));
    timeout(BEFORE_A_TURN, call).await.ok()?.ok()
}

/// What a half that was just turned on sends, in a sentence; `None` where it sends nothing that is counted.
pub(super) fn sends(recipient: &str, preview: &PreviewAgreementResponse) -> Option<String> {
    let begins = preview.begins.as_ref().filter(|counts| counts.records > 0)?;
    let strangers = match preview.not_on_caseload {
        0 => format!("all of them on the caseload of {recipient}"),
        n if n == begins.patients => format!("none of them on the caseload of {recipient}"),
        n => format!("{n} of them not on the caseload of {recipient}"),
    };
    Some(format!("It sends {}, {strangers}.", amount(begins)))
}

/// That it is not known what a half that was just turned on sends.
pub(super) fn not_counted_in_time() -> String {
    "How much it sends, and of how many patients who are not on the recipient's caseload, could not be counted in \
     time. See 'agreement preview'."
        .to_owned()
}

/// What a half that was just narrowed ends, in a sentence; `None` where it ends nothing that is counted.
pub(super) fn removes(recipient: &str, preview: &PreviewAgreementResponse) -> Option<String> {
    let ends = preview.ends.as_ref().filter(|counts| counts.records > 0)?;
    let what = format!("It ends {}: what {recipient} holds of that", amount(ends));
    Some(removal(&what))
}

/// That a recipient removes what it may see no more.
pub(super) fn removal(what: &str) -> String {
    format!("{what} is being removed, or is as soon as its agent is connected. See 'agreement list'.")
}

fn text(request: &SetAgreementRequest, found: &PreviewAgreementResponse) -> String {
    let turn = if request.on { "on" } else { "off" };
    let side = terms::side(request.side());
    let mut lines = vec![format!(
        "If {side} of {} → {} were turned {turn}:",
        request.source, request.recipient
    )];
    let nothing = PreviewCounts::default();
    let begins = found.begins.as_ref().unwrap_or(&nothing);
    let ends = found.ends.as_ref().unwrap_or(&nothing);
    lines.push(format!("{} would begin to flow.", amount(begins)));
    if begins.patients > 0 {
        lines.push(format!(
            "{} of these patients are not on the caseload of {}.",
            found.not_on_caseload, request.recipient
        ));
    }
    lines.push(format!("{} would be withdrawn.", amount(ends)));
    if let Some(once) = &found.once_both {
        lines.push(format!(
            "The other half is off. Once it is on too, {} would flow.",
            amount(once)
        ));
    }
    if !found.not_counted.is_empty() {
        lines.push(format!("Not counted: {}.", found.not_counted));
    }
    lines.extend(categories(begins, ends, found.once_both.as_ref()));
    lines.join("\n")
}

/// `6 records of 3 patients`.
pub(super) fn amount(counts: &PreviewCounts) -> String {
    let s = |n| if n == 1 { "" } else { "s" };
    match (counts.records, counts.patients) {
        (0, _) => "nothing".to_owned(),
        (r, p) => format!("{r} record{} of {p} patient{}", s(r), s(p)),
    }
}

/// A table by category; none where nothing is counted.
fn categories(begins: &PreviewCounts, ends: &PreviewCounts, once: Option<&PreviewCounts>) -> Option<String> {
    let columns = [Some(begins), Some(ends), once];
    let mut all: Vec<u32> = columns
        .iter()
        .flatten()
        .flat_map(|c| c.categories.iter().map(|c| c.category))
        .collect();
    all.sort_unstable();
    all.dedup();
    if all.is_empty() {
        return None;
    }
    let cell = |counts: Option<&PreviewCounts>, category| {
        let found = counts.and_then(|c| c.categories.iter().find(|c| c.category == category));
        found.map_or_else(String::new, |c| format!("{} of {}", c.records, c.patients))
    };
    let rows = all.into_iter().map(|category| {
        let [begins, ends, once] = columns;
        [
            terms::category(category),
            cell(begins, category),
            cell(ends, category),
            cell(once, category),
        ]
    });
    let rows: Vec<[String; 4]> = rows.collect();
    let header = [
        "records of patients",
        "begin",
        "are withdrawn",
        "once both are on",
    ];
    Some(table(header, rows, ""))
}

/// For a program.
pub(super) fn preview_json(found: &PreviewAgreementResponse) -> Value {
    let not_counted = &found.not_counted;
    json!({
        "begins": found.begins.as_ref().map(counts_json),
        "ends": found.ends.as_ref().map(counts_json),
        "not_on_caseload": found.not_on_caseload,
        "once_both": found.once_both.as_ref().map(counts_json),
        "not_counted": if not_counted.is_empty() { Value::Null } else { json!(not_counted) },
    })
}

pub(super) fn counts_json(counts: &PreviewCounts) -> Value {
    let categories = counts.categories.iter().map(
        |c| json!({"category": terms::category(c.category), "patients": c.patients, "records": c.records}),
    );
    json!({
        "patients": counts.patients,
        "records": counts.records,
        "categories": categories.collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests {
    use handfast_proto::v1::{PreviewCategory, Side};

    use super::*;

    fn counts(category: u32, patients: u64, records: u64) -> PreviewCounts {
        PreviewCounts {
            patients,
            records,
            categories: vec![PreviewCategory {
                category,
                patients,
                records,
            }],
        }
    }

    fn request(on: bool) -> SetAgreementRequest {
        SetAgreementRequest {
            source: "Z00101".to_owned(),
            recipient: "Z00303".to_owned(),
            side: Side::ShareOut.into(),
            on,
            ..SetAgreementRequest::default()
        }
    }

    #[test]
    fn a_preview_a_person_can_read() {
        let found = PreviewAgreementResponse {
            begins: Some(counts(2, 3, 6)),
            ends: Some(counts(3, 1, 1)),
            not_on_caseload: 2,
            not_counted: "what patients said at Z00303 about sharing in".to_owned(),
            once_both: None,
        };
        let want = "\
If share-out of Z00101 → Z00303 were turned on:
6 records of 3 patients would begin to flow.
2 of these patients are not on the caseload of Z00303.
1 record of 1 patient would be withdrawn.
Not counted: what patients said at Z00303 about sharing in.
┌─────────────────────┬────────┬───────────────┬──────────────────┐
│ records of patients ┆ begin  ┆ are withdrawn ┆ once both are on │
╞═════════════════════╪════════╪═══════════════╪══════════════════╡
│ problems            ┆ 6 of 3 ┆               ┆                  │
│ allergies           ┆        ┆ 1 of 1        ┆                  │
└─────────────────────┴────────┴───────────────┴──────────────────┘";
        assert_eq!(text(&request(true), &found), want);
        let json = preview_json(&found);
        assert_eq!(json["begins"]["categories"][0]["category"], "problems");
        assert_eq!(
            (&json["once_both"], &json["not_on_caseload"]),
            (&Value::Null, &json!(2))
        );
    }

    #[test]
    fn what_a_turn_sends_is_a_sentence_and_nothing_is_none() {
        let found = |patients, strangers| PreviewAgreementResponse {
            begins: Some(counts(2, patients, 6)),
            not_on_caseload: strangers,
            ..PreviewAgreementResponse::default()
        };
        let said = |patients, strangers| sends("Z00303", &found(patients, strangers)).unwrap();
        assert_eq!(
            said(3, 2),
            "It sends 6 records of 3 patients, 2 of them not on the caseload of Z00303."
        );
        assert!(said(3, 3).contains("none of them on") && said(3, 0).contains("all of them on"));
        assert_eq!(sends("Z00303", &PreviewAgreementResponse::default()), None);
        assert_eq!(removes("Z00303", &found(3, 2)), None, "it ends nothing");
        let nothing = text(&request(false), &PreviewAgreementResponse::default());
        assert!(
            nothing.contains("nothing would begin") && nothing.contains("nothing would be withdrawn"),
            "{nothing}"
        );
    }
}
