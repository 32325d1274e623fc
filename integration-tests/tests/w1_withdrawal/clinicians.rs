//! What clinicians are told where some patients' records are withheld, or still withdrawn.

use anyhow::ensure;
use handfast_integration_tests::harness::Records;
use serde_json::Value;

use crate::{
    outputs::{codes, is_told},
    scene::{IN, OUT, Scene},
};

fn reasons(page: &Value) -> Vec<&str> {
    let notices = page["notices"].as_array().into_iter().flatten();
    let reasons = notices.filter_map(|n| n["reasons"].as_array()).flatten();
    reasons.filter_map(Value::as_str).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn w1_a_patient_still_withdrawn_is_told_of_when_the_half_is_on_again() -> anyhow::Result<()> {
    let scene = Scene::filled(3).await?;
    scene.said(OUT, 1, &["--share-out", "no"]).await?;
    scene.shows(&scene.all_but(1)?).await?;
    scene.half(OUT, &["off"]).await?;
    scene.shows(&Records::new()).await?;
    scene.half(OUT, &["on"]).await?;
    scene.shows(&scene.all_but(1)?).await?;
    let caught_up = |p: &Value| p["shared"] == true && !reasons(p).contains(&"catching-up");
    let page = is_told(&scene, "the source is caught up", caught_up).await?;
    ensure!(codes(&page) == ["withdrawn"], "{page}");
    scene.said(OUT, 1, &["--share-out", "yes"]).await?;
    scene.shows(&scene.all()?).await?;
    is_told(&scene, "nothing is amiss", |p| codes(p).is_empty()).await?;
    scene.town.deployment.finished();
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn w1_clinicians_are_told_where_not_every_patient_is_sent() -> anyhow::Result<()> {
    let scene = Scene {
        town: handfast_integration_tests::harness::Town::new(2).await?,
    };
    // From the first day on, so that nothing is ever withdrawn.
    scene.half(OUT, &["on", "--explicit", "yes"]).await?;
    scene.half(IN, &["on"]).await?;
    let told = |p: &Value| p["shared"] == true && reasons(p).contains(&"not-every-patient");
    let page = is_told(&scene, "a yes is asked for", told).await?;
    ensure!(page["categories"].is_null(), "{page}");
    scene.half(OUT, &["on", "--explicit", "no"]).await?;
    is_told(&scene, "nothing is amiss", |p| codes(p).is_empty()).await?;
    scene.half(IN, &["on", "--patients", "caseload"]).await?;
    is_told(&scene, "only the caseload is sent", told).await?;
    scene.half(IN, &["on", "--patients", "all"]).await?;
    is_told(&scene, "nothing is amiss", |p| codes(p).is_empty()).await?;
    scene.town.deployment.finished();
    Ok(())
}
