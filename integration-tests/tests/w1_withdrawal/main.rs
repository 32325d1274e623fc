//! W1: when a consent ends, each recipient removes what it holds under it, tells its clinical system so, and
//! confirms; what cannot be removed is said, and nothing is left behind. Real daemons and agents.
//!
//! Detects: a dissent, a narrower scope, a caseload or an end date that only stops what comes; records of others
//! that go with those withdrawn, or stay away after a yes; a word in the record stream that what follows it
//! overtakes; a removal that an offline recipient or a killed daemon forgets; one called done that is not; and
//! clinical content left in a file, or in what clinicians are told.

mod dissent;
mod ends;
mod outputs;
mod records;
mod residue;
mod scene;
mod scope;
mod stream;
