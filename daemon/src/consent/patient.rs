//! A patient's own word, and what waives it in an emergency.

use std::cmp::Ordering;

/// What a patient has said at a unit about sharing out, or in.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum PatientWord {
    /// Nothing is recorded.
    #[default]
    NotRecorded,
    /// Yes.
    Yes,
    /// No: dissent, which always stops.
    No,
}

/// Whether a word that is recorded now takes the place of the one in force, by when each was said
/// (milliseconds since 1970-01-01T00:00:00Z): the later one counts, and of two said at the same moment the
/// dissent. So a yes from an outbox that was a week late does not undo a no of yesterday. `None`: nothing is
/// in force, or what was has ended.
pub fn prevails(in_force: Option<(PatientWord, i64)>, word: PatientWord, said_at: i64) -> bool {
    let Some((standing, standing_at)) = in_force else {
        return true;
    };
    match said_at.cmp(&standing_at) {
        Ordering::Less => false,
        Ordering::Equal => word == PatientWord::No || standing != PatientWord::No,
        Ordering::Greater => true,
    }
}

/// What a deployment asks of a patient before anything is shared.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Policy {
    /// Share unless the patient has said no.
    #[default]
    UnlessDissented,
    /// Share only where the patient has said yes.
    Explicit,
}

/// An emergency access granted for (source, recipient, patient).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct EmergencyWindow {
    /// Its first moment, milliseconds since 1970-01-01T00:00:00Z.
    pub from: i64,
    /// The first moment at which it no longer holds.
    pub until: i64,
}

impl EmergencyWindow {
    /// Whether it is in force at `now`.
    pub fn in_force(&self, now: i64) -> bool {
        (self.from..self.until).contains(&now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_later_word_counts_and_of_two_at_once_the_dissent() {
        use PatientWord::{No, NotRecorded, Yes};
        assert!(prevails(None, Yes, 1));
        for standing in [Yes, No] {
            assert!(prevails(Some((standing, 5)), Yes, 6) && prevails(Some((standing, 5)), No, 6));
            assert!(!prevails(Some((standing, 5)), Yes, 4) && !prevails(Some((standing, 5)), No, 4));
        }
        assert!(prevails(Some((Yes, 5)), No, 5) && prevails(Some((No, 5)), No, 5));
        assert!(!prevails(Some((No, 5)), Yes, 5) && !prevails(Some((No, 5)), NotRecorded, 5));
    }

    #[test]
    fn an_emergency_access_holds_from_its_first_moment_until_before_its_end() {
        let window = EmergencyWindow { from: 5, until: 7 };
        let held = [4, 5, 6, 7].map(|now| window.in_force(now));
        assert_eq!(held, [false, true, true, false]);
    }
}
