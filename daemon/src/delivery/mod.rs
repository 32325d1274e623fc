//! How amendments and consent changes reach recipients.

mod changes;
mod revoker;

pub use changes::Changes;
pub use revoker::{DeliveryStatus, HalfInForce, PairCounts, Receipt, Revoker, UnitInForce};
