//! Checks the audit log of a state directory, whole: for whoever has the host, with or without the daemon.

use std::path::Path;

use anyhow::{Context as _, bail};
use handfast_proto::merkle::PublicKey;

use crate::{
    audit::{check_index, check_log, check_stretches},
    random::OsRandom,
    state_dir::{StateDir, read},
    store::{SqliteStore, Store as _},
};

/// Checks every row of the log's tables against the signed heads; an error names the first that is not as it was
/// entered. `public_key`: a file with the key that was kept elsewhere; without one the deployment's own is trusted.
pub async fn check_audit(state_dir: &Path, public_key: Option<&Path>) -> anyhow::Result<String> {
    let dir = StateDir::open(state_dir)?;
    let key = match public_key {
        Some(path) => {
            let pem = read(path)?;
            PublicKey::from_pem(&pem).with_context(|| format!("read {}", path.display()))?
        }
        None => dir.audit_key(&OsRandom)?.public(),
    };
    let store = SqliteStore::open(dir.root()).await.context("open the store")?;
    let deployment = store.deployment().await.context("read the deployment")?;
    let checked = check_log(&store, &key, &deployment.trust_domain).await;
    let mut found_by = check_index(&store).await;
    if found_by.is_ok() {
        found_by = check_stretches(&store).await;
    }
    store.close().await;
    // An entry that was changed is found by something else too: the entry is named.
    match checked.and_then(|found| found_by.map(|()| found)) {
        Ok(found) => Ok(format!(
            "The audit log holds: {} entries, {} of them under a signed head; none changed, moved, added or left \
             out.\n",
            found.entries, found.signed
        )),
        Err(error) => bail!("the audit log does not hold: {error}"),
    }
}
