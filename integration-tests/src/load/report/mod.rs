//! What a run found, for people and programs: a table, JSON, a page with charts that needs nothing beside it,
//! and two runs side by side.

mod chart;
mod charts;
mod compare;
mod file;
mod html;
mod machine;
mod page;
mod scale;
mod table;
mod verdict;
pub(super) mod words;

pub use compare::{Named, compare};
pub use file::{read, write_html, write_json};
pub use page::page;
pub use table::table;
pub use verdict::{Standing, Verdict, verdict};
