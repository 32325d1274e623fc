//! Erasing what identifies a person in a patient's entries. The leaves stay, and prove what they proved.

use handfast_proto::{
    audit::{Runs, decode_leaf},
    ids::NhsNumber,
    v1::{AuditField, AuditKind, AuditLeaf, AuditPersonal},
};
use prost::Message as _;

use super::desk::AuditDesk;
use crate::{
    audit::events::PersonalErased,
    sharing::{
        ActError, Caller,
        context::{detached, required},
    },
    store::{EntryRow, ErasePersonal, Role, With},
};

/// Entries of which something is erased in one transaction.
const ENTRIES_AT_ONCE: usize = 1_000;

impl AuditDesk {
    /// Erases the personal values of a patient's entries before `before` that are the own unit's doing: its
    /// privacy officers'. Of those about who read of the patient it erases whom they read of, and no more. Says of
    /// how many entries; asking again is safe.
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
        let mut erase: Vec<ErasePersonal> = Vec::new();
        let mut below = u64::MAX;
        loop {
            let rows = self.rows_of_patient(own, patient, below).await?;
            let Some(last) = rows.last() else { break };
            below = last.index;
            let old = rows.iter().filter(|row| row.entry.at < before);
            erase.extend(old.filter_map(|row| erasure(own.as_str(), row)));
        }
        erase.sort_unstable_by_key(|one| one.index);
        let mut erased = 0;
        for some in erase.chunks(ENTRIES_AT_ONCE) {
            erased += self.erase_some(caller, some.to_vec(), reason.clone()).await?;
        }
        Ok(erased)
    }

    async fn erase_some(
        &self,
        caller: &Caller,
        erase: Vec<ErasePersonal>,
        reason: String,
    ) -> Result<u64, ActError> {
        let mut entries = Runs::default();
        erase
            .iter()
            .for_each(|one| entries.insert(one.index + 1, one.index + 1));
        let now = self.ctx.clock.now_ms();
        let event = PersonalErased {
            entries: &entries,
            reason: &reason,
        };
        let with = With::audit(vec![self.ctx.entry(caller, now, &event)?]);
        let store = std::sync::Arc::clone(&self.ctx.store);
        detached(async move { Ok(store.erase_personal(&erase, now, &with).await?) }).await
    }
}

/// What is to be erased of an entry about a patient; `None` where it is not the unit's own doing, or is not as it
/// was entered.
fn erasure(own: &str, row: &EntryRow) -> Option<ErasePersonal> {
    let leaf = decode_leaf(&row.entry.leaf).ok()?;
    if !is_of(own, &leaf) {
        return None;
    }
    let mut personal = AuditPersonal::decode(row.entry.personal.clone()).ok()?;
    // Who read the log, and why, stays.
    let stays = |field| row.entry.kind == AuditKind::AuditRead && field != AuditField::Patient;
    personal.values.retain(|value| stays(value.field()));
    Some(ErasePersonal {
        index: row.index,
        stays: personal.encode_to_vec().into(),
    })
}

/// Whether an entry is a unit's own doing. What the daemon did by itself between two units, such as to end an
/// emergency access, it did for the recipient.
fn is_of(own: &str, leaf: &AuditLeaf) -> bool {
    let actor = leaf.actor.as_ref().map_or("", |actor| actor.unit.as_str());
    match (leaf.unit.as_str(), actor) {
        ("", "") => leaf.recipient == own,
        (unit, actor) => unit == own || actor == own,
    }
}
