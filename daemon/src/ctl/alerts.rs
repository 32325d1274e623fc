//! The commands on alerts.

use handfast_proto::v1::{
    Alert, AlertReview, ListAlertsRequest, ListAlertsResponse, ReviewAlertRequest,
    alerts_client::AlertsClient,
};
use serde_json::{Value, json};

use super::{
    args::{AlertListArgs, AlertsCommand, ReviewArgs},
    connection::Connection,
    error::{CtlError, Exit},
    out::Out,
    show::{NOTHING, moment, moment_json, number_json, table},
    watch::follow,
};

pub(super) async fn run(
    command: AlertsCommand,
    connection: &Connection,
    out: &mut Out,
) -> Result<Exit, CtlError> {
    match command {
        AlertsCommand::List(args) => list(&args, connection, out).await,
        AlertsCommand::Watch(args) => watch(&args, connection, out).await,
        AlertsCommand::Review(args) => review(args, connection, out).await,
    }
}

async fn list(args: &AlertListArgs, connection: &Connection, out: &mut Out) -> Result<Exit, CtlError> {
    let mut client = AlertsClient::new(connection.channel());
    let alerts = connection
        .call("list alerts", client.list(list_request(args)))
        .await?
        .alerts;
    out.answer(|| alerts_table(&alerts), || alerts_json(&alerts))?;
    Ok(Exit::Done)
}

async fn watch(args: &AlertListArgs, connection: &Connection, out: &mut Out) -> Result<Exit, CtlError> {
    const WHAT: &str = "watch alerts";
    let mut client = AlertsClient::new(connection.channel());
    let stream = connection.call(WHAT, client.watch(list_request(args))).await?;
    let show = |next: ListAlertsResponse, out: &mut Out| {
        out.answer_line(|| alerts_table(&next.alerts), || alerts_json(&next.alerts))
    };
    follow(WHAT, stream, connection, out, show).await
}

fn list_request(args: &AlertListArgs) -> ListAlertsRequest {
    ListAlertsRequest {
        open: args.open,
        before: args.before,
    }
}

async fn review(args: ReviewArgs, connection: &Connection, out: &mut Out) -> Result<Exit, CtlError> {
    let mut client = AlertsClient::new(connection.channel());
    let asked = ReviewAlertRequest {
        id: args.id,
        justified: args.justified,
        note: args.note,
    };
    let what = format!("review alert {}", args.id);
    let alert = connection
        .call(&what, client.review(asked))
        .await?
        .alert
        .unwrap_or_default();
    out.answer(
        || format!("Alert {} is reviewed: {}.", alert.id, reviewed(args.justified)),
        || json!({"alert": alert_json(&alert)}),
    )?;
    Ok(Exit::Done)
}

/// What a reviewer found, as people read it.
pub(super) fn reviewed(justified: bool) -> &'static str {
    if justified { "justified" } else { "not justified" }
}

// === How they are shown ===

fn alerts_json(alerts: &[Alert]) -> Value {
    json!({"alerts": alerts.iter().map(alert_json).collect::<Vec<Value>>()})
}

fn alert_json(alert: &Alert) -> Value {
    let detail = alert.detail.as_ref().map(|detail| {
        json!({
            "access": number_json(detail.access),
            "patient": text_json(&detail.patient),
            "by": detail.by,
            "note": detail.note,
            "reviews": detail.reviews.iter().map(review_json).collect::<Vec<Value>>(),
        })
    });
    json!({
        "id": alert.id,
        "kind": alert.kind().word(),
        "state": alert.state().word(),
        "unit": alert.unit,
        "source": text_json(&alert.source),
        "raised_at": moment_json(alert.raised_at),
        "escalated_at": moment_json(alert.escalated_at),
        "reviewed_at": moment_json(alert.reviewed_at),
        "detail": detail,
    })
}

/// A review, for a program.
pub(super) fn review_json(review: &AlertReview) -> Value {
    json!({
        "person": review.person,
        "unit": review.unit,
        "justified": review.justified,
        "note": review.note,
        "at": moment_json(review.at),
    })
}

fn text_json(text: &str) -> Value {
    if text.is_empty() { Value::Null } else { json!(text) }
}

fn alerts_table(alerts: &[Alert]) -> String {
    let or_nothing = |text: &str| if text.is_empty() { NOTHING } else { text }.to_owned();
    let rows = alerts.iter().map(|alert| {
        let place = match alert.source.as_str() {
            "" => alert.unit.clone(),
            source => format!("{source} → {}", alert.unit),
        };
        let detail = alert.detail.as_ref();
        let access = detail.map_or(0, |d| d.access);
        [
            alert.id.to_string(),
            alert.kind().word().to_owned(),
            place,
            alert.state().word().to_owned(),
            moment(alert.raised_at),
            if access == 0 {
                NOTHING.to_owned()
            } else {
                access.to_string()
            },
            or_nothing(detail.map_or("", |d| &d.patient)),
            or_nothing(detail.map_or("", |d| &d.by)),
            or_nothing(detail.map_or("", |d| &d.note)),
        ]
    });
    let header = [
        "id", "kind", "where", "state", "raised", "access", "patient", "by", "note",
    ];
    table(header, rows.collect(), "There is no alert that you may see.")
}

#[cfg(test)]
mod tests {
    use handfast_proto::v1::{AlertDetail, AlertKind, AlertState};

    use super::*;

    #[test]
    fn without_detail_nothing_identifies_a_person() {
        let mut alert = Alert {
            id: 4,
            kind: AlertKind::EmergencyAccess.into(),
            state: AlertState::Escalated.into(),
            unit: "Z00303".to_owned(),
            source: "Z00101".to_owned(),
            raised_at: 1_795_392_000_000,
            ..Alert::default()
        };
        let plain = alerts_table(std::slice::from_ref(&alert));
        assert!(
            plain.contains("Z00101 → Z00303") && plain.contains("escalated"),
            "{plain}"
        );
        assert_eq!(alert_json(&alert)["detail"], Value::Null);
        alert.detail = Some(AlertDetail {
            access: 9,
            patient: "9990000018".to_owned(),
            by: "person cleo".to_owned(),
            ..AlertDetail::default()
        });
        let json = alert_json(&alert);
        assert_eq!(
            (&json["detail"]["access"], &json["kind"]),
            (&json!(9), &json!("emergency-access"))
        );
        assert!(alerts_table(&[alert]).contains("person cleo"));
    }
}
