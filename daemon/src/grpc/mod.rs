//! The edge: TLS, who is on the other side, limits, and one file a service that only translates.

mod accept;
mod connection;
mod edge;
mod enrolment;
mod handshake;
mod health;
mod identity;
mod peer;
mod rate;
mod registry;
mod serve;
mod sync;
mod sync_publish;
mod sync_subscribe;
mod tls;

pub use accept::{Acceptor, bind};
pub use connection::{ConnectionInfo, CutStream, Cutter};
pub use edge::Edge;
pub use enrolment::EnrolmentService;
pub use health::{HealthWatch, reflection};
pub use identity::{Access, Identities};
pub use peer::{Peer, PeerError};
pub use rate::UnaryRates;
pub use registry::{Connections, Full};
pub use sync::{SyncParts, SyncService};
pub use tls::{LeafResolver, TlsError, server_config};
