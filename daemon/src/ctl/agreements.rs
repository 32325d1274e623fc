//! The commands on sharing agreements.

use std::time::Duration;

use handfast_proto::{
    ids::OdsCode,
    v1::{
        Agreement, Half, InForce, ListAgreementsRequest, SetAgreementRequest, SetAgreementResponse, Side,
        Withdrawal, WithdrawalState, agreements_client::AgreementsClient,
    },
};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};
use tonic::Status;

use super::{
    args::SetHalf,
    connection::Connection,
    error::{CtlError, Exit},
    out::Out,
    preview,
    receipt::Turned,
    scope,
    show::{NOTHING, agreement_json, table},
    words::{self, Switch},
};

/// How long to wait before asking again, while waiting for a revocation or its withdrawal.
const ASK_AGAIN_AFTER: Duration = Duration::from_millis(100);

/// Turns a half, and shows what came of it. Where it is pending it asks again until the wait is over;
/// then, what is left of the wait goes to the withdrawal.
pub(super) async fn set(
    side: Side,
    args: &SetHalf,
    connection: &Connection,
    out: &mut Out,
) -> Result<Exit, CtlError> {
    let until = Instant::now() + Duration::from_secs(args.wait);
    let mut client = AgreementsClient::new(connection.channel());
    let half = &args.half;
    let request = SetAgreementRequest {
        source: half.from.to_string(),
        recipient: half.to.to_string(),
        side: side.into(),
        on: half.state == Switch::On,
        reason: args.reason.clone(),
        scope: scope::change(&half.scope)?,
    };
    let mut turned = Turned {
        source: half.from,
        recipient: half.to,
        side,
        on: request.on,
        answer: SetAgreementResponse::default(),
        preview: None,
    };
    if request.on {
        turned.preview = preview::before_turning_on(&request, connection).await;
    }
    let what = format!("turn {} {}", turned.name(), if request.on { "on" } else { "off" });
    turned.answer = connection.call(&what, client.set(request.clone())).await?;
    while turned.answer.in_force() == InForce::Pending && Instant::now() < until {
        sleep(ASK_AGAIN_AFTER).await;
        let first = turned.answer.receipt;
        turned.answer = connection.call(&what, client.set(request.clone())).await?;
        turned.answer.receipt = turned.answer.receipt.or(first);
    }
    if turned.in_force() && is_open(turned.withdrawal()) {
        follow(&mut turned, until, connection).await?;
    }
    out.answer(|| turned.text(), || turned.json())?;
    Ok(if turned.in_force() {
        Exit::Done
    } else {
        Exit::Pending
    })
}

/// Waits until a withdrawal is confirmed, or the wait is over, or another took its place.
async fn follow(turned: &mut Turned, until: Instant, connection: &Connection) -> Result<(), CtlError> {
    let Some(job) = turned.withdrawal().map(|w| w.job) else {
        return Ok(());
    };
    let mut client = AgreementsClient::new(connection.channel());
    let request = ListAgreementsRequest {
        unit: turned.source.to_string(),
    };
    while is_open(turned.withdrawal()) && Instant::now() < until {
        sleep(ASK_AGAIN_AFTER).await;
        let call = client.list(request.clone());
        let agreements = connection.call("ask for the withdrawal", call).await?.agreements;
        let (source, recipient) = (turned.source.to_string(), turned.recipient.to_string());
        let now = agreements
            .into_iter()
            .find(|a| a.source == source && a.recipient == recipient)
            .and_then(|a| a.withdrawal);
        let Some(now) = now.filter(|w| w.job == job) else {
            return Ok(());
        };
        turned.withdrawal_is(now);
    }
    Ok(())
}

fn is_open(withdrawal: Option<&Withdrawal>) -> bool {
    withdrawal.is_some_and(|w| w.state() != WithdrawalState::Confirmed)
}

pub(super) async fn list(
    unit: Option<OdsCode>,
    connection: &Connection,
    out: &mut Out,
) -> Result<Exit, CtlError> {
    let mut client = AgreementsClient::new(connection.channel());
    let call = client.list(list_request(unit));
    let agreements = connection.call("list agreements", call).await?.agreements;
    out.answer(|| agreements_table(&agreements), || agreements_json(&agreements))?;
    Ok(Exit::Done)
}

/// Shows the agreements whenever they change, until the daemon ends it or the person does.
pub(super) async fn watch(
    unit: Option<OdsCode>,
    connection: &Connection,
    out: &mut Out,
) -> Result<Exit, CtlError> {
    const WHAT: &str = "watch agreements";
    let mut client = AgreementsClient::new(connection.channel());
    let call = client.watch(list_request(unit));
    let mut stream = connection.call(WHAT, call).await?;
    loop {
        let message = stream.message().await;
        let over = |status: Status| match connection.error(WHAT, &status) {
            CtlError::Unreachable(_) => {
                CtlError::Unreachable(format!("{WHAT}: the connection broke. Run the command again"))
            }
            other => other,
        };
        match message.map_err(over)? {
            Some(next) => {
                let table = || agreements_table(&next.agreements);
                out.answer_line(table, || agreements_json(&next.agreements))?;
            }
            None => {
                return Err(CtlError::Unreachable(format!(
                    "{WHAT}: the daemon ended it. Run the command again"
                )));
            }
        }
    }
}

fn list_request(unit: Option<OdsCode>) -> ListAgreementsRequest {
    ListAgreementsRequest {
        unit: unit.map_or_else(String::new, |ods| ods.to_string()),
    }
}

fn agreements_json(agreements: &[Agreement]) -> Value {
    json!({"agreements": agreements.iter().map(agreement_json).collect::<Vec<Value>>()})
}

/// The newest withdrawal of everything, and what was withdrawn of a grant that goes on.
fn withdrawal_cell(agreement: &Agreement) -> String {
    let mut lines: Vec<String> = agreement.withdrawal.iter().map(how_far).collect();
    if let Some(partial) = &agreement.partial {
        if partial.open > 0 {
            lines.push(format!("in part: {} under way", partial.open));
        }
        lines.extend(partial.last.iter().map(|w| format!("in part, {}", how_far(w))));
        let before = partial.not_removed - partial.last.map_or(0, |w| w.not_removed.min(partial.not_removed));
        if before > 0 {
            lines.push(format!("in part, before: {before} not removed"));
        }
    }
    if lines.is_empty() {
        return NOTHING.to_owned();
    }
    lines.join("\n")
}

fn how_far(w: &Withdrawal) -> String {
    let state = words::withdrawal(w.state());
    match w.state() {
        _ if w.not_removed > 0 => format!("{state}: {} removed, {} not", w.removed, w.not_removed),
        WithdrawalState::Confirmed => format!("{state}: {} removed", w.removed),
        _ => state.to_owned(),
    }
}

fn agreements_table(agreements: &[Agreement]) -> String {
    let rows = agreements.iter().map(|a| {
        let grant = match a.grant {
            0 => NOTHING.to_owned(),
            grant if a.stale => format!("grant {grant}\nSTALE: {} is suspended", a.source),
            grant => format!("grant {grant}"),
        };
        [
            format!("{} → {}", a.source, a.recipient),
            half_cell(a.share_out.as_ref()),
            half_cell(a.share_in.as_ref()),
            grant,
            withdrawal_cell(a),
        ]
    });
    let header = ["pair", "share-out", "share-in", "in force", "last withdrawal"];
    let when_empty = "No half was ever turned that you may see.";
    let mut text = table(header, rows.collect(), when_empty);
    for agreement in agreements {
        for notice in &agreement.notices {
            let pair = format!("{} → {}", agreement.source, agreement.recipient);
            text.push_str(&format!("\nnote: {pair}: {}", scope::notice(notice)));
        }
    }
    text
}

/// `on` or `off`, and how it is narrowed; what an off half would be narrowed to does not matter.
fn half_cell(half: Option<&Half>) -> String {
    let Some(half) = half.filter(|half| half.on) else {
        return "off".to_owned();
    };
    let mut lines = vec!["on".to_owned()];
    lines.extend(half.scope.iter().flat_map(scope::lines));
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use handfast_proto::v1::{HalfNotice, HalfNoticeKind, HalfScope, PartialWithdrawals};

    use super::*;

    fn in_part() -> PartialWithdrawals {
        PartialWithdrawals {
            open: 1,
            not_removed: 3,
            last: Some(Withdrawal {
                state: WithdrawalState::Confirmed.into(),
                removed: 4,
                not_removed: 1,
                ..Withdrawal::default()
            }),
        }
    }

    #[test]
    fn the_list_shows_both_halves_and_the_withdrawal() {
        let on = Some(Half {
            on: true,
            ..Half::default()
        });
        let agreements = [
            Agreement {
                source: "Z00101".to_owned(),
                recipient: "Z00303".to_owned(),
                share_out: on.clone(),
                share_in: Some(Half {
                    on: true,
                    scope: Some(HalfScope {
                        categories: vec![2, 3],
                        ends_on: "2027-03-31".to_owned(),
                        ..HalfScope::default()
                    }),
                    ..Half::default()
                }),
                grant: 7,
                stale: true,
                notices: vec![HalfNotice {
                    side: Side::ShareIn.into(),
                    kind: HalfNoticeKind::EndsSoon.into(),
                    day: "2027-03-31".to_owned(),
                }],
                partial: Some(in_part()),
                ..Agreement::default()
            },
            Agreement {
                source: "Z00303".to_owned(),
                recipient: "Z00101".to_owned(),
                share_out: on,
                withdrawal: Some(Withdrawal {
                    job: 3,
                    state: WithdrawalState::Confirmed.into(),
                    removed: 120,
                    not_removed: 2,
                    ..Withdrawal::default()
                }),
                ..Agreement::default()
            },
        ];
        let want = "\
┌─────────────────┬───────────┬─────────────────────┬────────────────────────────┬──────────────────────────────────────┐
│ pair            ┆ share-out ┆ share-in            ┆ in force                   ┆ last withdrawal                      │
╞═════════════════╪═══════════╪═════════════════════╪════════════════════════════╪══════════════════════════════════════╡
│ Z00101 → Z00303 ┆ on        ┆ on                  ┆ grant 7                    ┆ in part: 1 under way                 │
│                 ┆           ┆ problems, allergies ┆ STALE: Z00101 is suspended ┆ in part, confirmed: 4 removed, 1 not │
│                 ┆           ┆ until 2027-03-31    ┆                            ┆ in part, before: 2 not removed       │
│ Z00303 → Z00101 ┆ on        ┆ off                 ┆ –                          ┆ confirmed: 120 removed, 2 not        │
└─────────────────┴───────────┴─────────────────────┴────────────────────────────┴──────────────────────────────────────┘
note: Z00101 → Z00303: share-in ends after 2027-03-31";
        assert_eq!(agreements_table(&agreements), want);
        let json = agreements_json(&agreements);
        assert_eq!(json["agreements"][0]["grant"], 7);
        assert_eq!(json["agreements"][1]["grant"], Value::Null);
        assert_eq!(json["agreements"][1]["withdrawal"]["state"], "confirmed");
        assert_eq!(json["agreements"][1]["share_in"]["on"], false);
        assert_eq!(
            json["agreements"][0]["share_in"]["scope"]["categories"][1],
            "allergies"
        );
        assert_eq!(json["agreements"][0]["notices"][0]["kind"], "ends_soon");
        assert_eq!(json["agreements"][0]["stale"], true);
        assert_eq!(json["agreements"][0]["partial"]["open"], 1);
        assert_eq!(json["agreements"][0]["partial"]["last"]["removed"], 4);
    }
}
