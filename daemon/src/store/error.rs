//! What can go wrong with a store, as far as callers act on it.

/// A store's failure.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The disk is full. Nothing of the operation was kept; it may be tried again.
    #[error("the store's disk is full: free some space on it, work goes on by itself")]
    Full,
    /// The operation did not fit the state it found: it was made from an older one. Nothing was kept.
    #[error("the store has moved on: {0}")]
    Conflict(&'static str),
    /// Something with that name is there already.
    #[error("{0} is there already")]
    Exists(&'static str),
    /// There is nothing of that name.
    #[error("there is no such {0}")]
    Missing(&'static str),
    /// A one-time token was used, has expired, or never was.
    #[error("the enrolment token was used before, has expired, or is not one of this deployment")]
    TokenRefused,
    /// What the store holds cannot be read as what it should be.
    #[error("the store holds something that cannot be: {0}")]
    Corrupt(String),
    /// The store does not answer as it should; the outcome may be unknown.
    #[error("the store failed: {0}")]
    Failed(String),
}
