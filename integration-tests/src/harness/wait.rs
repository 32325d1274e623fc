//! Waiting for something to become true, with a bound and a failure that says what did not happen.

use std::time::{Duration, Instant};

use anyhow::bail;

/// How often a condition is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Looks at `cond` until it is true. Fails after `timeout`, naming `what` and what `cond` said last.
pub async fn wait_until(
    what: &str,
    timeout: Duration,
    mut cond: impl FnMut() -> Result<(), String>,
) -> anyhow::Result<()> {
    wait_until_async(what, timeout, || std::future::ready(cond())).await
}

/// As [`wait_until`], for a condition that has to ask someone.
pub async fn wait_until_async<F>(
    what: &str,
    timeout: Duration,
    mut cond: impl FnMut() -> F,
) -> anyhow::Result<()>
where
    F: Future<Output = Result<(), String>>,
{
    let end = Instant::now() + timeout;
    loop {
        let Err(why) = cond().await else { return Ok(()) };
        if Instant::now() >= end {
            bail!("not within {:.0} s: {what}: {why}", timeout.as_secs_f64());
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}
