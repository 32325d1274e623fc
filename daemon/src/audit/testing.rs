//! A log over a test's own store.

use std::sync::Arc;

use handfast_proto::merkle::SigningKey;

use super::{AuditLog, AuditTree, Scribe};
use crate::{clock::Clock, random::OsRandom, store::Store};

/// For whom the heads of tests are signed.
pub(crate) const TRUST_DOMAIN: &str = "care.example";

/// A log whose heads are signed with a key that every test has.
pub(crate) async fn log(store: &Arc<dyn Store>, clock: &Arc<dyn Clock>) -> AuditLog {
    let key = SigningKey::from_seed(&[7; 32]).unwrap();
    let tree = AuditTree::start(Arc::clone(store), Arc::clone(clock), key, TRUST_DOMAIN.to_owned());
    AuditLog::new(
        Scribe::new(Arc::new(OsRandom)),
        tree.await.unwrap(),
        Arc::clone(store),
    )
}
