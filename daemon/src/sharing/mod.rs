//! The acts of people and units: authorise, commit, fence. gRPC and the web console both call these.

mod access_audit;
mod access_end;
mod access_view;
mod agreements;
mod alerting;
mod alerts;
mod audit;
mod caller;
mod caseload;
mod context;
mod days;
mod emergency;
mod error;
mod escalation;
mod notices;
mod opening;
mod patient_consents;
mod people;
mod policy;
mod preview;
mod projected;
mod scope;
mod status;
mod tally;
mod tokens;
mod units;
mod watching;

#[cfg(test)]
mod access_audit_tests;
#[cfg(test)]
mod agreement_tests;
#[cfg(test)]
mod alert_tests;
#[cfg(test)]
mod caseload_tests;
#[cfg(test)]
mod emergency_tests;
#[cfg(test)]
mod matrix;
#[cfg(test)]
mod patient_tests;
#[cfg(test)]
mod people_tests;
#[cfg(test)]
mod policy_tests;
#[cfg(test)]
mod preview_tests;
#[cfg(test)]
mod shared_access_tests;
#[cfg(test)]
mod test_revoker;
#[cfg(test)]
mod testing;

pub use crate::random::{OsRandom, Random};
pub use agreements::{AgreementView, Agreements, SetHalf, Turned};
pub use alerting::KeptAlerts;
pub use alerts::{AlertDesk, AlertDetail, AlertView, Finding, Listing};
pub use audit::{
    AuditDesk, Explained, ExplainedRecord, ExportedEntry, Found, HandedOver, PatientReport, RecordEvent,
    ReportedEvent, ReportedSending, ReportedView, Search, SeenEntry, Standing, Wanted,
};
pub use caller::Caller;
pub use caseload::{Caseload, Claimed};
pub use context::{Alerts, Connections, Context, NoAlerts, SelfClaim};
pub use days::{DayError, Days, When};
pub use emergency::{AccessOpened, AskAccess, AskRate, EmergencyAccess};
pub use error::ActError;
pub use escalation::Escalation;
pub use notices::{Notice, NoticeKind};
pub use patient_consents::{MAX_PAGE, PatientConsents, Recorded, SaidWords};
pub use people::{AddPerson, People};
pub use policy::{PairChange, PolicyDesk, PolicyView};
pub use preview::Preview;
pub use projected::Projected;
pub use scope::{DayChange, ScopeChange};
pub use status::{PairView, StatusBoard, StatusView, UnitView};
pub use tally::{Count, Counts};
pub use tokens::{DEFAULT_TOKEN_LIFETIME_MS, Secret, TokenMint};
pub use units::Units;
