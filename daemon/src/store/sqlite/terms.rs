//! The terms of a pair, as a job over changes keeps them.

use serde::{Deserialize, Serialize};

use super::values::{corrupt, patients, patients_text, policy, policy_text};
use crate::{
    consent::{CategorySet, HalfTerms, Scope, Terms},
    store::StoreError,
};

#[derive(Serialize, Deserialize)]
struct Kept {
    share_out: KeptHalf,
    share_in: KeptHalf,
    policy: String,
}

#[derive(Serialize, Deserialize)]
struct KeptHalf {
    on: bool,
    ends_at: Option<i64>,
    categories: u32,
    patients: String,
    explicit: bool,
}

/// The terms as JSON.
pub(super) fn text(terms: &Terms) -> Result<String, StoreError> {
    let half = |half: &HalfTerms| KeptHalf {
        on: half.on,
        ends_at: half.ends_at,
        categories: half.scope.categories.bits(),
        patients: patients_text(half.scope.patients).to_owned(),
        explicit: half.requires_explicit,
    };
    let kept = Kept {
        share_out: half(&terms.share_out),
        share_in: half(&terms.share_in),
        policy: policy_text(terms.policy).to_owned(),
    };
    serde_json::to_string(&kept).map_err(|error| StoreError::Failed(error.to_string()))
}

/// The terms of that JSON.
pub(super) fn parse(text: &str) -> Result<Terms, StoreError> {
    let kept: Kept = serde_json::from_str(text).map_err(|_| corrupt("a job's terms cannot be read"))?;
    let half = |half: &KeptHalf| {
        Ok::<_, StoreError>(HalfTerms {
            on: half.on,
            ends_at: half.ends_at,
            scope: Scope {
                categories: CategorySet::from_bits(half.categories),
                patients: patients(&half.patients)?,
            },
            requires_explicit: half.explicit,
        })
    };
    Ok(Terms {
        share_out: half(&kept.share_out)?,
        share_in: half(&kept.share_in)?,
        policy: policy(&kept.policy)?,
    })
}
