//! What the tests across processes, the demo and the benchmark share: real processes on loopback, clients
//! that speak the protocol themselves, synthetic data, and how to wait.

pub mod bench;
pub mod demo;
pub mod harness;
pub mod load;
pub mod packages;
