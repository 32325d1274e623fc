//! Who the agent is: its key, certificate and the authorities it trusts, on disk and in memory.

mod current;
mod files;
mod model;
mod request;
mod url;

#[cfg(test)]
pub(crate) mod testing;

pub use current::CurrentIdentity;
pub use files::{IDENTITY_DIR, Staged};
pub use model::{ALPN, Identity, IdentityError, Profile};
pub use request::{Issued, NewKey};
pub use url::{DaemonUrl, UrlError};
