//! Everything that is entered in the audit log, in the words of the acts that enter it. Each says whom it
//! concerns: only their privacy officers and auditors see it.

mod consents;
mod delivery;
mod emergency;
mod log;
mod members;
mod patients;

pub use consents::{GrantEnded, HalfSet, PolicySet, WithdrawalConfirmed, WithdrawalDue, WithdrawalsDue};
pub use delivery::{Disclosed, PerhapsDisclosed, Withheld};
pub use emergency::{Alerted, EmergencyEnded, EmergencyOpened, EmergencyRefused, EmergencyReviewed};
pub use log::{AuditRead, CallRefused, CallsRefused, DaemonChanged, PersonalErased};
pub use members::{Enrolled, PersonChanged, TokenMade, UnitChanged};
pub use patients::{CaseloadChanged, NumbersJoined, Viewed, WordRecorded};
