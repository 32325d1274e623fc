//! `audit search`.

use handfast_proto::v1::{
    AuditEntry, AuditKind, HandedOver, Op, SearchAuditRequest, audit_client::AuditClient,
};
use serde_json::{Value, json};

use super::{
    entry::{entry_json, handed_json, row},
    kinds::{kind_word, withheld_words},
    run::patient_if_any,
};
use crate::ctl::{
    args::SearchArgs,
    connection::Connection,
    error::{CtlError, Exit},
    out::Out,
    show::{moment, table},
};

pub(super) async fn search(
    args: &SearchArgs,
    connection: &Connection,
    out: &mut Out,
) -> Result<Exit, CtlError> {
    const WHAT: &str = "search the audit log";
    let mut client = AuditClient::new(connection.channel());
    let mut request = SearchAuditRequest {
        reason: args.reason.reason.clone(),
        patient: patient_if_any(&args.of)?,
        unit: args.unit.map_or_else(String::new, |ods| ods.to_string()),
        kinds: args
            .kind
            .iter()
            .map(|kind| AuditKind::from(*kind).into())
            .collect(),
        from: args.between.since.unwrap_or(0),
        to: args.between.until.unwrap_or(0),
        limit: 0,
        after: String::new(),
    };
    let (mut entries, mut handed): (Vec<AuditEntry>, Vec<HandedOver>) = Default::default();
    loop {
        let page = connection.call(WHAT, client.search(request.clone())).await?;
        entries.extend(page.entries);
        handed.extend(page.handed_over);
        if page.next.is_empty() {
            break;
        }
        // What was handed over of a patient is given whole: it comes behind the entries.
        if request.patient.is_empty() && entries.len() >= args.limit {
            out.note("There are more entries: narrow the search, or raise --limit.");
            break;
        }
        request.after = page.next;
    }
    let of_patient = !request.patient.is_empty();
    out.answer(
        || text(&entries, &handed, of_patient),
        || as_json(&entries, &handed),
    )?;
    Ok(Exit::Done)
}

fn text(entries: &[AuditEntry], handed: &[HandedOver], of_patient: bool) -> String {
    let rows = entries.iter().map(row).collect();
    let mut text = table(
        ["entry", "when", "who", "what"],
        rows,
        "No entry that you may see.",
    );
    if of_patient {
        text.push_str("\n\nRecords:\n");
        text.push_str(&handed_table(handed));
    }
    text
}

fn handed_table(handed: &[HandedOver]) -> String {
    let rows = handed.iter().map(|h| {
        [
            h.record.clone(),
            h.seq.to_string(),
            format!("{} → {}", h.source, h.recipient),
            became(h),
            moment(h.at),
        ]
    });
    let header = ["record", "seq", "pair", "what became of it", "when"];
    table(
        header,
        rows.collect(),
        "Nothing of this patient was handed over or withheld.",
    )
}

/// What became of a version, or of the removal of a record, for a person.
fn became(handed: &HandedOver) -> String {
    match (handed.kind(), handed.op()) {
        (AuditKind::Disclosed, Op::Remove) => "removal received".to_owned(),
        (AuditKind::Disclosed, _) => "received".to_owned(),
        (AuditKind::PerhapsDisclosed, _) => "perhaps received".to_owned(),
        (AuditKind::Withheld, _) => format!("withheld: {}", withheld_words(handed.withheld())),
        (other, _) => kind_word(other),
    }
}

fn as_json(entries: &[AuditEntry], handed: &[HandedOver]) -> Value {
    json!({
        "entries": entries.iter().map(entry_json).collect::<Vec<Value>>(),
        "handed_over": handed.iter().map(handed_json).collect::<Vec<Value>>(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_removal_is_not_told_as_a_record_that_was_received() {
        let told = |op: Op| {
            became(&HandedOver {
                op: op.into(),
                kind: AuditKind::Disclosed.into(),
                ..HandedOver::default()
            })
        };
        assert_eq!(told(Op::Remove), "removal received");
        assert_eq!(told(Op::Amend), "received");
    }
}
