//! Wires emergency access, alerts, and what becomes of them.

use std::sync::Arc;

use anyhow::Context as _;
use tonic::service::RoutesBuilder;

use super::{Ground, nonzero, seconds};
use crate::{
    grpc::{AlertsService, EmergencyService},
    hand_off::couriers,
    lifecycle::{Lifecycle, Stage},
    sharing::{AlertDesk, AskRate, Context, EmergencyAccess, Escalation},
};

impl Ground {
    /// Adds the services, and the tasks that escalate alerts and hand them off.
    pub(super) async fn add_alerts(
        &self,
        routes: &mut RoutesBuilder,
        acts: &Context,
        lifecycle: &mut Lifecycle,
    ) -> anyhow::Result<()> {
        let (limits, settings) = (&self.config.limits, &self.config.alerts);
        let found = self.store.adopt_grants().await;
        let found = found.context("look for emergency accesses")?;
        if found > 0 {
            tracing::info!(
                found,
                "emergency accesses were opened just before the daemon stopped"
            );
        }
        let rate = AskRate {
            per_hour: nonzero(limits.emergency_requests_per_hour_per_person),
            burst: nonzero(limits.emergency_requests_burst_per_person),
        };
        let who = || Arc::clone(&self.identities);
        let accesses = EmergencyAccess::new(acts.clone(), rate);
        routes.add_service(EmergencyService::server(accesses, who()));
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
