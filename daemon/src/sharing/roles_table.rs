//! The table of role × call in ARCHITECTURE.md is the one that the tests try: made from what each act is tried
//! with, and compared.
//!
//! Detects: a table that says another thing than the acts do.

use super::{
    audit::WHO_READS,
    matrix::{Act, TABLE},
};

/// Roles in the order of the columns, and the callers of the tests that have each.
const ROLES: [(&str, &[&str]); 6] = [
    ("operator", &["op"]),
    ("agent", &["Z00101", "Z00202"]),
    ("unit administrator", &["ann", "bob"]),
    ("clinician", &["cleo", "cat"]),
    ("privacy officer", &["pam", "pat", "tom"]),
    ("auditor", &["aud"]),
];

fn call_of(act: Act) -> &'static str {
    match act {
        Act::Register => "Units.Register",
        Act::ListUnits => "Units.List",
        Act::Suspend => "Units.Suspend",
        Act::Resume => "Units.Resume",
        Act::Retire => "Units.Retire",
        Act::TokenStaffed => "Units.CreateEnrolmentToken, of a unit with an administrator",
        Act::TokenUnstaffed => "Units.CreateEnrolmentToken, of a unit without one",
        Act::AddOperator => "People.Add, an operator",
        Act::AddAtStaffed => "People.Add, at a unit with an administrator",
        Act::AddAtUnstaffed => "People.Add, at a unit without one",
        Act::ListAllPeople => "People.List, one's own unit's",
        Act::ListPeople => "People.List, of a unit by name",
        Act::SetRole => "People.SetRole",
        Act::RevokeOperator => "People.Revoke, an operator",
        Act::RevokeClinician => "People.Revoke, a unit's",
        Act::ShareOut => "Agreements.Set, share-out",
        Act::ShareIn => "Agreements.Set, share-in",
        Act::PreviewShareOut => "Agreements.Preview, share-out",
        Act::PreviewShareIn => "Agreements.Preview, share-in",
        Act::ListAgreements => "Agreements.List",
        Act::Status => "Units.Status",
        Act::RecordWord => "PatientConsents.Record",
        Act::RecordEverywhere => "PatientConsents.Record, at all units",
        Act::GetWords => "PatientConsents.Get",
        Act::ListWords => "PatientConsents.List",
        Act::Claim => "Caseload.Add",
        Act::Unclaim => "Caseload.Remove",
        Act::ListClaims => "Caseload.List",
        Act::PreviewPolicy => "Policy.Preview",
        Act::SetPolicy => "Policy.Set",
    }
}

fn row(call: &str, who_may: &[&str]) -> String {
    let cells = ROLES.iter().map(|(_, callers)| {
        let may = callers.iter().any(|caller| who_may.contains(caller));
        if may { "yes" } else { "–" }
    });
    format!("| {call} | {} |", cells.collect::<Vec<_>>().join(" | "))
}

fn table() -> String {
    let roles: Vec<&str> = ROLES.iter().map(|(role, _)| *role).collect();
    let mut lines = vec![
        format!("| call | {} |", roles.join(" | ")),
        format!("|---|{}", "---|".repeat(ROLES.len())),
    ];
    lines.extend(TABLE.iter().map(|(act, who_may)| row(call_of(*act), who_may)));
    lines.extend(WHO_READS.iter().map(|(call, who_may)| row(call, who_may)));
    lines.join("\n")
}

#[test]
fn the_table_in_architecture_is_the_one_that_is_tried() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../ARCHITECTURE.md");
    let architecture = std::fs::read_to_string(path).unwrap();
    let table = table();
    assert!(architecture.contains(&table), "it should say:\n\n{table}\n");
}
