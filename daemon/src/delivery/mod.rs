//! How amendments and consent changes reach recipients.

mod acts;
mod changes;
mod connection;
mod counters;
mod doubt;
mod emergency_acts;
mod feed;
mod fence;
mod handover;
mod ledger;
mod pair_feed;
mod patient_acts;
mod pump;
mod revoker;
mod state;
mod subscribe;
mod subscriber;
#[cfg(test)]
mod walk;

pub use changes::Changes;
pub use connection::Connection;
pub use feed::Feed;
pub use ledger::ImpossibleReceipt;
pub use revoker::{
    DeliveryStatus, HalfInForce, InForce, PairCounts, PairReceipt, Receipt, Revoker, UnitInForce,
    WordsInForce,
};
pub use state::{Delivery, DeliveryParts};
pub use subscribe::{Opened, SubscribeRefused, Subscription};
