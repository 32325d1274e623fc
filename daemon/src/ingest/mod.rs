//! How amendments come in: publishing sessions, group commit, the newest batches in memory, and the
//! projection behind the commits.

mod assembly;
mod commit_task;
mod committer;
#[cfg(test)]
mod committer_tests;
mod compare;
mod heads;
mod moves;
mod open_statements;
mod pages;
mod projector;
#[cfg(test)]
mod projector_tests;
mod rate;
mod reach;
mod session;
#[cfg(test)]
mod statement_tests;
mod statements;
mod tail;
mod waiting;

pub use assembly::{Assembly, PieceError};
pub use commit_task::CommitterTask;
pub use committer::{Committer, NotOffered, Stopped, committer};
pub use compare::Point;
pub use heads::Heads;
pub use moves::Moves;
pub use projector::{Caseloads, Projecting, Projector, ProjectorTask, Run, projector};
pub use rate::{Rate, RateLimit};
pub use reach::Reach;
pub use session::{HelloRefused, Notice, OutboxHello, Progress, Publishers, Session, SessionEnd, Welcome};
pub use statements::{BadStatement, Prepared, Settling, Statements, Stating};
pub use tail::{Tail, Tails};

#[cfg(test)]
pub(crate) use session::tests;
#[cfg(test)]
pub(crate) use statements::tests::batch_of_statement;
