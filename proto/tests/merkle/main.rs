//! The audit log's tree against what others published, and against the RFC's own recursion.
//!
//! The random tests print their seed, and proptest replays it.
//!
//! Detects: another byte before a leaf or a node, a frontier that merges wrongly, a proof in another order, a
//! verifier that takes what is too long, too short or changed in one bit, a signature that says too little.

#![expect(clippy::unwrap_used, reason = "a test panics where it fails")]

mod heads;
mod kit;
mod recursion;
mod reference;
