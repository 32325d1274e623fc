//! Patients' words: which of a unit's Consents counts for a number, and what follows for what was said to the
//! daemon.
//!
//! The daemon keeps one word for each patient and side, the one said last. So that the end of one Consent
//! brings back what another still says, and never more, a word that takes another's place is said to have
//! been said a millisecond after it, unless it was said later anyway: later words, of this unit or taken down
//! elsewhere, stand.

use handfast_proto::{
    ids::{NhsNumber, RecordId},
    statement::{PatientWord, Statement, WordSide},
    v1::PatientWordValue,
};
use sqlx::{Row as _, SqliteConnection};

use super::{OutboxError, records::nhs_number, schema::stored, statements::Spoken};

/// For the number that its patient has (`word_of.current`; 0: one that they had, or that is in doubt).
const CURRENT: i64 = 1;

/// For the number under which another unit's Patient was received.
const COPYS: i64 = 2;

/// What a Consent says to a number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct HeldWord {
    pub(super) record: RecordId,
    /// False: the number was the patient's, or is in doubt.
    pub(super) current: bool,
    pub(super) word: PatientWord,
}

/// The word that counts about a side: the one said last, and of several said at once a denial. A yes counts
/// only for the number that its patient has now.
pub(super) fn counting(held: &[HeldWord], side: WordSide) -> Option<&HeldWord> {
    let rank = |h: &&HeldWord| (h.word.said_at, h.word.word == PatientWordValue::No);
    held.iter()
        .filter(|h| match h.word.word {
            PatientWordValue::No => true,
            PatientWordValue::Yes => h.current,
            PatientWordValue::Ended | PatientWordValue::Unspecified => false,
        })
        .filter(|h| h.word.sides.contains(&side))
        .max_by_key(rank)
}

/// What is to be said about a side, given what was said last and what counts now.
pub(super) fn due(last: Option<&Spoken>, counts: Option<&HeldWord>, side: WordSide) -> Option<Spoken> {
    let standing = last.filter(|l| l.word.word != PatientWordValue::Ended);
    let spoken = |record: &RecordId, word: &PatientWord, value, said_at| {
        let word = PatientWord {
            sides: vec![side],
            word: value,
            said_at,
            ..word.clone()
        };
        Some(Spoken {
            record: record.clone(),
            word,
        })
    };
    match (standing, counts) {
        (None, None) => None,
        (Some(last), None) => spoken(
            &last.record,
            &last.word,
            PatientWordValue::Ended,
            last.word.said_at + 1,
        ),
        (None, Some(new)) => spoken(&new.record, &new.word, new.word.word, new.word.said_at),
        (Some(last), Some(new)) => {
            let later = new.word.said_at > last.word.said_at;
            if last.word.word == new.word.word && !later {
                return None;
            }
            let prevails =
                later || new.word.said_at == last.word.said_at && new.word.word == PatientWordValue::No;
            let at = if prevails {
                new.word.said_at
            } else {
                last.word.said_at + 1
            };
            spoken(&new.record, &new.word, new.word.word, at)
        }
    }
}

/// Everything that Consents say to a number.
pub(super) async fn of_number(
    conn: &mut SqliteConnection,
    number: NhsNumber,
) -> Result<Vec<HeldWord>, OutboxError> {
    let rows = sqlx::query(
        "SELECT w.record, w.current, r.statement FROM word_of AS w JOIN record AS r ON r.name = w.record
         WHERE w.number = ? AND r.held = 1 AND r.statement IS NOT NULL ORDER BY w.record",
    )
    .bind(stored(number.as_u64()))
    .fetch_all(conn)
    .await?;
    let mut held = Vec::with_capacity(rows.len());
    for row in &rows {
        let statement: Vec<u8> = row.try_get("statement")?;
        let record: String = row.try_get("record")?;
        // What says nothing is no statement.
        if let Ok(Statement::PatientWord(word)) = Statement::decode(&statement) {
            held.push(HeldWord {
                record: record
                    .parse()
                    .map_err(|_| OutboxError::Damaged("a Consent's name is invalid".to_owned()))?,
                current: row.try_get("current")?,
                word,
            });
        }
    }
    Ok(held)
}

/// What a Consent says; `None`: nothing, or it is not held.
pub(super) async fn of_record(
    conn: &mut SqliteConnection,
    record: &RecordId,
) -> Result<Option<PatientWord>, OutboxError> {
    let statement: Option<Vec<u8>> = sqlx::query_scalar(
        "SELECT statement FROM record WHERE name = ? AND held = 1 AND statement IS NOT NULL",
    )
    .bind(record.as_str().to_owned())
    .fetch_optional(conn)
    .await?;
    Ok(match statement.map(|s| Statement::decode(&s)) {
        Some(Ok(Statement::PatientWord(word))) => Some(word),
        _ => None,
    })
}

/// The Consents of a Patient.
pub(super) async fn of_patient(
    conn: &mut SqliteConnection,
    patient_id: &str,
) -> Result<Vec<RecordId>, OutboxError> {
    let names: Vec<String> = sqlx::query_scalar(
        "SELECT name FROM record WHERE patient_id = ? AND held = 1 AND statement IS NOT NULL ORDER BY id",
    )
    .bind(patient_id.to_owned())
    .fetch_all(conn)
    .await?;
    let parsed = names.iter().map(|name| name.parse());
    let parsed: Result<_, _> = parsed.collect();
    parsed.map_err(|_| OutboxError::Damaged("a Consent's name is invalid".to_owned()))
}

/// The numbers that a Consent counts for, in whatever way.
pub(super) async fn numbers(
    conn: &mut SqliteConnection,
    record: &RecordId,
) -> Result<Vec<NhsNumber>, OutboxError> {
    let found: Vec<i64> = sqlx::query_scalar("SELECT number FROM word_of WHERE record = ? ORDER BY number")
        .bind(record.as_str().to_owned())
        .fetch_all(conn)
        .await?;
    found.into_iter().map(nhs_number).collect()
}

/// A Consent counts for this number; `None`: for none of its own, so that only a denial still does. With the number
/// whether it is that of another unit's Patient: it counts for nothing any more once it is known that the unit's
/// own Patient of that name has another.
pub(super) async fn point(
    conn: &mut SqliteConnection,
    record: &RecordId,
    number: Option<(NhsNumber, bool)>,
) -> Result<(), OutboxError> {
    let stored = number.map(|(n, is_copys)| (stored(n.as_u64()), if is_copys { COPYS } else { CURRENT }));
    if let Some((number, CURRENT)) = stored {
        sqlx::query("DELETE FROM word_of WHERE record = ?1 AND current = ?3 AND number <> ?2")
            .bind(record.as_str().to_owned())
            .bind(number)
            .bind(COPYS)
            .execute(&mut *conn)
            .await?;
    }
    sqlx::query("UPDATE word_of SET current = 0 WHERE record = ?1 AND current <> 0 AND number IS NOT ?2")
        .bind(record.as_str().to_owned())
        .bind(stored.map(|(number, _)| number))
        .execute(&mut *conn)
        .await?;
    if let Some((number, current)) = stored {
        sqlx::query("INSERT OR REPLACE INTO word_of (record, number, current) VALUES (?, ?, ?)")
            .bind(record.as_str().to_owned())
            .bind(number)
            .bind(current)
            .execute(conn)
            .await?;
    }
    Ok(())
}

/// The number of another unit's Patient for which a Consent counts.
pub(super) async fn copys_number(
    conn: &mut SqliteConnection,
    record: &RecordId,
) -> Result<Option<NhsNumber>, OutboxError> {
    let found: Option<i64> =
        sqlx::query_scalar("SELECT number FROM word_of WHERE record = ? AND current = ?")
            .bind(record.as_str().to_owned())
            .bind(COPYS)
            .fetch_optional(conn)
            .await?;
    found.map(nhs_number).transpose()
}

/// A Consent that counts for the number of another unit's Patient.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CopysWord {
    /// The Consent.
    pub record: RecordId,
    /// The Patient, as the Consent names it.
    pub patient: RecordId,
    /// The number under which it was received.
    pub number: NhsNumber,
}

/// Every one of those.
pub(super) async fn of_copies(conn: &mut SqliteConnection) -> Result<Vec<CopysWord>, OutboxError> {
    let rows = sqlx::query(
        "SELECT w.record, w.number, r.patient_id FROM word_of AS w CROSS JOIN record AS r ON r.name = w.record
         WHERE w.current = ? AND r.held = 1 AND r.patient_id IS NOT NULL ORDER BY w.record",
    )
    .bind(COPYS)
    .fetch_all(conn)
    .await?;
    let damaged = || OutboxError::Damaged("a Consent's name or its Patient's is invalid".to_owned());
    rows.iter()
        .map(|row| {
            let (record, patient): (String, String) = (row.try_get("record")?, row.try_get("patient_id")?);
            Ok(CopysWord {
                record: record.parse().map_err(|_| damaged())?,
                patient: RecordId::new("Patient", &patient).map_err(|_| damaged())?,
                number: nhs_number(row.try_get("number")?)?,
            })
        })
        .collect()
}

/// A Consent counts for nobody any more.
pub(super) async fn forget(conn: &mut SqliteConnection, record: &RecordId) -> Result<(), OutboxError> {
    sqlx::query("DELETE FROM word_of WHERE record = ?")
        .bind(record.as_str().to_owned())
        .execute(conn)
        .await?;
    Ok(())
}
