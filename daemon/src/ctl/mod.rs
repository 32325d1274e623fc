//! handfastctl: the administrator's command line. A client of the daemon that knows the contract alone.

mod agreements;
mod args;
mod connection;
mod enrol;
mod error;
mod files;
mod import;
mod out;
mod people;
mod profile;
mod receipt;
mod renew;
mod run;
mod secret;
mod show;
mod status;
mod tls;
mod units;
mod url;
mod words;

pub use args::Cli;
pub use error::Exit;
pub use run::run;
