//! How the agent stands, as its parts report it: kept in memory, written to `status.json` by the status
//! writer, read back by `handfast-agent status`.
//!
//! Holds no clinical content and no patient's number: names of units and connectors, counts and reasons
//! only. Reasons given here are shown to people as they are.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

/// How one of the two streams to the daemon stands.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "state")]
pub enum LinkState {
    /// Not started.
    #[default]
    Idle,
    /// A connection is being made.
    Connecting,
    /// The daemon has welcomed this stream.
    Connected,
    /// The daemon refuses this agent; tried again, but a person should look.
    Refused {
        /// What the daemon said, and what to do.
        why: String,
    },
    /// Waits before it tries again.
    Waiting {
        /// When it tries again, milliseconds since 1970-01-01T00:00:00Z.
        until_ms: i64,
        /// What went wrong.
        why: String,
    },
}

/// The stream that publishes what this unit recorded.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct UplinkStatus {
    /// How the stream stands.
    #[serde(flatten)]
    pub link: LinkState,
    /// The last seq that the daemon acknowledged; 0 = none since the start.
    pub acked_seq: u64,
    /// When, milliseconds since 1970-01-01T00:00:00Z.
    pub last_ack_at_ms: Option<i64>,
}

/// The stream that brings what other units share.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct DownlinkStatus {
    /// How the stream stands.
    #[serde(flatten)]
    pub link: LinkState,
    /// The subscription session; 0 = none yet.
    pub session: u64,
    /// When the last message became durable, milliseconds since 1970-01-01T00:00:00Z.
    pub last_durable_at_ms: Option<i64>,
}

/// Whether a connector works.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "state")]
pub enum ConnectorState {
    /// It works.
    Running,
    /// It has stopped for now and goes on by itself.
    Paused {
        /// Why, and what to do.
        why: String,
    },
}

/// One input or output.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConnectorStatus {
    /// `directory` or `fhir`.
    pub kind: String,
    /// Whether it works.
    #[serde(flatten)]
    pub state: ConnectorState,
    /// What it counted since the start, by name in snake_case.
    pub counts: BTreeMap<String, u64>,
}

/// How the agent's certificate stands.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct CertificateStatus {
    /// Until when it is good, milliseconds since 1970-01-01T00:00:00Z.
    pub not_after_ms: i64,
    /// When it is due for renewal, milliseconds since 1970-01-01T00:00:00Z.
    pub renew_at_ms: i64,
    /// Why the last try to renew it failed, where it did.
    pub renewal_fails: Option<String>,
}

/// How the agent stands.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Status {
    /// The stream that publishes.
    pub uplink: UplinkStatus,
    /// The stream that receives.
    pub downlink: DownlinkStatus,
    /// The agent's certificate.
    pub certificate: CertificateStatus,
    /// By name.
    pub inputs: BTreeMap<String, ConnectorStatus>,
    /// By name.
    pub outputs: BTreeMap<String, ConnectorStatus>,
    /// What cannot be written to because its disk is full: `outbox`, `inbox`, or a connector's name.
    pub disk_full: BTreeSet<String>,
}

/// Where the parts of the agent report. Clones share one board.
#[derive(Debug, Clone)]
pub struct StatusBoard(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    status: Mutex<Status>,
    /// Raised with every change.
    version: watch::Sender<u64>,
}

/// In which of the two lists a connector stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Input,
    Output,
}

/// One connector's own lines on the board. Clones share them.
#[derive(Debug, Clone)]
pub struct ConnectorBoard {
    board: StatusBoard,
    side: Side,
    name: String,
}

// === impl StatusBoard ===

impl StatusBoard {
    /// An empty board.
    pub fn new() -> Self {
        Self(Arc::new(Inner {
            status: Mutex::new(Status::default()),
            version: watch::Sender::new(0),
        }))
    }

    /// How the publishing stream stands.
    pub fn uplink(&self, state: LinkState) {
        self.change(|s| s.uplink.link = state);
    }

    /// The daemon acknowledged everything up to `seq`, at `now_ms`.
    pub fn uplink_acked(&self, seq: u64, now_ms: i64) {
        self.change(|s| {
            s.uplink.acked_seq = seq;
            s.uplink.last_ack_at_ms = Some(now_ms);
        });
    }

    /// How the receiving stream stands.
    pub fn downlink(&self, state: LinkState) {
        self.change(|s| s.downlink.link = state);
    }

    /// The daemon welcomed the receiving stream as this session.
    pub fn downlink_session(&self, session: u64) {
        self.change(|s| s.downlink.session = session);
    }

    /// A message became durable in the inbox at `now_ms`.
    pub fn downlink_durable(&self, now_ms: i64) {
        self.change(|s| s.downlink.last_durable_at_ms = Some(now_ms));
    }

    /// How the certificate stands.
    pub fn certificate(&self, certificate: CertificateStatus) {
        self.change(|s| s.certificate = certificate);
    }

    /// Enters an input, as running. `kind` is its type in agent.toml.
    pub fn input(&self, name: &str, kind: &str) -> ConnectorBoard {
        self.connector(Side::Input, name, kind)
    }

    /// Enters an output, as running. `kind` is its type in agent.toml.
    pub fn output(&self, name: &str, kind: &str) -> ConnectorBoard {
        self.connector(Side::Output, name, kind)
    }

    /// Whether `what` (`outbox`, `inbox` or a connector's name) cannot be written for want of room.
    pub fn disk_full(&self, what: &str, full: bool) {
        self.change(|s| {
            if full {
                s.disk_full.insert(what.to_owned());
            } else {
                s.disk_full.remove(what);
            }
        });
    }

    /// How the agent stands now.
    pub fn snapshot(&self) -> Status {
        self.0.status.lock().clone()
    }

    /// Tells of every change, with a number that rises.
    pub fn watch(&self) -> watch::Receiver<u64> {
        self.0.version.subscribe()
    }

    fn connector(&self, side: Side, name: &str, kind: &str) -> ConnectorBoard {
        let fresh = ConnectorStatus {
            kind: kind.to_owned(),
            state: ConnectorState::Running,
            counts: BTreeMap::new(),
        };
        self.change(|s| {
            s.side(side).insert(name.to_owned(), fresh);
        });
        ConnectorBoard {
            board: self.clone(),
            side,
            name: name.to_owned(),
        }
    }

    fn change(&self, change: impl FnOnce(&mut Status)) {
        change(&mut self.0.status.lock());
        self.0.version.send_modify(|v| *v = v.wrapping_add(1));
    }
}

impl Default for StatusBoard {
    fn default() -> Self {
        Self::new()
    }
}

// === impl ConnectorBoard ===

impl ConnectorBoard {
    /// The connector's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The connector works (again).
    pub fn running(&self) {
        self.change(|c| c.state = ConnectorState::Running);
    }

    /// The connector has stopped for now; `why` says why and what to do.
    pub fn paused(&self, why: impl Into<String>) {
        let why = why.into();
        self.change(|c| c.state = ConnectorState::Paused { why });
    }

    /// Adds to a count; `what` in snake_case.
    pub fn count(&self, what: &'static str, more: u64) {
        self.change(|c| {
            let count = c.counts.entry(what.to_owned()).or_default();
            *count = count.saturating_add(more);
        });
    }

    /// Sets a count; `what` in snake_case.
    pub fn set_count(&self, what: &'static str, value: u64) {
        self.change(|c| {
            c.counts.insert(what.to_owned(), value);
        });
    }

    /// Whether what the connector writes to has no room.
    pub fn disk_full(&self, full: bool) {
        self.board.disk_full(&self.name, full);
    }

    fn change(&self, change: impl FnOnce(&mut ConnectorStatus)) {
        self.board.change(|s| {
            if let Some(connector) = s.side(self.side).get_mut(&self.name) {
                change(connector);
            }
        });
    }
}

// === impl Status ===

impl Status {
    fn side(&mut self, side: Side) -> &mut BTreeMap<String, ConnectorStatus> {
        match side {
            Side::Input => &mut self.inputs,
            Side::Output => &mut self.outputs,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_stand_in_the_snapshot_and_wake_the_writer() {
        let board = StatusBoard::new();
        let mut changes = board.watch();
        let input = board.input("gp", "directory");
        input.count("taken", 2);
        input.count("taken", 3);
        input.paused("the folder is gone; create it");
        board.uplink(LinkState::Waiting {
            until_ms: 7,
            why: "no route".to_owned(),
        });
        board.uplink_acked(9, 5);
        board.disk_full("outbox", true);
        assert!(changes.has_changed().unwrap());
        changes.mark_unchanged();
        let status = board.snapshot();
        assert_eq!(status.inputs["gp"].counts["taken"], 5);
        assert_eq!(status.uplink.acked_seq, 9);
        assert!(status.disk_full.contains("outbox"));
        board.disk_full("outbox", false);
        assert!(board.snapshot().disk_full.is_empty());
    }

    #[test]
    fn json_is_flat_snake_case_and_reads_back() {
        let board = StatusBoard::new();
        board.output("emr", "fhir").running();
        board.downlink(LinkState::Connected);
        board.downlink_session(4);
        let status = board.snapshot();
        let json = serde_json::to_value(&status).unwrap();
        assert_eq!(json["downlink"]["state"], "connected");
        assert_eq!(json["downlink"]["session"], 4);
        assert_eq!(json["outputs"]["emr"]["state"], "running");
        assert_eq!(serde_json::from_value::<Status>(json).unwrap(), status);
    }
}
