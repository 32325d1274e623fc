//! Why an act was not carried out, as far as callers act on it.

use crate::{
    audit::{EnterError, NotEntered},
    store::StoreError,
};

/// Why an act was not carried out. Nothing of it was kept, but for [`ActError::Failed`], where that is
/// unknown.
#[derive(Debug, thiserror::Error)]
pub enum ActError {
    /// The caller may not do this. The same whether or not there is what it asked about.
    #[error("you may not do this")]
    Denied,
    /// The caller may not do this, and may know why.
    #[error("{0}")]
    Refused(&'static str),
    /// There is no such thing. Told only to callers who see all things of its sort.
    #[error("there is no such {0}")]
    Missing(&'static str),
    /// Something of that name is there already.
    #[error("this {0} is there already")]
    Exists(&'static str),
    /// It does not fit how things stand.
    #[error("{0}")]
    Conflict(&'static str),
    /// What was asked makes no sense.
    #[error("{field}: {why}")]
    Invalid {
        /// Which part of it.
        field: &'static str,
        /// What is wrong, and what was expected.
        why: String,
    },
    /// Too much of it within a time; the same may be asked again later.
    #[error("{0}")]
    TooMany(String),
    /// Not now; the same may be asked again.
    #[error("{0}")]
    Unavailable(String),
    /// The daemon failed. The text is for its log, not for the caller.
    #[error("{0}")]
    Failed(String),
}

impl ActError {
    /// Something wrong with one field of what was asked.
    pub fn invalid(field: &'static str, why: impl Into<String>) -> Self {
        Self::Invalid {
            field,
            why: why.into(),
        }
    }
}

impl From<NotEntered> for ActError {
    fn from(error: NotEntered) -> Self {
        Self::Failed(error.to_string())
    }
}

impl From<EnterError> for ActError {
    fn from(error: EnterError) -> Self {
        match error {
            EnterError::NotMade(error) => error.into(),
            EnterError::Store(error) => error.into(),
        }
    }
}

impl From<StoreError> for ActError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Full => Self::Unavailable(
                "the daemon's disk is full: nothing was changed; ask again when there is room".to_owned(),
            ),
            StoreError::Conflict(why) => Self::Conflict(why),
            StoreError::Exists(what) => Self::Exists(what),
            StoreError::Missing(what) => Self::Missing(what),
            // An act never shows a token.
            StoreError::TokenRefused => Self::Failed(error.to_string()),
            StoreError::Corrupt(_) | StoreError::Failed(_) => Self::Failed(error.to_string()),
        }
    }
}
