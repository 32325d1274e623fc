//! Checks what entries are found by against the entries: every row that should be there, and no other. A row that is
//! gone would hide an entry from whoever searches, and leave no trace in the tree.
//!
//! Bounded in memory: one page of entries, and a sum for each few thousand of them.

use super::{check::CheckError, keys::keys_of};
use crate::store::{IndexSums, SUMMED_ENTRIES, Store};

/// Bytes of entries read at once.
const PAGE_BYTES: usize = 1024 * 1024;

/// Checks what the entries are found by that were made findable when it began.
pub async fn check_index(store: &dyn Store) -> Result<(), CheckError> {
    let through = store.audit_indexed().await?;
    let mut expected = IndexSums::default();
    let mut at = 0;
    while at < through {
        let rows = store.audit_entries(at, PAGE_BYTES).await?;
        let Some(last) = rows.last() else {
            let what = "it is missing, and is to be found by what it says".to_owned();
            return Err(CheckError::Entry { index: at, what });
        };
        at = last.index + 1;
        let keys: Vec<_> = rows
            .iter()
            .filter(|row| row.index < through)
            .map(keys_of)
            .collect();
        expected.add(&store.sums_of(&keys)?);
    }
    let kept = store.audit_index_sums(through).await?;
    let wrong = kept.beyond.or_else(|| expected.differs(&kept));
    wrong.map_or(Ok(()), |part| {
        let from = part.saturating_mul(SUMMED_ENTRIES);
        let to = from.saturating_add(SUMMED_ENTRIES - 1);
        Err(CheckError::Index { from, to })
    })
}
