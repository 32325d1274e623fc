//! Records that are not to be seen any more for what they became: private, an error, or another patient's.

use anyhow::ensure;
use handfast_integration_tests::harness::{Records, nhs_number, patient_line};
use serde_json::{Value, json};

use crate::scene::{IN, OUT, Scene, observation, with};

/// The same entry, marked as not to leave.
fn private(line: &str) -> anyhow::Result<String> {
    let label = json!({
        "system": "http://terminology.hl7.org/CodeSystem/v3-Confidentiality", "code": "R",
    });
    with(line, "meta", json!({"security": [label]}))
}

/// What may be seen: neither private nor in error.
fn open(scene: &Scene) -> anyhow::Result<Records> {
    let mut all = scene.all()?;
    all.retain(|_, value: &mut Value| value.get("meta").is_none());
    Ok(all)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn w1_a_private_turn_and_a_retraction_remove() -> anyhow::Result<()> {
    let mut scene = Scene::filled(2).await?;
    // An entry turns private, in two versions, and open again; another's next version tells that all has come.
    scene
        .write(vec![
            private(&observation(1, 0, 2))?,
            private(&observation(1, 0, 3))?,
            observation(0, 0, 2),
        ])
        .await?;
    scene.shows(&open(&scene)?).await?;
    ensure!(scene.shown()?.len() == 7, "nothing was removed");
    scene
        .write(vec![observation(1, 0, 4), observation(0, 0, 3)])
        .await?;
    scene.shows(&open(&scene)?).await?;
    ensure!(scene.shown()?.len() == 8, "it did not come back");
    // A patient is restricted: nothing of them leaves.
    let patient = patient_line("p1", nhs_number(1)?, "Synthetic");
    scene
        .write(vec![private(&patient)?, observation(0, 0, 4)])
        .await?;
    scene.shows(&scene.all_but(1)?).await?;
    scene.write(vec![patient]).await?;
    scene.shows(&open(&scene)?).await?;
    // An error is taken back.
    let error = with(&observation(1, 1, 1), "status", json!("entered-in-error"))?;
    scene.write(vec![error]).await?;
    scene.shows(&open(&scene)?).await?;
    ensure!(scene.shown()?.len() == 7, "it is still there");
    scene.town.deployment.finished();
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn w1_records_follow_their_patients_number() -> anyhow::Result<()> {
    let mut scene = Scene::filled(4).await?;
    // Someone said no at the recipient, under a number that turns out to be patient 1's.
    scene.said(IN, 7, &["--share-in", "no"]).await?;
    let moved = patient_line("p1", nhs_number(7)?, "Synthetic");
    scene.write(vec![moved, observation(0, 0, 2)]).await?;
    scene.shows(&scene.all_but(1)?).await?;
    // The no ends: the number before and the number now are one person's.
    scene.said(IN, 7, &["--share-in", "yes"]).await?;
    scene.shows(&scene.all()?).await?;

    // Patient 2 said no, and turns out to be patient 3: that holds for both.
    scene.said(OUT, 2, &["--share-out", "no"]).await?;
    scene.shows(&scene.all_but(2)?).await?;
    let merged = patient_line("p2", nhs_number(2)?, "Synthetic");
    let link = json!([{"type": "replaced-by", "other": {"reference": "Patient/p3"}}]);
    scene
        .write(vec![with(&merged, "link", link)?, observation(0, 0, 3)])
        .await?;
    scene.shows(&scene.only(|k, _| k < 2)?).await?;
    scene
        .both_see("nothing is open", |a| a["partial"]["open"] == 0)
        .await?;
    scene.said(OUT, 2, &["--share-out", "yes"]).await?;
    scene.shows(&scene.all()?).await?;
    scene.town.deployment.finished();
    Ok(())
}
