//! Patients' words and caseloads, and what a suspension shows.

use anyhow::{Context as _, ensure};
use handfast_integration_tests::harness::nhs_number;
use handfast_proto::ids::NhsNumber;
use serde_json::{Value, json};

use crate::scene::{Scene, is};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_patients_said_is_recorded_shown_and_listed_by_their_own_unit() -> anyhow::Result<()> {
    let scene = Scene::new().await?;
    let numbers: Vec<String> = (0..120)
        .map(|k| nhs_number(k).map(NhsNumber::reveal))
        .collect::<Result<_, _>>()?;
    let one = numbers.first().context("a number")?;
    let set = [
        "patient",
        "consent",
        "set",
        "--unit",
        "Z00001",
        "--patient-file",
        "-",
    ];
    let no = [
        &set[..],
        &[
            "--share-out",
            "no",
            "--manner",
            "written",
            "--taken-by",
            "Reception",
        ],
    ]
    .concat();
    let said = scene.run_with(&scene.clinician, 0, &no, one).await?;
    is(&said, "/in_force", &json!("yes"))?;
    is(&said, "/words/0/now", &json!("no"))?;
    let show = ["patient", "consent", "show", "--patient", one];
    let shown = scene.run(&scene.officer, 0, &show).await?;
    is(&shown, "/words/0/word", &json!("no"))?;
    is(&shown, "/words/0/manner", &json!("written"))?;
    // What was said earlier is history, whenever it is recorded.
    let late = [&set[..], &["--share-out", "yes", "--said-on", "2020-02-29"]].concat();
    is(
        &scene.run_with(&scene.clinician, 0, &late, one).await?,
        "/words/0/now",
        &json!("no"),
    )?;
    let many = [&set[..], &["--both", "yes"]].concat();
    let many = scene
        .run_with(&scene.clinician, 0, &many, &numbers.join("\n"))
        .await?;
    is(&many, "/patients", &json!(120))?;
    let listed = scene
        .run(&scene.officer, 0, &["patient", "consent", "list"])
        .await?;
    ensure!(
        listed["words"].as_array().is_some_and(|w| w.len() == 240),
        "{}",
        listed["words"]
    );
    // Nobody else.
    scene
        .run(&scene.clinician, 3, &["patient", "consent", "list"])
        .await?;
    scene
        .run(&scene.foreign, 3, &[&show[..], &["--unit", "Z00001"]].concat())
        .await?;
    is(&scene.run(&scene.foreign, 0, &show).await?, "/words", &json!([]))?;
    scene.run(&scene.rig.deployment.operator(), 3, &show).await?;
    let wrong = format!("{}\n{}", one, one.replacen('9', "8", 1));
    let refused = scene.run_with(&scene.clinician, 2, &no, &wrong).await?;
    ensure!(refused.to_string().contains("line 2"), "{refused}");
    scene.finished()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_patient_who_objects_everywhere_is_recorded_at_every_unit() -> anyhow::Result<()> {
    let scene = Scene::new().await?;
    let one = &nhs_number(0)?.reveal();
    let show = ["patient", "consent", "show", "--patient", one];
    let all = [
        "patient",
        "consent",
        "set",
        "--all-units",
        "--patient-file",
        "-",
        "--both",
        "no",
    ];
    scene.run_with(&scene.clinician, 3, &all, one).await?;
    let everywhere = scene.run_with(&scene.officer, 0, &all, one).await?;
    is(&everywhere, "/units", &json!(2))?;
    let shown = scene.run(&scene.foreign, 0, &show).await?;
    is(&shown, "/words/0/word", &json!("no"))?;
    is(&shown, "/words/0/recorded_by", &Value::Null)?;
    scene.finished()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caseload_is_added_to_by_name_and_a_suspension_shows() -> anyhow::Result<()> {
    let scene = Scene::new().await?;
    let numbers: Vec<String> = (0..130)
        .map(|k| nhs_number(k).map(NhsNumber::reveal))
        .collect::<Result<_, _>>()?;
    let file = scene.rig.deployment.dir().join("ward.txt");
    std::fs::write(&file, numbers.join("\n"))?;
    let file = file.to_string_lossy().into_owned();
    let add = ["caseload", "add", "--file", &file, "--reason", "admitted"];
    let added = scene.run(&scene.clinician, 0, &add).await?;
    is(&added, "/changed", &json!(130))?;
    is(&added, "/privacy_officers_alerted", &json!(1))?;
    is(
        &scene.run(&scene.clinician, 0, &add).await?,
        "/unchanged",
        &json!(130),
    )?;
    let listed = scene.run(&scene.officer, 0, &["caseload", "list"]).await?;
    ensure!(
        listed["patients"].as_array().is_some_and(|p| p.len() == 130),
        "{}",
        listed["patients"]
    );
    let remove = ["caseload", "remove", "--file", &file];
    is(
        &scene.run(&scene.clinician, 0, &remove).await?,
        "/changed",
        &json!(130),
    )?;
    // Two hundred within an hour, and not one more.
    let again = scene.run(&scene.clinician, 1, &add).await?;
    ensure!(
        again.to_string().contains("at most 200 patients within an hour"),
        "{again}"
    );

    scene.rig.join(0, 1).await?;
    scene
        .rig
        .deployment
        .operate(&["unit", "suspend", "Z00001", "--reason", "moving"])
        .await?;
    let stale = scene.run(&scene.admin(1)?, 0, &["agreement", "list"]).await?;
    is(&stale, "/agreements/0/stale", &json!(true))?;
    let status = scene.rig.deployment.operate(&["status"]).await?.json()?;
    is(&status, "/pairs/0/stale", &json!(true))?;
    let withdraw = ["unit", "suspend", "Z00001", "--reason", "moving", "--withdraw"];
    is(
        &scene.rig.deployment.operate(&withdraw).await?.json()?,
        "/in_force",
        &json!("yes"),
    )?;
    let gone = scene.run(&scene.admin(1)?, 0, &["agreement", "list"]).await?;
    is(&gone, "/agreements/0/share_out/on", &json!(true))?;
    is(&gone, "/agreements/0/grant", &Value::Null)?;
    is(&gone, "/agreements/0/withdrawal/state", &json!("pending"))?;
    scene.finished()
}
