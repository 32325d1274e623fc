//! The acts on the audit log over a real store.

mod explaining;
mod exporting;
mod kit;
mod reading;
mod received;
mod stretches;
mod tampering;
mod waiting;
