//! Wires the audit log: its key, its tasks, and what it says of the daemon itself.

use std::sync::Arc;

use anyhow::Context as _;
use handfast_proto::{
    audit::decode_leaf,
    v1::{DaemonChange, audit_leaf::Event as Wire},
};
use tonic::service::RoutesBuilder;

use super::{Ground, in_doubt::in_doubt};
use crate::{
    audit::{
        Actor, AuditLog, AuditTree, CheckError, Disclosures, RefusalsTask, Scribe, check_index, check_log,
        events::DaemonChanged,
    },
    clock::Clock,
    grpc::AuditService,
    lifecycle::{Lifecycle, Stage},
    random::Random,
    sharing::{AuditDesk, Context},
    state_dir::StateDir,
    store::{Store, StoreError},
};

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Opens the log, and enters that the daemon was started: after an unclean end together with all that may have
/// been handed over.
pub(super) async fn open(
    dir: &StateDir,
    store: &Arc<dyn Store>,
    clock: &Arc<dyn Clock>,
    random: &Arc<dyn Random>,
    trust_domain: &str,
) -> anyhow::Result<AuditLog> {
    let key = dir.audit_key(random.as_ref())?;
    let scribe = Scribe::new(Arc::clone(random));
    let tree = AuditTree::start(Arc::clone(store), Arc::clone(clock), key, trust_domain.to_owned());
    let tree = tree.await.context("take up the audit log's tree")?;
    let log = AuditLog::new(scribe, tree, Arc::clone(store));
    enter_start(&log, store.as_ref(), clock.now_ms()).await?;
    Ok(log)
}

/// Enters what is in doubt, in parts, and then the start: broken off before that, all of it is entered again.
async fn enter_start(log: &AuditLog, store: &dyn Store, now: i64) -> anyhow::Result<()> {
    if ended_uncleanly(store)
        .await
        .context("read how the daemon ended last")?
    {
        tracing::warn!(
            "the daemon did not stop in order last time: what may have been handed over is entered"
        );
        let keep = async |perhaps: Disclosures| {
            let entries = perhaps.entries(log.scribe(), now)?;
            Ok(store.enter(&entries).await?)
        };
        in_doubt(store, now, keep)
            .await
            .context("enter what was on its way")?;
    }
    let started = DaemonChanged {
        change: DaemonChange::Started,
        version: VERSION,
    };
    let started = log.entry(now, &Actor::Daemon, &started)?;
    let entered = store.enter(&[started]).await;
    entered.context("enter that the daemon was started")
}

/// Whether the last that the log says of the daemon is that it was started.
async fn ended_uncleanly(store: &dyn Store) -> Result<bool, StoreError> {
    let Some(last) = store.newest_daemon_entry().await? else {
        return Ok(false);
    };
    let event = decode_leaf(&last.entry.leaf).ok().and_then(|leaf| leaf.event);
    Ok(!matches!(event, Some(Wire::Daemon(event)) if event.change() == DaemonChange::Stopped))
}

/// Checks what the log holds from before. What is wrong is said and stops nothing: records must flow, and whoever
/// changed the log must not be able to stop them by that.
async fn check(tree: AuditTree, store: Arc<dyn Store>) {
    let mut checked = check_log(store.as_ref(), &tree.public_key(), tree.trust_domain()).await;
    if checked.is_ok() {
        checked = check_index(store.as_ref()).await.and(checked);
    }
    match checked {
        Ok(found) => tracing::info!(
            entries = found.entries,
            signed = found.signed,
            "the audit log is as it was entered"
        ),
        Err(CheckError::Store(error)) => tracing::error!(%error, "the audit log cannot be checked"),
        Err(error) => tracing::error!(
            %error,
            "ALARM: the audit log was changed behind the daemon; keep a copy and ask the deployment's auditors to \
             look into it"
        ),
    }
}

impl Ground {
    /// Starts what works on the log.
    pub(super) fn run_audit(&self, refusals: RefusalsTask, lifecycle: &mut Lifecycle) {
        let hard = lifecycle.hard();
        let (tree, index) = (self.audit.tree().clone(), self.audit.index().clone());
        let run = tree.run(hard.clone());
        lifecycle.spawn("signing of audit heads", Stage::Core, async move {
            run.await;
            Ok(())
        });
        let run = index.run(hard.clone());
        lifecycle.spawn("indexing of audit entries", Stage::Core, async move {
            run.await;
            Ok(())
        });
        let run = refusals.run(hard);
        lifecycle.spawn("entering of refused calls", Stage::Core, async move {
            run.await;
            Ok(())
        });
    }

    /// Checks the log behind the start: what is found stops nothing, so nothing waits for it.
    pub(super) fn check_audit(&self, lifecycle: &mut Lifecycle) {
        let (tree, store) = (self.audit.tree().clone(), Arc::clone(&self.store));
        lifecycle.spawn_until_stopped("checking of the audit log", Stage::Core, async move {
            check(tree, store).await;
            std::future::pending::<()>().await;
        });
    }

    /// Adds the service.
    pub(super) fn add_audit(&self, routes: &mut RoutesBuilder, acts: &Context) {
        let desk = AuditDesk::new(acts.clone());
        routes.add_service(AuditService::server(desk, Arc::clone(&self.identities)));
    }

    /// Enters that the daemon was stopped in order, as the last entry, and signs a head over it.
    pub(super) async fn close_audit(&self) -> anyhow::Result<()> {
        let stopped = DaemonChanged {
            change: DaemonChange::Stopped,
            version: VERSION,
        };
        let now = self.clock.now_ms();
        let entered = self.audit.enter(now, &Actor::Daemon, &stopped).await;
        entered.context("enter that the daemon was stopped")?;
        self.audit.tree().head_now().await.context("sign the last head")?;
        Ok(())
    }
}
