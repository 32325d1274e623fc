//! Erasing what identifies a person in a patient's entries. The leaves stay, and prove what they proved.

use handfast_proto::{
    audit::{Runs, decode_leaf},
    ids::NhsNumber,
    v1::{AuditKind, AuditLeaf},
};

use super::desk::AuditDesk;
use crate::{
    audit::events::PersonalErased,
    sharing::{
        ActError, Caller,
        context::{detached, required},
    },
    store::{Role, With},
};

/// Entries of which something is erased in one transaction.
const ENTRIES_AT_ONCE: usize = 1_000;

impl AuditDesk {
    /// Erases the personal values of a patient's entries before `before` that are the own unit's doing: its
    /// privacy officers'. Says of how many entries; asking again is safe.
    pub async fn erase(
        &self,
        caller: &Caller,
        patient: NhsNumber,
        before: i64,
        reason: &str,
    ) -> Result<u64, ActError> {
        let own = caller.at_own_unit(None, &[Role::PrivacyOfficer])?;
        let reason = required("reason", reason)?;
        self.enter_reading(
            caller,
            "Erase",
            &format!("before {before}"),
            Some(patient),
            &reason,
        )
        .await?;
        let mut indexes = Vec::new();
        let mut below = u64::MAX;
        loop {
            let rows = self.rows_of_patient(own, patient, below).await?;
            let Some(last) = rows.last() else { break };
            below = last.index;
            let old = rows.iter().filter(|row| row.entry.at < before);
            let ours = old.filter(|row| {
                let leaf = decode_leaf(&row.entry.leaf).ok();
                // That somebody read the log stays with whom they read about.
                row.entry.kind != AuditKind::AuditRead && leaf.is_some_and(|leaf| is_of(own.as_str(), &leaf))
            });
            indexes.extend(ours.map(|row| row.index));
        }
        indexes.sort_unstable();
        let mut erased = 0;
        for some in indexes.chunks(ENTRIES_AT_ONCE) {
            erased += self.erase_some(caller, some.to_vec(), reason.clone()).await?;
        }
        Ok(erased)
    }

    async fn erase_some(&self, caller: &Caller, indexes: Vec<u64>, reason: String) -> Result<u64, ActError> {
        let mut entries = Runs::default();
        indexes
            .iter()
            .for_each(|index| entries.insert(index + 1, index + 1));
        let now = self.ctx.clock.now_ms();
        let event = PersonalErased {
            entries: &entries,
            reason: &reason,
        };
        let with = With::audit(vec![self.ctx.entry(caller, now, &event)?]);
        let store = std::sync::Arc::clone(&self.ctx.store);
        detached(async move { Ok(store.erase_personal(&indexes, now, &with).await?) }).await
    }
}

/// Whether an entry is a unit's own doing.
fn is_of(own: &str, leaf: &AuditLeaf) -> bool {
    leaf.unit == own || leaf.actor.as_ref().is_some_and(|actor| actor.unit == own)
}
