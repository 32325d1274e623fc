//! How amendments and consent changes reach recipients.

mod revoker;

pub use revoker::{DeliveryStatus, HalfInForce, PairCounts, Receipt, Revoker, UnitInForce};
