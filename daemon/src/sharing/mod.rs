//! The acts of people and units: authorise, commit, fence. gRPC and the web console both call these.

mod agreements;
mod caller;
mod context;
mod error;
mod people;
mod status;
mod tokens;
mod units;

#[cfg(test)]
mod agreement_tests;
#[cfg(test)]
mod matrix;
#[cfg(test)]
mod people_tests;
#[cfg(test)]
mod testing;

pub use crate::random::{OsRandom, Random};
pub use agreements::{Agreements, SetHalf};
pub use caller::Caller;
pub use context::{Connections, Context};
pub use error::ActError;
pub use people::{AddPerson, People};
pub use status::{PairView, StatusBoard, StatusView, UnitView};
pub use tokens::{DEFAULT_TOKEN_LIFETIME_MS, Secret, TokenMint};
pub use units::Units;
