//! For tests: authorities and certificates of their own, and a daemon that enrols and renews, over TLS on
//! loopback.

mod authority;
mod daemon;

pub(crate) use authority::{Authority, Names, Validity};
pub(crate) use daemon::{Answer, FakeDaemon, Script};
