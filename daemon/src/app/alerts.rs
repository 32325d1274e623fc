//! Wires alerts, and what becomes of them.

use std::sync::Arc;

use tonic::service::RoutesBuilder;

use super::{Ground, seconds};
use crate::{
    grpc::AlertsService,
    hand_off::couriers,
    lifecycle::{Lifecycle, Stage},
    sharing::{AlertDesk, Context, Escalation},
};

impl Ground {
    /// Adds the service, and the tasks that escalate alerts and hand them off.
    pub(super) async fn add_alerts(
        &self,
        routes: &mut RoutesBuilder,
        acts: &Context,
        lifecycle: &mut Lifecycle,
    ) -> anyhow::Result<()> {
        let settings = &self.config.alerts;
        let who = || Arc::clone(&self.identities);
        routes.add_service(AlertsService::server(AlertDesk::new(acts.clone()), who()));
        let escalation = Escalation::new(acts.clone(), seconds(settings.escalate_after_seconds));
        lifecycle.spawn_until_stopped("escalation of alerts", Stage::Core, escalation.run());
        let changes = acts.changes.subscribe();
        for courier in couriers(settings, &self.store, &self.clock, &changes).await? {
            lifecycle.spawn_until_stopped(courier.name(), Stage::Core, courier.run());
        }
        Ok(())
    }
}
