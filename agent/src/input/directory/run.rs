//! The input `directory`: looks into its folder again and again and takes what is complete.

use std::{path::PathBuf, time::Duration};

use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::{
    folder::{Found, Watch, look},
    place,
    take::{Stay, Taker},
};
use crate::input::{Input, InputContext, InputError};

/// How often the folder is looked into.
const POLL_INTERVAL: Duration = Duration::from_millis(100);

/// How long to wait before what failed is tried again.
const RETRY_INTERVAL: Duration = Duration::from_secs(1);

/// What an input `directory` is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirectorySettings {
    /// The folder. It, `done/` and `rejected/` in it are made if they are missing.
    pub path: PathBuf,
    /// How long a file must be unchanged before it counts as complete.
    pub settle: Duration,
}

/// Takes FHIR files that are dropped into a folder.
pub struct DirectoryInput {
    settings: DirectorySettings,
    ctx: InputContext,
}

impl DirectoryInput {
    /// Makes the folders as needed.
    pub fn open(settings: DirectorySettings, ctx: InputContext) -> Result<Self, InputError> {
        place::prepare(&settings.path).map_err(|source| InputError::Folder {
            path: settings.path.clone(),
            source,
        })?;
        Ok(Self { settings, ctx })
    }

    async fn look(&self) -> Result<Vec<Found>, Stay> {
        let folder = self.settings.path.clone();
        let found = tokio::task::spawn_blocking(move || look(&folder)).await;
        Ok(found.map_err(std::io::Error::other)??)
    }

    /// Takes what is complete now.
    async fn round(
        &self,
        watch: &mut Watch,
        taker: &mut Taker<'_>,
        stop: &CancellationToken,
    ) -> Result<(), Stay> {
        let found = self.look().await?;
        let now_ms = self.ctx.clock.now_ms();
        for file in watch.complete(found, self.settings.settle, Instant::now(), now_ms) {
            if stop.is_cancelled() {
                return Err(Stay::Stopping);
            }
            taker.take(&file, stop).await?;
        }
        Ok(())
    }
}

#[async_trait::async_trait]
impl Input for DirectoryInput {
    async fn run(self: Box<Self>, stop: CancellationToken) -> Result<(), InputError> {
        let mut watch = Watch::default();
        let mut taker = Taker {
            ctx: &self.ctx,
            folder: &self.settings.path,
            spent: Vec::new(),
        };
        let mut paused = false;
        while !stop.is_cancelled() {
            let pause = match Box::pin(self.round(&mut watch, &mut taker, &stop)).await {
                Ok(()) => {
                    if paused {
                        self.ctx.board.running();
                        self.ctx.board.disk_full(false);
                        paused = false;
                    }
                    POLL_INTERVAL
                }
                Err(Stay::Stopping) => break,
                Err(Stay::Changed) => POLL_INTERVAL,
                Err(stay) => {
                    if !paused {
                        tracing::warn!(input = self.ctx.board.name(), "{stay}");
                    }
                    paused = true;
                    self.ctx.board.paused(stay.to_string());
                    self.ctx.board.disk_full(stay.is_full());
                    RETRY_INTERVAL
                }
            };
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                () = sleep(pause) => {}
            }
        }
        Ok(())
    }
}
