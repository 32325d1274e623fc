//! `handfast-load` with real daemons: a run in which much changes is sound, each sabotage is found, the same seed
//! sends the same data, and a daemon that was not made for synthetic data is refused.
//!
//! Detects: a checker that does not look for gaps, digests or ended
//! grants; a seed that is not used; a target that does not ask what a deployment is for.

use std::{path::Path, time::Duration};

use anyhow::{Context as _, ensure};
use handfast_integration_tests::harness::{
    Deployment, Identity, Process, Reply, Windows, binary, connect, free_port, wait_until_async,
};
use serde_json::Value;
use tempfile::TempDir;

/// How long a daemon may take until it answers.
const SOON: Duration = Duration::from_secs(30);

/// A small run's flags: in a debug build, beside other tests.
const SMALL: &str = "run --quiet --sources 2 --recipients 2 --seconds 4 --warm-up-seconds 1 --patients 100 \
                     --records 200";

/// Runs it with more flags: how it ended, and its JSON where it made one.
async fn load(dir: &TempDir, more: &str) -> anyhow::Result<(Reply, Option<Value>)> {
    let json = dir.path().join("run.json");
    let path = json.to_string_lossy().into_owned();
    let flags = SMALL.split_whitespace().chain(more.split_whitespace());
    let args: Vec<&str> = flags.chain(["--json", &path]).collect();
    let reply = Reply::of(Path::new(env!("CARGO_BIN_EXE_handfast-load")), &args).await?;
    let outcome = match std::fs::read(&json) {
        Ok(text) => Some(serde_json::from_slice(&text)?),
        Err(_) => None,
    };
    Ok((reply, outcome))
}

fn count(outcome: &Value, field: &str) -> u64 {
    outcome[field].as_u64().unwrap_or_default()
}

/// Leaks, lost, duplicated, out of order, forged.
fn found(outcome: &Value) -> [u64; 5] {
    ["leaks", "lost", "duplicated", "out_of_order", "forged"].map(|field| count(outcome, field))
}

#[tokio::test]
async fn a_run_in_which_much_changes_is_sound() -> anyhow::Result<()> {
    let dir = TempDir::new()?;
    let changes = "--rate 300 --toggles-per-second 4 --dissents-per-second 4 --drops-per-second 2 \
                   --slow-recipients 1 --slow-delay-ms 5";
    let (reply, outcome) = load(&dir, changes).await?;
    let outcome = outcome.with_context(|| format!("no result: {reply:?}"))?;
    ensure!(reply.code == 0, "{reply:?} {outcome:#}");
    assert_eq!(found(&outcome), [0; 5]);
    for field in ["amendments", "deliveries", "toggles", "dissents", "drops"] {
        ensure!(count(&outcome, field) > 0, "no {field}: {outcome:#}");
    }
    ensure!(
        outcome["latency_ms"]["p50"].as_f64().is_some_and(|ms| ms > 0.0),
        "{outcome:#}"
    );
    ensure!(
        outcome["daemon"]["cpu_s"].as_f64().is_some_and(|s| s > 0.0),
        "{outcome:#}"
    );
    ensure!(count(&outcome["revoke_ms"], "count") > 0, "{outcome:#}");
    Ok(())
}

#[tokio::test]
async fn each_sabotage_is_found_and_the_exit_code_says_so() -> anyhow::Result<()> {
    let cases = [
        ("drop", [0, 1, 0, 0, 0]),
        ("forge", [0, 0, 0, 0, 1]),
        ("leak", [1, 0, 0, 0, 0]),
    ];
    for (what, expected) in cases {
        let dir = TempDir::new()?;
        let (reply, outcome) = load(
            &dir,
            &format!("--sabotage {what} --rate 500 --toggles-per-second 3"),
        )
        .await?;
        let outcome = outcome.with_context(|| format!("no result of {what}: {reply:?}"))?;
        ensure!(reply.code == 1, "{what}: {reply:?}");
        ensure!(
            found(&outcome) == expected,
            "{what}: {:?} {outcome:#}",
            found(&outcome)
        );
        ensure!(
            outcome["findings"].as_array().is_some_and(|f| f.len() == 1),
            "{outcome:#}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn the_same_seed_sends_the_same_to_any_daemon_made_for_it() -> anyhow::Result<()> {
    let deployment = Deployment::start().await?;
    let profile = deployment.operator();
    let given = format!(
        "--rate 100 --seed 7 --daemon {} --profile {}",
        deployment.url(),
        profile.display()
    );
    let digest = |outcome: Option<Value>| -> anyhow::Result<String> {
        let outcome = outcome.context("a result")?;
        assert_eq!(found(&outcome), [0; 5]);
        Ok(outcome["plan"]["data_digest"]
            .as_str()
            .context("a digest")?
            .to_owned())
    };
    let dir = TempDir::new()?;
    let (reply, first) = load(&dir, &given).await?;
    ensure!(reply.code == 0, "{reply:?}");
    ensure!(
        first.as_ref().is_some_and(|o| o["daemon"].is_null()),
        "a daemon elsewhere is not measured"
    );
    let units = deployment.operate(&["unit", "list"]).await?.json()?.to_string();
    ensure!(
        units.contains("retired") && !units.contains("\"state\":\"enrolled\""),
        "left as it was: {units}"
    );
    let (_, again) = load(&dir, &given).await?;
    let (_, other) = load(&dir, "--rate 100 --seed 8").await?;
    let first = digest(first)?;
    assert_eq!(digest(again)?, first);
    assert_ne!(digest(other)?, first);
    deployment.finished();
    Ok(())
}

#[tokio::test]
async fn a_daemon_that_was_not_made_for_tests_is_refused() -> anyhow::Result<()> {
    let dir = TempDir::new()?;
    let state = dir.path().join("daemon");
    let (shown, port) = (state.to_string_lossy().into_owned(), free_port()?);
    let init = ["init", "--state-dir", &shown, "--trust-domain", "real.example"];
    Reply::of(&binary("handfastd")?, &init).await?.ok()?;
    let listen = format!("127.0.0.1:{port}");
    let serve = ["serve", "--state-dir", &shown, "--listen", &listen];
    let mut daemon = Process::spawn(&binary("handfastd")?, &serve, &dir.path().join("daemon.log"))?;
    let (url, profile) = (format!("https://{listen}"), state.join("operator"));
    let operator = Identity::load(&profile)?;
    wait_until_async("the daemon takes connections", SOON, || async {
        let connected = connect(&url, &operator, Windows::default()).await;
        connected.map(drop).map_err(|e| format!("{e:#}"))
    })
    .await?;
    let (reply, outcome) = load(&dir, &format!("--daemon {url} --profile {}", profile.display())).await?;
    daemon.kill();
    ensure!(reply.code == 2 && outcome.is_none(), "{reply:?}");
    ensure!(reply.stderr.contains("is not a test deployment"), "{reply:?}");
    Ok(())
}
