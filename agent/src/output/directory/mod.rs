//! Output `directory`: `current/<source>/<ResourceType>/<id>.json`, kept in step, `changes.ndjson`, a line for
//! each applied change, and `about/<source>.json` for clinicians.

mod about;
mod effect;
mod journal;
mod known;
mod output;
mod sweep;
mod tree;

#[cfg(test)]
mod about_tests;
#[cfg(test)]
mod ages_tests;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

pub use output::DirectoryOutput;
