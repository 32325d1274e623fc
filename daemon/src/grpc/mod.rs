//! The edge: TLS, who is on the other side, limits, and one file a service that only translates.

mod accept;
mod agreements;
mod answer;
mod caseload;
mod connection;
mod edge;
mod ending;
mod enrolment;
mod handshake;
mod health;
mod identity;
mod patient_consents;
mod peer;
mod people;
mod policy;
mod rate;
mod registry;
mod renewal;
mod serve;
mod sharing_messages;
mod sync;
mod sync_publish;
mod sync_subscribe;
#[cfg(test)]
mod tests;
mod tls;
mod units;

pub use accept::{Acceptor, bind};
pub use agreements::AgreementsService;
pub use caseload::CaseloadService;
pub use connection::{ConnectionInfo, CutStream, Cutter};
pub use edge::Edge;
pub use enrolment::EnrolmentService;
pub use health::{HealthWatch, reflection};
pub use identity::{Access, Identities};
pub use patient_consents::PatientConsentsService;
pub use peer::{Peer, PeerError};
pub use people::PeopleService;
pub use policy::PolicyService;
pub use rate::UnaryRates;
pub use registry::{Connections, Full};
pub use renewal::{OwnLeaf, OwnLeafError};
pub use sync::{SyncParts, SyncService};
pub use tls::{LeafResolver, TlsError, server_config};
pub use units::UnitsService;
