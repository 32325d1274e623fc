//! handfastctl: the administrator's command line. A client of the daemon that knows the contract alone.

mod agreements;
mod alerts;
mod args;
mod audit;
mod caseload;
mod connection;
mod consents;
mod emergency;
mod enrol;
mod error;
mod files;
mod import;
mod numbers;
mod out;
mod people;
mod policy;
mod preview;
mod profile;
mod receipt;
mod receipts;
mod recorded;
mod renew;
mod run;
mod scope;
mod secret;
mod show;
mod status;
mod terms;
mod tls;
mod units;
mod url;
mod watch;
mod words;

pub use args::Cli;
pub use error::Exit;
pub use run::run;
