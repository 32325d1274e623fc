//! The one place that wires everything.

mod alerts;
mod audit;
mod audit_check;
mod data_path;
mod in_doubt;

use std::{
    io::{self, Write as _},
    net::SocketAddr,
    num::NonZeroU32,
    sync::Arc,
};

use anyhow::Context as _;
use handfast_proto::{limits::MAX_SYNC_MESSAGE_BYTES, v1::sync_server::SyncServer};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use sd_notify::NotifyState;
use tokio::net::TcpListener;
use tonic::service::{Routes, RoutesBuilder};

use crate::{
    audit::{AuditLog, Refusals, RefusalsTask, refusals},
    clock::{Clock, SystemClock},
    config::{Bounded, Config},
    delivery::{Changes, Delivery},
    enrolment::{Authority, Enrolment},
    grpc::{
        Acceptor, AgreementsService, CaseloadService, Connections, Edge, EnrolmentService, HealthWatch,
        Identities, OwnLeaf, PatientConsentsService, PeopleService, PolicyService, UnaryRates, UnitsService,
        bind, reflection, server_config,
    },
    ingest::Projector,
    lifecycle::{Lifecycle, Signals, Stage},
    random::{OsRandom, Random},
    sharing::{
        Agreements, Caseload, Context, Days, KeptAlerts, PatientConsents, People, PolicyDesk, Projected,
        StatusBoard, TokenMint, Units,
    },
    state_dir::StateDir,
    store::{SqliteStore, Store},
};

pub use audit_check::check_audit;

/// What everything stands on.
struct Ground {
    config: Config,
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
    authority: Arc<Authority>,
    connections: Arc<Connections>,
    identities: Arc<Identities>,
    audit: AuditLog,
    refusals: Refusals,
}

/// Serves until told to stop. An error where something that must run did not.
pub async fn serve(config: Config) -> anyhow::Result<()> {
    let signals = Signals::install().context("take signals")?;
    raise_file_limit();
    let dir = StateDir::open(&config.state_dir)?;
    let _lock = dir.lock()?;
    dir.clear_listening()?;
    let (ground, refusals) = Ground::lay(config, &dir).await?;
    let mut lifecycle = Lifecycle::new(ground.config.limits.shutdown_grace_ms.as_millis());

    let mut names = dir.names()?.dns;
    names.extend(ground.config.dns.iter().cloned());
    let leaf = ground.own_leaf(names)?;
    let tls = server_config(&ground.authority, leaf.resolver(), Arc::clone(&ground.clock))?;
    lifecycle.spawn_until_stopped(
        "renewal of the daemon's certificate",
        Stage::Core,
        leaf.keep_fresh(),
    );

    ground.run_audit(refusals, &mut lifecycle);
    let routes = ground.services(&mut lifecycle).await?;
    let listener = bind(ground.config.listen).with_context(|| {
        format!(
            "listen on {}: choose another address with --listen",
            ground.config.listen
        )
    })?;
    let address = listener.local_addr().context("read the address")?;
    ground.open(listener, tls, routes, &mut lifecycle);

    announce(&dir, address)?;
    ground.check_audit(&mut lifecycle);
    let ended = lifecycle
        .run(signals, |status| {
            tell_systemd(&[NotifyState::Stopping, NotifyState::Status(status)]);
        })
        .await;
    dir.clear_listening()?;
    ended.and(ground.close_audit().await)
}

impl Ground {
    async fn lay(config: Config, dir: &StateDir) -> anyhow::Result<(Self, RefusalsTask)> {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::default());
        let store = SqliteStore::open(dir.root()).await.context("open the store")?;
        let store: Arc<dyn Store> = Arc::new(store);
        let deployment = store.deployment().await.context("read the deployment")?;
        let authority = dir.authority(&deployment.trust_domain, clock.now_ms())?;
        let random: Arc<dyn Random> = Arc::new(OsRandom);
        let audit = audit::open(dir, &store, &clock, &random, &deployment.trust_domain).await?;
        let (refusals, task) = refusals(audit.scribe().clone(), Arc::clone(&store), Arc::clone(&clock));
        let identities = Identities::new(Arc::clone(&store), refusals.clone());
        tracing::info!(
            version = env!("CARGO_PKG_VERSION"),
            trust_domain = deployment.trust_domain,
            test = deployment.test,
            "starting"
        );
        let ground = Self {
            connections: Arc::new(Connections::new(&config.limits)),
            config,
            store,
            clock,
            random,
            authority: Arc::new(authority),
            identities: Arc::new(identities),
            audit,
            refusals,
        };
        Ok((ground, task))
    }

    fn own_leaf(&self, names: Vec<String>) -> anyhow::Result<OwnLeaf> {
        OwnLeaf::new(
            Arc::clone(&self.authority),
            names,
            seconds(self.config.certificate_seconds),
            Arc::clone(&self.clock),
            Arc::clone(&self.random),
        )
        .context("make the daemon's certificate")
    }

    /// The data path, the acts on it, and a service each.
    async fn services(&self, lifecycle: &mut Lifecycle) -> anyhow::Result<Routes> {
        let changes = Arc::new(Changes::default());
        let (sync, delivery, projector) = self.data_path(&changes, lifecycle).await?;
        let mut routes = RoutesBuilder::default();
        routes.add_service(SyncServer::new(sync).max_decoding_message_size(MAX_SYNC_MESSAGE_BYTES));
        let acts = self.acts(delivery, projector, changes).await?;
        self.add_acts(&mut routes, &acts);
        self.add_audit(&mut routes, &acts);
        self.add_alerts(&mut routes, &acts, lifecycle).await?;
        let enrolment = Enrolment::new(
            Arc::clone(&self.store),
            Arc::clone(&self.authority),
            Arc::clone(&self.clock),
            Arc::clone(&self.random),
            self.audit.scribe().clone(),
            seconds(self.config.certificate_seconds),
        );
        routes.add_service(EnrolmentService::server(enrolment, Arc::clone(&self.identities)));
        let health = HealthWatch::add_to(&mut routes, Arc::clone(&self.store), Arc::clone(&self.clock)).await;
        lifecycle.spawn_until_stopped("health check", Stage::Core, health.run(ping_watchdog));
        reflection(&mut routes).context("describe the services")?;
        Ok(routes.routes())
    }

    /// What the acts of people and units stand on.
    async fn acts(
        &self,
        delivery: Delivery,
        projector: Projector,
        changes: Arc<Changes>,
    ) -> anyhow::Result<Context> {
        let deployment = self.store.deployment().await.context("read the deployment")?;
        let tokens = TokenMint::new(
            *self.authority.fingerprint(),
            seconds(self.config.token_seconds),
            Arc::clone(&self.random),
        );
        let days = Days::of(&deployment.zone).context("read the deployment's zone")?;
        let alerts = KeptAlerts::new(
            Arc::clone(&self.store),
            Arc::clone(&changes),
            self.audit.scribe().clone(),
        );
        Ok(Context {
            store: Arc::clone(&self.store),
            revoker: Arc::new(delivery),
            connections: Arc::clone(&self.connections) as _,
            alerts: Arc::new(alerts),
            changes,
            clock: Arc::clone(&self.clock),
            audit: self.audit.clone(),
            tokens,
            deployment: Arc::new(deployment),
            days,
            projected: Projected::new(Arc::clone(&self.store), projector),
        })
    }

    /// The services over the acts.
    fn add_acts(&self, routes: &mut RoutesBuilder, acts: &Context) {
        let who = || Arc::clone(&self.identities);
        let (units, status) = (Units::new(acts.clone()), StatusBoard::new(acts.clone()));
        routes.add_service(UnitsService::server(units, status, who()));
        routes.add_service(PeopleService::server(People::new(acts.clone()), who()));
        routes.add_service(AgreementsService::server(Agreements::new(acts.clone()), who()));
        let consents = PatientConsents::new(acts.clone());
        routes.add_service(PatientConsentsService::server(consents, who()));
        routes.add_service(PolicyService::server(PolicyDesk::new(acts.clone()), who()));
        routes.add_service(CaseloadService::server(Caseload::new(acts.clone()), who()));
    }

    /// Opens the door.
    fn open(
        &self,
        listener: TcpListener,
        tls: rustls::ServerConfig,
        routes: Routes,
        lifecycle: &mut Lifecycle,
    ) {
        let limits = &self.config.limits;
        let rates = Arc::new(UnaryRates::new(limits));
        let edge = Arc::new(Edge::new(
            routes,
            Arc::clone(&rates),
            limits,
            self.refusals.clone(),
            lifecycle.soft(),
        ));
        lifecycle.spawn_until_stopped("forgetting of quiet callers", Stage::Core, async move {
            rates.forget_quiet_ones().await;
        });
        let acceptor = Acceptor::new(
            listener,
            Arc::new(tls),
            self.authority.trust_domain(),
            Arc::clone(&self.connections),
            edge,
            limits,
        );
        let soft = lifecycle.soft();
        lifecycle.spawn("accept loop", Stage::Edge, async move {
            acceptor.run(soft).await;
            Ok(())
        });
    }
}

/// Tells everyone who waits that connections are taken.
fn announce(dir: &StateDir, address: SocketAddr) -> anyhow::Result<()> {
    dir.write_listening(address)?;
    tracing::info!(%address, "serving");
    let status = format!("serving on {address}");
    tell_systemd(&[NotifyState::Ready, NotifyState::Status(&status)]);
    let mut out = io::stdout();
    // Nobody may be reading; that is no reason not to serve.
    let _ = writeln!(out, "handfastd serves on https://{address}").and_then(|()| out.flush());
    Ok(())
}

fn tell_systemd(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!(%error, "cannot tell systemd");
    }
}

/// systemd restarts a daemon whose health check has stood still; one whose disk is full only waits for room.
fn ping_watchdog(_healthy: bool) {
    tell_systemd(&[NotifyState::Watchdog]);
}

/// Takes as many file descriptors as the system allows: each connection needs one.
fn raise_file_limit() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        tracing::warn!(%error, "cannot raise the limit of open files");
    }
}

fn seconds<const MIN: u64, const MAX: u64>(value: Bounded<MIN, MAX>) -> i64 {
    i64::try_from(value.get())
        .unwrap_or(i64::MAX)
        .saturating_mul(1000)
}

fn nonzero<const MIN: u64, const MAX: u64>(value: Bounded<MIN, MAX>) -> NonZeroU32 {
    NonZeroU32::new(value.as_u32()).unwrap_or(NonZeroU32::MIN)
}
