//! The store on SQLite: two files in the state directory, one writer and a few readers each.

mod access_rows;
mod access_store;
mod accesses;
mod agreements;
mod alerts;
mod append;
mod audit;
mod audit_index;
mod audit_store;
mod audit_tree;
mod beside;
mod caseload;
mod checkpointer;
mod current;
mod database;
mod dead_letters;
mod deployment;
mod emergencies;
mod emergency_store;
mod enrolment;
mod erase;
mod erasures;
mod expiry;
mod fault;
mod grants;
mod hand_off;
mod index_sums;
mod jobs;
mod log;
mod patient_runs;
mod patient_store;
mod people;
mod places;
mod projection;
mod records;
mod run_check;
mod settings;
mod shapes;
mod store;
mod subscriptions;
mod terms;
mod told;
mod units;
mod values;
mod withdrawals;
mod words;
mod writer;

#[cfg(test)]
mod erasing_tests;
#[cfg(test)]
mod plans;
#[cfg(test)]
mod tamper;
#[cfg(test)]
mod tests;

pub use store::SqliteStore;
