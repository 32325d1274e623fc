//! What many units, many records and long absences cost one daemon on one machine, and whether that is within
//! the aims.

mod away;
mod big;
mod cli;
mod crowd;
mod curves;
mod enrol;
mod fit;
mod idle;
mod recipient;
mod source;
mod verdict;
mod watch;
mod words;

pub use away::{AwayFigures, AwayOptions, Stretch, away};
pub use big::{BigFigures, BigOptions, big};
pub use cli::{Scale, ScaleCommand, run};
pub use crowd::{CrowdOptions, crowd};
pub use curves::{CurvesFigures, CurvesOptions, Point, curves};
pub use idle::{IdleFigures, IdleOptions, Storm, idle};
pub use verdict::{Aim, Circumstances, Shown};
