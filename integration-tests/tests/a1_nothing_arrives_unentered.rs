//! A1: whatever has arrived at a recipient is in the audit log, received or perhaps received, however often the daemon
//! was killed while it went: live, and in the catch-up of a grant that had just begun.
//!
//! Detects: amendments that are handed over before it is committed that their stream goes as far; a start that does
//! not enter what the end of the process left in doubt; a reach that is lost, or that counts from too far on.

use std::{
    collections::HashMap,
    fs,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use anyhow::{Context as _, ensure};
use handfast_integration_tests::harness::{
    Chaos, Pace, Publisher, Rig, Subscriber, amendment, long_mode, wait_until,
};
use handfast_proto::{
    audit::{Runs, Verifier},
    merkle::PublicKey,
    v1::{Side, audit_leaf::Event},
};

/// Records that the source amends round and round.
const RECORDS: u64 = 500;
/// Amendments offered at once.
const OFFER: u64 = 64;
/// How long something may take to arrive.
const SOON: Duration = Duration::from_secs(30);

async fn stream(publisher: Publisher, stop: Arc<AtomicBool>) -> anyhow::Result<()> {
    let mut made = 0;
    while !stop.load(Ordering::Relaxed) {
        let some: Result<Vec<_>, _> = (made..made + OFFER)
            .map(|n| amendment(n % RECORDS, n / RECORDS, 256))
            .collect();
        publisher.offer(some?).await?;
        made += OFFER;
    }
    Ok(())
}

async fn more_arrives(recipient: &Subscriber) -> anyhow::Result<()> {
    let before = recipient.look(|j| j.count("Z00001"));
    wait_until("more arrives", SOON, || {
        match recipient.look(|j| j.count("Z00001")) {
            now if now > before => Ok(()),
            now => Err(format!("{now} have arrived")),
        }
    })
    .await
}

/// What the log says was received, or perhaps received, of each grant.
async fn entered(rig: &Rig) -> anyhow::Result<HashMap<u64, Runs>> {
    let deployment = &rig.deployment;
    let unit = &rig.member(0)?.unit;
    let (_, officer) = deployment.hire(unit, "privacy-officer", "Officer").await?;
    let path = |name: &str| deployment.dir().join(name);
    let (log, key) = (path("audit.log"), path("audit.pem"));
    for (what, file) in [("export", &log), ("public-key", &key)] {
        let args = ["audit", what, "--out", &file.to_string_lossy()];
        deployment.ctl(&officer, &args).await?.ok()?;
    }
    let key = PublicKey::from_pem(&fs::read_to_string(key)?).context("the log's public key")?;
    let mut all: HashMap<u64, Runs> = HashMap::new();
    let mut broken = None;
    let mut verifier = Verifier::new(key);
    verifier.push(&fs::read(log)?, &mut |exported| {
        let (grant, runs) = match exported.leaf.and_then(|leaf| leaf.event) {
            Some(Event::Disclosed(event)) => (event.grant, event.runs),
            Some(Event::PerhapsDisclosed(event)) => (event.grant, event.runs),
            _ => return,
        };
        match Runs::from_wire(&runs) {
            Ok(runs) => all.entry(grant).or_default().extend(&runs),
            Err(_) => broken = Some(exported.index),
        }
    })?;
    verifier.finish()?;
    ensure!(broken.is_none(), "entry {broken:?} cannot be read");
    Ok(all)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a1_whatever_arrived_before_a_kill_is_entered() -> anyhow::Result<()> {
    let mut chaos = Chaos::new("a1 kills");
    let rig = Rig::new(2).await?;
    let recipient = rig.subscriber(1, Pace::Fast)?;
    rig.join(0, 1).await?;
    let stop = Arc::new(AtomicBool::new(false));
    let source = tokio::spawn(stream(rig.publisher(0)?, Arc::clone(&stop)));
    for round in 0..if long_mode() { 300 } else { 20 } {
        more_arrives(&recipient).await?;
        if round % 2 == 1 {
            rig.turn(Side::ShareOut, 0, 1, false).await?;
            rig.turn(Side::ShareOut, 0, 1, true).await?;
        }
        // Receipts linger for a while: some kills come before the commit of the first of them.
        chaos.pause(0, 120).await;
        rig.deployment.kill();
        rig.deployment.serve().await?;
    }
    more_arrives(&recipient).await?;
    stop.store(true, Ordering::Relaxed);
    source.await??;
    // Stopped in order, what was on its way is entered as that.
    rig.deployment.stop().await?;
    rig.deployment.serve().await?;
    let entered = entered(&rig).await?;
    let (grants, mut arrived) = (recipient.look(|j| j.grants("Z00001")), 0);
    for grant in &grants {
        let runs = entered.get(grant).cloned().unwrap_or_default();
        let seqs = recipient.look(|j| j.seqs_of_grant("Z00001", *grant));
        arrived += seqs.len();
        let missing: Vec<u64> = seqs.into_iter().filter(|seq| !runs.contains(*seq)).collect();
        ensure!(
            missing.is_empty(),
            "of grant {grant} {} seqs arrived that are not entered, {:?} the first",
            missing.len(),
            missing.first()
        );
    }
    ensure!(
        grants.len() > 5 && arrived > 1_000,
        "little arrived: {arrived} of {grants:?}"
    );
    rig.deployment.finished();
    Ok(())
}
