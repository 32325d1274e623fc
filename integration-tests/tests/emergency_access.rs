//! Emergency access over real processes: a recipient that shares nothing in opens one patient's records, and
//! they go again.
//!
//! Detects: an access that carries other patients, private entries, or what its patient refused to share at the
//! source; one that does not end at its time, leaves records behind, or forgets its end over a SIGKILL; one
//! without a privacy officer, or reviewed by the person whose it was.

use std::{path::Path, time::Duration};

use anyhow::{Context as _, ensure};
use handfast_integration_tests::harness::{
    Records, Reply, Ward, now_millis, observation_line, wait_until_async,
};
use serde_json::Value;

/// How long what needs no waiting may take on a busy machine.
const SOON: Duration = Duration::from_secs(30);
/// Patients of the source.
const PATIENTS: u64 = 4;

async fn ward() -> anyhow::Result<Ward> {
    let mut ward = Ward::with_options(&[]).await?;
    ward.fill(PATIENTS).await?;
    Ok(ward)
}

async fn alerts(ward: &Ward, profile: &Path) -> anyhow::Result<Vec<Value>> {
    let args = ["alerts", "list", "--open"];
    let list = ward.town.deployment.ctl(profile, &args).await?.ok()?.json()?;
    list["alerts"].as_array().cloned().context("a list of alerts")
}

fn refused(reply: &Reply, why: &str) -> anyhow::Result<()> {
    ensure!(
        reply.code == 3,
        "exit code {}, not 3: {}",
        reply.code,
        reply.stderr
    );
    ensure!(
        reply.stderr.contains(why),
        "it does not say {why:?}: {}",
        reply.stderr
    );
    Ok(())
}

/// Milliseconds of an RFC 3339 moment in JSON.
fn millis(moment: &Value) -> anyhow::Result<i64> {
    let text = moment.as_str().context("a moment")?;
    Ok(text
        .parse::<jiff::Timestamp>()
        .context("a moment")?
        .as_millisecond())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_patients_records_come_and_go() -> anyhow::Result<()> {
    let mut ward = ward().await?;
    let reply = ward
        .request(&ward.clinician, 1, &["--from", "Z00001", "--for", "12s"])
        .await?;
    let id = Ward::opened(&reply)?;
    ensure!(
        !reply.command.contains("999"),
        "the number stands in the command: {}",
        reply.command
    );
    ward.holds(&ward.shareable(1)?, SOON).await?;

    // What is recorded meanwhile comes too; another patient's does not.
    let later = (0..PATIENTS).map(|k| observation_line(&format!("o{k}-late"), &format!("p{k}"), 9));
    ward.town.house_mut(0)?.write_lines(later.collect())?;
    ward.holds(&ward.shareable(1)?, SOON).await?;

    let source = ward.over(id, SOON).await?;
    ward.holds(&Records::new(), SOON).await?;
    ensure!(source["withdrawal"]["removed"] == 4, "{source}");
    let (until, ended) = (millis(&source["until"])?, millis(&source["ended_at"])?);
    ensure!(
        (0..5_000).contains(&(ended - until)),
        "it was to end at {until} and ended at {ended}"
    );

    // The alert stays open until it is reviewed, and not by whose it was.
    for profile in [&ward.officer, &ward.source_officer] {
        let open = alerts(&ward, profile).await?;
        ensure!(open.len() == 1 && open[0]["detail"]["access"] == id, "{open:?}");
    }
    let review = [
        "emergency",
        "review",
        &id.to_string(),
        "--justified",
        "--note",
        "He was",
    ];
    let own = ward.town.deployment.ctl(&ward.clinician, &review).await?;
    refused(&own, "may not do this")?;
    ward.town
        .deployment
        .ctl(&ward.source_officer, &review)
        .await?
        .ok()?;
    for profile in [&ward.officer, &ward.source_officer] {
        ensure!(alerts(&ward, profile).await?.is_empty(), "it is still open");
    }
    ward.town.deployment.finished();
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_access_ends_at_its_time_across_a_kill() -> anyhow::Result<()> {
    for up_again_in_time in [true, false] {
        let ward = ward().await?;
        let id = Ward::opened(&ward.request(&ward.clinician, 0, &["--for", "10s"]).await?)?;
        ward.holds(&ward.shareable(0)?, SOON).await?;
        let until = millis(&ward.access(&ward.officer, id).await?["until"])?;
        ward.town.deployment.kill();
        if !up_again_in_time {
            wait_until_async("the access's time is over", SOON, || async {
                if now_millis() > until {
                    Ok(())
                } else {
                    Err("not yet".to_owned())
                }
            })
            .await?;
        }
        ward.town.deployment.serve().await?;
        let source = ward.over(id, SOON).await?;
        ward.holds(&Records::new(), SOON).await?;
        let ended = millis(&source["ended_at"])?;
        ensure!(ended >= until, "it was to end at {until} and ended at {ended}");
        if up_again_in_time {
            ensure!(
                ended - until < 5_000,
                "it was to end at {until} and ended at {ended}"
            );
        }
        ward.town.deployment.finished();
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dissent_at_the_source_stands_and_does_not_show() -> anyhow::Result<()> {
    let ward = ward().await?;
    let patient = Ward::numbers(PATIENTS)?[2].reveal();
    let no = [
        "patient",
        "consent",
        "set",
        "--unit",
        "Z00001",
        "--patient",
        &patient,
        "--share-out",
        "no",
    ];
    let admin = &ward.town.house(0)?.unit.admin_profile;
    ward.town.deployment.ctl(admin, &no).await?.ok()?;
    let refuses = ward.request(&ward.clinician, 2, &[]).await?;
    let allows = ward.request(&ward.clinician, 3, &[]).await?;
    let (refuses, allows) = (Ward::opened(&refuses)?, Ward::opened(&allows)?);
    ward.holds(&ward.shareable(3)?, SOON).await?;
    let shown = async |id| -> anyhow::Result<Value> {
        let mut access = ward.access(&ward.clinician, id).await?;
        for key in ["id", "patient", "at", "until"] {
            access[key] = Value::Null;
        }
        for key in ["grant", "until"] {
            access["sources"][0][key] = Value::Null;
        }
        Ok(access)
    };
    ensure!(
        shown(refuses).await? == shown(allows).await?,
        "the clinician sees a difference"
    );
    let end = ["emergency", "end", &refuses.to_string()];
    ward.town.deployment.ctl(&ward.clinician, &end).await?.ok()?;
    let source = ward.over(refuses, SOON).await?;
    ensure!(
        source["withdrawal"]["removed"] == 0,
        "something of it had come: {source}"
    );
    ward.holds(&ward.shareable(3)?, SOON).await?;
    ward.town.deployment.finished();
    Ok(())
}

/// The id of the first person of a list with a role.
fn person<'p>(listed: &'p Value, role: &str) -> anyhow::Result<&'p str> {
    let people = listed["people"].as_array().context("a list of people")?;
    let found = people.iter().find(|person| person["role"] == role);
    let id = found.and_then(|person| person["id"].as_str());
    id.with_context(|| format!("a person who is {role}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_section_3_does_not_allow_is_refused() -> anyhow::Result<()> {
    let ward = ward().await?;
    let none = ward.request(&ward.clinician, 0, &["--from", "Z00009"]).await?;
    refused(&none, "shares out towards yours")?;
    for profile in [
        &ward.officer,
        &ward.source_officer,
        &ward.town.deployment.operator(),
    ] {
        refused(&ward.request(profile, 0, &[]).await?, "may not do this")?;
    }
    let long = ward.request(&ward.clinician, 0, &["--for", "25h"]).await?;
    ensure!(long.code == 2, "exit code {}: {}", long.code, long.stderr);
    let pair = ward
        .request(&ward.clinician, 0, &["--type", "access", "--reason", "other"])
        .await?;
    ensure!(
        pair.code == 2 && pair.stderr.contains("self-claimed"),
        "{}",
        pair.stderr
    );

    // Without a privacy officer of the recipient there is no access.
    let admin = &ward.town.house(1)?.unit.admin_profile;
    let people = ward
        .town
        .deployment
        .ctl(admin, &["person", "list"])
        .await?
        .ok()?
        .json()?;
    let officer = person(&people, "privacy-officer")?;
    ward.town
        .deployment
        .ctl(admin, &["person", "revoke", officer])
        .await?
        .ok()?;
    refused(
        &ward.request(&ward.clinician, 0, &[]).await?,
        "no privacy officer",
    )?;

    // A clinician who becomes one still does not review their own.
    let clinician = person(&people, "clinician")?;
    let unit = &ward.town.house(1)?.unit;
    ward.town
        .deployment
        .hire(unit, "privacy-officer", "Second")
        .await?;
    let id = Ward::opened(&ward.request(&ward.clinician, 0, &[]).await?)?;
    ward.town
        .deployment
        .ctl(admin, &["person", "role", clinician, "privacy-officer"])
        .await?
        .ok()?;
    let review = [
        "emergency",
        "review",
        &id.to_string(),
        "--justified",
        "--note",
        "I was right",
    ];
    refused(
        &ward.town.deployment.ctl(&ward.clinician, &review).await?,
        "nobody reviews",
    )?;
    ward.town.deployment.finished();
    Ok(())
}
