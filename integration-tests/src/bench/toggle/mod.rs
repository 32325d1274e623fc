//! A half is turned off and on again with many current records behind it: how long the calls take, how long
//! what follows takes behind them, and how much memory the daemon needs for that.

mod fill;
mod halves;
mod recipient;
mod scenario;

pub use scenario::{Calls, ToggleFigures};
pub(super) use scenario::{Toggle, run};
