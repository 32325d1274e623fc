//! What amendments about a patient are found by is changed behind the daemon's back, value by value, and every change
//! is found.
//!
//! Detects: a column that nothing covers; a stretch that is gone, or that nothing of the log lies in.

use handfast_proto::amendment::Op;

use super::{kit::Told, tampering::flip};
use crate::{
    audit::{CheckError, check_stretches},
    sharing::testing::patient,
    store::SqliteStore,
};

/// Records in the stream: more than two whole stretches.
const RECORDS: usize = 150;

/// Bytes of a patient's number.
const NUMBER_BYTES: usize = 5;

/// Statements, and those that take them back.
fn changes() -> Vec<(String, String)> {
    let mut changes = Vec::new();
    let first = "first_seq = (SELECT min(first_seq) FROM patient_run)";
    let last = "first_seq = (SELECT max(first_seq) FROM patient_run)";
    for row in [first, last] {
        for at in 1..=2 * NUMBER_BYTES {
            let flipped = flip("patient_run", row, "patients", &at.to_string());
            changes.push((flipped.clone(), flipped));
        }
        for sign in ['+', '-'] {
            let back = if sign == '+' { '-' } else { '+' };
            let set = |sign| format!("UPDATE patient_run SET last_seq = last_seq {sign} 1 WHERE {row}");
            changes.push((set(sign), set(back)));
        }
        let grown =
            format!("UPDATE patient_run SET patients = CAST(patients || x'0000000001' AS BLOB) WHERE {row}");
        let back = format!(
            "UPDATE patient_run SET patients = substr(patients, 1, length(patients) - 5) WHERE {row}"
        );
        changes.push((grown, back));
        let set = |sign| format!("UPDATE patient_run SET source = source {sign} 1000 WHERE {row}");
        changes.push((set('+'), set('-')));
    }
    // The first begins at 1; nothing else does at 0.
    changes.push((
        format!("UPDATE patient_run SET first_seq = 0 WHERE {first}"),
        "UPDATE patient_run SET first_seq = 1 WHERE first_seq = 0".to_owned(),
    ));
    for beyond in [5_000, -64] {
        changes.push((
            format!(
                "INSERT INTO patient_run SELECT source, {beyond}, {beyond}, patients FROM patient_run WHERE {first}"
            ),
            format!("DELETE FROM patient_run WHERE first_seq = {beyond}"),
        ));
    }
    let further = |sign| format!("UPDATE source SET through = through {sign} 10");
    changes.push((further('+'), further('-')));
    changes.push((further('-'), further('+')));
    changes
}

#[tokio::test]
async fn each_value_that_amendments_are_found_by_is_covered() {
    let mut told = Told::new().await;
    let checked = async |told: &Told| check_stretches(&*told.world.ctx.store).await;
    checked(&told).await.unwrap();
    let names: Vec<String> = (0..RECORDS).map(|n| format!("Observation/o-{n}")).collect();
    for part in names.chunks(60) {
        let of = |(n, name): (usize, &String)| (name.clone(), patient(n % 2), Op::Create);
        let all: Vec<_> = part.iter().enumerate().map(of).collect();
        let all: Vec<_> = all
            .iter()
            .map(|(name, whose, op)| (name.as_str(), *whose, *op))
            .collect();
        told.publish(&all).await;
    }
    checked(&told).await.unwrap();
    let store = SqliteStore::open(told.world.dir()).await.unwrap();
    let mut made = 0;
    for (there, back) in changes() {
        assert!(store.tampered_records(&there).await > 0, "{there}");
        made += 1;
        let found = checked(&told).await;
        assert!(found.is_err(), "{there}");
        store.tampered_records(&back).await;
        assert!(checked(&told).await.is_ok(), "taken back: {back}");
    }
    assert!(made > 30, "{made}");
    store
        .tampered_records("DELETE FROM patient_run WHERE first_seq BETWEEN 2 AND 100")
        .await;
    let found = checked(&told).await;
    assert!(
        matches!(&found, Err(CheckError::Stretch { unit, .. }) if unit.as_str() == "Z00101"),
        "{found:?}"
    );
}
