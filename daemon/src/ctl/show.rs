//! Tables, times and JSON, alike in every command.

use comfy_table::{Table, presets::UTF8_FULL_CONDENSED};
use handfast_proto::v1::{Agreement, Half, PartialWithdrawals, Person, Unit, Withdrawal};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{
    scope::{notices_json, scope_json},
    words,
};

/// What stands where there is nothing to say.
pub(super) const NOTHING: &str = "–";

/// A table; `when_empty` stands in its place where it has no rows.
pub(super) fn table<const N: usize>(header: [&str; N], rows: Vec<[String; N]>, when_empty: &str) -> String {
    if rows.is_empty() {
        return when_empty.to_owned();
    }
    let mut table = Table::new();
    table.load_preset(UTF8_FULL_CONDENSED).set_header(header);
    table.add_rows(rows);
    table.to_string()
}

/// A moment for a person, to the second, in UTC. 0 is none.
pub(super) fn moment(ms: i64) -> String {
    match Timestamp::from_millisecond(ms) {
        Ok(at) if ms != 0 => at.strftime("%Y-%m-%d %H:%M:%S UTC").to_string(),
        _ => NOTHING.to_owned(),
    }
}

/// A moment for a program (RFC 3339, UTC). 0 is null.
pub(super) fn moment_json(ms: i64) -> Value {
    match Timestamp::from_millisecond(ms) {
        Ok(at) if ms != 0 => json!(at.to_string()),
        _ => Value::Null,
    }
}

/// A number that is null where it is 0.
pub(super) fn number_json(number: u64) -> Value {
    if number == 0 { Value::Null } else { json!(number) }
}

pub(super) fn yes(yes: bool) -> String {
    if yes { "yes" } else { "no" }.to_owned()
}

pub(super) fn unit_json(unit: &Unit) -> Value {
    json!({
        "ods": unit.ods,
        "name": unit.name,
        "kind": words::kind(unit.kind()),
        "state": words::unit_state(unit.state()),
        "registered_at": moment_json(unit.registered_at),
        "agent_enrolled": unit.agent_enrolled,
        "has_administrator": unit.has_administrator,
    })
}

pub(super) fn person_json(person: &Person) -> Value {
    json!({
        "id": person.id,
        "name": person.name,
        "unit": if person.unit.is_empty() { Value::Null } else { json!(person.unit) },
        "role": words::role(person.role()),
        "revoked": person.revoked,
        "added_at": moment_json(person.added_at),
    })
}

pub(super) fn agreement_json(agreement: &Agreement) -> Value {
    json!({
        "source": agreement.source,
        "recipient": agreement.recipient,
        "share_out": half_json(agreement.share_out.as_ref()),
        "share_in": half_json(agreement.share_in.as_ref()),
        "grant": number_json(agreement.grant),
        "withdrawal": withdrawal_json(agreement.withdrawal.as_ref()),
        "partial": agreement.partial.as_ref().map(partial_json),
        "stale": agreement.stale,
        "notices": notices_json(&agreement.notices),
    })
}

fn half_json(half: Option<&Half>) -> Value {
    let none = Half::default();
    let half = half.unwrap_or(&none);
    json!({
        "on": half.on,
        "set_by": half.set_by,
        "set_at": moment_json(half.set_at),
        "reason": half.reason,
        "scope": scope_json(half.scope.as_ref()),
    })
}

pub(super) fn withdrawal_json(withdrawal: Option<&Withdrawal>) -> Value {
    let Some(w) = withdrawal else {
        return Value::Null;
    };
    json!({
        "job": w.job,
        "ended_grant": w.ended_grant,
        "state": words::withdrawal(w.state()),
        "removed": w.removed,
        "not_removed": w.not_removed,
        "since": moment_json(w.since),
        "confirmed_at": moment_json(w.confirmed_at),
    })
}

fn partial_json(partial: &PartialWithdrawals) -> Value {
    json!({
        "open": partial.open,
        "not_removed": partial.not_removed,
        "last": withdrawal_json(partial.last.as_ref()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_readable_and_an_empty_one_says_so() {
        let rows = vec![["Z00101".to_owned(), yes(true)]];
        let want = "\
┌────────┬───────┐
│ unit   ┆ agent │
╞════════╪═══════╡
│ Z00101 ┆ yes   │
└────────┴───────┘";
        assert_eq!(table(["unit", "agent"], rows, ""), want);
        assert_eq!(
            table(["unit"], Vec::new(), "No unit is registered yet."),
            "No unit is registered yet."
        );
    }

    #[test]
    fn moments_are_in_utc_and_none_is_null() {
        assert_eq!(moment(1_795_392_000_123), "2026-11-23 00:00:00 UTC");
        assert_eq!(moment(0), "–");
        assert_eq!(moment_json(1_795_392_000_123), json!("2026-11-23T00:00:00.123Z"));
        assert_eq!(moment_json(0), Value::Null);
    }
}
