//! The log as those who enter, search and prove see it.

use std::sync::Arc;

use super::{
    actor::Actor,
    index::AuditIndex,
    parts::Event,
    scribe::{NotEntered, Scribe},
    tree::AuditTree,
};
use crate::store::{NewEntry, Store, StoreError};

/// Why something was not entered.
#[derive(Debug, thiserror::Error)]
pub enum EnterError {
    /// The entry could not be made.
    #[error(transparent)]
    NotMade(#[from] NotEntered),
    /// The store did not take it.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The audit log. Cheap to clone.
#[derive(Clone)]
pub struct AuditLog {
    scribe: Scribe,
    tree: AuditTree,
    index: AuditIndex,
    store: Arc<dyn Store>,
}

impl AuditLog {
    /// The log of `store`.
    pub fn new(scribe: Scribe, tree: AuditTree, store: Arc<dyn Store>) -> Self {
        Self {
            scribe,
            tree,
            index: AuditIndex::new(Arc::clone(&store)),
            store,
        }
    }

    /// Makes entries that go into the transaction of their effect.
    pub fn scribe(&self) -> &Scribe {
        &self.scribe
    }

    /// The tree over it.
    pub fn tree(&self) -> &AuditTree {
        &self.tree
    }

    /// What entries are found by.
    pub fn index(&self) -> &AuditIndex {
        &self.index
    }

    /// An entry, to go into the transaction of its effect.
    pub fn entry(&self, at: i64, actor: &Actor, event: &dyn Event) -> Result<NewEntry, NotEntered> {
        self.scribe.entry(at, actor, event)
    }

    /// Enters what has no effect of its own; durable when this returns. Goes on where the caller stops waiting.
    pub async fn enter(&self, at: i64, actor: &Actor, event: &dyn Event) -> Result<(), EnterError> {
        let entry = self.scribe.entry(at, actor, event)?;
        let store = Arc::clone(&self.store);
        let entering = tokio::spawn(async move { store.enter(&[entry]).await });
        let broken_off = |_| StoreError::Failed("entering was broken off".to_owned());
        Ok(entering.await.map_err(broken_off)??)
    }
}
