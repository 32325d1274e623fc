//! Who a Patient is: rows of table `patient`, and what follows from several of them together.
//!
//! A number is relied on only where one Patient of the unit claims it, verified. A Patient merged into
//! another stands for that one. A restriction holds wherever it was set along the way.

use handfast_proto::ids::NhsNumber;
use sqlx::{Row as _, SqliteConnection, sqlite::SqliteRow};

use super::{OutboxError, WaitReason, records::nhs_number, schema::stored};
use crate::codec::fhir::{NumberStanding, PatientFacts, PatientLink};

/// Steps from a merged Patient to the one it stands for.
const MAX_MERGES: usize = 8;

/// Patients whose records a change of one Patient can move.
const MAX_AFFECTED: usize = 10_000;

const VERIFIED: i64 = 1;
const UNVERIFIED: i64 = 2;
const SEVERAL: i64 = 3;
const RETRACTED: i64 = 4;

/// What the newest version of a Patient says.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Row {
    number: Option<i64>,
    standing: i64,
    restricted: bool,
    replaced_by: Option<String>,
}

/// Whose an entry is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Resolution {
    /// Known.
    Known(Known),
    /// Not yet.
    Wait(WaitReason),
}

/// A Patient whose number can be relied on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Known {
    /// The Patient that the entry names.
    pub(super) patient_id: String,
    pub(super) number: NhsNumber,
    pub(super) restricted: bool,
    /// It is another unit's Patient, received under that number.
    pub(super) is_copys: bool,
}

/// Whose an entry is that names its patient so.
pub(super) async fn resolve(
    conn: &mut SqliteConnection,
    link: &PatientLink,
) -> Result<Resolution, OutboxError> {
    match link {
        PatientLink::Id(id) => resolve_id(conn, id).await,
        PatientLink::Number(number) => match claimants(conn, stored(number.as_u64())).await?.as_slice() {
            [] => Ok(Resolution::Wait(WaitReason::NotSeen)),
            [one] => resolve_id(conn, one).await,
            _ => Ok(Resolution::Wait(WaitReason::ClaimedTwice)),
        },
    }
}

/// Whose the entries are that name this Patient.
pub(super) async fn resolve_id(conn: &mut SqliteConnection, id: &str) -> Result<Resolution, OutboxError> {
    let (last, restricted) = follow(conn, id).await?;
    let Some((last_id, row)) = last else {
        return Ok(Resolution::Wait(WaitReason::NotSeen));
    };
    let number = match (row.standing, row.number) {
        (VERIFIED, Some(number)) => number,
        (UNVERIFIED, _) => return Ok(Resolution::Wait(WaitReason::Unverified)),
        (SEVERAL, _) => return Ok(Resolution::Wait(WaitReason::SeveralNumbers)),
        (RETRACTED, _) => return Ok(Resolution::Wait(WaitReason::Retracted)),
        _ => return Ok(Resolution::Wait(WaitReason::NoNumber)),
    };
    if claimants(conn, number)
        .await?
        .iter()
        .any(|other| *other != last_id)
    {
        return Ok(Resolution::Wait(WaitReason::ClaimedTwice));
    }
    Ok(Resolution::Known(Known {
        patient_id: id.to_owned(),
        number: nhs_number(number)?,
        restricted,
        is_copys: false,
    }))
}

/// Whether the unit has sent a Patient of this id, and it is not set aside.
pub(super) async fn is_own(conn: &mut SqliteConnection, id: &str) -> Result<bool, OutboxError> {
    Ok(find(conn, id).await?.is_some())
}

/// The number that a Patient claims, verified or not.
pub(super) async fn claimed(conn: &mut SqliteConnection, id: &str) -> Result<Option<NhsNumber>, OutboxError> {
    let number = find(conn, id).await?.and_then(|row| row.number);
    number.map(nhs_number).transpose()
}

/// Whether a Patient, or one it was merged into, is restricted.
pub(super) async fn is_restricted(conn: &mut SqliteConnection, id: &str) -> Result<bool, OutboxError> {
    Ok(follow(conn, id).await?.1)
}

/// The Patient that this one stands for (`None`: not seen, or the merges go in a circle), and whether any
/// on the way is restricted.
async fn follow(conn: &mut SqliteConnection, id: &str) -> Result<(Option<(String, Row)>, bool), OutboxError> {
    let mut restricted = false;
    let mut at = id.to_owned();
    for _ in 0..MAX_MERGES {
        let Some(row) = find(conn, &at).await? else {
            return Ok((None, restricted));
        };
        restricted |= row.restricted;
        match row.replaced_by.clone() {
            Some(next) => at = next,
            None => return Ok((Some((at, row)), restricted)),
        }
    }
    Ok((None, restricted))
}

/// Enters what a Patient now says. Gives the Patients whose records that may move: none where it says
/// nothing new.
pub(super) async fn enter(
    conn: &mut SqliteConnection,
    id: &str,
    facts: &PatientFacts,
) -> Result<Vec<String>, OutboxError> {
    replace(conn, id, row_of(id, facts)).await
}

fn row_of(id: &str, facts: &PatientFacts) -> Row {
    Row {
        number: facts.standing.claimed().map(|n| stored(n.as_u64())),
        standing: match facts.standing {
            NumberStanding::Missing => 0,
            NumberStanding::Verified(_) => VERIFIED,
            NumberStanding::Unverified(_) => UNVERIFIED,
            NumberStanding::Several => SEVERAL,
        },
        restricted: facts.restricted,
        replaced_by: facts.replaced_by.clone().filter(|other| other != id),
    }
}

/// Enters what a Patient says that may be another unit's: it counts for nothing until it is adopted.
pub(super) async fn set_aside(
    conn: &mut SqliteConnection,
    id: &str,
    facts: &PatientFacts,
) -> Result<(), OutboxError> {
    insert(conn, id, &row_of(id, facts), true).await
}

/// Something of the unit's own names this Patient: if it was set aside, it counts from here on. Gives the
/// Patients whose records that may move; `None`: it was not set aside.
pub(super) async fn adopt(conn: &mut SqliteConnection, id: &str) -> Result<Option<Vec<String>>, OutboxError> {
    let adopted = sqlx::query("UPDATE patient SET aside = 0 WHERE id = ? AND aside = 1")
        .bind(id.to_owned())
        .execute(&mut *conn)
        .await?;
    if adopted.rows_affected() == 0 {
        return Ok(None);
    }
    let number = find(conn, id).await?.and_then(|row| row.number);
    affected_by(conn, id, vec![number]).await.map(Some)
}

/// A Patient was retracted: it claims no number any more; a restriction stands.
pub(super) async fn retract(conn: &mut SqliteConnection, id: &str) -> Result<Vec<String>, OutboxError> {
    let Some(before) = find(conn, id).await? else {
        // One that was set aside is forgotten.
        sqlx::query("DELETE FROM patient WHERE id = ?")
            .bind(id.to_owned())
            .execute(conn)
            .await?;
        return Ok(Vec::new());
    };
    let row = Row {
        number: None,
        standing: RETRACTED,
        restricted: before.restricted,
        replaced_by: None,
    };
    replace(conn, id, row).await
}

async fn replace(conn: &mut SqliteConnection, id: &str, row: Row) -> Result<Vec<String>, OutboxError> {
    let before = find(conn, id).await?;
    if before.as_ref() == Some(&row) {
        return Ok(Vec::new());
    }
    insert(conn, id, &row, false).await?;
    affected_by(conn, id, vec![row.number, before.and_then(|b| b.number)]).await
}

async fn insert(conn: &mut SqliteConnection, id: &str, row: &Row, aside: bool) -> Result<(), OutboxError> {
    sqlx::query(
        "INSERT OR REPLACE INTO patient (id, number, standing, restricted, replaced_by, aside)
         VALUES (?, ?, ?, ?, ?, ?)",
    )
    .bind(id.to_owned())
    .bind(row.number)
    .bind(row.standing)
    .bind(row.restricted)
    .bind(row.replaced_by.clone())
    .bind(aside)
    .execute(conn)
    .await?;
    Ok(())
}

/// The Patients whose records may move because this one changed, which claims or claimed these numbers.
async fn affected_by(
    conn: &mut SqliteConnection,
    id: &str,
    mut numbers: Vec<Option<i64>>,
) -> Result<Vec<String>, OutboxError> {
    numbers.dedup();
    let mut affected = vec![id.to_owned()];
    for number in numbers.into_iter().flatten() {
        for other in claimants(conn, number).await? {
            add(&mut affected, other);
        }
    }
    with_merged(conn, affected).await
}

/// And every Patient that was merged into one of these.
async fn with_merged(
    conn: &mut SqliteConnection,
    mut affected: Vec<String>,
) -> Result<Vec<String>, OutboxError> {
    let mut at = 0;
    while let Some(id) = affected.get(at).cloned() {
        let merged: Vec<String> =
            sqlx::query_scalar("SELECT id FROM patient WHERE replaced_by = ? ORDER BY id")
                .bind(id)
                .fetch_all(&mut *conn)
                .await?;
        for other in merged {
            add(&mut affected, other);
        }
        at += 1;
        if affected.len() > MAX_AFFECTED {
            return Err(OutboxError::Damaged(format!(
                "more than {MAX_AFFECTED} Patients are one"
            )));
        }
    }
    Ok(affected)
}

fn add(affected: &mut Vec<String>, id: String) {
    if !affected.contains(&id) {
        affected.push(id);
    }
}

/// The Patients that claim a number, verified or not, and were not merged into another. A few are enough.
async fn claimants(conn: &mut SqliteConnection, number: i64) -> Result<Vec<String>, OutboxError> {
    let ids = sqlx::query_scalar(
        "SELECT id FROM patient WHERE number = ? AND replaced_by IS NULL AND aside = 0 ORDER BY id LIMIT 100",
    )
    .bind(number)
    .fetch_all(conn)
    .await?;
    Ok(ids)
}

async fn find(conn: &mut SqliteConnection, id: &str) -> Result<Option<Row>, OutboxError> {
    let row = sqlx::query(
        "SELECT number, standing, restricted, replaced_by FROM patient WHERE id = ? AND aside = 0",
    )
    .bind(id.to_owned())
    .fetch_optional(conn)
    .await?;
    row.as_ref().map(read).transpose()
}

fn read(row: &SqliteRow) -> Result<Row, OutboxError> {
    Ok(Row {
        number: row.try_get("number")?,
        standing: row.try_get("standing")?,
        restricted: row.try_get("restricted")?,
        replaced_by: row.try_get("replaced_by")?,
    })
}
