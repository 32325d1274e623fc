//! A patient's word in the record stream: a FHIR Consent among the records of the source's system.

use anyhow::ensure;
use handfast_integration_tests::harness::{Deployment, nhs_number, wait_until};
use serde_json::{Value, json};

use crate::scene::{IN, OUT, SOON, Scene, observation, with};

/// A Consent of a patient, permit or deny, as given on a day.
fn consent(id: &str, patient: u64, decision: &str, on: &str) -> String {
    json!({
        "resourceType": "Consent", "id": id, "status": "active",
        "scope": {"coding": [{
            "system": "http://terminology.hl7.org/CodeSystem/consentscope", "code": "patient-privacy",
        }]},
        "category": [{"coding": [{"system": "http://loinc.org", "code": "59284-0"}]}],
        "patient": {"reference": format!("Patient/p{patient}")},
        "dateTime": on,
        "provision": {"type": decision},
    })
    .to_string()
}

fn in_force(status: &Value, statements: u64) -> bool {
    let said = &status["outbox"]["statements"];
    said["in_force"] == statements && said["queued"] == 0 && said["acknowledged"] == 0 && said["pending"] == 0
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn w1_a_consent_in_the_record_stream_takes_effect_before_any_later_amendment() -> anyhow::Result<()> {
    let mut scene = Scene::filled(3).await?;
    let deny = consent("c1", 1, "deny", "2026-03-05T10:00:00Z");
    // One file, so that its order is the stream's: the Consent, what follows of its patient, and of another.
    let next = vec![observation(1, 0, 7), observation(0, 0, 7)];
    let mut file = vec![deny.clone()];
    file.extend(next.clone());
    scene.town.house_mut(OUT)?.written.extend(next);
    scene.drop_lines(OUT, "consent.ndjson", &file).await?;
    scene.shows(&scene.all_but(1)?).await?;
    // A line follows its file.
    wait_until("the other patient's amendment is entered", SOON, || {
        match scene.times("amend", "Observation/o0-0") {
            Ok(1) => Ok(()),
            times => Err(format!("{times:?}")),
        }
    })
    .await?;
    let came = scene.times("amend", "Observation/o1-0")?;
    ensure!(came == 0, "what followed the Consent came, and went again");
    // A word about each side of the unit's sharing.
    scene
        .status(OUT, "the agent says it is in force", |s| in_force(s, 2))
        .await?;
    let shown = scene
        .about(OUT, 1, &["patient", "consent", "show", "--patient-file", "-"])
        .await?;
    ensure!(shown["words"][0]["word"] == "no", "{shown}");

    // A yes from before the no, by hand and in the stream: history.
    let early = ["--share-out", "yes", "--said-on", "2026-02-28"];
    let answer = scene.said(OUT, 1, &early).await?;
    ensure!(answer["words"][0]["now"] == "no", "{answer}");
    let permit = consent("c0", 1, "permit", "2026-03-04T10:00:00Z");
    scene
        .drop_lines(OUT, "early.ndjson", &[permit, observation(2, 0, 7)])
        .await?;
    scene.town.house_mut(OUT)?.written.push(observation(2, 0, 7));
    scene.shows(&scene.all_but(1)?).await?;

    // The same Consent, ended: what the earlier one says stands, and the records are back, as they are by now.
    let ended = with(&deny, "status", json!("inactive"))?;
    scene.drop_lines(OUT, "ended.ndjson", &[ended]).await?;
    scene.shows(&scene.all()?).await?;
    scene
        .both_see("nothing is open", |a| a["partial"]["open"] == 0)
        .await?;

    // And a no of another day.
    let again = consent("c2", 1, "deny", "2026-03-06T10:00:00Z");
    scene.drop_lines(OUT, "again.ndjson", &[again]).await?;
    scene.shows(&scene.all_but(1)?).await?;
    let number = nhs_number(1)?.reveal();
    ensure!(
        !scene.town.deployment.logged().contains(&number),
        "the daemon's log has the patient's number"
    );
    scene.town.deployment.finished();
    Ok(())
}

/// The statements that the source's agent shows as in force, and as acknowledged alone.
fn stand(status: &Value, in_force: u64, acknowledged: u64) -> bool {
    let said = &status["outbox"]["statements"];
    said["in_force"] == in_force && said["acknowledged"] == acknowledged
}

/// What is in flight to the recipient, which does nothing, keeps a word from being in force for so long: the daemon has
/// committed it, and its agent knows no more than that.
async fn said_to_a_frozen_recipient(scene: &mut Scene, patient: u64, before: u64) -> anyhow::Result<()> {
    scene.town.house(IN)?.agent.freeze(true)?;
    scene.write(vec![observation(patient, 0, 8)]).await?;
    let deny = consent(&format!("f{patient}"), patient, "deny", "2026-03-05T10:00:00Z");
    scene
        .drop_lines(OUT, &format!("frozen{patient}.ndjson"), &[deny])
        .await?;
    scene
        .status(OUT, "the word is the daemon's", |s| stand(s, before, 2))
        .await
}

/// Detects a word that came into force while its agent was down, shown as acknowledged for ever; and one told to be in
/// force by a welcome while what it ended may still arrive.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn w1_an_agent_learns_what_came_into_force_while_it_was_down() -> anyhow::Result<()> {
    let deployment = Deployment::with_options(&["--drain-ms", "60000"]).await?;
    let mut scene = Scene::over(deployment, 3).await?;

    said_to_a_frozen_recipient(&mut scene, 1, 0).await?;
    scene.town.house(OUT)?.agent.kill();
    scene.town.house(IN)?.agent.freeze(false)?;
    // What follows from the word has come: it is in force, and nobody was told.
    scene.shows(&scene.all_but(1)?).await?;
    scene.town.house(OUT)?.agent.run()?;
    scene
        .status(OUT, "it learns so when it is back", |s| in_force(s, 2))
        .await?;

    said_to_a_frozen_recipient(&mut scene, 2, 2).await?;
    let agent = &scene.town.house(OUT)?.agent;
    agent.restart()?;
    scene.write(vec![observation(0, 0, 8)]).await?;
    scene
        .status(OUT, "it is back, and the word is not in force", |s| {
            s["outbox"]["unacknowledged"] == 0 && s["uplink"]["state"] == "connected" && stand(s, 2, 2)
        })
        .await?;
    scene.town.house(IN)?.agent.freeze(false)?;
    scene.status(OUT, "it hears so", |s| in_force(s, 4)).await?;
    scene.town.deployment.finished();
    Ok(())
}
