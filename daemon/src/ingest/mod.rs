//! How amendments come in: publishing sessions, group commit, the newest batches in memory, and the
//! projection behind the commits.

mod assembly;
mod committer;
#[cfg(test)]
mod committer_tests;
mod compare;
mod heads;
mod moves;
mod projector;
mod rate;
mod session;
mod tail;

pub use assembly::{Assembly, PieceError};
pub use committer::{Committer, CommitterTask, Stopped, committer};
pub use compare::Point;
pub use heads::Heads;
pub use moves::Moves;
pub use projector::{Projector, ProjectorTask, projector, read_row};
pub use rate::{Rate, RateLimit};
pub use session::{HelloRefused, OutboxHello, Progress, Publishers, Session, SessionEnd, Welcome};
pub use tail::{Tail, Tails};

#[cfg(test)]
pub(crate) use session::tests;
