//! What ends a load: nothing that another connection would mend.

/// Why the load cannot go on.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct Unworkable(pub(super) String);

impl Unworkable {
    /// Of an error that comes of the load itself.
    pub(super) fn of(error: anyhow::Error) -> anyhow::Error {
        Self(format!("{error:#}")).into()
    }
}
