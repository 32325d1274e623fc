//! Tells other systems of alerts: a webhook, and messages for a mail system. Nothing in what they are told
//! identifies a person.

mod courier;
mod mail;
mod notice;
mod patience;
mod tls;
mod webhook;

pub use courier::{Courier, couriers};
