//! An input on a temporary folder, with its outbox beside it.

use std::{fs, path::PathBuf, sync::Arc, time::Duration};

use handfast_proto::amendment::Amendment;
use tokio::{task::JoinHandle, time::timeout};
use tokio_util::sync::CancellationToken;

use super::super::{DirectoryInput, DirectorySettings};
use crate::{
    clock::SystemClock,
    codec::fhir::{Codec, PrivateCodes},
    input::{Input as _, InputContext},
    status::StatusBoard,
    store::{
        inbox::{Inbox, InboxLimits},
        outbox::{Outbox, OutboxLimits},
    },
};

pub(super) const PATIENT: &str = r#"{"resourceType":"Patient","id":"p","identifier":[{"system":"https://fhir.nhs.uk/Id/nhs-number","value":"9990000018"}]}"#;

pub(super) struct Stand {
    pub(super) dir: tempfile::TempDir,
    pub(super) outbox: Arc<Outbox>,
    pub(super) inbox: Inbox,
    pub(super) board: StatusBoard,
    pub(super) stop: CancellationToken,
    pub(super) task: Option<JoinHandle<()>>,
}

impl Stand {
    pub(super) async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("outbox.db");
        let outbox = Outbox::open(&path, Arc::new(SystemClock), OutboxLimits::default())
            .await
            .unwrap();
        let inbox = Inbox::open(
            &dir.path().join("inbox.db"),
            Arc::new(SystemClock),
            InboxLimits::default(),
        )
        .await
        .unwrap();
        Self {
            dir,
            outbox,
            inbox,
            board: StatusBoard::new(),
            stop: CancellationToken::new(),
            task: None,
        }
    }

    pub(super) async fn started() -> Self {
        let mut stand = Self::new().await;
        stand.start();
        stand
    }

    pub(super) fn start(&mut self) {
        let settings = DirectorySettings {
            path: self.folder(),
            settle: Duration::from_millis(20),
        };
        let ctx = InputContext {
            unit: "Z00102".parse().unwrap(),
            outbox: self.outbox.clone(),
            inbox: self.inbox.clone(),
            codec: Arc::new(Codec::new(PrivateCodes::default(), 16 * 1024 * 1024)),
            board: self.board.input("in", "directory"),
            clock: Arc::new(SystemClock),
        };
        let input = Box::new(DirectoryInput::open(settings, ctx).unwrap());
        let stop = self.stop.clone();
        self.task = Some(tokio::spawn(async move { input.run(stop).await.unwrap() }));
    }

    /// As `kill -9` would: whatever it was doing, and with nothing left in the outbox's queue.
    pub(super) async fn kill(&mut self) {
        if let Some(task) = self.task.take() {
            task.abort();
            let _ = task.await;
            self.outbox.take(Vec::new()).await.unwrap();
        }
    }

    pub(super) fn folder(&self) -> PathBuf {
        self.dir.path().join("in")
    }

    /// Writes elsewhere and renames, as one should.
    pub(super) fn drop_in(&self, name: &str, content: impl AsRef<[u8]>) {
        fs::create_dir_all(self.folder()).unwrap();
        let temporary = self.folder().join(format!(".{name}.tmp"));
        fs::write(&temporary, content).unwrap();
        fs::rename(temporary, self.folder().join(name)).unwrap();
    }

    pub(super) async fn arrives(&self, place: &str) -> PathBuf {
        let path = self.folder().join(place);
        let wait = async {
            while fs::symlink_metadata(&path).is_err() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        assert!(
            timeout(Duration::from_secs(60), wait).await.is_ok(),
            "{place} does not come"
        );
        path
    }

    pub(super) fn read(&self, place: &str) -> String {
        fs::read_to_string(self.folder().join(place)).unwrap()
    }

    pub(super) async fn amendments(&self) -> Vec<Amendment> {
        let mut all = Vec::new();
        loop {
            let batches = self.outbox.after(all.len() as u64, 1 << 24).await.unwrap();
            if batches.is_empty() {
                return all;
            }
            for batch in batches {
                all.extend(batch.amendments().unwrap());
            }
        }
    }
}

impl Drop for Stand {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

pub(super) fn condition(id: &str, text: &str) -> String {
    format!(
        r#"{{"resourceType":"Condition","id":"{id}","subject":{{"reference":"Patient/p"}},"code":{{"text":"{text}"}}}}"#
    )
}
