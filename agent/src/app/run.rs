//! Puts the agent's parts together and runs them.

use std::{path::PathBuf, sync::Arc};

use anyhow::Context as _;
use tokio_util::sync::CancellationToken;

use super::{inputs, status_file::StatusWriter};
use crate::{
    clock::{Clock, SystemClock},
    config::{Config, OutputKind},
    enrol::Renewal,
    identity::{CurrentIdentity, Identity},
    input::InputContext,
    lifecycle::{Notifier, StateLock, Supervisor, termination, watchdog},
    link::{
        Connector,
        uplink::{self, UplinkContext},
    },
    status::StatusBoard,
    store::{
        inbox::{Inbox, InboxLimits, OutputSpec},
        outbox::{Disk, Outbox, OutboxLimits},
    },
};

/// The outbox within the state folder.
pub const OUTBOX_FILE: &str = "outbox.db";

/// The inbox within the state folder.
pub const INBOX_FILE: &str = "inbox.db";

/// What the agent starts with.
#[derive(Debug)]
pub struct Start {
    /// Where it keeps what it must not lose.
    pub state_dir: PathBuf,
    /// Its settings.
    pub config: Config,
}

/// What every part may need.
struct Parts {
    config: Config,
    clock: Arc<dyn Clock>,
    board: StatusBoard,
    connector: Connector,
    outbox: Arc<Outbox>,
    inbox: Inbox,
}

/// Runs the agent until it is asked to end, or a part of it fails.
pub async fn run(start: Start) -> anyhow::Result<()> {
    let asked_to_end = termination()?;
    let Start { state_dir, config } = start;
    let identity = Identity::load(&state_dir)?;
    let _lock = StateLock::take(&state_dir)?;
    let current = CurrentIdentity::new(identity);
    let unit = current.get().unit();
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let limits = OutboxLimits {
        max_payload_bytes: config.max_payload_bytes(),
        ..OutboxLimits::default()
    };
    let outbox = Outbox::open(&state_dir.join(OUTBOX_FILE), Arc::clone(&clock), limits).await?;
    let inbox = Inbox::open(
        &state_dir.join(INBOX_FILE),
        Arc::clone(&clock),
        InboxLimits::default(),
    )
    .await?;
    let parts = Parts {
        config,
        clock: Arc::clone(&clock),
        board: StatusBoard::new(),
        connector: Connector::new(Arc::clone(&current)),
        outbox,
        inbox,
    };
    let mut tasks = Supervisor::new();
    parts.start_outputs(&mut tasks).await?;
    parts.start_inputs(&mut tasks).await?;
    parts.start_links(&mut tasks);
    let renewal = Renewal {
        current: Arc::clone(&current),
        connector: parts.connector.clone(),
        state_dir: state_dir.clone(),
        clock,
        board: parts.board.clone(),
    };
    tasks.spawn("the renewal of the certificate", renewal.run(tasks.stop()));
    parts.start_watchers(&mut tasks, state_dir, current);
    tracing::info!(%unit, version = env!("CARGO_PKG_VERSION"), "the agent runs");
    Notifier.ready("running");
    tasks.run_until(asked_to_end).await?;
    tracing::info!("the agent has ended");
    Ok(())
}

impl Parts {
    async fn start_outputs(&self, tasks: &mut Supervisor) -> anyhow::Result<()> {
        let specs: Vec<OutputSpec> = self
            .config
            .outputs
            .iter()
            .map(|output| OutputSpec {
                name: output.name.clone(),
                // With what it writes to: one that is pointed elsewhere must be compared anew.
                kind: match &output.kind {
                    OutputKind::Directory { path } => format!("directory {}", path.display()),
                    OutputKind::Fhir(fhir) => format!("fhir {}", fhir.base_url),
                },
            })
            .collect();
        let gone = self
            .inbox
            .set_outputs(&specs)
            .await
            .context("enter the outputs in the inbox")?;
        for name in gone {
            tracing::info!(
                output = name,
                "this output is no longer configured; what was kept for it is dropped"
            );
        }
        let _ = tasks;
        Ok(())
    }

    async fn start_inputs(&self, tasks: &mut Supervisor) -> anyhow::Result<()> {
        let codec = inputs::codec(&self.config);
        for settings in &self.config.inputs {
            let ctx = InputContext {
                outbox: Arc::clone(&self.outbox),
                codec: Arc::clone(&codec),
                board: self.board.input(&settings.name, settings.kind.type_name()),
                clock: Arc::clone(&self.clock),
            };
            let input = inputs::open(settings, ctx).await?;
            let stop = tasks.stop();
            let run = async move { input.run(stop).await.map_err(anyhow::Error::from) };
            tasks.spawn(format!("the input {}", settings.name), run);
        }
        Ok(())
    }

    fn start_links(&self, tasks: &mut Supervisor) {
        let uplink = UplinkContext {
            connector: self.connector.clone(),
            outbox: Arc::clone(&self.outbox),
            board: self.board.clone(),
            clock: Arc::clone(&self.clock),
        };
        tasks.spawn("the uplink", endless(uplink::run(uplink, tasks.stop())));
    }

    fn start_watchers(&self, tasks: &mut Supervisor, state_dir: PathBuf, identity: Arc<CurrentIdentity>) {
        let writer = StatusWriter {
            state_dir,
            clock: Arc::clone(&self.clock),
            board: self.board.clone(),
            identity,
            outbox: Arc::clone(&self.outbox),
            inbox: self.inbox.clone(),
        };
        tasks.spawn("the writer of status.json", writer.run(tasks.stop()));
        let disk = show_disk(Arc::clone(&self.outbox), self.board.clone(), tasks.stop());
        tasks.spawn("the watch on the outbox's disk", disk);
        tasks.spawn("the watchdog", endless(watchdog(tasks.stop())));
    }
}

/// A task that ends only when it is asked to.
async fn endless(task: impl Future<Output = ()>) -> anyhow::Result<()> {
    task.await;
    Ok(())
}

/// Shows on the board whether the outbox's disk takes what is written.
async fn show_disk(outbox: Arc<Outbox>, board: StatusBoard, stop: CancellationToken) -> anyhow::Result<()> {
    let mut disk = outbox.disk();
    loop {
        let full = matches!(&*disk.borrow_and_update(), Disk::Full);
        board.disk_full("outbox", full);
        match stop.run_until_cancelled(disk.changed()).await {
            None => return Ok(()),
            Some(changed) => changed.context("the outbox has stopped")?,
        }
    }
}
