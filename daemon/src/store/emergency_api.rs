//! The store's operations on emergency accesses as grants of their own. What holds for every operation stands
//! at [`super::Store`]. What is kept of a request beside its grants goes into the same transaction (`with`).

use async_trait::async_trait;

use super::{
    error::StoreError,
    types::{EmergencyRow, OpenEmergency, With},
};
use crate::consent::GrantId;

/// What is durable about emergency accesses as grants.
#[async_trait]
pub trait EmergencyGrants: Send + Sync + 'static {
    /// Begins one grant a source, in the order of the sources: its cursor is the source's head, and a reconcile
    /// of the patient is due under every number that the source said is theirs. [`StoreError::Conflict`] where
    /// the half of one of the sources does not hold at `open.at`, or one of its pair and patient is in force;
    /// then nothing is kept.
    async fn open_emergency(
        &self,
        open: &OpenEmergency,
        with: &With,
    ) -> Result<Vec<EmergencyRow>, StoreError>;

    /// Those of the grants that are emergency accesses, in force or not, by grant.
    async fn which_are_emergencies(&self, grants: &[GrantId]) -> Result<Vec<GrantId>, StoreError>;

    /// Every emergency access that is in force, by grant.
    async fn emergencies(&self) -> Result<Vec<EmergencyRow>, StoreError>;
}
