//! Real daemons and agents on loopback in a temporary folder, and clients that speak the protocol.

mod admin;
mod agent;
mod binaries;
mod chaos;
mod clock;
mod ctl;
mod deployment;
mod disk;
mod identity;
mod journal;
mod process;
mod publisher;
mod subscriber;
mod synthetic;
mod tls;
mod trees;
mod wait;

pub use admin::{Admin, Turned};
pub use agent::AgentProcess;
pub use binaries::{binary, fixtures, long_mode};
pub use chaos::Chaos;
pub use clock::now_millis;
pub use ctl::Reply;
pub use deployment::{Deployment, UnitAtTest};
pub use disk::SmallDisk;
pub use identity::{Forged, Identity, foreign_authority, forge};
pub use journal::{Arrival, Journal, What};
pub use process::Process;
pub use publisher::Publisher;
pub use subscriber::{Pace, Subscriber};
pub use synthetic::{amendment, nhs_number, observation_line, patient_line};
pub use tls::{Windows, connect, connect_anonymous};
pub use trees::{Change, Records, changes, check_changes, expected, tree, tree_differs};
pub use wait::{wait_until, wait_until_async};
