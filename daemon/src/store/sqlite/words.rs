//! Patients' own words: which is in force, and every one that was ever recorded.
//!
//! Invariant: of a unit, patient and side one word stands at most, the one that prevails over all others
//! that were recorded. A word that ended what was recorded before stands too, so that an older one that
//! comes late is only history.

use std::collections::BTreeSet;

use handfast_proto::ids::{NhsNumber, OdsCode};
use sqlx::{SqliteConnection, sqlite::SqliteRow};

use super::{
    database::Database,
    fault::fault,
    units,
    values::{self, Columns, corrupt, int, side_number, standing_word},
};
use crate::{
    consent::{PatientWord, prevails},
    store::{StandingWord, StandingWords, StoreError, With, WordChange, WordOutcome, WordRow},
};

/// Sides that a patient may have a word about at one unit.
const SIDES: u32 = 2;

/// Records words.
pub(super) async fn record(
    main: &Database,
    changes: &[WordChange],
    with: &With,
) -> Result<Vec<WordOutcome>, StoreError> {
    let mut write = main.write().await?;
    let at = changes.iter().map(|change| change.at).max().unwrap_or(0);
    let result = apply(write.conn(), changes).await;
    write.finish_with_what_it_did(result, with, at).await
}

/// Records words in a transaction of the caller's.
pub(super) async fn apply(
    conn: &mut SqliteConnection,
    changes: &[WordChange],
) -> Result<Vec<WordOutcome>, StoreError> {
    let units: BTreeSet<OdsCode> = changes.iter().map(|change| change.unit).collect();
    for unit in units {
        units::state_of(conn, unit).await?;
    }
    let mut outcomes = Vec::with_capacity(changes.len());
    for change in changes {
        outcomes.push(one(conn, change).await?);
    }
    Ok(outcomes)
}

async fn one(conn: &mut SqliteConnection, change: &WordChange) -> Result<WordOutcome, StoreError> {
    let sql = "SELECT id, word, said_at FROM patient_word
               WHERE unit = ?1 AND patient = ?2 AND side = ?3 AND in_force = 1";
    let row = sqlx::query(sql)
        .bind(change.unit.as_str())
        .bind(int(change.patient.as_u64())?)
        .bind(side_number(change.side))
        .fetch_optional(&mut *conn)
        .await
        .map_err(fault)?;
    let mut standing = None;
    let mut replaced: Option<i64> = None;
    if let Some(row) = row {
        let word = standing_word(values::word(row.column("word")?)?);
        standing = Some((word, row.column("said_at")?));
        replaced = Some(row.column("id")?);
    }
    let word = standing_word(change.word);
    let before = standing.map_or(PatientWord::NotRecorded, |(word, _)| word);
    let prevails = prevails(standing, word, change.said_at);
    if let Some(id) = replaced.filter(|_| prevails) {
        sqlx::query("UPDATE patient_word SET in_force = 0 WHERE id = ?1")
            .bind(id)
            .execute(&mut *conn)
            .await
            .map_err(fault)?;
    }
    insert(conn, change, prevails).await?;
    Ok(WordOutcome {
        before,
        now: if prevails { word } else { before },
    })
}

async fn insert(conn: &mut SqliteConnection, change: &WordChange, in_force: bool) -> Result<(), StoreError> {
    let sql = "INSERT INTO patient_word (unit, patient, side, word, said_at, manner, taken_by,
                                         recorded_by, recorded_at, in_force)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)";
    sqlx::query(sql)
        .bind(change.unit.as_str())
        .bind(int(change.patient.as_u64())?)
        .bind(side_number(change.side))
        .bind(change.word as i32)
        .bind(change.said_at)
        .bind(change.manner as i32)
        .bind(change.taken_by.as_str())
        .bind(change.by.as_str())
        .bind(change.at)
        .bind(in_force)
        .execute(conn)
        .await
        .map_err(fault)?;
    Ok(())
}

/// Every word of a patient, the newest first.
pub(super) async fn of_patient(
    main: &Database,
    patient: NhsNumber,
    unit: Option<OdsCode>,
    limit: u32,
) -> Result<Vec<WordRow>, StoreError> {
    let everywhere =
        "SELECT unit, patient, side, word, said_at, manner, taken_by, recorded_by, recorded_at, in_force
                      FROM patient_word WHERE patient = ?1 ORDER BY id DESC LIMIT ?2";
    let at_one =
        "SELECT unit, patient, side, word, said_at, manner, taken_by, recorded_by, recorded_at, in_force
                  FROM patient_word WHERE patient = ?1 AND unit = ?3 ORDER BY id DESC LIMIT ?2";
    let query = match unit {
        None => sqlx::query(everywhere),
        Some(_) => sqlx::query(at_one),
    };
    let query = query.bind(int(patient.as_u64())?).bind(limit);
    let query = match unit {
        None => query,
        Some(unit) => query.bind(unit.as_str().to_owned()),
    };
    let rows = query.fetch_all(main.readers()).await.map_err(fault)?;
    rows.iter().map(word_row).collect()
}

/// The words in force at a unit, by patient; those of one patient are never parted.
pub(super) async fn in_force(
    main: &Database,
    unit: OdsCode,
    after: Option<NhsNumber>,
    limit: u32,
) -> Result<Vec<WordRow>, StoreError> {
    let sql =
        "SELECT unit, patient, side, word, said_at, manner, taken_by, recorded_by, recorded_at, in_force
               FROM patient_word
               WHERE unit = ?1 AND in_force = 1 AND patient > ?2 AND word <> 3
               ORDER BY patient, side LIMIT ?3";
    let asked = limit.saturating_add(1).max(SIDES);
    let rows = sqlx::query(sql)
        .bind(unit.as_str())
        .bind(int(after.map_or(0, NhsNumber::as_u64))?)
        .bind(asked)
        .fetch_all(main.readers())
        .await
        .map_err(fault)?;
    let mut words = rows.iter().map(word_row).collect::<Result<Vec<_>, _>>()?;
    let full = words.len() == usize::try_from(asked).unwrap_or(usize::MAX);
    if let [.., before, last] = words.as_slice()
        && full
        && before.change.patient != last.change.patient
    {
        // The last patient's other side may lie beyond.
        words.pop();
    }
    Ok(words)
}

/// A page of the words in force in one row. In the order of the table, because patients' words stand in it in no
/// order that they are asked for in: by an index each would be looked up in another place.
pub(super) const STANDING: &str = "
    SELECT max(id) AS last, json_group_array(unit) AS units, json_group_array(patient) AS patients,
           json_group_array(side) AS sides, json_group_array(word) AS words
    FROM (
        SELECT id, unit, patient, side, word FROM patient_word
        WHERE id > ?1 AND in_force = 1 AND word <> 3 ORDER BY id LIMIT ?2
    )";

/// The words in force at all units, but for those that only ended what was recorded before.
pub(super) async fn standing(main: &Database, after: u64, limit: u32) -> Result<StandingWords, StoreError> {
    let row = sqlx::query(STANDING)
        .bind(int(after)?)
        .bind(limit)
        .fetch_one(main.readers())
        .await
        .map_err(fault)?;
    let last: Option<i64> = row.column("last")?;
    if last.is_none() {
        return Ok(StandingWords {
            words: Vec::new(),
            through: after,
        });
    }
    let (units, patients) = (row.list::<&str>("units")?, row.list::<u64>("patients")?);
    let (sides, said) = (row.list::<i64>("sides")?, row.list::<i32>("words")?);
    let values = units.into_iter().zip(patients).zip(sides.into_iter().zip(said));
    let word = |((unit, patient), (side, said)): ((&str, u64), (i64, i32))| {
        Ok(StandingWord {
            unit: unit.parse().map_err(|_| corrupt("a unit is not an ODS code"))?,
            patient: NhsNumber::from_u64(patient).map_err(|_| corrupt("a patient is not an NHS number"))?,
            side: values::side(side)?,
            word: standing_word(values::word(said)?),
        })
    };
    Ok(StandingWords {
        words: values.map(word).collect::<Result<_, StoreError>>()?,
        through: row.count("last")?,
    })
}

fn word_row(row: &SqliteRow) -> Result<WordRow, StoreError> {
    Ok(WordRow {
        change: WordChange {
            unit: row.parsed("unit")?,
            patient: row.patient("patient")?,
            side: values::side(row.column("side")?)?,
            word: values::word(row.column("word")?)?,
            said_at: row.column("said_at")?,
            manner: values::manner(row.column("manner")?)?,
            taken_by: row.column("taken_by")?,
            by: row.column("recorded_by")?,
            at: row.column("recorded_at")?,
        },
        in_force: row.column("in_force")?,
    })
}
