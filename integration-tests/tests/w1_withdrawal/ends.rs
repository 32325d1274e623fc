//! Halves that end with a day: the daemon's clock is put forward beyond its midnight.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use handfast_integration_tests::harness::{Deployment, Records, now_millis};
use jiff::{Timestamp, ToSpan as _, civil::Date, tz::TimeZone};

use crate::scene::{IN, OUT, Scene, observation};

const DAY: Duration = Duration::from_secs(24 * 3600);

/// A day that is not over for a minute at least, and how long it is until it is.
fn a_day() -> anyhow::Result<(Date, Duration)> {
    let now = Timestamp::from_millisecond(now_millis())?;
    let day = now.checked_add(1.minute())?.to_zoned(TimeZone::UTC).date();
    let over = day.tomorrow()?.to_zoned(TimeZone::UTC)?.timestamp();
    Ok((day, Duration::try_from(over.duration_since(now))?))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn w1_an_end_date_ends_by_itself() -> anyhow::Result<()> {
    let deployment = Deployment::made(&["--zone", "UTC"]).await?;
    deployment.kill();
    deployment.serve_by_own_clock().await?;
    let mut scene = Scene::over(deployment, 2).await?;
    let (day, left) = a_day()?;
    let set = scene.half(OUT, &["on", "--ends-on", &day.to_string()]).await?;
    ensure!(set["agreement"]["grant"].is_number(), "{set}");
    scene.write(vec![observation(0, 0, 2)]).await?;
    scene.shows(&scene.all()?).await?;

    let second = Duration::from_secs(1);
    scene.town.deployment.put_forward(left + second)?;
    scene.shows(&Records::new()).await?;
    scene
        .both_see("it ended by itself, and its withdrawal is confirmed", |a| {
            a["grant"].is_null()
                && a["share_out"]["on"] == true
                && a["withdrawal"]["state"] == "confirmed"
                && a["withdrawal"]["removed"] == 8
        })
        .await?;

    // The other half, and the recipient is away when its day is over.
    scene.half(OUT, &["on", "--ends-on", "never"]).await?;
    let next = day.tomorrow()?.to_string();
    scene.half(IN, &["on", "--ends-on", &next]).await?;
    scene.write(vec![observation(0, 0, 3)]).await?;
    scene.shows(&scene.all()?).await?;
    scene.town.house(IN)?.agent.kill();
    scene.town.deployment.put_forward(left + second + DAY)?;
    scene
        .both_see("it ended, and its withdrawal is pending", |a| {
            a["grant"].is_null() && a["withdrawal"]["state"] == "pending"
        })
        .await?;
    let agreement = scene.agreement(IN).await?;
    let notice = agreement["notices"].get(0).context("a notice")?;
    ensure!(notice["kind"] == "ended" && notice["day"] == next, "{agreement}");
    scene.town.house(IN)?.agent.run()?;
    scene.shows(&Records::new()).await?;
    scene.town.deployment.finished();
    Ok(())
}
