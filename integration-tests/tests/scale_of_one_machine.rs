//! `handfast-load scale`, each measurement in small: that it measures what it says, and that a missed aim is told by the
//! exit code.
//!
//! Detects: agents that are not connected and counted as if they were; a storm that is no storm; a start-up that was
//! not one; a catch-up that is over before everything came; a return beside which nothing was received; deliveries that
//! are counted to fewer recipients than there are. The figures themselves mean nothing here: the build is not optimised
//! and other tests run beside it.

use std::path::Path;

use anyhow::{Context as _, ensure};
use handfast_integration_tests::harness::Reply;
use serde_json::Value;
use tempfile::TempDir;

const LOAD: &str = env!("CARGO_BIN_EXE_handfast-load");

/// Runs a measurement: how it ended, and its figures where it has any.
async fn scale(program: &str, args: &[&str]) -> anyhow::Result<(Reply, Option<Value>)> {
    let dir = TempDir::new()?;
    let json = dir.path().join("scale.json");
    let path = json.to_string_lossy().into_owned();
    let args: Vec<&str> = args.iter().copied().chain(["--json", &path]).collect();
    let reply = Reply::of(Path::new(program), &args).await?;
    let figures = match std::fs::read(&json) {
        Ok(text) => Some(serde_json::from_slice(&text)?),
        Err(_) => None,
    };
    Ok((reply, figures))
}

/// The figures of a measurement of which the aims do not matter.
async fn figures(what: &str) -> anyhow::Result<Value> {
    let args: Vec<&str> = what.split_whitespace().chain(["--report-only"]).collect();
    let (reply, figures) = scale(LOAD, &args).await?;
    ensure!(reply.code == 0, "{what}: {reply:?}");
    figures.with_context(|| format!("no figures of {what}: {reply:?}"))
}

fn number(of: &Value, path: &str) -> f64 {
    of.pointer(path).and_then(Value::as_f64).unwrap_or(f64::NAN)
}

#[tokio::test]
async fn idle_agents_are_connected_and_all_of_them_come_back() -> anyhow::Result<()> {
    let found = figures("scale idle --agents 12 --idle 1 --away 1").await?;
    assert_eq!(
        (number(&found, "/agents"), number(&found, "/agents_asked")),
        (12.0, 12.0)
    );
    ensure!(number(&found, "/memory_per_agent_kib") > 0.0, "{found:#}");
    let storm = found.get("storm").context("a storm")?;
    ensure!(number(storm, "/away_seconds") >= 1.0, "{storm:#}");
    ensure!(number(storm, "/attempts") >= 12.0, "each tried again: {storm:#}");
    ensure!(
        number(storm, "/all_seconds") >= number(storm, "/half_seconds"),
        "{storm:#}"
    );
    ensure!(number(storm, "/cpu_seconds") > 0.0, "{storm:#}");
    Ok(())
}

#[tokio::test]
async fn too_few_open_files_are_told_and_miss_the_aim() -> anyhow::Result<()> {
    // The daemon's own 200, and two of the four connections.
    let limited = format!("ulimit -n 202; exec {LOAD} scale idle --agents 4 --idle 1 --away 0 \"$@\"");
    let (reply, found) = scale("/bin/bash", &["-c", &limited, "scale"]).await?;
    let found = found.with_context(|| format!("no figures: {reply:?}"))?;
    ensure!(reply.code == 1, "{reply:?}");
    assert_eq!(
        (number(&found, "/agents"), number(&found, "/agents_asked")),
        (2.0, 4.0)
    );
    ensure!(reply.stderr.contains("ulimit -n 204"), "what to raise: {reply:?}");
    ensure!(reply.stdout.contains("MISSED  agents connected"), "{reply:?}");
    Ok(())
}

#[tokio::test]
async fn many_records_and_words_are_there_again_and_a_new_agreement_gets_them_all() -> anyhow::Result<()> {
    let found = figures("scale big --records 2000 --words 1600 --payload-bytes 200").await?;
    assert_eq!(
        (number(&found, "/records"), number(&found, "/words")),
        (2048.0, 1600.0)
    );
    ensure!(number(&found, "/start_seconds") > 0.0, "{found:#}");
    ensure!(number(&found, "/memory_started_mib") > 1.0, "{found:#}");
    ensure!(number(&found, "/caught_up_seconds") > 0.0, "{found:#}");
    let samples = found["caught_up_memory_mib"].as_array().context("samples")?;
    ensure!(samples.iter().all(|mib| mib.as_f64() > Some(1.0)), "{samples:?}");
    ensure!(!samples.is_empty(), "{found:#}");
    Ok(())
}

#[tokio::test]
async fn each_point_of_the_curves_delivers_to_every_recipient() -> anyhow::Result<()> {
    let found = figures("scale curves --units 1,3 --recipients 1,2,3 --seconds 2 --per-second 100").await?;
    let (by_idle, by_recipients) = (&found["by_idle_units"], &found["by_recipients"]);
    let named = |of: &Value, name: &str| -> Vec<f64> {
        let points = of.as_array().map(Vec::as_slice).unwrap_or_default();
        points
            .iter()
            .map(|point| number(point, &format!("/{name}")))
            .collect()
    };
    assert_eq!(named(by_idle, "idle_units"), [1.0, 3.0]);
    assert_eq!(named(by_recipients, "recipients"), [1.0, 2.0, 3.0]);
    for points in [by_idle, by_recipients] {
        for point in points.as_array().context("points")? {
            ensure!(point["sound"] == true, "{point:#}");
            let each = number(point, "/deliveries") / number(point, "/recipients");
            // What was on its way at the beginning and the end of two seconds.
            ensure!((100.0..=300.0).contains(&each), "{point:#}");
            ensure!(number(point, "/cpu_s") > 0.0, "{point:#}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn one_that_was_away_gets_all_of_it_while_the_others_go_on() -> anyhow::Result<()> {
    let found =
        figures("scale away --week 20000 --others 2 --seconds 2 --per-second 200 --payload-bytes 256")
            .await?;
    assert_eq!(number(&found, "/week"), 20_032.0);
    let returned = number(&found, "/returned_per_second") * number(&found, "/during/seconds");
    ensure!(
        returned >= 20_032.0,
        "it got less than what waited for it: {found:#}"
    );
    for stretch in ["before", "during"] {
        let of = |field: &str| number(&found, &format!("/{stretch}/{field}"));
        ensure!(
            of("per_second_each") > 0.0 && of("p50_ms") > 0.0,
            "{stretch}: {found:#}"
        );
        ensure!(
            of("p50_ms") <= of("p99_ms") && of("p99_ms") <= of("max_ms"),
            "{found:#}"
        );
    }
    let before = number(&found, "/before/per_second_each");
    ensure!((100.0..=300.0).contains(&before), "{found:#}");
    Ok(())
}
