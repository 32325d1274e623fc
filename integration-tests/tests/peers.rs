//! Whoever Handfast is compared with does the work it is said to do: in a short run everything that the sources
//! sent became durable and came to every recipient, once, in order and byte for byte, as fast as it goes and at a
//! steady rate.
//!
//! PostgreSQL and Redis are Debian's, which `cargo verify` installs; where one is missing its test fails and says so.
//!
//! Detects: a relay that forwards to one subscriber alone, acknowledges what it does not
//! write, or alters a byte; a recipient that passes over what it should have read; a peer that is asked for, missing
//! and left out in silence; one that dies and takes with it what was measured before.

#![expect(clippy::unwrap_used, reason = "a test panics where it fails")]

use std::{fs, path::Path, time::Duration};

use handfast_integration_tests::{
    harness::{Process, Reply, wait_until},
    load::peers::{Beside, Kind, PeersOptions, PeersReport, Shape, peers},
};
use rustix::process::{Pid, Signal, kill_process};

const LOAD: &str = env!("CARGO_BIN_EXE_handfast-load");
/// How long something may take on a busy machine.
const SOON: Duration = Duration::from_secs(120);

const SHAPE: Shape = Shape {
    sources: 3,
    recipients: 2,
};
/// Amendments a second in the part with a steady rate.
const RATE: u64 = 300;

async fn against(kind: Kind) -> PeersReport {
    let dir = tempfile::tempdir().unwrap();
    let json = dir.path().join("peers.json");
    let options = PeersOptions {
        rounds: 1,
        seconds: 1,
        shapes: vec![SHAPE],
        latency_shapes: vec![SHAPE],
        rate: RATE,
        only: None,
        against: vec![kind],
        beside: Beside::NOTHING,
        install: false,
        json: Some(json.clone()),
        quiet: true,
    };
    let report = peers(options, |_| {}).await.unwrap();
    assert_eq!(report.failed, None);
    let written = fs::read_to_string(json).unwrap();
    assert_eq!(written.trim_end(), serde_json::to_string_pretty(&report).unwrap());
    let read: PeersReport = serde_json::from_str(&written).unwrap();
    assert_eq!((read.runs.len(), read.peers.len()), (report.runs.len(), 2));
    report
}

async fn brings_everything_to_everyone(kind: Kind) {
    let report = against(kind).await;
    assert!(report.missing.is_empty(), "{:?}", report.missing);
    for (peer, rate) in [Kind::Handfastd, kind]
        .into_iter()
        .flat_map(|k| [(k, None), (k, Some(RATE))])
    {
        let run = report
            .runs
            .iter()
            .find(|run| (run.peer, run.rate) == (peer, rate))
            .unwrap();
        assert!(run.amendments > 0 && run.server_cpu_s > 0.0, "{run:?}");
        assert!(run.client_cpu_s > 0.0, "{run:?}");
        assert!(run.sent_and_arrived >= run.amendments, "{run:?}");
        assert_eq!(
            run.deliveries_checked,
            run.sent_and_arrived * SHAPE.recipients as u64,
            "every recipient got everything: {run:?}"
        );
        assert_eq!(run.latency_ms.is_some(), rate.is_some(), "{run:?}");
        if let Some(rate) = rate {
            assert_eq!(
                run.sent_and_arrived,
                2 * rate,
                "all that was due in both seconds: {run:?}"
            );
        }
    }
    assert_eq!((report.compared.len(), report.latencies.len()), (1, 2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn handfastd_and_the_bare_relay_bring_everything_to_everyone() {
    brings_everything_to_everyone(Kind::Relay).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgresql_brings_everything_to_everyone() {
    brings_everything_to_everyone(Kind::PostgreSql).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_brings_everything_to_everyone() {
    brings_everything_to_everyone(Kind::Redis).await;
}

#[tokio::test]
async fn the_command_runs_loaded_and_prints_the_ratios() {
    // Little beside: an unoptimised daemon takes minutes over as much as is held by default.
    let args = "peers --quiet --rounds 1 --seconds 1 --shapes 1x1 --only throughput --against relay \
                --agreements 6 --patients 1200";
    let args: Vec<&str> = args.split_whitespace().collect();
    let reply = Reply::of(Path::new(LOAD), &args).await.unwrap();
    assert_eq!(reply.code, 0, "{reply:?}");
    for part in [
        "1x1",
        "bare relay",
        "holds 6 other agreements and what 1,200 patients said",
        "fewer than five rounds",
    ] {
        assert!(reply.stdout.contains(part), "{part} is missing: {reply:?}");
    }
}

/// The relay whose files lie in a folder.
fn relay_in(folder: &Path) -> Option<Pid> {
    let folder = folder.to_string_lossy().into_owned();
    fs::read_dir("/proc").ok()?.flatten().find_map(|entry| {
        let pid = entry.file_name().to_string_lossy().parse().ok()?;
        let told = fs::read(entry.path().join("cmdline")).ok()?;
        let told = String::from_utf8_lossy(&told);
        let it_is = told.contains("relay-server") && told.contains(&folder);
        Pid::from_raw(pid).filter(|_| it_is)
    })
}

#[tokio::test]
async fn a_peer_that_dies_leaves_what_was_measured_before_it() {
    let dir = tempfile::tempdir().unwrap();
    let (tmp, json, log) = (
        dir.path().join("tmp"),
        dir.path().join("peers.json"),
        dir.path().join("log"),
    );
    fs::create_dir(&tmp).unwrap();
    let written = json.to_string_lossy().into_owned();
    let args = "peers --quiet --against relay --agreements 0 --patients 0 --only throughput --shapes 1x1 --rounds 100 \
                --seconds 1";
    let args: Vec<&str> = args.split_whitespace().chain(["--json", &written]).collect();
    let environment = [("TMPDIR", tmp.as_os_str())];
    let mut load = Process::spawn_as(Path::new(LOAD), &args, &log, &environment, true).unwrap();
    let said = || fs::read_to_string(&log).unwrap_or_default();
    let mut relay = None;
    // Handfast is the first in the first round: once the relay is there, one has done its work.
    wait_until("the relay's turn has come", SOON, || {
        relay = relay_in(&tmp);
        relay.map(drop).ok_or_else(said)
    })
    .await
    .unwrap();
    kill_process(relay.unwrap(), Signal::KILL).unwrap();
    let mut ended = None;
    wait_until("it ends", SOON, || {
        ended = load.ended();
        ended.map(drop).ok_or_else(said)
    })
    .await
    .unwrap();
    assert_eq!(ended.unwrap().code(), Some(2), "{}", said());
    for part in ["IT FAILED", "bare relay · 1x1 · round 1"] {
        assert!(said().contains(part), "{part} is missing: {}", said());
    }
    let report: PeersReport = serde_json::from_str(&fs::read_to_string(json).unwrap()).unwrap();
    assert!(report.failed.unwrap().contains("bare relay"));
    let ran: Vec<Kind> = report.runs.iter().map(|run| run.peer).collect();
    assert_eq!(ran, [Kind::Handfastd]);
    assert!(!report.interrupted);
}
