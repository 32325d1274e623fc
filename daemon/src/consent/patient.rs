//! A patient's own word, and what waives it in an emergency.

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
