//! A patient's word at the unit that received their records, which has no Patient of its own for them; and what that
//! unit's clinical system still sends back afterwards.

use anyhow::{Context as _, ensure};
use handfast_integration_tests::harness::{FhirServer, Records, nhs_number, patient_line, wait_until};
use handfast_proto::v1::Side;
use serde_json::{Value, json};

use crate::scene::{IN, OUT, SOON, Scene, allergy, observation};

/// A Consent that denies the unit whose it is to receive.
fn denies(id: &str, patient: Value) -> String {
    let side = json!({"system": "urn:handfast:side", "code": "share-in"});
    json!({
        "resourceType": "Consent", "id": id, "status": "active", "dateTime": "2026-03-05T10:00:00Z",
        "scope": {"coding": [{"code": "patient-privacy"}]}, "patient": patient,
        "provision": {"type": "deny", "actor": [{
            "role": {"coding": [side]}, "reference": {"reference": "Organization/Z00002"},
        }]},
    })
    .to_string()
}

fn in_force(status: &Value, statements: u64) -> bool {
    let outbox = &status["outbox"];
    outbox["statements"]["in_force"] == statements && outbox["records"] == 0
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn w1_a_consent_about_somebody_only_received_takes_effect() -> anyhow::Result<()> {
    let scene = Scene::filled(4).await?;
    // By number, and by the name under which the folder shows the Patient.
    let number = nhs_number(1)?.reveal();
    let by_number = json!({"identifier": {"system": "https://fhir.nhs.uk/Id/nhs-number", "value": number}});
    scene
        .drop_lines(IN, "number.ndjson", &[denies("c1", by_number)])
        .await?;
    scene.shows(&scene.all_but(1)?).await?;
    let by_name = json!({"reference": "Patient/p2"});
    scene
        .drop_lines(IN, "name.ndjson", &[denies("c2", by_name)])
        .await?;
    scene.shows(&scene.only(|k, _| k == 0 || k == 3)?).await?;

    scene
        .status(IN, "two words are in force", |s| in_force(s, 2))
        .await?;

    // And by the id under which a server has the copy.
    let server = FhirServer::start(Records::new()).await?;
    let agent = &scene.town.house(IN)?.agent;
    agent.stop().await?;
    agent.configure(&format!(
        "[[input]]\ntype = \"directory\"\npath = \"{}\"\n\n[[output]]\ntype = \"fhir\"\nbase_url = \"{}\"\n",
        agent.input().display(),
        server.url()
    ))?;
    agent.run()?;
    let holds = |records: usize| match server.records().len() {
        n if n == records => Ok(()),
        n => Err(format!("it holds {n} records, not {records}")),
    };
    wait_until("the server holds two patients", SOON, || holds(8)).await?;
    let third = nhs_number(3)?.reveal();
    let copies = server.records();
    let copy = copies
        .iter()
        .find(|(name, text)| name.starts_with("Patient/hf-") && text.to_string().contains(&third));
    let (copy, _) = copy.context("a copy of the Patient")?;
    let by_copy = json!({"reference": copy});
    scene
        .drop_lines(IN, "copy.ndjson", &[denies("c3", by_copy)])
        .await?;
    wait_until("the server holds one patient", SOON, || holds(4)).await?;
    scene
        .status(IN, "three words are in force, and no record is its own", |s| {
            in_force(s, 3)
        })
        .await?;
    scene
        .both_see("nothing is open", |a| a["partial"]["open"] == 0)
        .await?;
    scene.town.deployment.finished();
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn w1_what_is_sent_back_after_a_withdrawal_is_not_published() -> anyhow::Result<()> {
    let scene = Scene::filled(2).await?;
    // The other way is open as well, so that what the recipient publishes would go out.
    scene.town.turn(Side::ShareOut, IN, OUT, true).await?;
    scene.town.turn(Side::ShareIn, IN, OUT, true).await?;
    scene.said(OUT, 1, &["--share-out", "no"]).await?;
    scene.shows(&scene.all_but(1)?).await?;
    let late = [
        patient_line("p1", nhs_number(1)?, "Synthetic"),
        allergy(1),
        observation(1, 0, 1),
        observation(1, 1, 1),
    ];
    scene.drop_lines(IN, "export.ndjson", &late).await?;
    scene
        .status(IN, "all of it is known to be another unit's", |s| {
            s["outbox"]["echoes"] == 4
        })
        .await?;
    let status = scene.town.house(IN)?.agent.status().context("a status")?;
    ensure!(status["outbox"]["records"] == 0, "{status}");
    scene.town.deployment.finished();
    Ok(())
}
