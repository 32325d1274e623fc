//! The hand-off of alerts over real processes: a webhook and a mail folder are told that an alert is there,
//! where and how it stands, and nothing that identifies a person.
//!
//! Detects: a post with the patient's number, the clinician's name or words; one that is not signed; an alert
//! that is lost because the webhook or the daemon was away; one that nobody reviews and that never escalates.

use std::{fs, net::SocketAddr, path::Path, sync::Arc, time::Duration};

use anyhow::{Context as _, ensure};
use aws_lc_rs::hmac;
use axum::{Router, body::Bytes, extract::State, http::HeaderMap, routing::post};
use handfast_integration_tests::harness::{Ward, free_port, nhs_number, wait_until};
use parking_lot::Mutex;
use serde_json::Value;
use tokio::{net::TcpListener, task::JoinHandle};

/// How long what needs no waiting may take on a busy machine.
const SOON: Duration = Duration::from_secs(30);
const SECRET: &str = "a secret of thirty-two characters";

type Posts = Arc<Mutex<Vec<(HeaderMap, Bytes)>>>;

async fn take(State(posts): State<Posts>, headers: HeaderMap, body: Bytes) {
    posts.lock().push((headers, body));
}

async fn webhook(port: u16, posts: &Posts) -> anyhow::Result<JoinHandle<()>> {
    let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], port))).await?;
    let app = Router::new()
        .route("/alerts", post(take))
        .with_state(Arc::clone(posts));
    Ok(tokio::spawn(async move {
        let _ = axum::serve(listener, app).await;
    }))
}

/// Every post is signed, and holds nothing that identifies a person; what they say.
fn said(posts: &Posts, forbidden: &[String]) -> anyhow::Result<Vec<Value>> {
    let key = hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes());
    let mut all = Vec::new();
    for (headers, body) in posts.lock().iter() {
        let signature = headers
            .get("handfast-signature")
            .context("a signature")?
            .to_str()?;
        let (time, hex) = signature
            .strip_prefix("t=")
            .and_then(|rest| rest.split_once(",v1="))
            .context("a signature of its form")?;
        let tag = hmac::sign(&key, &[time.as_bytes(), b".", body].concat());
        let want: String = tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        ensure!(hex == want, "the signature is not that of the body");
        let text = std::str::from_utf8(body)?;
        clean(text, forbidden)?;
        all.push(serde_json::from_str(text)?);
    }
    Ok(all)
}

fn clean(text: &str, forbidden: &[String]) -> anyhow::Result<()> {
    for word in forbidden {
        let found = text.to_lowercase().contains(&word.to_lowercase());
        ensure!(!found, "{word:?} stands in what leaves the daemon: {text}");
    }
    Ok(())
}

fn last_state(posts: &Posts, alert: u64) -> Option<String> {
    let posts = posts.lock();
    let of_alert = posts
        .iter()
        .filter_map(|(_, body)| serde_json::from_slice::<Value>(body).ok());
    let last = of_alert.filter(|value| value["alert"] == alert).last()?;
    Some(last["state"].as_str()?.to_owned())
}

/// A ward whose daemon tells a webhook and a mail folder of alerts.
async fn that_tells(place: &Path, drop: &Path, port: u16) -> anyhow::Result<Ward> {
    let secret = place.join("secret");
    fs::write(&secret, SECRET)?;
    fs::create_dir(drop)?;
    let url = format!("http://127.0.0.1:{port}/alerts");
    let (secret, mail) = (secret.to_string_lossy(), drop.to_string_lossy());
    Ward::with_options(&[
        "--alert-webhook-url",
        &url,
        "--alert-webhook-secret-file",
        &secret,
        "--alert-mail-drop-dir",
        &mail,
        "--alert-mail-from",
        "handfast@care.example",
        "--alert-mail-to",
        "officer@care.example",
        "--alert-escalate-after-seconds",
        "3",
    ])
    .await
}

/// Auditors and the operator see an alert that is escalated, without anything that identifies a person.
async fn seen_without_persons(ward: &Ward, forbidden: &[String]) -> anyhow::Result<()> {
    let (_, auditor) = ward
        .town
        .deployment
        .hire(&ward.town.house(1)?.unit, "auditor", "Auditor")
        .await?;
    for profile in [&auditor, &ward.town.deployment.operator()] {
        let seen = ward
            .town
            .deployment
            .ctl(profile, &["alerts", "list"])
            .await?
            .ok()?;
        ensure!(
            seen.json()?["alerts"][0]["state"] == "escalated",
            "{}",
            seen.stdout
        );
        clean(&seen.stdout, forbidden)?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_webhook_and_a_mail_folder_hear_of_alerts_and_of_no_person() -> anyhow::Result<()> {
    let place = tempfile::tempdir()?;
    let drop = place.path().join("mail");
    let port = free_port()?;
    let mut ward = that_tells(place.path(), &drop, port).await?;
    ward.fill(1).await?;

    // The webhook is away, and then the daemon: neither loses the alert.
    Ward::opened(&ward.request(&ward.clinician, 0, &[]).await?)?;
    ward.town.deployment.restart().await?;
    let posts = Posts::default();
    let server = webhook(port, &posts).await?;
    let alerts = ward
        .town
        .deployment
        .ctl(&ward.officer, &["alerts", "list"])
        .await?
        .ok()?
        .json()?;
    let alert = alerts["alerts"][0]["id"].as_u64().context("an alert")?;
    let heard = |state: &str| match last_state(&posts, alert) {
        Some(last) if last == state => Ok(()),
        other => Err(format!("the webhook heard {other:?}, not {state:?}")),
    };
    wait_until("the webhook hears that it is escalated", SOON, || {
        heard("escalated")
    })
    .await?;

    let forbidden = [
        nhs_number(0)?.reveal(),
        "Unwisely".to_owned(),
        "clinician".to_owned(),
        "Found on the floor".to_owned(),
    ];
    seen_without_persons(&ward, &forbidden).await?;
    let id = alert.to_string();
    let review = [
        "alerts",
        "review",
        &id,
        "--not-justified",
        "--note",
        "Found on the floor, but not by us",
    ];
    ward.town
        .deployment
        .ctl(&ward.source_officer, &review)
        .await?
        .ok()?;
    wait_until("the webhook hears that it is reviewed", SOON, || {
        heard("reviewed")
    })
    .await?;
    let said = said(&posts, &forbidden)?;
    ensure!(
        said.iter()
            .all(|post| post["unit"] == "Z00002" && post["source"] == "Z00001"),
        "{said:?}"
    );
    server.abort();

    let message = drop.join(format!("alert-{alert}-reviewed.eml"));
    wait_until("the last message is in the mail folder", SOON, || {
        match message.exists() {
            true => Ok(()),
            false => Err("it is not there".to_owned()),
        }
    })
    .await?;
    for file in fs::read_dir(&drop)? {
        clean(&fs::read_to_string(file?.path())?, &forbidden[..2])?;
    }
    ward.town.deployment.finished();
    Ok(())
}
