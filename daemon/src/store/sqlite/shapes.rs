//! Statements that write many rows at once, in a few fixed numbers of rows.
//!
//! Each statement is a round trip to the connection's thread, so few are better than many; and each text
//! is prepared once and kept, so a handful of them is better than one for every number of rows.

use std::sync::Arc;

use sqlx::AssertSqlSafe;

/// One `INSERT … VALUES` in several sizes.
pub(super) struct Shapes {
    /// Largest first; the last takes one row.
    sizes: Vec<(usize, Arc<str>)>,
    single: Arc<str>,
}

impl Shapes {
    /// `head (row), (row), … tail`, for each of `sizes` (largest first) and for one row.
    pub(super) fn new(head: &str, row: &str, tail: &str, sizes: &[usize]) -> Self {
        let statement =
            |rows: usize| -> Arc<str> { format!("{head} {} {tail}", vec![row; rows].join(", ")).into() };
        Self {
            sizes: sizes.iter().map(|rows| (*rows, statement(*rows))).collect(),
            single: statement(1),
        }
    }

    /// The largest size that `waiting` rows fill, and its statement.
    pub(super) fn pick(&self, waiting: usize) -> (usize, AssertSqlSafe<Arc<str>>) {
        let fits = self.sizes.iter().find(|(rows, _)| *rows <= waiting);
        // Safe to assert: the text is made of constants alone.
        match fits {
            Some((rows, sql)) => (*rows, AssertSqlSafe(Arc::clone(sql))),
            None => (1, AssertSqlSafe(Arc::clone(&self.single))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_size_that_is_filled_is_taken() {
        let shapes = Shapes::new("INSERT INTO t VALUES", "(?)", "", &[8, 4]);
        let taken: Vec<usize> = [1, 3, 4, 7, 8, 100].iter().map(|n| shapes.pick(*n).0).collect();
        assert_eq!(taken, [1, 1, 4, 4, 8, 8]);
        assert_eq!(&*shapes.pick(2).1.0, "INSERT INTO t VALUES (?) ");
        assert_eq!(shapes.pick(4).1.0.matches("(?)").count(), 4);
    }
}
