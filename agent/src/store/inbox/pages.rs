//! Overwrites what SQLite leaves behind in its pages.
//!
//! `secure_delete` zeroes what is freed, but when a b-tree is balanced, cells are copied to another page and the
//! space they had in the old one becomes the unallocated gap between its cell pointers and its cells
//! (SQLite's file format, section 1.6) as it is. So a record that is deleted later may still stand in a gap. Here
//! every gap is set to zero, through SQLite's own access to its pages (`sqlite_dbpage`), under its locks and in its
//! log. Nothing reads a gap, so no page changes its meaning.
//!
//! What is gone from the tables before a run begins is gone from every gap when it ends: content comes into a gap
//! only from a cell.

use std::ops::Range;

use sqlx::{Connection as _, Row as _};

use super::{columns::unsigned, error::InboxError, open::Inbox};

/// Pages looked at in one step, during which nothing else is written: 2 MiB.
const PAGES_AT_ONCE: u64 = 256;

/// Beyond this many pages the first byte of an overflow page's pointer could look like that of a b-tree page.
/// The file is kept below it (256 GiB).
pub(super) const MAX_PAGES: u64 = 0x01ff_ffff;

/// Bytes before the b-tree header on the first page.
const FILE_HEADER_BYTES: usize = 100;

/// The gap of a page, where it is a b-tree's and its gap is not all zero.
fn gap(number: u64, page: &[u8]) -> Option<Range<usize>> {
    let header = if number == 1 { FILE_HEADER_BYTES } else { 0 };
    let pointers = header
        + match page.get(header)? {
            2 | 5 => 12,
            10 | 13 => 8,
            _ => return None,
        };
    let word = |at: usize| -> Option<usize> {
        let both = page.get(at..at + 2)?;
        both.iter().try_fold(0, |n, b| Some(n << 8 | usize::from(*b)))
    };
    let begin = pointers + 2 * word(header + 3)?;
    let end = match word(header + 5)? {
        0 => 65_536,
        end => end,
    };
    let gap = page.get(begin..end)?;
    gap.iter().any(|b| *b != 0).then_some(begin..end)
}

impl Inbox {
    /// Sets every gap of every page to zero. Says how many pages had something in theirs.
    pub(super) async fn scrub(&self) -> Result<u64, InboxError> {
        let (mut next, mut scrubbed) = (1, 0);
        while let Some(found) = self.scrub_from(next).await? {
            next += PAGES_AT_ONCE;
            scrubbed += found;
        }
        Ok(scrubbed)
    }

    /// One step. `None` beyond the last page.
    async fn scrub_from(&self, first: u64) -> Result<Option<u64>, InboxError> {
        let mut guard = self.writer().await?;
        let writer = &mut *guard;
        writer.clean = false;
        let mut tx = writer.conn.begin_with("BEGIN IMMEDIATE").await?;
        let pages = sqlx::query(
            "WITH RECURSIVE n(p) AS (SELECT ?1 UNION ALL SELECT p + 1 FROM n WHERE p < ?2) \
             SELECT d.pgno AS pgno, d.data AS data FROM n CROSS JOIN sqlite_dbpage AS d ON d.pgno = n.p",
        )
        .bind(first.cast_signed())
        .bind((first + PAGES_AT_ONCE - 1).cast_signed())
        .fetch_all(&mut *tx)
        .await?;
        let mut scrubbed = 0;
        for row in &pages {
            let (number, page): (u64, &[u8]) = (unsigned(row, "pgno")?, row.try_get("data")?);
            let Some(gap) = gap(number, page) else { continue };
            let mut clean = page.to_vec();
            if let Some(gap) = clean.get_mut(gap) {
                gap.fill(0);
            }
            sqlx::query("UPDATE sqlite_dbpage SET data = ?2 WHERE pgno = ?1")
                .bind(number.cast_signed())
                .bind(clean)
                .execute(&mut *tx)
                .await?;
            scrubbed += 1;
        }
        tx.commit().await?;
        writer.clean = true;
        Ok((!pages.is_empty()).then_some(scrubbed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A leaf with one cell of 4 bytes at its end.
    fn leaf() -> Vec<u8> {
        let mut page = vec![0; 64];
        page[..10].copy_from_slice(&[13, 0, 0, 0, 1, 0, 60, 0, 0, 60]);
        page[60..].copy_from_slice(b"cell");
        page
    }

    #[test]
    fn only_the_gap_of_a_tree_is_found() {
        let mut page = leaf();
        assert_eq!(gap(2, &page), None, "it is all zero");
        page[40] = b'x';
        assert_eq!(gap(2, &page), Some(10..60));
        page[0] = 5;
        assert_eq!(gap(2, &page), Some(14..60));
        page[0] = 0;
        assert_eq!(gap(2, &page), None, "an overflow page, or one that is free");
        assert_eq!(gap(2, &[13, 0, 0, 0, 200, 0, 60]), None, "cut short");
    }
}
