//! Wires the data path: what comes in, how it is kept, how it reaches recipients.

use std::{future::Future, sync::Arc};

use anyhow::Context as _;
use tokio::sync::Notify;

use super::{Ground, nonzero};
use crate::{
    delivery::{Changes, Delivery, DeliveryParts},
    grpc::{SyncParts, SyncService},
    ingest::{Projector, Publishers, Rate, RateLimit, committer, projector},
    lifecycle::{Lifecycle, Stage},
};

impl Ground {
    /// Starts the data path's tasks. The service over it, and the delivery side and the projection, that
    /// acts stand on.
    pub(super) async fn data_path(
        &self,
        changes: &Arc<Changes>,
        lifecycle: &mut Lifecycle,
    ) -> anyhow::Result<(SyncService, Delivery, Projector)> {
        let limits = &self.config.limits;
        let committed = Arc::new(Notify::new());
        let (committer, committing) = committer(
            Arc::clone(&self.store),
            Arc::clone(&self.clock),
            self.audit.scribe().clone(),
            Arc::clone(&committed),
        )
        .await
        .context("start the committer")?;
        let (projector, projecting) = projector(committer.clone(), Arc::clone(&self.store), committed);
        let publishers = Arc::new(Publishers::default());
        let delivery = Delivery::start(DeliveryParts {
            store: Arc::clone(&self.store),
            clock: Arc::clone(&self.clock),
            scribe: self.audit.scribe().clone(),
            committer: committer.clone(),
            projector: projector.clone(),
            publishers: Arc::clone(&publishers),
            changes: Arc::clone(changes),
            drain: limits.drain_ms.as_millis(),
        })
        .await
        .context("start delivery")?;
        let rate = RateLimit::new(Rate {
            per_second: nonzero(limits.amendments_per_second_per_unit),
            burst: nonzero(limits.amendments_burst_per_unit),
        });
        let sync = SyncService::new(SyncParts {
            identities: Arc::clone(&self.identities),
            committer,
            publishers,
            rate: Arc::new(rate),
            delivery: delivery.clone(),
            tree: self.audit.tree().clone(),
            max_payload_bytes: limits.max_payload_bytes.as_usize(),
        });
        let keeper = Arc::new(delivery.clone());
        let committing = committing.with_statements(Arc::clone(&keeper) as _);
        let projecting = projecting.with_caseloads(keeper);
        let hard = lifecycle.hard();
        run(lifecycle, "committer", committing.run(hard.clone()));
        run(lifecycle, "projector", projecting.run(hard.clone()));
        let erasing = delivery.clone().run_erasing(hard.clone());
        run(lifecycle, "erasing of payloads", erasing);
        let ending = delivery.clone().run_expiry(hard);
        run(lifecycle, "ending of what has run out", ending);
        Ok((sync, delivery, projector))
    }
}

/// Runs a task that ends when it is stopped.
fn run(lifecycle: &mut Lifecycle, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
    lifecycle.spawn(name, Stage::Core, async move {
        task.await;
        Ok(())
    });
}
