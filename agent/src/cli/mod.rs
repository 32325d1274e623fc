//! The command line: what can be said, what it does, and the code it ends with.

mod args;
mod dead_letters;
mod enrol;
mod exit;
mod main;
mod page;
mod run;
mod status;

pub use args::Cli;
pub use main::main;
