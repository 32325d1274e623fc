//! Scopes, patients' words, caseloads, the policy and suspension as people and scripts use them: by handfastctl
//! against a real daemon.
//!
//! Detects: a half that turning on again widens; a word or a number shown to whom it is not; an NHS number in the
//! daemon's log or in an error; an exit code or a key of the JSON that scripts rely on and that is gone.

mod patients;
mod scene;

use std::time::Duration;

use anyhow::ensure;
use handfast_integration_tests::harness::{Deployment, amendment, wait_until_async};
use serde_json::{Value, json};

use scene::{Scene, half, is};

/// How long something may take that comes by itself.
const SOON: Duration = Duration::from_secs(20);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deployment_keeps_the_policy_that_it_was_made_with_or_given() -> anyhow::Result<()> {
    let made = [
        "--policy",
        "explicit",
        "--default-patients",
        "caseload",
        "--zone",
        "Europe/Dublin",
    ];
    let deployment = Deployment::made(&made).await?;
    let show = deployment.operate(&["policy", "show"]).await?.json()?;
    let want = json!({"policy": "explicit", "default_patients": "caseload", "zone": "Europe/Dublin"});
    ensure!(show == want, "{show}");
    let silent = deployment
        .ctl(
            &deployment.operator(),
            &["policy", "set", "explicit", "--reason", ""],
        )
        .await?;
    ensure!(
        silent.code == 2 && silent.stderr.contains("reason"),
        "{}",
        silent.stderr
    );
    let set = [
        "policy",
        "set",
        "unless-dissented",
        "--reason",
        "the board decided",
    ];
    is(
        &deployment.operate(&set).await?.json()?,
        "/in_force",
        &json!("yes"),
    )?;
    let preview = deployment
        .operate(&["policy", "preview", "explicit"])
        .await?
        .json()?;
    is(&preview, "/pairs", &json!([]))?;
    deployment.restart().await?;
    let show = deployment.operate(&["policy", "show"]).await?.json()?;
    is(&show, "/policy", &json!("unless-dissented"))?;
    let unit = deployment.add_unit("Z00001", "gp").await?;
    let set = deployment
        .ctl(
            &unit.admin_profile,
            &["policy", "set", "explicit", "--reason", "mine"],
        )
        .await?;
    ensure!(set.code == 3, "{}: {}", set.code, set.stderr);
    deployment.finished();
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_scope_stays_until_it_is_changed() -> anyhow::Result<()> {
    let scene = Scene::new().await?;
    let admin = scene.admin(0)?;
    let narrow = [
        "on",
        "--categories",
        "problems,care-plans",
        "--patients",
        "caseload",
        "--explicit",
        "yes",
    ];
    let more = [
        "--ends-on",
        "2998-12-31",
        "--reference",
        "DSA-12",
        "--reason",
        "agreed",
    ];
    let on = scene
        .run(
            &admin,
            0,
            &half(&["share-out"], &[&narrow[..], &more[..]].concat()),
        )
        .await?;
    let scope = json!({
        "categories": ["problems", "care-plans"], "patients": "caseload", "explicit": true,
        "ends_on": "2998-12-31", "review_on": null, "reference": "DSA-12", "legal_basis": null,
    });
    is(&on, "/agreement/share_out/scope", &scope)?;
    scene.run(&admin, 0, &half(&["share-out"], &["off"])).await?;
    let again = scene.run(&admin, 0, &half(&["share-out"], &["on"])).await?;
    is(&again, "/agreement/share_out/scope", &scope)?;
    let wide = [
        "on",
        "--categories",
        "all",
        "--patients",
        "all",
        "--explicit",
        "no",
        "--ends-on",
        "never",
    ];
    let wide = scene.run(&admin, 0, &half(&["share-out"], &wide)).await?;
    is(&wide, "/agreement/share_out/scope/categories", &Value::Null)?;
    is(&wide, "/agreement/share_out/scope/reference", &json!("DSA-12"))?;
    let past = scene
        .run(
            &admin,
            2,
            &half(&["share-out"], &["on", "--ends-on", "2020-01-31"]),
        )
        .await?;
    ensure!(past.to_string().contains("2020-01-31 is over"), "{past}");
    let off = scene
        .run(&admin, 2, &half(&["share-out"], &["off", "--patients", "all"]))
        .await?;
    ensure!(off.to_string().contains("keeps its scope"), "{off}");
    // The other side sees the scope, too.
    let listed = scene.run(&scene.admin(1)?, 0, &["agreement", "list"]).await?;
    is(
        &listed,
        "/agreements/0/share_out/scope/reference",
        &json!("DSA-12"),
    )?;
    scene.finished()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn turning_on_says_what_it_sends_and_a_preview_does_not_turn() -> anyhow::Result<()> {
    let scene = Scene::new().await?;
    let publisher = scene.rig.publisher(0)?;
    publisher
        .offer((0..100).map(|n| amendment(n, 0, 200)).collect::<Result<_, _>>()?)
        .await?;
    publisher.wait_acked(100, SOON).await?;
    let (source, recipient) = (scene.admin(0)?, scene.admin(1)?);
    let blind = scene
        .run(&recipient, 0, &half(&["preview", "share-in"], &["on"]))
        .await?;
    is(&blind, "/begins/records", &json!(0))?;
    scene.run(&recipient, 0, &half(&["share-in"], &["on"])).await?;
    // The projection follows the commits.
    wait_until_async("everything is counted", SOON, || async {
        let preview = scene
            .run(&source, 0, &half(&["preview", "share-out"], &["on"]))
            .await;
        let records = preview.map(|p| p["begins"]["records"].clone());
        if matches!(&records, Ok(n) if *n == json!(100)) {
            Ok(())
        } else {
            Err(format!("{records:?}"))
        }
    })
    .await?;
    let only = ["on", "--categories", "problems"];
    let none = scene
        .run(&source, 0, &half(&["preview", "share-out"], &only))
        .await?;
    is(&none, "/begins/records", &json!(0))?;
    let on = scene.run(&source, 0, &half(&["share-out"], &["on"])).await?;
    is(&on, "/preview/begins/patients", &json!(50))?;
    is(&on, "/preview/not_on_caseload", &json!(50))?;
    let off = scene
        .run(&source, 0, &half(&["preview", "share-out"], &["off"]))
        .await?;
    is(&off, "/ends/records", &json!(100))?;
    let refused = scene
        .run(&source, 3, &half(&["preview", "share-in"], &["off"]))
        .await?;
    ensure!(refused.to_string().contains("you may not do this"), "{refused}");
    scene.finished()
}
