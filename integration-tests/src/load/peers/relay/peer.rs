//! The relay as a peer: a process of its own, in a temporary folder.

use std::{sync::Arc, time::Duration};

use anyhow::Context as _;
use parking_lot::Mutex;
use tempfile::TempDir;

use super::keys;
use crate::{
    harness::{Identity, Process, Windows, binary, connect, free_port, wait_until_async},
    load::peers::{
        batches::Batches,
        clients,
        options::Kind,
        peer::{About, Client, Peer},
        work::Work,
    },
};

/// How long the relay may take until it takes connections.
const READY_WITHIN: Duration = Duration::from_secs(20);
/// The program whose hidden command is the relay.
const PROGRAM: &str = "handfast-load";

/// A relay that is up.
pub(in crate::load::peers) struct Relay {
    // Ended before its folder goes.
    process: Process,
    _dir: TempDir,
    url: String,
    identity: Identity,
    batches: Arc<Batches>,
}

impl Relay {
    pub(in crate::load::peers) async fn start(batches: Arc<Batches>) -> anyhow::Result<Self> {
        let dir = tempfile::Builder::new()
            .prefix("handfast-relay-")
            .tempdir()
            .context("make a temporary folder")?;
        let identity = keys::make(dir.path())?;
        let address = format!("127.0.0.1:{}", free_port()?);
        let folder = dir.path().to_string_lossy().into_owned();
        let args = ["relay-server", "--dir", &folder, "--listen", &address];
        let log = dir.path().join("relay.log");
        let process = Mutex::new(Process::spawn_as(&binary(PROGRAM)?, &args, &log, &[], true)?);
        let url = format!("https://{address}");
        wait_until_async("the relay takes connections", READY_WITHIN, || async {
            if let Some(status) = process.lock().ended() {
                let said = std::fs::read_to_string(&log).unwrap_or_default();
                return Err(format!("it ended with {status}: {said}"));
            }
            let channel = connect(&url, &identity, Windows::default()).await;
            channel.map(drop).map_err(|e| format!("{e:#}"))
        })
        .await?;
        Ok(Self {
            process: process.into_inner(),
            _dir: dir,
            url,
            identity,
            batches,
        })
    }
}

impl Peer for Relay {
    fn about(&self) -> About {
        let mut settings = vec![
            "gRPC over mutual TLS 1.3, one log file, group commit with fdatasync before it acknowledges and \
             forwards, cursors in the log; no consent, no audit, no recovery"
                .to_owned(),
        ];
        settings.extend(clients::about());
        About {
            peer: Kind::Relay,
            version: "in this program".to_owned(),
            settings,
        }
    }

    fn pid(&self) -> anyhow::Result<u32> {
        Ok(self.process.pid())
    }

    fn source(&self, place: usize, work: Arc<Work>) -> anyhow::Result<Client> {
        let (url, identity) = (self.url.clone(), self.identity.clone());
        let batches = Arc::clone(&self.batches);
        Ok(Box::pin(clients::source(url, identity, place, batches, work)))
    }

    fn recipient(&self, place: usize, work: Arc<Work>) -> anyhow::Result<Client> {
        let (url, identity) = (self.url.clone(), self.identity.clone());
        Ok(Box::pin(clients::recipient(url, identity, place, work)))
    }

    fn finished(self: Box<Self>) {}
}
