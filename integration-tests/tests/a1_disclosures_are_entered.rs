//! A1: what was handed over is entered with the cursor that records its receipt, what was withheld with its reason,
//! what was removed when it was; and what a daemon that was killed may have handed over is entered as that.
//!
//! Detects, each seen with that taken out: a hand-over that is not entered; one entered for a record that was
//! withheld; what was withheld left out, live and in a catch-up; a withdrawal that leaves no trace; a kill that leaves
//! no doubt behind.

use std::{path::Path, time::Duration};

use anyhow::{Context as _, ensure};
use handfast_integration_tests::harness::{Ward, nhs_number, wait_until_async};
use handfast_proto::v1::Side;
use serde_json::Value;

const SOON: Duration = Duration::from_secs(60);

/// What an officer is told of a patient's records.
async fn explained(ward: &Ward, officer: &Path, patient: u64) -> anyhow::Result<Vec<Value>> {
    let number = nhs_number(patient)?.reveal();
    let args = [
        "audit",
        "explain",
        "--from",
        "Z00001",
        "--to",
        "Z00002",
        "--reason",
        "asked",
        "--patient",
        &number,
    ];
    let told = ward.town.deployment.ctl(officer, &args).await?.ok()?.json()?;
    Ok(told["records"].as_array().context("records")?.clone())
}

/// The standing of a record, and the kinds of what happened to it.
fn of<'r>(records: &'r [Value], name: &str) -> Option<(&'r str, Vec<&'r str>)> {
    let record = records.iter().find(|record| record["record"] == name)?;
    let events = record["events"].as_array()?;
    let kinds = events.iter().filter_map(|event| event["kind"].as_str()).collect();
    Some((record["standing"].as_str()?, kinds))
}

/// Waits until a record stands so for an officer.
async fn stands(
    ward: &Ward,
    officer: &Path,
    patient: u64,
    name: &str,
    want: &str,
    kind: &str,
) -> anyhow::Result<()> {
    let what = format!("{name} stands as {want} after {kind}");
    wait_until_async(&what, SOON, || async {
        let records = explained(ward, officer, patient)
            .await
            .map_err(|e| format!("{e:#}"))?;
        match of(&records, name) {
            Some((standing, kinds)) if standing == want && kinds.contains(&kind) => Ok(()),
            found => Err(format!("{found:?}")),
        }
    })
    .await
}

/// How far the source's log goes at the daemon.
async fn head(ward: &Ward) -> anyhow::Result<u64> {
    let deployment = &ward.town.deployment;
    let status = deployment
        .ctl(&deployment.operator(), &["status"])
        .await?
        .ok()?
        .json()?;
    let units = status["units"].as_array().context("units")?;
    let source = units
        .iter()
        .find(|unit| unit["ods"] == "Z00001")
        .context("the source")?;
    source["head_seq"]
        .as_u64()
        .with_context(|| format!("a head in {source}"))
}

async fn a_ward_that_shares() -> anyhow::Result<Ward> {
    let mut ward = Ward::with_options(&[]).await?;
    ward.town.turn(Side::ShareIn, 0, 1, true).await?;
    ward.fill(2).await?;
    let mut all = ward.shareable(0)?;
    all.extend(ward.shareable(1)?);
    ward.holds(&all, SOON).await?;
    Ok(ward)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a1_what_was_forwarded_withheld_and_withdrawn_is_explained() -> anyhow::Result<()> {
    let ward = a_ward_that_shares().await?;
    let (source, recipient) = (&ward.source_officer, &ward.officer);
    for officer in [source, recipient] {
        stands(&ward, officer, 0, "Observation/o0-0", "forwarded", "disclosed").await?;
    }
    stands(&ward, source, 0, "Observation/o0-2", "withheld", "withheld").await?;
    let received = explained(&ward, recipient, 0).await?;
    ensure!(
        of(&received, "Observation/o0-2").is_none(),
        "the recipient is told of what was withheld: {received:?}"
    );

    ward.town.turn(Side::ShareOut, 0, 1, false).await?;
    for officer in [source, recipient] {
        stands(&ward, officer, 0, "Observation/o0-0", "withdrawn", "withdrawal").await?;
    }
    ward.town.deployment.finished();
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a1_what_a_catch_up_leaves_out_is_explained() -> anyhow::Result<()> {
    let mut ward = Ward::with_options(&[]).await?;
    ward.fill(2).await?;
    let number = nhs_number(1)?.reveal();
    let args = [
        "patient",
        "consent",
        "set",
        "--share-out",
        "no",
        "--patient",
        &number,
    ];
    let admin = &ward.town.house(0)?.unit.admin_profile;
    ward.town.deployment.ctl(admin, &args).await?.ok()?;
    // Everything is there before the other hand is joined: nothing of it goes live.
    ward.town.turn(Side::ShareIn, 0, 1, true).await?;
    ward.holds(&ward.shareable(0)?, SOON).await?;
    let source = &ward.source_officer;
    stands(&ward, source, 0, "Observation/o0-0", "forwarded", "disclosed").await?;
    stands(&ward, source, 0, "Observation/o0-2", "withheld", "withheld").await?;
    // Their payloads are erased: they are found all the same.
    for name in ["Patient/p1", "Observation/o1-0"] {
        stands(&ward, source, 1, name, "withheld", "withheld").await?;
    }
    for patient in [0, 1] {
        let received = explained(&ward, &ward.officer, patient).await?;
        let withheld = of(&received, "Observation/o0-2").or(of(&received, "Observation/o1-0"));
        ensure!(
            withheld.is_none(),
            "the recipient is told of what was withheld: {received:?}"
        );
    }
    ward.town.deployment.finished();
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a1_what_a_killed_daemon_may_have_handed_over_is_entered() -> anyhow::Result<()> {
    let mut ward = a_ward_that_shares().await?;
    // Nobody gives a receipt for what is due from here on; a daemon that starts again cannot know more than that.
    ward.town.house(1)?.agent.kill();
    let before = head(&ward).await?;
    ward.fill(3).await?;
    wait_until_async("the daemon has what was written", SOON, || async {
        match head(&ward).await {
            Ok(head) if head == before + 4 => Ok(()),
            other => Err(format!("{other:?}, from {before}")),
        }
    })
    .await?;
    ward.town.deployment.restart().await?;
    let args = ["audit", "search", "--reason", "asked"];
    let found = ward
        .town
        .deployment
        .ctl(&ward.source_officer, &args)
        .await?
        .ok()?
        .json()?;
    let entries = found["entries"].as_array().context("entries")?;
    ensure!(
        entries.iter().any(|entry| entry["kind"] == "perhaps-disclosed"),
        "no doubt was entered: {found}"
    );
    // Of the new patient three records may have gone, and a private one cannot have.
    let number = nhs_number(2)?.reveal();
    let args = ["audit", "search", "--reason", "asked", "--patient", &number];
    for officer in [&ward.source_officer, &ward.officer] {
        let found = ward.town.deployment.ctl(officer, &args).await?.ok()?.json()?;
        let handed = found["handed_over"].as_array().context("what was handed over")?;
        let named = |name: &str| handed.iter().any(|one| one["record"] == name);
        ensure!(
            named("Observation/o2-0"),
            "what may have gone is missing: {found}"
        );
        ensure!(
            !named("Observation/o2-2"),
            "what was withheld is said to have perhaps gone: {found}"
        );
    }
    let received = explained(&ward, &ward.officer, 2).await?;
    ensure!(
        of(&received, "Observation/o2-0").is_some() && of(&received, "Observation/o2-2").is_none(),
        "the recipient is told of what was withheld: {received:?}"
    );
    ward.town.deployment.finished();
    Ok(())
}
