//! Checks by what amendments about a patient are found against the log: a stretch that is gone, or says of other
//! patients, would hide what went to whom from whoever searches.
//!
//! Reads the whole log: for whoever has the host, and not for every start of the daemon.

use super::check::CheckError;
use crate::store::{Store, WrongStretch};

/// Checks the stretches of every source as far as it is projected.
pub async fn check_stretches(store: &dyn Store) -> Result<(), CheckError> {
    let wrong = store.wrong_stretch().await?;
    wrong.map_or(Ok(()), |WrongStretch { source, from, to }| {
        Err(CheckError::Stretch {
            unit: source,
            from,
            to,
        })
    })
}
