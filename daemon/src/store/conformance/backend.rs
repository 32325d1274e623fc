//! What the suite asks of a backend beside the store itself.

use crate::store::{Deployment, Store};

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

    /// Leaves the store no room to grow.
    async fn fill(&self);

    /// Gives it room again.
    async fn relieve(&self);
}
