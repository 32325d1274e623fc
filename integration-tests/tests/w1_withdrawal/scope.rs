//! Scopes that become narrower and wider: by category, and by caseload.

use anyhow::ensure;
use handfast_integration_tests::harness::{nhs_number, observation_line, patient_line};
use serde_json::{Value, json};

use crate::scene::{IN, OUT, Scene, observation};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn w1_a_narrower_scope_withdraws_just_that() -> anyhow::Result<()> {
    let mut scene = Scene::filled(3).await?;
    let grant = scene.agreement(OUT).await?["grant"].clone();
    let answer = scene
        .half(OUT, &["on", "--categories", "observations,allergies"])
        .await?;
    ensure!(answer["agreement"]["grant"] == grant, "another grant: {answer}");
    scene.shows(&scene.only(|_, kind| kind != "Patient")?).await?;
    scene
        .both_see("the removal of three records is confirmed", |a| {
            a["partial"]["open"] == 0 && a["partial"]["last"]["removed"] == 3
        })
        .await?;
    // The recipient's half narrows what is left, and what is amended meanwhile stays within both.
    scene.half(IN, &["on", "--categories", "observations"]).await?;
    scene.write(vec![observation(0, 0, 7)]).await?;
    scene.shows(&scene.only(|_, kind| kind == "Observation")?).await?;
    // Wider again catches up just what is new to it.
    scene.half(IN, &["on", "--categories", "all"]).await?;
    scene.shows(&scene.only(|_, kind| kind != "Patient")?).await?;
    scene.half(OUT, &["on", "--categories", "all"]).await?;
    scene.shows(&scene.all()?).await?;
    ensure!(
        scene.times("withdraw", "Observation/o2-0")? == 0 && scene.times("create", "Observation/o2-0")? == 1,
        "an observation went and came, which was in scope throughout"
    );
    scene.town.deployment.finished();
    Ok(())
}

/// What the recipient itself recorded of a patient, under an id of its own.
fn own(id: &str, patient: u64) -> anyhow::Result<Vec<String>> {
    Ok(vec![
        patient_line(id, nhs_number(patient)?, "Own"),
        observation_line(&format!("{id}-0"), id, 99),
    ])
}

/// The same, deleted.
fn deleted(id: &str) -> String {
    let delete = |url: String| json!({"request": {"method": "DELETE", "url": url}});
    let entries = [
        delete(format!("Observation/{id}-0")),
        delete(format!("Patient/{id}")),
    ];
    json!({"resourceType": "Bundle", "type": "transaction", "entry": entries}).to_string()
}

fn on_caseload(answer: &Value, changed: u64) -> anyhow::Result<()> {
    ensure!(answer["changed"] == changed, "{answer}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn w1_a_caseload_that_changes_withdraws_just_that() -> anyhow::Result<()> {
    let mut scene = Scene::filled(3).await?;
    scene.drop_lines(IN, "own.ndjson", &own("mine", 0)?).await?;
    scene
        .status(IN, "the daemon has it", |s| s["uplink"]["acked_seq"] == 2)
        .await?;
    scene.half(OUT, &["on", "--patients", "caseload"]).await?;
    scene.shows(&scene.only(|k, _| k == 0)?).await?;
    // A patient is claimed, and let go.
    let add = [
        "caseload",
        "add",
        "--patient-file",
        "-",
        "--reason",
        "admitted today",
    ];
    on_caseload(&scene.about(IN, 1, &add).await?, 1)?;
    scene
        .write(vec![observation(1, 0, 7), observation(2, 0, 7)])
        .await?;
    scene.shows(&scene.only(|k, _| k != 2)?).await?;
    let remove = ["caseload", "remove", "--patient-file", "-"];
    on_caseload(&scene.about(IN, 1, &remove).await?, 1)?;
    scene.shows(&scene.only(|k, _| k == 0)?).await?;
    // The recipient deletes what it recorded, and records something of another.
    scene.drop_lines(IN, "error.json", &[deleted("mine")]).await?;
    scene.shows(&scene.only(|_, _| false)?).await?;
    scene.drop_lines(IN, "other.ndjson", &own("other", 2)?).await?;
    scene.shows(&scene.only(|k, _| k == 2)?).await?;
    scene
        .both_see("nothing is open", |a| a["partial"]["open"] == 0)
        .await?;
    scene.half(OUT, &["on", "--patients", "all"]).await?;
    scene.shows(&scene.all()?).await?;
    scene.town.deployment.finished();
    Ok(())
}
