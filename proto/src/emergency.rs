//! Why a patient's records are opened in an emergency, in the terms of the Summary Care Record application:
//! an alert type and a reason, of which only some go together.

use crate::v1::{AlertKind, AlertState, ScrAlertReason, ScrAlertType};

/// Seconds that an emergency access holds unless it is asked for less or more: four hours.
pub const DEFAULT_ACCESS_SECONDS: u32 = 4 * 3600;

/// Seconds that an emergency access holds at most: a day.
pub const MAX_ACCESS_SECONDS: u32 = 24 * 3600;

/// Units that one request may name.
pub const MAX_NAMED_SOURCES: usize = 64;

/// Entries of one list of accesses or alerts.
pub const MAX_LISTED: u32 = 200;

/// The two do not go together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "this reason does not go with this alert type: self-claimed allows public-interest, statute, court-order, \
     emergency and other; access allows public-interest, statute, court-order and emergency"
)]
pub struct NotAGround;

/// An alert type with a reason that goes with it. There is no other way to make one than [`Ground::new`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Ground {
    alert_type: ScrAlertType,
    reason: ScrAlertReason,
}

impl Ground {
    /// Checks that the reason goes with the type.
    pub fn new(alert_type: ScrAlertType, reason: ScrAlertReason) -> Result<Self, NotAGround> {
        use ScrAlertReason::{
            AccessEmergency, CourtOrder, Other, PublicInterest, SelfClaimedEmergency, Statute,
        };
        let fits = match alert_type {
            ScrAlertType::Unspecified => false,
            ScrAlertType::SelfClaimed => matches!(
                reason,
                PublicInterest | Statute | CourtOrder | SelfClaimedEmergency | Other
            ),
            ScrAlertType::Access => {
                matches!(reason, PublicInterest | Statute | CourtOrder | AccessEmergency)
            }
        };
        if fits {
            Ok(Self { alert_type, reason })
        } else {
            Err(NotAGround)
        }
    }

    /// From the numbers of the contract, as they are kept.
    pub fn from_numbers(alert_type: i32, reason: i32) -> Result<Self, NotAGround> {
        let alert_type = ScrAlertType::try_from(alert_type).map_err(|_| NotAGround)?;
        let reason = ScrAlertReason::try_from(reason).map_err(|_| NotAGround)?;
        Self::new(alert_type, reason)
    }

    /// The alert type.
    pub fn alert_type(self) -> ScrAlertType {
        self.alert_type
    }

    /// The reason.
    pub fn reason(self) -> ScrAlertReason {
        self.reason
    }
}

// === Words ===

impl ScrAlertType {
    /// As people and scripts write it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Unspecified => "unknown",
            Self::SelfClaimed => "self-claimed",
            Self::Access => "access",
        }
    }
}

impl ScrAlertReason {
    /// As people and scripts write it. The two emergencies have one word: the type tells them apart.
    pub fn word(self) -> &'static str {
        match self {
            Self::Unspecified => "unknown",
            Self::PublicInterest => "public-interest",
            Self::Statute => "statute",
            Self::CourtOrder => "court-order",
            Self::SelfClaimedEmergency | Self::AccessEmergency => "emergency",
            Self::Other => "other",
        }
    }
}

impl AlertKind {
    /// As people and scripts write it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Unspecified => "unknown",
            Self::EmergencyAccess => "emergency-access",
            Self::SelfClaimed => "self-claimed-relationship",
            Self::OperatorRecovery => "operator-recovery",
            Self::DissentEverywhere => "dissent-everywhere",
        }
    }
}

impl AlertState {
    /// As people and scripts write it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Unspecified => "unknown",
            Self::Open => "open",
            Self::Escalated => "escalated",
            Self::Reviewed => "reviewed",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_pairs_of_the_summary_care_record_are_grounds() {
        let mut grounds = Vec::new();
        for alert_type in -1..=4 {
            for reason in -1..=8 {
                let Ok(ground) = Ground::from_numbers(alert_type, reason) else {
                    continue;
                };
                assert_eq!(
                    (ground.alert_type() as i32, ground.reason() as i32),
                    (alert_type, reason)
                );
                grounds.push((alert_type, reason));
            }
        }
        let want = [
            (1, 1),
            (1, 2),
            (1, 3),
            (1, 4),
            (1, 6),
            (2, 1),
            (2, 2),
            (2, 3),
            (2, 5),
        ];
        assert_eq!(grounds, want);
    }
}
