//! Tells one target of alerts, one after the other, for as long as the daemon runs.
//!
//! Invariants: what a target is owed stands in the store until it was told just that, so a crash at any
//! moment only repeats; a target in trouble is left alone for a bounded time, and an alert that it does not
//! take holds up no other.

use std::{sync::Arc, time::Duration};

use anyhow::Context as _;
use tokio::{sync::watch, time::sleep};

use super::{
    mail::MailDrop,
    notice::Notice,
    patience::{alert_wait, target_wait},
    webhook::{Untaken, Webhook},
};
use crate::{
    clock::Clock,
    config::AlertSettings,
    store::{HandOff, HandedOff, Store, StoreError, Target},
};

/// Alerts that are read at one time.
const BATCH: u32 = 64;

/// How long a courier sleeps at most where nothing wakes it.
const LOOK_AT_LEAST_EVERY: Duration = Duration::from_secs(60);

/// How a target is told.
enum Way {
    Webhook(Box<Webhook>),
    Mail(MailDrop),
}

/// Tells one target.
pub struct Courier {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    changes: watch::Receiver<u64>,
    way: Way,
    failures: u32,
    /// The target is left alone until then.
    rest_until: i64,
}

/// A courier for each target that is configured; the store is told which there are. `changes` wakes them.
/// Reads the files that the settings name.
pub async fn couriers(
    settings: &AlertSettings,
    store: &Arc<dyn Store>,
    clock: &Arc<dyn Clock>,
    changes: &watch::Receiver<u64>,
) -> anyhow::Result<Vec<Courier>> {
    let mut ways = Vec::new();
    if let (Some(url), Some(secret)) = (&settings.webhook_url, &settings.webhook_secret_file) {
        let webhook = Webhook::new(url, secret, settings.webhook_ca_file.as_deref());
        ways.push(Way::Webhook(Box::new(
            webhook.context("set the webhook for alerts up")?,
        )));
    }
    if let (Some(dir), Some(from)) = (&settings.mail_drop_dir, &settings.mail_from) {
        ways.push(Way::Mail(MailDrop {
            dir: dir.clone(),
            from: from.clone(),
            to: settings.mail_to.clone(),
        }));
    }
    let targets: Vec<Target> = ways.iter().map(Way::target).collect();
    let lost = store.set_targets(&targets, clock.now_ms()).await;
    let lost = lost.context("say where alerts are handed off to")?;
    if lost > 0 {
        tracing::warn!(
            alerts = lost,
            "a target that is not configured any more was not told of some alerts"
        );
    }
    let courier = |way| Courier {
        store: Arc::clone(store),
        clock: Arc::clone(clock),
        changes: changes.clone(),
        way,
        failures: 0,
        rest_until: 0,
    };
    Ok(ways.into_iter().map(courier).collect())
}

impl Way {
    fn target(&self) -> Target {
        match self {
            Self::Webhook(_) => Target::Webhook,
            Self::Mail(_) => Target::Mail,
        }
    }

    async fn tell(&self, notice: Notice, now: i64) -> Result<(), Untaken> {
        match self {
            Self::Webhook(webhook) => webhook.post(&notice, now).await,
            Self::Mail(drop) => {
                let drop = drop.clone();
                let put = tokio::task::spawn_blocking(move || drop.put(&notice, now)).await;
                match put {
                    Ok(put) => put.map_err(|e| Untaken::Target(format!("the folder cannot be written: {e}"))),
                    Err(_) => Err(Untaken::Target("writing was broken off".to_owned())),
                }
            }
        }
    }
}

impl Courier {
    /// What it is called.
    pub fn name(&self) -> &'static str {
        match self.way {
            Way::Webhook(_) => "hand-off of alerts to the webhook",
            Way::Mail(_) => "hand-off of alerts by mail",
        }
    }

    /// Tells its target whatever it is owed, for ever. Cancellation-safe: what was not kept is told again.
    pub async fn run(mut self) {
        loop {
            self.changes.mark_unchanged();
            let next = match self.round().await {
                Ok(next) => next,
                Err(error) => {
                    tracing::warn!(%error, to = self.way.target().as_str(), "cannot look for alerts to hand off");
                    None
                }
            };
            let wait = self.wait(next);
            tokio::select! {
                () = sleep(wait) => {}
                changed = self.changes.changed() => if changed.is_err() {
                    // Nothing wakes it any more: the daemon is ending.
                    sleep(wait).await;
                },
            }
        }
    }

    /// Until something is owed, or the target's rest is over, whichever is later; bounded.
    fn wait(&self, next: Option<i64>) -> Duration {
        let now = self.clock.now_ms();
        let at = next.unwrap_or(i64::MAX).max(self.rest_until);
        let ms = u64::try_from(at.saturating_sub(now)).unwrap_or(0);
        Duration::from_millis(ms).min(LOOK_AT_LEAST_EVERY)
    }

    /// Tells everything that is due; when something is due next.
    async fn round(&mut self) -> Result<Option<i64>, StoreError> {
        let target = self.way.target();
        loop {
            let now = self.clock.now_ms();
            if now < self.rest_until {
                break;
            }
            let owed = self.store.owed(target, now, BATCH).await?;
            if owed.is_empty() {
                break;
            }
            for alert in owed {
                if !self.tell(&alert).await? {
                    return self.store.next_owed(target).await;
                }
            }
        }
        self.store.next_owed(target).await
    }

    /// Tells of one; whether the target is to be told of more.
    async fn tell(&mut self, alert: &HandOff) -> Result<bool, StoreError> {
        let now = self.clock.now_ms();
        let told = self.way.tell(Notice::of(alert), now).await;
        let now = self.clock.now_ms();
        let target = self.way.target();
        let mut tried = HandedOff {
            alert: alert.alert,
            target,
            state: alert.state,
            at: now,
            failed: None,
        };
        let goes_on = match told {
            Ok(()) => {
                self.failures = 0;
                true
            }
            Err(Untaken::Alert(why)) => {
                tracing::warn!(
                    alert = alert.alert.0,
                    to = target.as_str(),
                    why,
                    "an alert was not taken; it is tried again"
                );
                tried.failed = Some((now.saturating_add(alert_wait(alert.tries)), why));
                true
            }
            Err(Untaken::Target(why)) => {
                tracing::warn!(
                    to = target.as_str(),
                    why,
                    "alerts cannot be handed off; they are tried again"
                );
                self.rest_until = now.saturating_add(target_wait(self.failures));
                self.failures = self.failures.saturating_add(1);
                tried.failed = Some((self.rest_until, why));
                false
            }
        };
        self.store.handed_off(&tried).await?;
        Ok(goes_on)
    }
}
