//! The store on SQLite: two files in the state directory, one writer and a few readers each.

mod agreements;
mod append;
mod database;
mod dead_letters;
mod enrolment;
mod fault;
mod grants;
mod log;
mod people;
mod projection;
mod records;
mod settings;
mod shapes;
mod store;
mod subscriptions;
mod units;
mod values;
mod withdrawals;
mod writer;

#[cfg(test)]
mod tests;

pub use store::SqliteStore;
