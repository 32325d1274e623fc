//! grpc.health.v1, which follows whether the store can still write, and reflection.

use std::{sync::Arc, time::Duration};

use tokio::time::{MissedTickBehavior, interval, timeout};
use tonic::service::RoutesBuilder;
use tonic_health::{ServingStatus, server::HealthReporter};

use crate::{clock::Clock, store::Store};

/// How often the store is asked whether it can still write.
const CHECK_INTERVAL: Duration = Duration::from_secs(5);

/// How long the store may take to answer.
const CHECK_TIMEOUT: Duration = Duration::from_secs(10);

/// The name under which health tells of the daemon as a whole (gRPC health checking protocol).
const WHOLE: &str = "";

/// The services that health tells of by name, beside the whole.
const SERVICES: [&str; 8] = [
    "handfast.v1.Sync",
    "handfast.v1.Enrolment",
    "handfast.v1.Units",
    "handfast.v1.People",
    "handfast.v1.Agreements",
    "handfast.v1.PatientConsents",
    "handfast.v1.Policy",
    "handfast.v1.Caseload",
];

/// Asks the store, and tells who asks for health.
pub struct HealthWatch {
    reporter: HealthReporter,
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
}

impl HealthWatch {
    /// Adds the health service to the routes; it says NOT_SERVING until the first check.
    pub async fn add_to(routes: &mut RoutesBuilder, store: Arc<dyn Store>, clock: Arc<dyn Clock>) -> Self {
        let (reporter, service) = tonic_health::server::health_reporter();
        routes.add_service(service);
        let watch = Self {
            reporter,
            store,
            clock,
        };
        watch.tell(ServingStatus::NotServing).await;
        watch
    }

    /// Checks for ever; `healthy` is told each outcome.
    pub async fn run(self, healthy: impl Fn(bool) + Send) {
        let mut ticks = interval(CHECK_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut was = None;
        loop {
            ticks.tick().await;
            let is = self.check().await;
            if was != Some(is) {
                self.tell(if is {
                    ServingStatus::Serving
                } else {
                    ServingStatus::NotServing
                })
                .await;
                if is && was.is_some() {
                    tracing::info!("the store can write again");
                }
                was = Some(is);
            }
            healthy(is);
        }
    }

    async fn check(&self) -> bool {
        match timeout(CHECK_TIMEOUT, self.store.touch(self.clock.now_ms())).await {
            Ok(Ok(())) => true,
            Ok(Err(error)) => {
                tracing::error!(%error, "the store cannot write");
                false
            }
            Err(_) => {
                tracing::error!("the store has not answered for {} s", CHECK_TIMEOUT.as_secs());
                false
            }
        }
    }

    async fn tell(&self, status: ServingStatus) {
        for service in std::iter::once(WHOLE).chain(SERVICES) {
            self.reporter.set_service_status(service, status).await;
        }
    }
}

/// Adds reflection to the routes. The edge keeps it from those without a certificate.
pub fn reflection(routes: &mut RoutesBuilder) -> Result<(), tonic_reflection::server::Error> {
    let service = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(handfast_proto::v1::FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .build_v1()?;
    routes.add_service(service);
    Ok(())
}
