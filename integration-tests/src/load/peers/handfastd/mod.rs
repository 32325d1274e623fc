//! handfastd as a peer: a deployment made ready and loaded once, and begun anew from a copy in every round.

mod desks;
mod peer;
mod prepared;

pub(super) use peer::Handfastd;
pub(super) use prepared::Prepared;
