//! How amendments and consent changes reach recipients.

#[cfg(test)]
mod access_ends_tests;
mod acts;
mod candidate;
mod caseloads;
mod changes;
mod connection;
mod consequences;
mod counters;
#[cfg(test)]
mod counts_tests;
mod doubt;
#[cfg(test)]
mod doubt_tests;
mod drain;
mod emergency_acts;
mod ending;
#[cfg(test)]
mod ending_tests;
mod ends;
mod erasing;
mod expiry;
mod feed;
mod fence;
mod half_acts;
mod handover;
mod job_feed;
mod ledger;
mod left_out;
mod load;
#[cfg(test)]
mod load_tests;
mod order;
#[cfg(test)]
mod order_tests;
mod pair_feed;
mod patient_acts;
mod pump;
mod remembered;
mod revoker;
mod stands;
mod state;
mod statements;
mod subscribe;
mod subscriber;
mod told;
mod unit_acts;
#[cfg(test)]
mod walk;

pub use changes::Changes;
pub use connection::Connection;
pub use feed::Feed;
pub use ledger::ImpossibleReceipt;
pub use load::book as book_of_store;
pub use revoker::{
    DeliveryStatus, HalfInForce, InForce, PairCounts, PairReceipt, Receipt, Revoker, UnitInForce,
    WordsInForce,
};
pub use state::{Delivery, DeliveryParts};
pub use subscribe::{Opened, SubscribeRefused, Subscription};
