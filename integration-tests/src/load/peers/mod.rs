//! The same work for Handfast and for others: a bare relay of our own, PostgreSQL and Redis, one after the
//! other in alternating rounds, and how Handfast stands to each.

mod batches;
mod choose;
mod clients;
mod compared;
mod disk;
mod find;
mod handfastd;
mod json_file;
mod options;
mod pacer;
mod payloads;
mod peer;
mod postgres;
mod redis_streams;
mod relay;
mod round;
mod run;
mod schedule;
mod table;
mod usage;
mod work;

pub use choose::packages_lacking;
pub use compared::{Compared, Latencies, Missing, PeerRun, PeersReport, Span};
pub use options::{Beside, Kind, Only, PeersOptions, Shape};
pub use peer::About;
pub use relay::{RelayServerOptions, relay_server};
pub use run::peers;
