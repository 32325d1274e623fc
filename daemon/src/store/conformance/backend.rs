//! What the suite asks of a backend beside the store itself.

use handfast_proto::ids::NhsNumber;

use crate::{
    consent::{GrantId, Pair},
    store::{Deployment, EmergencyGrants as _, OpenEmergency, Store, StoreError, With},
};

/// A backend with a store of its own for one test.
pub(crate) trait Backend: Sized {
    /// The store.
    type Store: Store;

    /// Makes a place and an empty store in it.
    async fn create(deployment: &Deployment) -> Self;

    /// The store.
    fn store(&self) -> &Self::Store;

    /// Closes the store and opens it again.
    async fn reopen(self) -> Self;

    /// Begins an emergency access as a grant of its own, that holds until `until`.
    async fn open_emergency(
        &self,
        pair: Pair,
        patient: NhsNumber,
        until: i64,
        at: i64,
    ) -> Result<GrantId, StoreError> {
        let open = OpenEmergency {
            recipient: pair.recipient,
            patient,
            sources: vec![pair.source],
            at,
            until,
        };
        let opened = self.store().open_emergency(&open, &With::nothing()).await?;
        Ok(opened[0].grant)
    }

    /// Leaves the store no room to grow.
    async fn fill(&self);

    /// Gives it room again.
    async fn relieve(&self);
}
