//! The identity in force, swapped while the agent runs.

use std::sync::Arc;

use parking_lot::RwLock;

use super::Identity;

/// Holds the identity in force. What was taken from it before a swap stays valid as it was: a live
/// connection keeps its certificate, the next one gets the new one.
#[derive(Debug)]
pub struct CurrentIdentity(RwLock<Arc<Identity>>);

impl CurrentIdentity {
    /// Starts with `identity`.
    pub fn new(identity: Identity) -> Arc<Self> {
        Arc::new(Self(RwLock::new(Arc::new(identity))))
    }

    /// The identity in force now.
    pub fn get(&self) -> Arc<Identity> {
        Arc::clone(&self.0.read())
    }

    /// Puts another in force.
    pub fn swap(&self, identity: Identity) {
        *self.0.write() = Arc::new(identity);
    }
}
