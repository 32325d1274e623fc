//! Columns read and rows written: conversions, and statements that write many rows in one round trip.
//!
//! sqlx hands every statement to the connection's thread and back, which costs more than a small insert;
//! so rows go in statements of a few fixed sizes, each prepared once.

use sqlx::{Row as _, Sqlite, SqliteConnection, query::Query, sqlite::SqliteArguments, sqlite::SqliteRow};

use super::error::InboxError;

/// Rows a statement, largest first.
const ROWS: [usize; 3] = [128, 16, 1];

/// A statement being bound.
pub(super) type Bound = Query<'static, Sqlite, SqliteArguments>;

/// One INSERT in the sizes of [`ROWS`].
pub(super) struct Bulk {
    statements: [String; 3],
}

impl Bulk {
    /// `head VALUES (?, …), … tail`, with `columns` values a row.
    pub(super) fn new(head: &str, columns: usize, tail: &str) -> Self {
        let row = format!("({})", vec!["?"; columns].join(","));
        let statement = |rows| format!("{head} VALUES {} {tail}", vec![row.as_str(); rows].join(","));
        Self {
            statements: ROWS.map(statement),
        }
    }

    /// Writes every row; `bind` binds one row's values in order.
    pub(super) async fn write<T>(
        &'static self,
        conn: &mut SqliteConnection,
        mut rows: &[T],
        bind: impl Fn(Bound, &T) -> Bound,
    ) -> Result<(), InboxError> {
        for (size, statement) in ROWS.iter().zip(&self.statements) {
            while let Some((chunk, rest)) = rows.split_at_checked(*size) {
                let mut query = sqlx::query(statement.as_str());
                for row in chunk {
                    query = bind(query, row);
                }
                query.execute(&mut *conn).await?;
                rows = rest;
            }
        }
        Ok(())
    }
}

/// A number as SQLite keeps it. Seqs, numbers and jobs stay far below 2^63 (batches are checked for it).
pub(super) fn count(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// A column that is never negative.
pub(super) fn unsigned(row: &SqliteRow, name: &str) -> Result<u64, InboxError> {
    let raw: i64 = row.try_get(name)?;
    u64::try_from(raw).map_err(|_| InboxError::Damaged("a negative number"))
}
