//! `status.json`: what the running agent says about itself, for `handfast-agent status` and for programs.
//! Written to one side and exchanged with the one before, so that a reader always finds a whole one, and
//! that both keep their room: on a full disk it is this file that says so.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write as _},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use rustix::fs::{CWD, RenameFlags, renameat_with};
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::{
    clock::Clock,
    identity::CurrentIdentity,
    lifecycle::Notifier,
    status::{LinkState, Status, StatusBoard},
    store::{
        inbox::{Inbox, InboxSummary},
        outbox::{Outbox, Summary as OutboxSummary},
    },
};

/// The file within the state folder.
pub const STATUS_FILE: &str = "status.json";

const STAGED_FILE: &str = "status.json.new";

/// Blank bytes fill the file up to a multiple of this, so that a report that is some words longer needs no
/// more room.
const STEP_BYTES: usize = 4 * 1024;

/// At most one writing in this time.
const LEAST_BETWEEN: Duration = Duration::from_secs(1);

/// At least one writing in this time, so that its age tells whether the agent still gets on.
const MOST_BETWEEN: Duration = Duration::from_secs(5);

/// The stores' counts are taken at most this part of the time: counting takes longer the more they hold.
const COUNTING_SHARE: u32 = 20;

/// What the agent says about itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// The agent's version.
    pub version: String,
    /// Its process.
    pub pid: u32,
    /// Whose agent it is: `spiffe://…`.
    pub holder: String,
    /// Its daemon.
    pub daemon: String,
    /// Milliseconds since 1970-01-01T00:00:00Z.
    pub started_at_ms: i64,
    /// Milliseconds since 1970-01-01T00:00:00Z.
    pub written_at_ms: i64,
    /// It was asked to end and did.
    pub ended: bool,
    /// What its parts reported.
    #[serde(flatten)]
    pub status: Status,
    /// How the outbox stood at `counted_at_ms`.
    pub outbox: Option<OutboxSummary>,
    /// How the inbox stood at `counted_at_ms`.
    pub inbox: Option<InboxSummary>,
    /// When the stores were counted, milliseconds since 1970-01-01T00:00:00Z.
    pub counted_at_ms: i64,
}

impl Report {
    /// What the agent of a state folder last said; `None` where it never ran.
    pub fn read(state_dir: &Path) -> io::Result<Option<Self>> {
        match fs::read(state_dir.join(STATUS_FILE)) {
            Ok(text) => Ok(Some(serde_json::from_slice(&text)?)),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(e),
        }
    }

    fn write(&self, state_dir: &Path) -> io::Result<()> {
        let (staged, shown) = (state_dir.join(STAGED_FILE), state_dir.join(STATUS_FILE));
        let mut text = serde_json::to_vec_pretty(self)?;
        let size = (text.len() + 1).next_multiple_of(STEP_BYTES);
        text.resize(size - 1, b' ');
        text.push(b'\n');
        let mut options = OpenOptions::new();
        let mut file = options.write(true).create(true).truncate(false).open(&staged)?;
        file.write_all(&text)?;
        file.set_len(size as u64)?;
        // Not fsynced: after a power cut it would be out of date anyhow.
        match renameat_with(CWD, &staged, CWD, &shown, RenameFlags::EXCHANGE) {
            Ok(()) => Ok(()),
            // The first, or a file system that cannot exchange.
            Err(_) => fs::rename(staged, shown),
        }
    }
}

/// Writes `status.json` while the agent runs.
pub(super) struct StatusWriter {
    pub(super) state_dir: PathBuf,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) board: StatusBoard,
    pub(super) identity: Arc<CurrentIdentity>,
    pub(super) outbox: Arc<Outbox>,
    pub(super) inbox: Inbox,
}

impl StatusWriter {
    /// Writes until `stop`, and once more then. A full disk is no reason to end.
    pub(super) async fn run(self, stop: CancellationToken) -> anyhow::Result<()> {
        let mut changes = self.board.watch();
        let mut report = self.begin();
        let mut count_next = Instant::now();
        let (mut fails, mut told) = (false, String::new());
        loop {
            let last = stop.is_cancelled();
            if last || Instant::now() >= count_next {
                let begun = Instant::now();
                self.count(&mut report).await;
                count_next = Instant::now() + (begun.elapsed() * COUNTING_SHARE).max(LEAST_BETWEEN);
            }
            report.ended = last;
            fails = self.put(&mut report, fails);
            let line = one_line(&report);
            if line != told {
                Notifier.status(&line);
                told = line;
            }
            if last {
                return Ok(());
            }
            stop.run_until_cancelled(sleep(LEAST_BETWEEN)).await;
            let quiet = timeout(MOST_BETWEEN.saturating_sub(LEAST_BETWEEN), changes.changed());
            // Whether something changed or not, it is time to write.
            let _ = stop.run_until_cancelled(quiet).await;
        }
    }

    fn begin(&self) -> Report {
        let identity = self.identity.get();
        Report {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            holder: identity.profile().holder.clone(),
            daemon: identity.daemon().to_string(),
            started_at_ms: self.clock.now_ms(),
            written_at_ms: 0,
            ended: false,
            status: Status::default(),
            outbox: None,
            inbox: None,
            counted_at_ms: 0,
        }
    }

    async fn count(&self, report: &mut Report) {
        match self.outbox.summary().await {
            Ok(summary) => report.outbox = Some(summary),
            Err(error) => tracing::debug!(%error, "the outbox could not be counted"),
        }
        match self.inbox.summary().await {
            Ok(summary) => report.inbox = Some(summary),
            Err(error) => tracing::debug!(%error, "the inbox could not be counted"),
        }
        report.counted_at_ms = self.clock.now_ms();
    }

    /// Whether it failed, which is logged when it begins.
    fn put(&self, report: &mut Report, failed: bool) -> bool {
        report.status = self.board.snapshot();
        report.written_at_ms = self.clock.now_ms();
        match report.write(&self.state_dir) {
            Ok(()) => false,
            Err(error) => {
                if !failed {
                    tracing::warn!(%error, "status.json cannot be written in {}", self.state_dir.display());
                }
                true
            }
        }
    }
}

/// For the service manager.
fn one_line(report: &Report) -> String {
    let status = &report.status;
    let link = |state: &LinkState| match state {
        LinkState::Idle => "idle",
        LinkState::Connecting => "connecting",
        LinkState::Connected => "connected",
        LinkState::Refused { .. } => "refused",
        LinkState::Waiting { .. } => "waiting to try again",
    };
    let mut line = format!(
        "uplink {}, downlink {}",
        link(&status.uplink.link),
        link(&status.downlink.link)
    );
    if !status.disk_full.is_empty() {
        let full: Vec<&str> = status.disk_full.iter().map(String::as_str).collect();
        line.push_str(&format!("; no room: {}", full.join(", ")));
    }
    if report
        .inbox
        .as_ref()
        .is_some_and(|inbox| inbox.audit_log.alarm.is_some())
    {
        line.push_str("; ALARM about the audit log");
    }
    line
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;
    use crate::{
        clock::ManualClock,
        identity::testing::{Authority, Validity},
        store::{inbox::InboxLimits, outbox::OutboxLimits},
    };

    #[tokio::test]
    async fn what_the_agent_says_is_there_while_it_runs_and_after() {
        let dir = TempDir::new().unwrap();
        let clock: Arc<dyn Clock> = Arc::new(ManualClock::at(5_000));
        let path = |name: &str| dir.path().join(name);
        let (outbox, inbox) = (path("o.db"), path("i.db"));
        let outbox = Outbox::open(&outbox, Arc::clone(&clock), OutboxLimits::default());
        let inbox = Inbox::open(&inbox, Arc::clone(&clock), InboxLimits::default());
        let identity = Authority::new("ours").agent("Z00101", "https://127.0.0.1:1", Validity::NOW);
        let writer = StatusWriter {
            state_dir: dir.path().to_owned(),
            clock,
            board: StatusBoard::new(),
            identity: CurrentIdentity::new(identity),
            outbox: outbox.await.unwrap(),
            inbox: inbox.await.unwrap(),
        };
        let board = writer.board.clone();
        board.input("drop", "directory").count("taken", 3);
        board.uplink(LinkState::Connected);
        assert_eq!(Report::read(dir.path()).unwrap(), None);
        let stop = CancellationToken::new();
        let running = tokio::spawn(writer.run(stop.clone()));
        let report = loop {
            if let Some(report) = Report::read(dir.path()).unwrap() {
                break report;
            }
            tokio::task::yield_now().await;
        };
        assert!(!report.ended);
        assert_eq!(report.status.inputs["drop"].counts["taken"], 3);
        assert_eq!(report.outbox.as_ref().unwrap().last_seq, 0);
        stop.cancel();
        running.await.unwrap().unwrap();
        let last = Report::read(dir.path()).unwrap().unwrap();
        assert!(last.ended);
        assert_eq!(last.holder, "spiffe://care.example/unit/Z00101");
        assert_eq!(one_line(&last), "uplink connected, downlink idle");
    }
}
