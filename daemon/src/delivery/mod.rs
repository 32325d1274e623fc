//! How amendments and consent changes reach recipients.

mod acts;
mod changes;
mod connection;
mod counters;
mod delivery;
mod feed;
mod fence;
mod handover;
mod ledger;
mod pair_feed;
mod pump;
mod revoker;
mod subscribe;
mod subscriber;

pub use changes::Changes;
pub use connection::Connection;
pub use delivery::{Delivery, DeliveryParts};
pub use feed::Feed;
pub use ledger::ImpossibleReceipt;
pub use revoker::{DeliveryStatus, HalfInForce, PairCounts, Receipt, Revoker, UnitInForce};
pub use subscribe::{Opened, SubscribeRefused, Subscription};
