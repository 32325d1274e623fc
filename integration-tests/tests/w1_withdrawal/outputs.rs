//! Clinical systems that do not remove what they are told to, and what clinicians are told.

use std::{fs, time::Duration};

use anyhow::{Context as _, ensure};
use handfast_integration_tests::harness::{FhirServer, Records, nhs_number, wait_until};
use serde_json::Value;

use crate::scene::{IN, OUT, REMARK, SOON, SOURCE, Scene, observation};

/// How long it may take until what a server refused is tried again: longer each time.
const RETRIED: Duration = Duration::from_secs(180);

/// The recipient writes to a FHIR server instead of its folder.
async fn writes_to(server: &FhirServer, scene: &Scene) -> anyhow::Result<()> {
    let agent = &scene.town.house(IN)?.agent;
    agent.stop().await?;
    agent.configure(&format!(
        "[[output]]\ntype = \"fhir\"\nbase_url = \"{}\"\n",
        server.url()
    ))?;
    agent.run()?;
    holds(server, 12).await
}

async fn holds(server: &FhirServer, records: usize) -> anyhow::Result<()> {
    wait_until("the server holds what it is to", RETRIED, || {
        match server.records().len() {
            n if n == records => Ok(()),
            n => Err(format!("it holds {n} records, not {records}")),
        }
    })
    .await
}

/// What the source's page at the recipient's server says.
fn told(server: &FhirServer) -> anyhow::Result<String> {
    let told = server.told();
    let page = told.values().find(|v| v.to_string().contains(SOURCE));
    Ok(page.context("a page about the source")?.to_string())
}

fn source_of(status: &Value) -> &Value {
    &status["inbox"]["sources"][0]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn w1_what_cannot_be_removed_is_reported_not_called_done() -> anyhow::Result<()> {
    let scene = Scene::filled(3).await?;
    let server = FhirServer::start(Records::new()).await?;
    writes_to(&server, &scene).await?;

    // It says that it conflicts: tried again and not called done, until it is.
    server.refuse("Observation", Some(409));
    scene.said(OUT, 0, &["--share-out", "no"]).await?;
    holds(&server, 10).await?;
    scene
        .both_see("it is open", |a| {
            a["partial"]["open"] == 1 && a["partial"]["last"].is_null()
        })
        .await?;
    scene
        .status(IN, "the agent says that it is pending", |s| {
            source_of(s)["withdrawals_pending"] == 1
        })
        .await?;
    server.refuse("Observation", None);
    holds(&server, 8).await?;
    scene
        .both_see("it is confirmed", |a| {
            a["partial"]["open"] == 0
                && a["partial"]["last"]["removed"] == 4
                && a["partial"]["not_removed"] == 0
        })
        .await?;

    // It does not delete at all: confirmed as far as it went, and said how far.
    server.refuse("Observation", Some(405));
    scene.said(OUT, 1, &["--share-out", "no"]).await?;
    scene
        .both_see("two records are reported as not removed", |a| {
            let last = &a["partial"]["last"];
            last["removed"] == 4 && last["not_removed"] == 2 && a["partial"]["not_removed"] == 2
        })
        .await?;
    holds(&server, 6).await?;
    scene
        .status(IN, "the recipient's agent says so", |s| {
            source_of(s)["dead_letters"] == 2
        })
        .await?;
    let page = told(&server)?;
    ensure!(
        page.contains("possibly-incomplete"),
        "clinicians are not told: {page}"
    );
    // The whole half: the same.
    scene.half(OUT, &["off", "--wait", "0"]).await?;
    scene
        .both_see("four records are reported as not removed", |a| {
            let w = &a["withdrawal"];
            w["state"] == "confirmed" && w["not_removed"] == 4
        })
        .await?;
    holds(&server, 4).await?;
    scene.town.deployment.finished();
    Ok(())
}

/// Neither clinical content nor a patient.
fn names_nobody(page: &str) -> anyhow::Result<()> {
    for k in 0..3 {
        let number = nhs_number(k)?.reveal();
        ensure!(!page.contains(&number), "patient {k}'s number is in {page}");
    }
    for word in [
        "Patient/",
        "Observation",
        "Allergy",
        "Heart rate",
        "Synthetic",
        REMARK,
    ] {
        ensure!(!page.contains(word), "{word:?} is in {page}");
    }
    Ok(())
}

pub(crate) fn codes(page: &Value) -> Vec<&str> {
    let notices = page["notices"].as_array().into_iter().flatten();
    notices.filter_map(|n| n["code"].as_str()).collect()
}

/// Waits until the page about the source is so.
pub(crate) async fn is_told(scene: &Scene, what: &str, is: impl Fn(&Value) -> bool) -> anyhow::Result<Value> {
    wait_until(what, SOON, || match scene.told() {
        Ok(page) if is(&page) => Ok(()),
        Ok(page) => Err(page.to_string()),
        Err(error) => Err(format!("{error:#}")),
    })
    .await?;
    let page = scene.told()?;
    names_nobody(&page.to_string())?;
    Ok(page)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn w1_clinicians_are_told() -> anyhow::Result<()> {
    let mut scene = Scene::filled(3).await?;
    let well = is_told(&scene, "nothing is amiss", |p| codes(p).is_empty()).await?;
    ensure!(well["shared"] == true && well["categories"].is_null(), "{well}");
    ensure!(well["as_of"].is_string(), "{well}");

    scene.said(OUT, 1, &["--share-out", "no"]).await?;
    scene.shows(&scene.all_but(1)?).await?;
    let page = is_told(&scene, "something was withdrawn", |p| {
        codes(p).contains(&"withdrawn")
    })
    .await?;
    ensure!(page["shared"] == true, "{page}");
    ensure!(page["notices"][0]["since"].is_string(), "{page}");

    scene.half(OUT, &["on", "--categories", "observations"]).await?;
    scene.write(vec![observation(0, 0, 2)]).await?;
    scene
        .shows(&scene.only(|k, kind| k != 1 && kind == "Observation")?)
        .await?;
    let page = is_told(&scene, "the scope is narrower", |p| {
        codes(p).contains(&"possibly-incomplete")
    })
    .await?;
    ensure!(
        page["categories"] == serde_json::json!(["observations"]) && codes(&page).contains(&"withdrawn"),
        "{page}"
    );

    scene.half(OUT, &["off"]).await?;
    scene.shows(&Records::new()).await?;
    let page = is_told(&scene, "nothing is shared", |p| p["shared"] == false).await?;
    ensure!(codes(&page).contains(&"withdrawn"), "{page}");
    let left = fs::read_dir(scene.output()?.join("current")).context("read current/")?;
    ensure!(left.count() == 0, "a source's folder is left in current/");
    scene.town.deployment.finished();
    Ok(())
}
