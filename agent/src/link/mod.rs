//! The link to the daemon: how a connection is made and made again, and the two streams over it.

mod channel;
mod retry;

pub use channel::{
    CONNECT_TIMEOUT, Connector, KEEPALIVE_INTERVAL, KEEPALIVE_TIMEOUT, LinkError, NotLoopback, Windows,
};
pub use retry::{MAX_DELAY, Random, Retry, START_DELAY};
