//! What every store must do, as tests that take any backend: one function a promise of the trait, and a
//! macro that makes a test of each.

pub(crate) mod access_grants;
pub(crate) mod accesses;
pub(crate) mod agreements;
pub(crate) mod alerts;
pub(crate) mod append;
pub(crate) mod audit;
pub(crate) mod backend;
pub(crate) mod caseloads;
pub(crate) mod current;
pub(crate) mod emergencies;
pub(crate) mod erasures;
pub(crate) mod faults;
pub(crate) mod kit;
pub(crate) mod log;
pub(crate) mod moves;
pub(crate) mod outbox;
pub(crate) mod patients_kit;
pub(crate) mod people;
pub(crate) mod projection;
pub(crate) mod reconciles;
pub(crate) mod scopes;
pub(crate) mod statements;
pub(crate) mod subscriptions;
pub(crate) mod suite;
pub(crate) mod tokens;
pub(crate) mod told;
pub(crate) mod units;
pub(crate) mod withdrawals;
pub(crate) mod words;

pub(crate) use suite::conformance_suite;
