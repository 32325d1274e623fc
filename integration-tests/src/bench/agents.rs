//! The same with real agents' outboxes and inboxes and links, in this process: everything but parsing and
//! output.

use std::{path::Path, sync::Arc, time::Duration};

use anyhow::Context as _;
use handfast_agent::{
    clock::{Clock, SystemClock},
    identity::{CurrentIdentity, Identity},
    link::{
        Connector, Link,
        downlink::{self, DownlinkContext},
        uplink::{self, UplinkContext},
    },
    status::StatusBoard,
    store::{
        inbox::{Inbox, InboxLimits},
        outbox::{Outbox, OutboxLimits},
    },
};
use handfast_proto::amendment::Amendment;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::{
    flood::PAYLOAD_BYTES,
    report::Figures,
    run::{Stretch, WARM_UP, running},
    stage::Stage,
};
use crate::harness::{AgentProcess, Deployment, amendment};

/// Amendments pushed at once, as an input that reads ahead would.
const PUSH: u64 = 512;
/// What the outbox may hold beyond what the daemon has acknowledged.
const MAX_AHEAD: u64 = 20_000;
/// Records amended round and round.
const RECORDS: u64 = 20_000;

/// One agent's stores and links.
struct Agent {
    outbox: Arc<Outbox>,
    inbox: Inbox,
}

/// Sources and recipients at full speed for a stretch.
pub(super) async fn saturated(name: &str, stage: Stage, seconds: u64) -> anyhow::Result<Figures> {
    let deployment = &stage.deployment;
    let pid = deployment.pid()?;
    let stop = CancellationToken::new();
    let mut tasks = JoinSet::new();
    let mut publishing = Vec::new();
    let mut receiving = Vec::new();
    for (unit, _) in &stage.recipients {
        receiving.push(start(deployment, &unit.ods, &stop, &mut tasks).await?);
    }
    for (unit, _) in &stage.sources {
        let agent = start(deployment, &unit.ods, &stop, &mut tasks).await?;
        tasks.spawn(push(agent.outbox.clone()));
        publishing.push(agent);
    }
    let durable = || publishing.iter().map(|a| a.outbox.position().acked_seq).sum();
    let delivered = || receiving.iter().map(|a| a.inbox.last_change()).sum();
    running(&mut tasks, WARM_UP).await?;
    let stretch = Stretch::begin(pid, durable(), delivered())?;
    running(&mut tasks, Duration::from_secs(seconds)).await?;
    let figures = stretch.end(pid, name, &stage, durable(), delivered())?;
    stop.cancel();
    tasks.shutdown().await;
    stage.deployment.finished();
    Ok(figures)
}

/// Enrols an agent, opens its stores and starts its links.
async fn start(
    deployment: &Deployment,
    ods: &str,
    stop: &CancellationToken,
    tasks: &mut JoinSet<anyhow::Result<()>>,
) -> anyhow::Result<Agent> {
    let dir = deployment.dir().join(format!("bench-{ods}"));
    // The unit's first token went to the protocol client; its administrators make another.
    let profile = deployment.dir().join(format!("{ods}-unit-admin"));
    let token = deployment
        .ctl(&profile, &["unit", "token", ods])
        .await?
        .ok()?
        .token()?;
    let process = AgentProcess::enrol(&dir, &deployment.url(), &token).await?;
    let state = process.state();
    let identity = Identity::load(&state).context("load the agent's identity")?;
    let trust_domain = identity.profile().trust_domain.clone();
    let link = Link::new(Connector::new(CurrentIdentity::new(identity)));
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let agent = open(&state, clock.clone()).await?;
    let board = StatusBoard::new();
    let up = UplinkContext {
        link: link.clone(),
        outbox: agent.outbox.clone(),
        board: board.clone(),
        clock,
    };
    let down = DownlinkContext {
        link,
        inbox: agent.inbox.clone(),
        board,
        trust_domain,
    };
    let (up_stop, down_stop) = (stop.clone(), stop.clone());
    tasks.spawn(async move {
        uplink::run(up, up_stop).await;
        Ok(())
    });
    tasks.spawn(async move {
        downlink::run(down, down_stop).await;
        Ok(())
    });
    Ok(agent)
}

async fn open(state: &Path, clock: Arc<dyn Clock>) -> anyhow::Result<Agent> {
    let outbox = Outbox::open(&state.join("outbox.db"), clock.clone(), OutboxLimits::default())
        .await
        .context("open the outbox")?;
    let inbox = Inbox::open(&state.join("inbox.db"), clock, InboxLimits::default())
        .await
        .context("open the inbox")?;
    Ok(Agent { outbox, inbox })
}

/// Pushes prebuilt amendments, as far ahead of the daemon as a queue of an input would be.
async fn push(outbox: Arc<Outbox>) -> anyhow::Result<()> {
    let first: Vec<Amendment> = (0..RECORDS)
        .map(|n| amendment(n, 0, PAYLOAD_BYTES))
        .collect::<Result<_, _>>()?;
    let later: Vec<Amendment> = (0..RECORDS)
        .map(|n| amendment(n, 1, PAYLOAD_BYTES))
        .collect::<Result<_, _>>()?;
    let mut set = &first;
    let mut at = 0;
    loop {
        let position = outbox.position();
        if position.last_seq.saturating_sub(position.acked_seq) > MAX_AHEAD {
            tokio::time::sleep(Duration::from_millis(1)).await;
            continue;
        }
        let end = at + usize::try_from(PUSH)?;
        let some: Vec<Amendment> = set.get(at..end.min(set.len())).unwrap_or_default().to_vec();
        outbox.push_raw(some).await.context("push")?;
        at = end;
        if at >= set.len() {
            (set, at) = (&later, 0);
        }
    }
}
