//! The commands on caseloads.

use handfast_proto::v1::{
    AddToCaseloadRequest, CaseloadEntry, ChangeCaseloadResponse, InForce, ListCaseloadRequest, PairReceipt,
    RemoveFromCaseloadRequest, caseload_client::CaseloadClient,
};
use serde_json::{Value, json};

use super::{
    args::{CaseloadChange, CaseloadCommand},
    connection::Connection,
    error::{CtlError, Exit},
    numbers::{self, NUMBERS_A_CALL},
    out::Out,
    receipts::{pair_lines, pairs_json},
    show::{moment, moment_json, table},
};

pub(super) async fn run(
    command: CaseloadCommand,
    connection: &Connection,
    out: &mut Out,
) -> Result<Exit, CtlError> {
    match command {
        CaseloadCommand::Add { change, reason } => {
            Box::pin(self::change(&change, &reason, true, connection, out)).await
        }
        CaseloadCommand::Remove { change, reason } => {
            Box::pin(self::change(&change, &reason, false, connection, out)).await
        }
        CaseloadCommand::List { unit } => {
            let mut client = CaseloadClient::new(connection.channel());
            let mut request = ListCaseloadRequest {
                unit: unit.map_or_else(String::new, |ods| ods.to_string()),
                ..ListCaseloadRequest::default()
            };
            let mut all = Vec::new();
            let of = loop {
                let page = connection
                    .call("list the caseload", client.list(request.clone()))
                    .await?;
                all.extend(page.patients);
                if page.next.is_empty() {
                    break page.unit;
                }
                request.after = page.next;
            };
            out.answer(
                || listed(&of, &all),
                || json!({"unit": of, "patients": entries_json(&all)}),
            )?;
            Ok(Exit::Done)
        }
    }
}

async fn change(
    change: &CaseloadChange,
    reason: &str,
    on: bool,
    connection: &Connection,
    out: &mut Out,
) -> Result<Exit, CtlError> {
    let patients = numbers::read(&change.numbers)?;
    let unit = change.unit.map_or_else(String::new, |ods| ods.to_string());
    let mut client = CaseloadClient::new(connection.channel());
    let what = if on {
        "add to the caseload"
    } else {
        "take off the caseload"
    };
    let mut done = Done {
        on,
        ..Done::default()
    };
    for some in patients.chunks(NUMBERS_A_CALL) {
        let (unit, patients_now, reason) = (unit.clone(), numbers::texts(some), reason.to_owned());
        let answer = if on {
            let request = AddToCaseloadRequest {
                unit,
                patients: patients_now,
                reason,
            };
            connection.call(what, client.add(request)).await
        } else {
            let request = RemoveFromCaseloadRequest {
                unit,
                patients: patients_now,
                reason,
            };
            connection.call(what, client.remove(request)).await
        };
        match answer {
            Ok(answer) => done.add(answer),
            Err(error) => {
                if done.changed + done.unchanged > 0 {
                    out.note(&format!(
                        "{} of {} patients were dealt with before it stopped; give the same again to go on.",
                        done.changed + done.unchanged,
                        patients.len()
                    ));
                }
                return Err(error);
            }
        }
    }
    out.answer(|| done.text(), || done.json())?;
    Ok(if done.pending { Exit::Pending } else { Exit::Done })
}

/// What was done so far.
#[derive(Default)]
struct Done {
    on: bool,
    unit: String,
    changed: u32,
    unchanged: u32,
    recorded: u32,
    alerted: u32,
    pending: bool,
    receipts: Vec<PairReceipt>,
}

impl Done {
    fn add(&mut self, answer: ChangeCaseloadResponse) {
        self.pending |= answer.in_force() != InForce::Yes;
        self.unit = answer.unit;
        self.changed += answer.changed;
        self.unchanged += answer.unchanged;
        self.recorded += answer.recorded;
        self.alerted = self.alerted.max(answer.alerted);
        self.receipts.extend(answer.receipts);
    }

    fn text(&self) -> String {
        let unit = &self.unit;
        let did = if self.on { "added to" } else { "taken off" };
        let mut lines = vec![format!("{} {did} the caseload of {unit}.", people(self.changed))];
        if self.unchanged > 0 {
            lines.push(format!(
                "{} passed over: it was so already.",
                people(self.unchanged)
            ));
        }
        if self.recorded > 0 {
            let why = format!("{unit} itself recorded something about them");
            lines.push(format!("{} on it in any case: {why}.", people(self.recorded)));
        }
        if self.on && self.changed > 0 {
            lines.push(match self.alerted {
                0 => format!(
                    "Nobody could be alerted: {unit} has no privacy officer. The alert stays open until there is one."
                ),
                1 => format!("The privacy officer of {unit} is alerted."),
                n => format!("The {n} privacy officers of {unit} are alerted."),
            });
        }
        lines.extend(pair_lines(&self.receipts));
        lines.push(if self.pending {
            "PENDING: that is committed, but it could not be established in time that nothing of what it ended is \
             on its way any more. Run the same command again."
                .to_owned()
        } else {
            "In force.".to_owned()
        });
        lines.join("\n")
    }

    fn json(&self) -> Value {
        json!({
            "unit": self.unit,
            "changed": self.changed,
            "unchanged": self.unchanged,
            "recorded": self.recorded,
            "privacy_officers_alerted": self.alerted,
            "in_force": if self.pending { "pending" } else { "yes" },
            "receipts": pairs_json(&self.receipts),
        })
    }
}

fn people(n: u32) -> String {
    match n {
        0 => "No patient was".to_owned(),
        1 => "1 patient was".to_owned(),
        n => format!("{n} patients were"),
    }
}

fn listed(unit: &str, entries: &[CaseloadEntry]) -> String {
    let rows = entries.iter().map(|e| {
        [
            e.patient.clone(),
            e.added_by.clone(),
            e.reason.clone(),
            moment(e.added_at),
        ]
    });
    let empty = format!(
        "Nobody is on the caseload of {unit} by name; those of whom it recorded something are on it in any case."
    );
    table(
        ["NHS number", "added by", "reason", "added"],
        rows.collect(),
        &empty,
    )
}

fn entries_json(entries: &[CaseloadEntry]) -> Value {
    let each = entries.iter().map(|e| {
        json!({
            "patient": e.patient,
            "added_by": e.added_by,
            "reason": e.reason,
            "added_at": moment_json(e.added_at),
        })
    });
    each.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn done(on: bool, alerted: u32, in_force: InForce) -> Done {
        let mut done = Done {
            on,
            ..Done::default()
        };
        done.add(ChangeCaseloadResponse {
            in_force: in_force.into(),
            changed: 2,
            unchanged: 1,
            recorded: 1,
            alerted,
            unit: "Z00101".to_owned(),
            receipts: Vec::new(),
        });
        done
    }

    #[test]
    fn an_addition_says_who_was_alerted() {
        let want = "\
2 patients were added to the caseload of Z00101.
1 patient was passed over: it was so already.
1 patient was on it in any case: Z00101 itself recorded something about them.
The privacy officer of Z00101 is alerted.
In force.";
        assert_eq!(done(true, 1, InForce::Yes).text(), want);
        assert!(
            done(true, 0, InForce::Yes)
                .text()
                .contains("Z00101 has no privacy officer")
        );
        assert!(!done(false, 0, InForce::Yes).text().contains("alerted"));
        assert_eq!(done(true, 3, InForce::Yes).json()["privacy_officers_alerted"], 3);
    }

    #[test]
    fn a_removal_that_is_pending_says_so() {
        let text = done(false, 0, InForce::Pending).text();
        assert!(
            text.contains("2 patients were taken off") && text.contains("PENDING"),
            "{text}"
        );
        assert!(!text.contains("In force."), "{text}");
    }
}
