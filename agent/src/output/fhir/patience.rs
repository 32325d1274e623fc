//! When trouble with one record stops being waited for in place, so that it holds up no other: it is set
//! aside, tried again later by itself, and refused only once the server has shown meanwhile that it works.

use handfast_proto::ids::{OdsCode, RecordId};

/// Tries in place, with the runner's backoff between them, before a record is set aside.
const TRIES_IN_PLACE: u32 = 4;

/// Tries in place of what looks like the server's own trouble, before it is asked whether it works at all.
const TRIES_BEFORE_ASKING: u32 = 8;

/// Tries in all before what fails by itself is refused.
pub(super) const MAX_TRIES: u32 = 10;

/// Records set aside at one time. Where more would be, it is the server that is in trouble.
pub(super) const MAX_WAITING: u64 = 256;

/// The first pause of a record that was set aside, in milliseconds; it doubles with each try.
const FIRST_WAIT_MS: i64 = 15_000;

/// No pause is longer: an hour.
const MAX_WAIT_MS: i64 = 3_600_000;

#[derive(Debug, Default, Clone, Copy)]
struct Tries {
    own: u32,
    server: u32,
}

/// Remembers which record is being waited for, and when the server last took anything.
#[derive(Debug, Default)]
pub(super) struct Patience {
    stuck: Option<((OdsCode, RecordId), Tries)>,
    last_success_ms: Option<i64>,
}

impl Patience {
    /// The server took something.
    pub(super) fn success(&mut self, now_ms: i64) {
        self.stuck = None;
        self.last_success_ms = Some(now_ms);
    }

    /// A record failed in its place, by what may be its own fault or not. True where it has failed so often
    /// that it is not simply waited for any more: a fault of its own sets it aside, any other makes it worth
    /// asking whether the server works for others.
    pub(super) fn is_over(&mut self, source: OdsCode, record: &RecordId, own: bool) -> bool {
        let key = (source, record.clone());
        let mut tries = match self.stuck.take() {
            Some((stuck, tries)) if stuck == key => tries,
            _ => Tries::default(),
        };
        let (count, max) = if own {
            (&mut tries.own, TRIES_IN_PLACE)
        } else {
            (&mut tries.server, TRIES_BEFORE_ASKING)
        };
        *count = count.saturating_add(1);
        let over = *count >= max;
        self.stuck = Some((key, tries));
        over
    }

    /// Whether the server took something since then.
    pub(super) fn worked_since(&self, ms: i64) -> bool {
        self.last_success_ms.is_some_and(|at| at >= ms)
    }
}

/// When a record that was set aside is tried again.
pub(super) fn next_try(now_ms: i64, tries: u32) -> i64 {
    let doubled = FIRST_WAIT_MS.saturating_mul(1_i64 << tries.min(20));
    now_ms.saturating_add(doubled.min(MAX_WAIT_MS))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_set_aside_after_some_tries_in_a_row() {
        let source: OdsCode = "Z00101".parse().unwrap();
        let (one, two): (RecordId, RecordId) = ("Patient/1".parse().unwrap(), "Patient/2".parse().unwrap());
        let mut patience = Patience::default();
        assert!((0..5).all(|_| !patience.is_over(source, &one, false)));
        assert!((1..TRIES_IN_PLACE).all(|_| !patience.is_over(source, &one, true)));
        assert!(patience.is_over(source, &one, true));
        assert!(!patience.is_over(source, &two, true));
        patience.success(5);
        assert!((1..TRIES_BEFORE_ASKING).all(|_| !patience.is_over(source, &two, false)));
        assert!(patience.is_over(source, &two, false));
        assert!(patience.worked_since(5) && !patience.worked_since(6));
        assert_eq!(next_try(0, 30), MAX_WAIT_MS);
    }
}
