//! `audit report`: what a patient is to be told, in plain words.

use std::fmt::Write as _;

use handfast_proto::{
    audit::kind_of,
    v1::{
        AuditField, AuditKind, AuditLeaf, PatientReportRequest, PatientReportResponse, PatientWordValue,
        ReportedEvent, ReportedSending, ReportedView, Side, WithdrawalEvent, WithdrawalStep,
        audit_client::AuditClient, audit_leaf::Event,
    },
};
use serde_json::json;

use super::{entry::value, report_html::html, report_json::report_json};
use crate::ctl::{
    args::{ReportArgs, ReportFormat},
    connection::Connection,
    error::{CtlError, Exit},
    files, numbers,
    out::Out,
    show::moment,
    terms,
};

pub(super) async fn report(
    args: &ReportArgs,
    connection: &Connection,
    out: &mut Out,
) -> Result<Exit, CtlError> {
    let mut client = AuditClient::new(connection.channel());
    let request = PatientReportRequest {
        reason: args.reason.reason.clone(),
        patient: numbers::read_one(&args.numbers)?.reveal(),
        from: args.between.since.unwrap_or(0),
        to: args.between.until.unwrap_or(0),
    };
    let call = client.patient_report(request);
    let report = connection.call("make a patient's report", call).await?;
    let told = Told::of(&report);
    let page = match args.format {
        ReportFormat::Text => told.text(),
        ReportFormat::Html => html(&told),
    };
    let Some(path) = &args.out else {
        out.answer(|| page, || report_json(&report))?;
        return Ok(Exit::Done);
    };
    files::write_secret(path, &page)?;
    let path = path.display().to_string();
    out.answer(|| format!("The report is in {path}."), || json!({"file": path}))?;
    Ok(Exit::Done)
}

/// A report in sentences.
pub(super) struct Told {
    pub(super) title: String,
    pub(super) intro: Vec<String>,
    /// A heading, what stands where there is nothing, and the sentences.
    pub(super) parts: Vec<(&'static str, &'static str, Vec<String>)>,
}

impl Told {
    pub(super) fn of(report: &PatientReportResponse) -> Self {
        let unit = named(&report.unit_name, &report.unit);
        let mut intro = vec![
            format!("This report was made by {unit} on {}.", moment(report.made_at)),
            "It says which records about you this organisation sent to others or received from others, and who \
             is known to have looked at them."
                .to_owned(),
        ];
        if !report.complete {
            intro.push(
                "It is not complete: there was more than one report can hold. Ask for a shorter time."
                    .to_owned(),
            );
        }
        let views = report.views.iter().map(viewed);
        let events = report.events.iter().filter_map(happened);
        Self {
            title: format!("Who saw your records: NHS number {}", spaced(&report.patient)),
            intro,
            parts: vec![
                (
                    "Where your records were sent",
                    "No record about you was sent or received in this time.",
                    report.sendings.iter().map(sent).collect(),
                ),
                (
                    "Who is known to have looked at them",
                    "No organisation has reported that anybody looked at records it received about you. That does \
                     not mean that nobody did: only reported views are listed.",
                    views.collect(),
                ),
                (
                    "What you asked for, and anything out of the ordinary",
                    "Nothing else is recorded.",
                    events.collect(),
                ),
            ],
        }
    }

    fn text(&self) -> String {
        let mut out = format!(
            "{}\n{}\n\n{}\n",
            self.title,
            "=".repeat(self.title.chars().count()),
            self.intro.join("\n")
        );
        for (heading, when_empty, sentences) in &self.parts {
            let _ = write!(out, "\n{heading}\n{}\n", "-".repeat(heading.chars().count()));
            if sentences.is_empty() {
                let _ = writeln!(out, "{when_empty}");
            }
            for sentence in sentences {
                let _ = writeln!(out, "- {sentence}");
            }
        }
        out
    }
}

/// A unit as a patient knows it.
fn named(name: &str, ods: &str) -> String {
    if name.is_empty() {
        ods.to_owned()
    } else {
        format!("{name} ({ods})")
    }
}

/// 999 000 0018, as it is written on a letter.
fn spaced(number: &str) -> String {
    match (number.get(..3), number.get(3..6), number.get(6..)) {
        (Some(a), Some(b), Some(c)) => format!("{a} {b} {c}"),
        _ => number.to_owned(),
    }
}

fn sent(sending: &ReportedSending) -> String {
    let records = sending.categories.iter().map(|c| {
        let plural = if c.records == 1 { "" } else { "s" };
        let category = terms::category(c.category.unsigned_abs()).replace('-', " ");
        format!("{} record{plural} of {category}", c.records)
    });
    let records: Vec<String> = records.collect();
    let verb = if sending.perhaps {
        "Perhaps sent (it is not known whether it arrived)"
    } else {
        "Sent"
    };
    let when = if sending.from == sending.to {
        format!("on {}", moment(sending.from))
    } else {
        format!("between {} and {}", moment(sending.from), moment(sending.to))
    };
    format!(
        "{verb} to {} by {} {when}: {}.",
        named(&sending.recipient_name, &sending.recipient),
        named(&sending.source_name, &sending.source),
        records.join(", ")
    )
}

fn viewed(view: &ReportedView) -> String {
    let who = if view.person.is_empty() {
        "somebody"
    } else {
        &view.person
    };
    let mut text = format!(
        "Viewed by {who} at {} on {}",
        named(&view.unit_name, &view.unit),
        moment(view.at)
    );
    if !view.permission.is_empty() {
        let _ = write!(text, ", by the permission {}", view.permission);
    }
    if !view.source.is_empty() {
        let _ = write!(text, ", records from {}", named(&view.source_name, &view.source));
    }
    if !view.reason.is_empty() {
        let _ = write!(text, "; reason given: {}", view.reason);
    }
    text + "."
}

/// What else a patient is told; what is the organisation's own affair is not.
fn happened(event: &ReportedEvent) -> Option<String> {
    let entry = event.entry.as_ref()?;
    let leaf: &AuditLeaf = entry.leaf.as_ref()?;
    let at = moment(leaf.at);
    let (source, recipient, unit) = (
        named(&event.source_name, &leaf.source),
        named(&event.recipient_name, &leaf.recipient),
        named(&event.unit_name, &leaf.unit),
    );
    let reason = value(&entry.values, AuditField::Reason);
    let because = reason.map_or_else(String::new, |reason| format!("; reason given: {reason}"));
    let text = match leaf.event.as_ref()? {
        Event::PatientWord(word) => {
            let about = match word.side() {
                Side::ShareIn => "to its receiving your records from others",
                _ => "to its sending your records to others",
            };
            let said = match word.word() {
                PatientWordValue::Yes => "that you said yes",
                PatientWordValue::No => "that you said no",
                _ => "that what you said before no longer stands,",
            };
            format!("{unit} recorded on {at} {said} {about}.")
        }
        Event::EmergencyOpened(opened) => format!(
            "{recipient} opened your records of {source} in an emergency on {at}, until {}{because}.",
            moment(opened.until)
        ),
        Event::EmergencyEnded(_) => {
            format!("The emergency access of {recipient} to records of {source} ended on {at}.")
        }
        Event::EmergencyReviewed(review) => {
            let found = if review.justified {
                "justified"
            } else {
                "not justified"
            };
            format!("The emergency access of {recipient} to records of {source} was found {found} on {at}.")
        }
        Event::Withdrawal(e) if e.step() == WithdrawalStep::Due => {
            let records = match what_is_due(e, &leaf.unit) {
                What::OfAPair => format!("that {recipient} had received from {source}"),
                What::Sent => format!("that others had received from {unit}"),
                What::Received => format!("that {unit} had received from others"),
                What::Both => format!("that {unit} had received from others, or others from it,"),
            };
            format!("Records about you {records} were due to be removed on {at}.")
        }
        Event::Withdrawal(e) => removed(e, &source, &recipient, &at),
        Event::NumbersJoined(_) => {
            format!("It was recorded on {at} that your NHS number was another one before.")
        }
        _ if kind_of(leaf) == AuditKind::Caseload => {
            format!("{unit} recorded on {at} that you are its patient, or no longer are.")
        }
        _ => return None,
    };
    Some(text)
}

/// Which records are due to be removed, as the unit sees it whose entry it is.
enum What {
    OfAPair,
    Sent,
    Received,
    Both,
}

fn what_is_due(event: &WithdrawalEvent, unit: &str) -> What {
    let due = &event.due;
    if due.is_empty() {
        What::OfAPair
    } else if due.iter().all(|due| due.source == unit) {
        What::Sent
    } else if due.iter().all(|due| due.recipient == unit) {
        What::Received
    } else {
        What::Both
    }
}

fn removed(event: &WithdrawalEvent, source: &str, recipient: &str, at: &str) -> String {
    if event.not_removed > 0 {
        return format!(
            "On {at} {recipient} reported that it could not remove all records about you that it had received from \
             {source}."
        );
    }
    format!("{recipient} removed records about you that it had received from {source}, on {at}.")
}

#[cfg(test)]
pub(super) mod tests {
    use handfast_proto::v1::{AuditEntry, ReportedCategory, WithdrawalDue};

    use super::*;

    pub(in crate::ctl::audit) fn sample() -> PatientReportResponse {
        PatientReportResponse {
            patient: "9990000018".to_owned(),
            unit: "Z00101".to_owned(),
            unit_name: "Hill & Vale Practice".to_owned(),
            made_at: 1_795_392_000_000,
            sendings: vec![ReportedSending {
                source: "Z00101".to_owned(),
                source_name: "Hill & Vale Practice".to_owned(),
                recipient: "Z00303".to_owned(),
                recipient_name: "St Anne's <Hospital>".to_owned(),
                from: 1_795_392_000_000,
                to: 1_795_392_000_000,
                perhaps: false,
                categories: vec![ReportedCategory {
                    category: 14,
                    records: 2,
                }],
            }],
            views: Vec::new(),
            events: Vec::new(),
            complete: true,
        }
    }

    #[test]
    fn a_report_is_in_plain_words_and_never_says_viewed_where_no_view_was_reported() {
        let mut report = sample();
        let text = Told::of(&report).text();
        assert!(text.contains("NHS number 999 000 0018"), "{text}");
        assert!(text.contains(
            "Sent to St Anne's <Hospital> (Z00303) by Hill & Vale Practice (Z00101) on 2026-11-23"
        ));
        assert!(text.contains("2 records of administrative."), "{text}");
        assert!(!text.contains("Viewed by"));
        report.views.push(ReportedView {
            unit: "Z00303".to_owned(),
            unit_name: "St Anne's".to_owned(),
            person: "Dr Lee".to_owned(),
            permission: "Clinical Practitioner".to_owned(),
            reason: "on the ward".to_owned(),
            at: 1_795_392_000_000,
            ..ReportedView::default()
        });
        report.sendings[0].perhaps = true;
        let text = Told::of(&report).text();
        assert!(text.contains("Viewed by Dr Lee at St Anne's (Z00303) on"));
        assert!(text.contains("by the permission Clinical Practitioner"), "{text}");
        assert!(text.contains("reason given: on the ward."));
        assert!(text.contains("Perhaps sent"));
    }

    fn told(leaf: AuditLeaf) -> String {
        let event = ReportedEvent {
            entry: Some(AuditEntry {
                leaf: Some(leaf),
                ..AuditEntry::default()
            }),
            unit_name: "Hill Practice".to_owned(),
            source_name: "Hill Practice".to_owned(),
            recipient_name: "St Anne's".to_owned(),
        };
        happened(&event).unwrap()
    }

    #[test]
    fn what_was_due_to_be_removed_and_what_was_is_told_apart() {
        let due = |source: &str, recipient: &str| WithdrawalDue {
            source: source.to_owned(),
            recipient: recipient.to_owned(),
            grant: 1,
        };
        let withdrawal = |event| AuditLeaf {
            event: Some(Event::Withdrawal(event)),
            ..AuditLeaf::default()
        };
        let due_of = |all: &[WithdrawalDue]| AuditLeaf {
            unit: "Z00101".to_owned(),
            ..withdrawal(WithdrawalEvent {
                step: WithdrawalStep::Due.into(),
                due: all.to_vec(),
                ..WithdrawalEvent::default()
            })
        };
        let text = told(due_of(&[due("Z00101", "Z00202"), due("Z00101", "Z00303")]));
        let others =
            "Records about you that others had received from Hill Practice (Z00101) were due to be removed";
        assert!(text.starts_with(others), "{text}");
        let text = told(due_of(&[due("Z00202", "Z00101")]));
        let own =
            "Records about you that Hill Practice (Z00101) had received from others were due to be removed";
        assert!(text.starts_with(own), "{text}");
        let confirmed = |not_removed| AuditLeaf {
            source: "Z00101".to_owned(),
            recipient: "Z00303".to_owned(),
            ..withdrawal(WithdrawalEvent {
                step: WithdrawalStep::Confirmed.into(),
                removed: 2,
                not_removed,
                ..WithdrawalEvent::default()
            })
        };
        assert!(told(confirmed(0)).starts_with("St Anne's (Z00303) removed records about you"));
        assert!(told(confirmed(1)).contains("could not remove all"));
    }
}
