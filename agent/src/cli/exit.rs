//! With which code the process ends (sysexits.h, where it has a word for it).

use handfast_proto::token::TokenError;

use crate::{
    config::ConfigError, enrol::EnrolError, identity::IdentityError, lifecycle::LockError, link::LinkError,
};

/// Anything that has no code of its own.
const FAILED: u8 = 1;
/// EX_UNAVAILABLE: try again.
const UNAVAILABLE: u8 = 69;
/// EX_TEMPFAIL: another agent has the state folder.
const IN_USE: u8 = 75;
/// EX_NOPERM: not trusted, or not taken.
const NO_PERMISSION: u8 = 77;
/// EX_CONFIG: a person must change something; starting again does not help.
const CONFIG: u8 = 78;

/// The code for an error, by what it is at heart.
pub(super) fn code_of(error: &anyhow::Error) -> u8 {
    if error.downcast_ref::<ConfigError>().is_some() {
        return CONFIG;
    }
    if let Some(error) = error.downcast_ref::<EnrolError>() {
        return match error {
            EnrolError::Enrolled { .. } => CONFIG,
            EnrolError::TokenRefused(_) => NO_PERMISSION,
            EnrolError::TryAgain(_) => UNAVAILABLE,
            EnrolError::Link(error) => of_link(error),
            EnrolError::Lock(error) => of_lock(error),
            EnrolError::Identity(_) | EnrolError::StateDir { .. } => FAILED,
        };
    }
    if error.downcast_ref::<TokenError>().is_some() {
        return NO_PERMISSION;
    }
    if let Some(error) = error.downcast_ref::<LockError>() {
        return of_lock(error);
    }
    match error.downcast_ref::<IdentityError>() {
        Some(IdentityError::Missing { .. } | IdentityError::Broken(_)) => CONFIG,
        Some(IdentityError::Io { .. }) | None => FAILED,
    }
}

fn of_link(error: &LinkError) -> u8 {
    match error {
        LinkError::Unreachable { .. } => UNAVAILABLE,
        LinkError::NotTrusted { .. } | LinkError::Refused { .. } | LinkError::Expired { .. } => NO_PERMISSION,
        LinkError::Protocol { .. } => FAILED,
    }
}

fn of_lock(error: &LockError) -> u8 {
    match error {
        LockError::Held { .. } => IN_USE,
        LockError::Io { .. } => FAILED,
    }
}

#[cfg(test)]
mod tests {
    use anyhow::Context as _;

    use super::*;

    #[test]
    fn a_code_survives_its_context() {
        let error = Err::<(), _>(LockError::Held {
            state_dir: "state".into(),
            pid: None,
        });
        assert_eq!(code_of(&error.context("run").unwrap_err()), IN_USE);
        assert_eq!(code_of(&ConfigError::Faults(Vec::new()).into()), CONFIG);
        assert_eq!(
            code_of(&EnrolError::TokenRefused(String::new()).into()),
            NO_PERMISSION
        );
        assert_eq!(code_of(&anyhow::anyhow!("else")), FAILED);
    }
}
