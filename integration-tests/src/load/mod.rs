//! `handfast-load`: drives a daemon as many units do, and checks while it measures.

pub mod data;
pub mod plan;
