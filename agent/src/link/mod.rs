//! The link to the daemon: how its one connection is made and made again, and the two streams over it.

mod channel;
pub mod downlink;
mod error;
mod listening;
mod shared;
mod text;
pub mod uplink;

pub use crate::retry::{MAX_DELAY, Random, Retry, START_DELAY};
pub(crate) use channel::connect_tls;
pub use channel::{
    CONNECT_TIMEOUT, Connection, Connector, KEEPALIVE_INTERVAL, KEEPALIVE_TIMEOUT, NotLoopback, Windows,
};
pub use error::LinkError;
pub use shared::{Link, NotConnected};
pub use text::for_people;
