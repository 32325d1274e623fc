//! What every store must do, as tests that take any backend: one function a promise of the trait, and a
//! macro that makes a test of each.

pub(crate) mod agreements;
pub(crate) mod append;
pub(crate) mod backend;
pub(crate) mod faults;
pub(crate) mod kit;
pub(crate) mod log;
pub(crate) mod moves;
pub(crate) mod people;
pub(crate) mod projection;
pub(crate) mod subscriptions;
pub(crate) mod suite;
pub(crate) mod tokens;
pub(crate) mod units;
pub(crate) mod withdrawals;

pub(crate) use suite::conformance_suite;
