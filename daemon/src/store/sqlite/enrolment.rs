//! One-time tokens and the certificates issued on them.

use handfast_proto::ids::Holder;
use sqlx::SqliteConnection;

use super::{
    database::Database,
    fault::{fault, is_taken},
    people, units,
    values::{self, Columns, holder_text},
};
use crate::store::{Certificate, IssuedToken, NewToken, StoreError, TokenHash, UnitState, With};

pub(super) async fn add_token(
    main: &Database,
    token: &NewToken,
    at: i64,
    with: &With,
) -> Result<(), StoreError> {
    let mut write = main.write().await?;
    let result = insert_token(write.conn(), token, at).await;
    write.finish_with(result, with, at).await
}

/// Keeps a token in a transaction of the caller's; earlier unused ones of its holder are void, and whatever
/// has expired by then is forgotten.
pub(super) async fn insert_token(
    conn: &mut SqliteConnection,
    token: &NewToken,
    at: i64,
) -> Result<(), StoreError> {
    if !may_enrol(conn, &token.holder).await? {
        return Err(StoreError::Conflict(
            "a retired unit or a revoked person enrols no more",
        ));
    }
    let holder = holder_text(&token.holder);
    void_tokens(conn, &holder, at).await?;
    forget_expired_tokens(conn, at).await?;
    let sql = "INSERT INTO token (hash, holder, expires_at, made_by, made_at) VALUES (?1, ?2, ?3, ?4, ?5)";
    let inserted = sqlx::query(sql)
        .bind(token.hash.to_vec())
        .bind(holder)
        .bind(token.expires_at)
        .bind(token.made_by.as_str())
        .bind(at)
        .execute(conn)
        .await;
    match inserted {
        Err(error) if is_taken(&error) => Err(StoreError::Exists("enrolment token")),
        other => other.map_err(fault).map(drop),
    }
}

/// Nobody can use them any more, whatever became of them.
async fn forget_expired_tokens(conn: &mut SqliteConnection, at: i64) -> Result<(), StoreError> {
    sqlx::query("DELETE FROM token WHERE expires_at <= ?1")
        .bind(at)
        .execute(conn)
        .await
        .map_err(fault)?;
    Ok(())
}

/// Makes every unused token of a holder void.
pub(super) async fn void_tokens(
    conn: &mut SqliteConnection,
    holder: &str,
    at: i64,
) -> Result<(), StoreError> {
    sqlx::query("UPDATE token SET void_at = ?2 WHERE holder = ?1 AND used_at IS NULL AND void_at IS NULL")
        .bind(holder)
        .bind(at)
        .execute(conn)
        .await
        .map_err(fault)?;
    Ok(())
}

pub(super) async fn find_token(
    main: &Database,
    hash: &TokenHash,
    now: i64,
) -> Result<IssuedToken, StoreError> {
    let sql = "SELECT holder FROM token
               WHERE hash = ?1 AND used_at IS NULL AND void_at IS NULL AND expires_at > ?2";
    let row = sqlx::query(sql)
        .bind(hash.to_vec())
        .bind(now)
        .fetch_optional(main.readers())
        .await
        .map_err(fault)?;
    let row = row.ok_or(StoreError::TokenRefused)?;
    let holder = values::holder(row.column("holder")?)?;
    Ok(IssuedToken { holder })
}

pub(super) async fn consume_token(
    main: &Database,
    hash: &TokenHash,
    certificate: &Certificate,
    now: i64,
    with: &With,
) -> Result<(), StoreError> {
    let mut write = main.write().await?;
    let result = consume(write.conn(), hash, certificate, now).await;
    write.finish_with(result, with, now).await
}

async fn consume(
    conn: &mut SqliteConnection,
    hash: &TokenHash,
    certificate: &Certificate,
    now: i64,
) -> Result<(), StoreError> {
    let sql = "UPDATE token SET used_at = ?2
               WHERE hash = ?1 AND used_at IS NULL AND void_at IS NULL AND expires_at > ?2
               RETURNING holder";
    let row = sqlx::query(sql)
        .bind(hash.to_vec())
        .bind(now)
        .fetch_optional(&mut *conn)
        .await
        .map_err(fault)?;
    let row = row.ok_or(StoreError::TokenRefused)?;
    if values::holder(row.column("holder")?)? != certificate.holder {
        return Err(StoreError::Conflict(
            "the certificate names another holder than its token",
        ));
    }
    insert_certificate(conn, certificate, now).await
}

pub(super) async fn add_certificate(
    main: &Database,
    certificate: &Certificate,
    now: i64,
    with: &With,
) -> Result<(), StoreError> {
    let mut write = main.write().await?;
    let result = renew(write.conn(), certificate, now).await;
    write.finish_with(result, with, now).await
}

async fn renew(conn: &mut SqliteConnection, certificate: &Certificate, now: i64) -> Result<(), StoreError> {
    if !may_enrol(conn, &certificate.holder).await? {
        return Err(StoreError::Conflict(
            "a retired unit or a revoked person gets no certificate",
        ));
    }
    insert_certificate(conn, certificate, now).await
}

async fn insert_certificate(
    conn: &mut SqliteConnection,
    certificate: &Certificate,
    now: i64,
) -> Result<(), StoreError> {
    let inserted =
        sqlx::query("INSERT INTO certificate (serial, holder, not_after, issued_at) VALUES (?1, ?2, ?3, ?4)")
            .bind(certificate.serial.clone())
            .bind(holder_text(&certificate.holder))
            .bind(certificate.not_after)
            .bind(now)
            .execute(conn)
            .await;
    match inserted {
        Err(error) if is_taken(&error) => Err(StoreError::Exists("certificate")),
        other => other.map_err(fault).map(drop),
    }
}

/// Whether a holder is there and has not left for good. [`StoreError::Missing`] where it is not there.
async fn may_enrol(conn: &mut SqliteConnection, holder: &Holder) -> Result<bool, StoreError> {
    match holder {
        Holder::Unit(ods) => Ok(units::state_of(conn, *ods).await? != UnitState::Retired),
        Holder::Person(id) => {
            let person = people::find(conn, id)
                .await?
                .ok_or(StoreError::Missing("person"))?;
            Ok(!person.revoked)
        }
    }
}
