//! What is left in files of what was withdrawn: nothing.

use anyhow::ensure;
use handfast_integration_tests::harness::{Records, wait_until};
use serde_json::json;

use crate::scene::{IN, OUT, REMARK, SOON, Scene, allergy, files_with, observation, with};

/// The recipient's files in which a text stands: its agent's state, and what its output wrote.
fn at_recipient(scene: &Scene, text: &str) -> anyhow::Result<usize> {
    let agent = &scene.town.house(IN)?.agent;
    let state = files_with(&agent.state(), text)?;
    Ok(state.len() + files_with(&agent.output(), text)?.len())
}

fn at_daemon(scene: &Scene, text: &str) -> anyhow::Result<usize> {
    Ok(files_with(scene.town.deployment.state_dir(), text)?.len())
}

/// Waits until a text stands in no file of the daemon's.
async fn erased(scene: &Scene, text: &str) -> anyhow::Result<()> {
    wait_until("the daemon has erased it", SOON, || {
        match files_with(scene.town.deployment.state_dir(), text) {
            Ok(files) if files.is_empty() => Ok(()),
            Ok(files) => Err(format!("it is in {files:?}")),
            Err(error) => Err(format!("{error:#}")),
        }
    })
    .await
}

/// The text of a patient's allergy.
fn remark(patient: u64) -> String {
    format!("{REMARK} {patient}.")
}

/// Nothing of a text is at the recipient, in state, output, and what they were told.
fn nothing_is_left(scene: &Scene, text: &str) -> anyhow::Result<()> {
    let agent = &scene.town.house(IN)?.agent;
    for folder in [agent.state(), agent.output()] {
        let files = files_with(&folder, text)?;
        ensure!(files.is_empty(), "{text:?} is left in {files:?}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn w1_nothing_is_left_behind() -> anyhow::Result<()> {
    let mut scene = Scene::filled(3).await?;
    for k in 0..3 {
        let found = (at_recipient(&scene, &remark(k))?, at_daemon(&scene, &remark(k))?);
        ensure!(
            found.0 >= 2 && found.1 >= 1,
            "it is not to be found so: {found:?}"
        );
    }
    // An entry turns private.
    let label = json!({"security": [{
        "system": "http://terminology.hl7.org/CodeSystem/v3-Confidentiality", "code": "R",
    }]});
    scene
        .write(vec![with(&allergy(2), "meta", label)?, observation(0, 0, 2)])
        .await?;
    scene
        .shows(&scene.only(|k, kind| k != 2 || kind != "AllergyIntolerance")?)
        .await?;
    erased(&scene, &remark(2)).await?;
    ensure!(at_daemon(&scene, &remark(1))? >= 1, "everything was erased");

    // A patient says no at the source.
    scene.said(OUT, 1, &["--share-out", "no"]).await?;
    scene
        .both_see("the removal is confirmed", |a| {
            a["partial"]["open"] == 0 && a["partial"]["last"]["removed"] == 4
        })
        .await?;
    nothing_is_left(&scene, &remark(1))?;
    erased(&scene, &remark(1)).await?;
    // Nor is what is amended meanwhile kept; and when the no ends, the source's agent is asked for it.
    let meanwhile = with(
        &allergy(1),
        "note",
        json!([{"text": "hives, written down meanwhile"}]),
    )?;
    scene.write(vec![meanwhile, observation(0, 0, 3)]).await?;
    scene
        .shows(&scene.only(|k, kind| k == 0 || k == 2 && kind != "AllergyIntolerance")?)
        .await?;
    erased(&scene, "hives, written down meanwhile").await?;
    scene.town.deployment.restart().await?;
    scene.said(OUT, 1, &["--share-out", "yes"]).await?;
    scene
        .shows(&scene.only(|k, kind| k != 2 || kind != "AllergyIntolerance")?)
        .await?;

    // The half is turned off.
    let off = scene.half(OUT, &["off"]).await?;
    scene.shows(&Records::new()).await?;
    scene
        .both_see("it is confirmed", |a| a["withdrawal"]["state"] == "confirmed")
        .await?;
    for k in 0..3 {
        nothing_is_left(&scene, &remark(k))?;
    }
    nothing_is_left(&scene, "written down meanwhile")?;
    nothing_is_left(&scene, "Heart rate")?;
    ensure!(off["in_force"] == "yes", "{off}");
    scene.town.deployment.finished();
    Ok(())
}
