//! The commands on emergency access.

use std::time::Duration;

use handfast_proto::{
    emergency::Ground,
    v1::{
        AccessSource, AccessView, EndAccessRequest, ListAccessesRequest, RequestAccessRequest,
        ReviewAccessRequest, ScrAlertType, WithdrawalState, emergency_access_client::EmergencyAccessClient,
    },
};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::{
    alerts::{review_json, reviewed},
    args::{EmergencyCommand, ListArgs, RequestArgs, ReviewArgs},
    connection::Connection,
    error::{CtlError, Exit},
    numbers,
    out::Out,
    show::{NOTHING, moment, moment_json, table},
    watch::follow,
    words,
};

/// How long a pending end is asked for again.
const END_WAIT: Duration = Duration::from_secs(2);

/// How long to wait before asking again.
const ASK_AGAIN_AFTER: Duration = Duration::from_millis(100);

pub(super) async fn run(
    command: EmergencyCommand,
    connection: &Connection,
    out: &mut Out,
) -> Result<Exit, CtlError> {
    match command {
        EmergencyCommand::Request(args) => request(&args, connection, out).await,
        EmergencyCommand::List(args) if args.watch => watch(&args, connection, out).await,
        EmergencyCommand::List(args) => list(&args, connection, out).await,
        EmergencyCommand::Review(args) => review(args, connection, out).await,
        EmergencyCommand::End { id, source } => {
            let source = source.map(|ods| ods.to_string()).unwrap_or_default();
            end(EndAccessRequest { id, source }, connection, out).await
        }
    }
}

async fn request(args: &RequestArgs, connection: &Connection, out: &mut Out) -> Result<Exit, CtlError> {
    let alert_type = ScrAlertType::from(args.alert_type);
    let ground = Ground::new(alert_type, args.reason.with(args.alert_type));
    let ground = ground.map_err(|e| CtlError::Usage(format!("--type and --reason: {e}")))?;
    let asked = RequestAccessRequest {
        patient: numbers::read_one(&args.patient)?.reveal(),
        sources: args.from.iter().map(ToString::to_string).collect(),
        alert_type: ground.alert_type().into(),
        alert_reason: ground.reason().into(),
        note: args.note.clone(),
        seconds: args.seconds,
    };
    let mut client = EmergencyAccessClient::new(connection.channel());
    let call = client.request(asked);
    let answer = connection.call("ask for emergency access", call).await?;
    let (access, closed) = (answer.access.unwrap_or_default(), answer.not_shared_out);
    out.answer(
        || opened_text(&access, &closed),
        || json!({"access": access_json(&access), "not_shared_out": closed}),
    )?;
    Ok(Exit::Done)
}

fn opened_text(access: &AccessView, closed: &[String]) -> String {
    let sources: Vec<&str> = access
        .sources
        .iter()
        .map(|source| source.source.as_str())
        .collect();
    let mut text = format!(
        "Access {} is open until {}: what {} may share of this patient is on its way to {}.\n\
         The privacy officers of the units have been alerted and will review it.",
        access.id,
        moment(
            access
                .sources
                .iter()
                .map(|source| source.until)
                .max()
                .unwrap_or(access.until)
        ),
        sources.join(", "),
        access.recipient,
    );
    for source in access.sources.iter().filter(|source| source.until < access.until) {
        let until = moment(source.until);
        text.push_str(&format!(
            "\n{}: until {until}, because it shares an access that a colleague opened; ask again then.",
            source.source
        ));
    }
    if !closed.is_empty() {
        text.push_str(&format!(
            "\nNot opened, because they do not share out towards {}: {}.",
            access.recipient,
            closed.join(", ")
        ));
    }
    text
}

async fn list(args: &ListArgs, connection: &Connection, out: &mut Out) -> Result<Exit, CtlError> {
    let mut client = EmergencyAccessClient::new(connection.channel());
    let call = client.list(list_request(args));
    let accesses = connection.call("list emergency accesses", call).await?.accesses;
    out.answer(|| accesses_table(&accesses), || accesses_json(&accesses))?;
    Ok(Exit::Done)
}

async fn watch(args: &ListArgs, connection: &Connection, out: &mut Out) -> Result<Exit, CtlError> {
    const WHAT: &str = "watch emergency accesses";
    let mut client = EmergencyAccessClient::new(connection.channel());
    let stream = connection.call(WHAT, client.watch(list_request(args))).await?;
    let show = |next: handfast_proto::v1::ListAccessesResponse, out: &mut Out| {
        out.answer_line(
            || accesses_table(&next.accesses),
            || accesses_json(&next.accesses),
        )
    };
    follow(WHAT, stream, connection, out, show).await
}

fn list_request(args: &ListArgs) -> ListAccessesRequest {
    ListAccessesRequest {
        open: args.open,
        before: args.before,
    }
}

async fn review(args: ReviewArgs, connection: &Connection, out: &mut Out) -> Result<Exit, CtlError> {
    let mut client = EmergencyAccessClient::new(connection.channel());
    let asked = ReviewAccessRequest {
        id: args.id,
        justified: args.justified,
        note: args.note,
    };
    let what = format!("review access {}", args.id);
    let access = connection
        .call(&what, client.review(asked))
        .await?
        .access
        .unwrap_or_default();
    out.answer(
        || format!("Access {} is reviewed: {}.", access.id, reviewed(args.justified)),
        || json!({"access": access_json(&access)}),
    )?;
    Ok(Exit::Done)
}

/// Ends an access; where it is pending it asks again until the wait is over.
async fn end(asked: EndAccessRequest, connection: &Connection, out: &mut Out) -> Result<Exit, CtlError> {
    let until = Instant::now() + END_WAIT;
    let mut client = EmergencyAccessClient::new(connection.channel());
    let what = format!("end access {}", asked.id);
    let mut answer = connection.call(&what, client.end(asked.clone())).await?;
    while !answer.in_force && Instant::now() < until {
        sleep(ASK_AGAIN_AFTER).await;
        answer = connection.call(&what, client.end(asked.clone())).await?;
    }
    let (access, in_force) = (answer.access.unwrap_or_default(), answer.in_force);
    out.answer(
        || match in_force {
            true => format!("Access {} is over: what it brought is being removed.", access.id),
            false => format!(
                "Access {} is ended, and pending: something of it may still be on its way. Run the same \
                 command again.",
                access.id
            ),
        },
        || json!({"access": access_json(&access), "in_force": in_force}),
    )?;
    Ok(if in_force { Exit::Done } else { Exit::Pending })
}

// === How they are shown ===

fn accesses_json(accesses: &[AccessView]) -> Value {
    json!({"accesses": accesses.iter().map(access_json).collect::<Vec<Value>>()})
}

fn access_json(access: &AccessView) -> Value {
    json!({
        "id": access.id,
        "recipient": access.recipient,
        "patient": access.patient,
        "person": access.person,
        "person_name": access.person_name,
        "type": access.alert_type().word(),
        "reason": access.alert_reason().word(),
        "note": access.note,
        "at": moment_json(access.at),
        "until": moment_json(access.until),
        "sources": access.sources.iter().map(source_json).collect::<Vec<Value>>(),
    })
}

fn source_json(source: &AccessSource) -> Value {
    let withdrawal = source.withdrawal.as_ref().map(|w| {
        json!({
            "state": words::withdrawal(withdrawal_state(w.state)),
            "removed": w.removed,
            "not_removed": w.not_removed,
        })
    });
    json!({
        "source": source.source,
        "grant": super::show::number_json(source.grant),
        "until": moment_json(source.until),
        "ended_at": moment_json(source.ended_at),
        "ended_by": source.ended_by,
        "withdrawal": withdrawal,
        "review": source.review().word(),
        "reviews": source.reviews.iter().map(review_json).collect::<Vec<Value>>(),
    })
}

fn withdrawal_state(number: u32) -> WithdrawalState {
    let number = i32::try_from(number).unwrap_or_default();
    WithdrawalState::try_from(number).unwrap_or(WithdrawalState::Unspecified)
}

fn accesses_table(accesses: &[AccessView]) -> String {
    let rows = accesses.iter().flat_map(|access| {
        access.sources.iter().map(move |source| {
            [
                access.id.to_string(),
                format!("{} → {}", source.source, access.recipient),
                access.patient.clone(),
                access.person_name.clone(),
                format!("{}, {}", access.alert_type().word(), access.alert_reason().word()),
                access.note.clone(),
                standing(source),
                source.review().word().to_owned(),
            ]
        })
    });
    let header = [
        "id", "opened", "patient", "by", "ground", "note", "stands", "review",
    ];
    table(
        header,
        rows.collect(),
        "There is no emergency access that you may see.",
    )
}

fn standing(source: &AccessSource) -> String {
    if source.ended_at == 0 {
        return match source.grant {
            0 => NOTHING.to_owned(),
            _ => format!("open until {}", moment(source.until)),
        };
    }
    let removed = match &source.withdrawal {
        None => String::new(),
        Some(w) => format!(", removal {}", words::withdrawal(withdrawal_state(w.state))),
    };
    format!("over since {}{removed}", moment(source.ended_at))
}

#[cfg(test)]
mod tests {
    use handfast_proto::v1::{AccessWithdrawal, AlertState, ScrAlertReason};

    use super::*;

    fn access() -> AccessView {
        let source = |source: &str| AccessSource {
            source: source.to_owned(),
            grant: 7,
            until: 1_795_395_600_000,
            review: AlertState::Open.into(),
            ..AccessSource::default()
        };
        AccessView {
            id: 5,
            recipient: "Z00303".to_owned(),
            patient: "9990000018".to_owned(),
            person_name: "Cleo".to_owned(),
            alert_type: ScrAlertType::Access.into(),
            alert_reason: ScrAlertReason::AccessEmergency.into(),
            note: "Unconscious".to_owned(),
            until: 1_795_406_400_000,
            sources: vec![source("Z00101")],
            ..AccessView::default()
        }
    }

    #[test]
    fn an_answer_says_until_when_and_what_was_not_opened() {
        let text = opened_text(&access(), &["Z00404".to_owned()]);
        assert!(
            text.starts_with("Access 5 is open until 2026-11-23 01:00:00 UTC"),
            "{text}"
        );
        assert!(
            text.contains("Z00101: until 2026-11-23 01:00:00 UTC, because"),
            "{text}"
        );
        assert!(text.ends_with("towards Z00303: Z00404."), "{text}");
    }

    #[test]
    fn a_list_shows_what_stands_and_what_followed() {
        let mut over = access();
        over.sources[0].ended_at = 1_795_395_600_000;
        over.sources[0].withdrawal = Some(AccessWithdrawal {
            state: WithdrawalState::Confirmed as u32,
            removed: 12,
            not_removed: 0,
        });
        let table = accesses_table(&[access(), over.clone()]);
        assert!(table.contains("open until 2026-11-23 01:00:00 UTC"), "{table}");
        assert!(
            table.contains("over since 2026-11-23 01:00:00 UTC, removal confirmed"),
            "{table}"
        );
        let json = access_json(&over);
        assert_eq!(json["reason"], "emergency");
        assert_eq!(json["sources"][0]["withdrawal"]["removed"], 12);
        assert_eq!(access_json(&access())["sources"][0]["ended_at"], Value::Null);
    }
}
