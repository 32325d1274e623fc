//! For which purpose an exported entry's records were handed over.

use handfast_proto::v1::audit_leaf::Event;

use super::{desk::AuditDesk, entries::SeenEntry, export::ExportedEntry};
use crate::{consent::GrantId, sharing::ActError};

impl AuditDesk {
    /// Says of which entries the disclosures are made under an emergency access.
    pub(super) async fn mark_emergencies(&self, entries: &mut [ExportedEntry]) -> Result<(), ActError> {
        let mut grants: Vec<GrantId> = entries.iter().filter_map(|e| grant_of(&e.entry)).collect();
        grants.sort_unstable();
        grants.dedup();
        if grants.is_empty() {
            return Ok(());
        }
        let emergencies = self.ctx.store.which_are_emergencies(&grants).await?;
        for one in entries {
            one.emergency = grant_of(&one.entry).is_some_and(|grant| emergencies.contains(&grant));
        }
        Ok(())
    }
}

/// Under which grant an entry discloses.
fn grant_of(entry: &SeenEntry) -> Option<GrantId> {
    match &entry.leaf.event {
        Some(Event::Disclosed(event)) => Some(GrantId(event.grant)),
        Some(Event::PerhapsDisclosed(event)) => Some(GrantId(event.grant)),
        _ => None,
    }
}
