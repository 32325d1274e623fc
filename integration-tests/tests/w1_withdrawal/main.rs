//! W1: when a consent ends, each recipient removes what it holds under it, tells its clinical system so, and
//! confirms; what cannot be removed is said, and nothing is left behind. Real daemons and agents.
//!
//! Detects: a dissent, a narrower scope, a caseload or an end date that only stops what comes; records of others
//! that go with those withdrawn, or stay away after a yes; a word in the record stream that what follows it
//! overtakes; a removal that an offline recipient or a killed daemon forgets; one called done that is not; and
//! clinical content left in a file, or in what clinicians are told.
//!
//! Seen to fail with: no job written for a patient's word, by hand or in the stream, for a moved number, for a scope
//! that changed, for a claim; what a record is no longer not removed where it turns private; nothing ended when its
//! time was over; a gate that knows no end, with what was over ended only some seconds after the daemon's start;
//! nothing erased at the daemon; a word in the stream that is in the book only behind what follows it; the recipient's
//! write-ahead log not emptied; a withdrawal confirmed while the server still refuses a deletion; what could not be
//! deleted not counted; and clinicians not told of a withdrawal.
//!
//! Taken out, each by itself, and what failed (the inbox's, the outputs' and delivery's tests are unit tests):
//! - the sweep of the inbox: `w1_a_dissent_…`, and the inbox's `jobs`, `emergencies`, `withdrawals` and `rules`, each
//!   for what it sweeps; that it spares what another grant holds: the inbox's `emergencies`
//! - what holds a confirmation back: how far an output is, the inbox's `a_withdrawal_that_finds_nothing_…`; the purge,
//!   `nothing_is_left_of_what_was_withdrawn`; a deletion that waits, `w1_what_cannot_be_removed_…`
//! - a letter for what a server does not delete: `w1_what_cannot_be_removed_…`
//! - who comes onto a caseload, or leaves it, by what is recorded: `w1_a_caseload_that_changes_…`, delivery's `walk`
//! - what was erased asked for where a dissent ends: `w1_nothing_is_left_behind`; at a connection: delivery's
//!   `erasing`
//! - a retraction sent; a restricted patient's records amended at the source; what is restricted withheld by the gate:
//!   `w1_a_private_turn_and_a_retraction_remove`

mod clinicians;
mod dissent;
mod ends;
mod outputs;
mod received;
mod records;
mod residue;
mod scene;
mod scope;
mod stream;
