//! Renews the certificate at two thirds of its life, while the agent runs: a new key and certificate on
//! disk, then in force for the next connection.

use std::{path::PathBuf, sync::Arc, time::Duration};

use anyhow::Context as _;
use handfast_proto::v1::{RenewRequest, enrolment_client::EnrolmentClient};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::{
    clock::Clock,
    identity::{CurrentIdentity, Issued, NewKey, Staged},
    link::{CONNECT_TIMEOUT, Link, for_people},
    retry::Retry,
    status::{CertificateStatus, StatusBoard},
};

/// The longest time between two looks at the clock: it may be set, and the machine may sleep.
const LOOK_AGAIN: Duration = Duration::from_secs(600);

/// The shortest time between two renewals, whatever the daemon issues.
const BETWEEN_RENEWALS: Duration = Duration::from_secs(10);

/// The longest wait after the first try that failed.
const FIRST_DELAY: Duration = Duration::from_secs(1);

/// The longest wait between two tries. There are days to succeed in.
const LONGEST_DELAY: Duration = Duration::from_secs(15 * 60);

/// How long the daemon may take to answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// With less than this left the certificate should long have been renewed, and a person should look.
const WARN_LEFT_MS: i64 = 10 * DAY_MS;

const DAY_MS: i64 = 24 * 60 * 60 * 1000;

/// Keeps the certificate from expiring.
pub struct Renewal {
    /// The identity in force.
    pub current: Arc<CurrentIdentity>,
    /// The agent's connection. It keeps the certificate that it was made with; the next has the new one.
    pub link: Link,
    /// Whose identity is replaced.
    pub state_dir: PathBuf,
    /// The time of day.
    pub clock: Arc<dyn Clock>,
    /// Where the certificate's standing is shown.
    pub board: StatusBoard,
}

impl Renewal {
    /// Renews whenever it is due, until `stop`. Not an error when it fails: it is tried again, and told.
    pub async fn run(self, stop: CancellationToken) -> anyhow::Result<()> {
        let mut retry = Retry::between(FIRST_DELAY, LONGEST_DELAY);
        loop {
            let wait = self.step(&mut retry).await;
            tokio::select! {
                () = sleep(wait) => {}
                () = stop.cancelled() => return Ok(()),
            }
        }
    }

    /// Renews if it is due. Returns how long to wait before the next look: `retry` says so where it failed.
    pub async fn step(&self, retry: &mut Retry) -> Duration {
        let due_in = self
            .current
            .get()
            .renew_at_ms()
            .saturating_sub(self.clock.now_ms());
        if due_in > 0 {
            self.show(None);
            let due_in = Duration::from_millis(u64::try_from(due_in).unwrap_or(0));
            return due_in.min(LOOK_AGAIN);
        }
        match Box::pin(self.renew()).await {
            Ok(()) => {
                self.show(None);
                retry.reset();
                tracing::info!(
                    not_after = %date(self.current.get().not_after_ms()),
                    "the certificate was renewed"
                );
                BETWEEN_RENEWALS
            }
            Err(error) => {
                self.warn(&error);
                self.show(Some(format!("{error:#}")));
                retry.next_delay()
            }
        }
    }

    async fn renew(&self) -> anyhow::Result<()> {
        let identity = self.current.get();
        let key = NewKey::make()?;
        let channel = self.link.connection().await?.channel();
        let request = RenewRequest {
            csr_der: key.csr_der.into(),
        };
        let mut client = EnrolmentClient::new(channel);
        let answer = timeout(CONNECT_TIMEOUT + ANSWER_TIMEOUT, client.renew(request))
            .await
            .context("the daemon did not answer in time")?
            .map_err(|status| anyhow::anyhow!("the daemon said: {}", for_people(status.message())))?
            .into_inner();
        let issued = Issued::read(answer, identity.daemon())?;
        anyhow::ensure!(
            issued.profile.holder == identity.profile().holder,
            "the daemon answered with a certificate for {}",
            for_people(&issued.profile.holder)
        );
        let state_dir = self.state_dir.clone();
        let renewed = tokio::task::spawn_blocking(move || {
            let staged = Staged::begin(&state_dir, &key.key_pem)?;
            staged.commit(&issued.profile, &issued.chain, &issued.authorities)
        })
        .await
        .context("write the new identity")??;
        self.current.swap(renewed);
        Ok(())
    }

    fn warn(&self, error: &anyhow::Error) {
        let not_after = self.current.get().not_after_ms();
        let left = not_after.saturating_sub(self.clock.now_ms());
        let (error, until) = (format!("{error:#}"), date(not_after));
        if left <= 0 {
            tracing::error!(
                error,
                "the certificate expired on {until}: nothing is sent or received any more. Ask an \
                 administrator of the unit for a new token, stop the agent, run 'handfast-agent enrol \
                 --replace' and start it again; what is waiting goes on from there"
            );
        } else if left < WARN_LEFT_MS {
            let days = left / DAY_MS;
            tracing::warn!(
                error,
                "the certificate could not be renewed and expires on {until}, in {days} days"
            );
        } else {
            tracing::info!(
                error,
                "the certificate could not be renewed yet; it is good until {until}"
            );
        }
    }

    fn show(&self, renewal_fails: Option<String>) {
        let identity = self.current.get();
        self.board.certificate(CertificateStatus {
            not_after_ms: identity.not_after_ms(),
            renew_at_ms: identity.renew_at_ms(),
            renewal_fails,
        });
    }
}

/// A moment for people: `2026-11-23T06:45:00Z`.
fn date(ms: i64) -> String {
    jiff::Timestamp::from_millisecond(ms).map_or_else(|_| format!("{ms} ms"), |t| t.to_string())
}

#[cfg(test)]
mod tests;
