//! Halves that end with a day: the daemon's clock is put forward beyond its midnight.

use std::{path::Path, time::Duration};

use anyhow::{Context as _, ensure};
use handfast_integration_tests::harness::{Deployment, Records, nhs_number, now_millis};
use jiff::{Timestamp, ToSpan as _, civil::Date, tz::TimeZone};

use serde_json::Value;

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

/// What a privacy officer of the source is told by a command on the audit log.
async fn audit(scene: &Scene, officer: &Path, args: &[&str]) -> anyhow::Result<Value> {
    let all = [&["audit"], args, &["--reason", "asked"]].concat();
    scene.town.deployment.ctl(officer, &all).await?.ok()?.json()
}

/// The kinds of entries that say something of a version of one of a patient's records.
async fn said_of(scene: &Scene, officer: &Path, patient: u64, seq: u64) -> anyhow::Result<Vec<String>> {
    let number = nhs_number(patient)?.reveal();
    let pair = ["explain", "--from", "Z00001", "--to", "Z00002"];
    let told = audit(scene, officer, &[&pair[..], &["--patient", &number]].concat()).await?;
    let records = told["records"].as_array().context("records")?;
    let events = records.iter().filter_map(|record| record["events"].as_array());
    let of_version = events.flatten().filter(|event| event["seq"] == seq);
    Ok(of_version
        .filter_map(|event| event["kind"].as_str())
        .map(str::to_owned)
        .collect())
}

/// A day that is over since the last full hour, the zone in which it is, and how long it is over.
fn a_day_that_is_over() -> anyhow::Result<(Date, String, Duration)> {
    let now = Timestamp::from_millisecond(now_millis())?.to_zoned(TimeZone::UTC);
    let hour = now.hour();
    // Those of Etc are named by how far they are behind.
    let (zone, ahead) = if hour <= 12 {
        (format!("Etc/GMT+{hour}"), -hour)
    } else {
        (format!("Etc/GMT-{}", 24 - hour), 24 - hour)
    };
    let over = Duration::from_secs(u64::try_from(now.minute())? * 60 + u64::try_from(now.second())?);
    let today = now.checked_add(ahead.hours())?.date();
    Ok((today.yesterday()?, zone, over))
}

/// How long before its end a day is when the daemon begins: everything is made ready within it.
const BEFORE_THE_END: Duration = Duration::from_secs(15 * 60);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn w1_an_end_date_that_passes_while_the_daemon_is_down_holds_from_its_start() -> anyhow::Result<()> {
    let (day, zone, over) = a_day_that_is_over()?;
    // The day ends by the machine's clock, which the daemon begins behind.
    let deployment = Deployment::made_in_the_past(&["--zone", &zone], over + BEFORE_THE_END).await?;
    let mut scene = Scene::over(deployment, 2).await?;
    let source = &scene.town.house(OUT)?.unit;
    let hired = scene.town.deployment.hire(source, "privacy-officer", "Officer");
    let (_, officer) = hired.await?;
    let set = scene.half(OUT, &["on", "--ends-on", &day.to_string()]).await?;
    ensure!(set["agreement"]["grant"].is_number(), "{set}");

    // One amendment is due for the recipient when the daemon is killed; another waits for the daemon.
    scene.town.house(IN)?.agent.kill();
    scene.write(vec![observation(0, 0, 7)]).await?;
    scene
        .status(OUT, "the daemon has it", |status| {
            status["uplink"]["acked_seq"] == 9
        })
        .await?;
    scene.town.deployment.kill();
    scene.write(vec![observation(1, 0, 7)]).await?;
    scene.town.house(IN)?.agent.run()?;
    scene.town.deployment.serve().await?;

    scene.shows(&Records::new()).await?;
    scene
        .both_see("it ended, and its withdrawal is confirmed", |a| {
            a["grant"].is_null()
                && a["share_out"]["on"] == true
                && a["withdrawal"]["state"] == "confirmed"
                && a["withdrawal"]["removed"] == 8
        })
        .await?;
    scene
        .status(OUT, "the daemon has the other too", |status| {
            status["uplink"]["acked_seq"] == 10
        })
        .await?;
    for record in ["Observation/o0-0", "Observation/o1-0"] {
        let (shown, withdrawn) = (scene.times("amend", record)?, scene.times("withdraw", record)?);
        ensure!((shown, withdrawn) == (0, 1), "{record}: {shown}, {withdrawn}");
    }
    // What was due may have gone before the kill, as far as the daemon knows; nothing says that it was received.
    let said = [
        said_of(&scene, &officer, 0, 9).await?,
        said_of(&scene, &officer, 1, 10).await?,
    ];
    let disclosed = |said: &[String]| said.iter().any(|kind| kind == "disclosed");
    ensure!(!said.iter().any(|of_version| disclosed(of_version)), "{said:?}");
    let ended = audit(&scene, &officer, &["search", "--kind", "grant-ended"]).await?;
    let entries = ended["entries"].as_array().context("entries")?;
    ensure!(entries.len() == 1 && entries[0]["by"] == "the daemon", "{ended}");
    scene.town.deployment.finished();
    Ok(())
}
