//! A patient's report for a program.

use handfast_proto::v1::{PatientReportResponse, ReportedSending, ReportedView};
use serde_json::{Value, json};

use super::entry::entry_json;
use crate::ctl::{show::moment_json, terms};

/// The report as the daemon gave it.
pub(super) fn report_json(report: &PatientReportResponse) -> Value {
    let events = report.events.iter().filter_map(|event| event.entry.as_ref());
    json!({
        "patient": report.patient,
        "unit": report.unit,
        "unit_name": report.unit_name,
        "made_at": moment_json(report.made_at),
        "complete": report.complete,
        "sent": report.sendings.iter().map(sending).collect::<Vec<Value>>(),
        "viewed": report.views.iter().map(view).collect::<Vec<Value>>(),
        "events": events.map(entry_json).collect::<Vec<Value>>(),
    })
}

fn sending(sending: &ReportedSending) -> Value {
    let categories = sending
        .categories
        .iter()
        .map(|c| json!({"category": terms::category(c.category.unsigned_abs()), "records": c.records}));
    json!({
        "source": sending.source,
        "source_name": sending.source_name,
        "recipient": sending.recipient,
        "recipient_name": sending.recipient_name,
        "from": moment_json(sending.from),
        "to": moment_json(sending.to),
        "arrival_known": !sending.perhaps,
        "categories": categories.collect::<Vec<Value>>(),
    })
}

fn view(view: &ReportedView) -> Value {
    let told = |text: &str| if text.is_empty() { Value::Null } else { json!(text) };
    json!({
        "unit": view.unit,
        "unit_name": view.unit_name,
        "person": told(&view.person),
        "permission": told(&view.permission),
        "reason": told(&view.reason),
        "source": told(&view.source),
        "at": moment_json(view.at),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ctl::audit::report::tests::sample;

    #[test]
    fn a_program_is_told_the_facts() {
        let report = report_json(&sample());
        assert_eq!(report["sent"][0]["recipient"], "Z00303");
        assert_eq!(report["sent"][0]["arrival_known"], true);
        assert_eq!(report["sent"][0]["categories"][0]["records"], 2);
        assert_eq!(report["viewed"], json!([]));
        assert_eq!(report["complete"], true);
    }
}
