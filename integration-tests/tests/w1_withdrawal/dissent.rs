//! A patient's word by handfastctl, at the source and at the recipient, with the recipient there or away.

use anyhow::{Context as _, ensure};
use handfast_integration_tests::harness::Records;
use serde_json::Value;

use crate::scene::{IN, OUT, Scene, observation};

/// The newest withdrawal in part is confirmed, nothing is open, and so many records were removed.
fn withdrawn_in_part(agreement: &Value, removed: u64) -> bool {
    let partial = &agreement["partial"];
    partial["open"] == 0
        && partial["last"]["state"] == "confirmed"
        && partial["last"]["removed"] == removed
        && partial["not_removed"] == 0
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn w1_a_dissent_withdraws_that_patient_alone_and_a_yes_brings_them_back() -> anyhow::Result<()> {
    for (place, side) in [(OUT, "--share-out"), (IN, "--share-in")] {
        let mut scene = Scene::filled(3).await?;
        let no = scene.said(place, 1, &[side, "no"]).await?;
        let receipts = no["receipts"].as_array().context("receipts")?;
        ensure!(
            receipts.iter().all(|r| r["receipt"]["connection_cut"] == false),
            "{no}"
        );
        scene.shows(&scene.all_but(1)?).await?;
        scene
            .both_see("the removal of four records is confirmed", |a| {
                withdrawn_in_part(a, 4) && !a["grant"].is_null() && a["withdrawal"].is_null()
            })
            .await?;

        // What is amended meanwhile stays away, and what comes back is as it is by then.
        scene
            .write(vec![observation(1, 0, 7), observation(0, 0, 7)])
            .await?;
        scene.shows(&scene.all_but(1)?).await?;
        scene.said(place, 1, &[side, "yes"]).await?;
        scene.shows(&scene.all()?).await?;
        // Of a job that removed nothing, nothing stays.
        scene
            .both_see("nothing is open", |a| withdrawn_in_part(a, 4))
            .await?;
        scene.town.deployment.finished();
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn w1_a_recipient_that_was_offline_removes_when_it_returns() -> anyhow::Result<()> {
    let mut scene = Scene::filled(4).await?;
    let agent = |scene: &Scene| -> anyhow::Result<()> {
        scene.town.house(IN)?.agent.kill();
        Ok(())
    };
    agent(&scene)?;
    scene.said(OUT, 1, &["--share-out", "no"]).await?;
    scene
        .write(vec![observation(0, 0, 7), observation(1, 0, 7)])
        .await?;
    scene
        .both_see("a withdrawal in part is under way", |a| a["partial"]["open"] == 1)
        .await?;
    scene.town.deployment.restart().await?;
    scene.said(IN, 2, &["--share-in", "no"]).await?;
    scene
        .both_see("two of them are", |a| a["partial"]["open"] == 2)
        .await?;
    ensure!(scene.shown()?.len() == 16, "it was not away");
    scene.town.house(IN)?.agent.run()?;
    scene.shows(&scene.only(|k, _| k != 1 && k != 2)?).await?;
    scene
        .both_see("both are confirmed", |a| withdrawn_in_part(a, 4))
        .await?;

    // A half is turned off while it is away, and the daemon is killed before it is told.
    agent(&scene)?;
    scene.half(OUT, &["off", "--wait", "0"]).await?;
    scene
        .both_see("it is pending", |a| a["withdrawal"]["state"] == "pending")
        .await?;
    scene.town.deployment.restart().await?;
    ensure!(scene.shown()?.len() == 8, "it was not away");
    scene.town.house(IN)?.agent.run()?;
    scene.shows(&Records::new()).await?;
    scene
        .both_see("it is confirmed", |a| {
            let w = &a["withdrawal"];
            w["state"] == "confirmed" && w["removed"] == 8 && a["grant"].is_null()
        })
        .await?;
    scene.half(OUT, &["on"]).await?;
    scene.shows(&scene.only(|k, _| k != 1 && k != 2)?).await?;
    scene.town.deployment.finished();
    Ok(())
}
