//! How the deployment stands.

use std::collections::HashSet;

use handfast_proto::v1::{PairStatus, StatusRequest, StatusResponse, UnitStatus, units_client::UnitsClient};
use serde_json::{Value, json};

use super::{
    connection::Connection,
    error::{CtlError, Exit},
    out::Out,
    scope,
    show::{NOTHING, number_json, table, yes},
};

pub(super) async fn status(connection: &Connection, out: &mut Out) -> Result<Exit, CtlError> {
    let mut client = UnitsClient::new(connection.channel());
    let call = client.status(StatusRequest {});
    let status = connection.call("ask for the status", call).await?;
    out.answer(|| text(&status), || json(&status))?;
    Ok(Exit::Done)
}

/// Only a source's own people are told what it forwarded and withheld; to whom a unit is not shown, its
/// counts are not either.
fn sources_shown(status: &StatusResponse) -> HashSet<&str> {
    status.units.iter().map(|u| u.ods.as_str()).collect()
}

/// How far the recipient is behind, in amendments; `None` where no grant is in force.
fn lag(pair: &PairStatus) -> Option<u64> {
    (pair.grant != 0).then(|| pair.head_seq.saturating_sub(pair.cursor))
}

fn text(status: &StatusResponse) -> String {
    let test = if status.test { ", for synthetic data" } else { "" };
    let units = status.units.iter().map(|u: &UnitStatus| {
        [
            u.ods.clone(),
            yes(u.publishing),
            yes(u.subscribed),
            u.head_seq.to_string(),
        ]
    });
    let shown = sources_shown(status);
    let pairs = status.pairs.iter().map(|p| {
        let counts = shown.contains(p.source.as_str());
        let grant = if p.grant == 0 {
            NOTHING.to_owned()
        } else {
            p.grant.to_string()
        };
        [
            format!("{} → {}", p.source, p.recipient),
            grant,
            lag(p).map_or_else(|| NOTHING.to_owned(), |lag| lag.to_string()),
            if counts {
                p.forwarded.to_string()
            } else {
                NOTHING.to_owned()
            },
            if counts { withheld(p) } else { NOTHING.to_owned() },
            p.dead_letters.to_string(),
        ]
    });
    let notes = status.pairs.iter().flat_map(notes);
    let units = table(
        ["unit", "publishing", "subscribed", "head"],
        units.collect(),
        "No unit takes part that you may see.",
    );
    let pairs = table(
        [
            "pair",
            "grant",
            "behind by",
            "forwarded",
            "withheld",
            "dead letters",
        ],
        pairs.collect(),
        "No agreement was in force since the daemon started.",
    );
    let notes: String = notes.map(|note| format!("\nnote: {note}")).collect();
    format!(
        "{} (handfastd {}{test})\n{units}\nSince the daemon started:\n{pairs}{notes}",
        status.trust_domain, status.version
    )
}

/// What is to be known, or done, about a pair.
fn notes(pair: &PairStatus) -> Vec<String> {
    let name = format!("{} → {}", pair.source, pair.recipient);
    let mut notes = Vec::new();
    if pair.stale {
        notes.push(format!(
            "{name}: STALE: {} is suspended; what {} holds of it is as it was",
            pair.source, pair.recipient
        ));
    }
    notes.extend(
        pair.notices
            .iter()
            .map(|n| format!("{name}: {}", scope::notice(n))),
    );
    notes
}

/// `12 private entry, 3 share in off`, the most first.
fn withheld(pair: &PairStatus) -> String {
    let mut counts: Vec<_> = pair.withheld.iter().filter(|w| w.count > 0).collect();
    if counts.is_empty() {
        return "0".to_owned();
    }
    counts.sort_by(|a, b| b.count.cmp(&a.count).then_with(|| a.reason.cmp(&b.reason)));
    let words = counts
        .iter()
        .map(|w| format!("{} {}", w.count, w.reason.replace('_', " ")));
    words.collect::<Vec<_>>().join("\n")
}

fn json(status: &StatusResponse) -> Value {
    let shown = sources_shown(status);
    let units = status.units.iter().map(|u| {
        json!({
            "ods": u.ods,
            "publishing": u.publishing,
            "subscribed": u.subscribed,
            "head_seq": u.head_seq,
        })
    });
    let pairs = status.pairs.iter().map(|p| {
        let counts = shown.contains(p.source.as_str());
        let withheld = p.withheld.iter();
        let withheld = withheld.map(|w| json!({"reason": w.reason, "count": w.count}));
        json!({
            "source": p.source,
            "recipient": p.recipient,
            "grant": number_json(p.grant),
            "cursor": p.cursor,
            "head_seq": p.head_seq,
            "lag": lag(p),
            "forwarded": counts.then_some(p.forwarded),
            "withheld": counts.then(|| withheld.collect::<Vec<_>>()),
            "dead_letters": p.dead_letters,
            "stale": p.stale,
            "notices": scope::notices_json(&p.notices),
        })
    });
    json!({
        "trust_domain": status.trust_domain,
        "test": status.test,
        "version": status.version,
        "units": units.collect::<Vec<_>>(),
        "pairs": pairs.collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests {
    use handfast_proto::v1::{HalfNotice, HalfNoticeKind, Side, WithheldCount};

    use super::*;

    fn sample() -> StatusResponse {
        let unit = |ods: &str, head_seq| UnitStatus {
            ods: ods.to_owned(),
            publishing: true,
            subscribed: false,
            head_seq,
        };
        let count = |reason: &str, count| WithheldCount {
            reason: reason.to_owned(),
            count,
        };
        StatusResponse {
            trust_domain: "care.example".to_owned(),
            test: true,
            version: "0.1.0".to_owned(),
            units: vec![unit("Z00101", 40)],
            pairs: vec![
                PairStatus {
                    source: "Z00101".to_owned(),
                    recipient: "Z00303".to_owned(),
                    grant: 7,
                    cursor: 38,
                    head_seq: 40,
                    forwarded: 30,
                    withheld: vec![count("share_in_off", 3), count("private_entry", 5)],
                    dead_letters: 1,
                    stale: true,
                    notices: vec![HalfNotice {
                        side: Side::ShareOut.into(),
                        kind: HalfNoticeKind::ReviewSoon.into(),
                        day: "2027-03-31".to_owned(),
                    }],
                },
                PairStatus {
                    source: "Z00303".to_owned(),
                    recipient: "Z00101".to_owned(),
                    ..PairStatus::default()
                },
            ],
        }
    }

    #[test]
    fn a_status_a_person_can_read() {
        let want = "\
care.example (handfastd 0.1.0, for synthetic data)
┌────────┬────────────┬────────────┬──────┐
│ unit   ┆ publishing ┆ subscribed ┆ head │
╞════════╪════════════╪════════════╪══════╡
│ Z00101 ┆ yes        ┆ no         ┆ 40   │
└────────┴────────────┴────────────┴──────┘
Since the daemon started:
┌─────────────────┬───────┬───────────┬───────────┬─────────────────┬──────────────┐
│ pair            ┆ grant ┆ behind by ┆ forwarded ┆ withheld        ┆ dead letters │
╞═════════════════╪═══════╪═══════════╪═══════════╪═════════════════╪══════════════╡
│ Z00101 → Z00303 ┆ 7     ┆ 2         ┆ 30        ┆ 5 private entry ┆ 1            │
│                 ┆       ┆           ┆           ┆ 3 share in off  ┆              │
│ Z00303 → Z00101 ┆ –     ┆ –         ┆ –         ┆ –               ┆ 0            │
└─────────────────┴───────┴───────────┴───────────┴─────────────────┴──────────────┘
note: Z00101 → Z00303: STALE: Z00101 is suspended; what Z00303 holds of it is as it was
note: Z00101 → Z00303: share-out is to be reviewed by 2027-03-31";
        assert_eq!(text(&sample()), want);
    }

    #[test]
    fn what_another_unit_withheld_is_not_shown_as_nothing() {
        let json = json(&sample());
        assert_eq!(json["pairs"][0]["withheld"][1]["count"], 5);
        assert_eq!(json["pairs"][0]["lag"], 2);
        assert_eq!(json["pairs"][0]["notices"][0]["day"], "2027-03-31");
        assert_eq!(json["pairs"][1]["forwarded"], Value::Null);
        assert_eq!(json["pairs"][1]["withheld"], Value::Null);
        assert_eq!(json["pairs"][1]["grant"], Value::Null);
    }
}
