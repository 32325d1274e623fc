//! Files dropped into a folder.

mod folder;
mod place;
mod read;
mod report;
mod run;
mod take;

#[cfg(test)]
mod tests;

pub use run::{DirectoryInput, DirectorySettings};
