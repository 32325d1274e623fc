//! Puts the agent's parts together and runs them.

use std::{path::PathBuf, sync::Arc};

use super::parts::Parts;
use crate::{
    clock::{Clock, SystemClock},
    config::Config,
    enrol::Renewal,
    identity::{CurrentIdentity, Identity},
    lifecycle::{Notifier, StateLock, Supervisor, termination},
    link::{Connector, Link},
    status::StatusBoard,
    store::{
        inbox::{Inbox, InboxLimits},
        outbox::{Outbox, OutboxLimits},
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
        unit,
        config,
        clock: Arc::clone(&clock),
        board: StatusBoard::new(),
        link: Link::new(Connector::new(Arc::clone(&current))),
        outbox,
        inbox,
        trust_domain: current.get().profile().trust_domain.clone(),
    };
    let mut tasks = Supervisor::new();
    parts.start_outputs(&mut tasks).await?;
    parts.start_inputs(&mut tasks).await?;
    parts.start_links(&mut tasks);
    let renewal = Renewal {
        current: Arc::clone(&current),
        link: parts.link.clone(),
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
