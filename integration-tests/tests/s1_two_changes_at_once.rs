//! S1 where two changes would end the same: neither is done while what the other ended may still leave.
//!
//! Fault: a recipient's connection that takes nothing in, so that the first change waits until it cuts it. Detects a
//! patient's no whose call returns at once, "in force" and with nothing in doubt, because the change before it has
//! taken the pair out of the book already: seen, with what makes it wait taken out.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use anyhow::{Context as _, ensure};
use handfast_integration_tests::harness::{
    Pace, Publisher, Rig, Subscriber, WireTap, amendment, nhs_number, wait_until, wait_until_async,
};
use handfast_proto::{
    ids::NhsNumber,
    v1::{InForce, RevocationReceipt, Side},
};

/// Records that the source amends round and round.
const RECORDS: u64 = 500;
/// Amendments offered at once.
const OFFER: u64 = 64;
/// How long a connection, a delivery or a commit may take.
const SOON: Duration = Duration::from_secs(30);

/// The second change, while the first still waits.
#[derive(Clone, Copy, Debug)]
enum Second {
    No(Side),
    Half,
}

/// Streams as fast as the daemon takes it, until told to stop.
async fn stream(publisher: Publisher, stop: Arc<AtomicBool>) -> anyhow::Result<()> {
    let mut made = 0;
    while !stop.load(Ordering::Relaxed) {
        let some = (made..made + OFFER).map(|n| amendment(n % RECORDS, n / RECORDS, 1024));
        publisher.offer(some.collect::<anyhow::Result<_>>()?).await?;
        made += OFFER;
    }
    Ok(())
}

/// Waits until the daemon has written something that the recipient does not get.
async fn held_back(tap: &WireTap) -> anyhow::Result<()> {
    tap.hold(true);
    let from = tap.bytes();
    wait_until("the daemon hands something over that is held back", SOON, || {
        (tap.bytes() > from)
            .then_some(())
            .ok_or_else(|| "not a byte".to_owned())
    })
    .await
}

/// Waits until the source's half is off: the first change was committed, and waits.
async fn first_is_committed(rig: &Rig) -> anyhow::Result<()> {
    let admin = &rig.member(0)?.unit.admin;
    wait_until_async("the first change is committed", SOON, async || {
        match admin.list().await {
            Ok(all) if all.iter().all(|a| a.grant == 0) => Ok(()),
            Ok(_) => Err("the grant is in force".to_owned()),
            Err(error) => Err(format!("{error:#}")),
        }
    })
    .await
}

async fn second(rig: &Rig, change: Second, patient: NhsNumber) -> anyhow::Result<RevocationReceipt> {
    let (source, recipient) = (rig.ods(0)?, rig.ods(1)?);
    match change {
        Second::No(side) => {
            let whose = if side == Side::ShareOut { 0 } else { 1 };
            let said = rig.member(whose)?.unit.admin.say_no(side, patient).await?;
            ensure!(said.in_force() == InForce::Yes, "it is not in force: {said:?}");
            let of_pair = said
                .receipts
                .iter()
                .find(|r| r.source == source && r.recipient == recipient);
            let told = of_pair.with_context(|| format!("nothing is said of the pair: {said:?}"))?;
            told.receipt.context("a receipt")
        }
        Second::Half => {
            let admin = &rig.member(1)?.unit.admin;
            let (in_force, turned) = admin.set_once(Side::ShareIn, source, recipient, false).await?;
            ensure!(in_force == InForce::Yes, "it is not in force: {turned:?}");
            turned.receipt.context("a receipt")
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s1_a_change_waits_for_what_another_one_ended() -> anyhow::Result<()> {
    let rig = Rig::new(2).await?;
    let tap = WireTap::start(rig.deployment.port()).await?;
    let recipient = Subscriber::start(&tap.url(), &rig.member(1)?.identity, Pace::Fast);
    let stop = Arc::new(AtomicBool::new(false));
    let source = tokio::spawn(stream(rig.publisher(0)?, stop.clone()));
    let changes = [
        Second::No(Side::ShareOut),
        Second::No(Side::ShareIn),
        Second::Half,
    ];
    for (round, change) in (0..).zip(changes) {
        let grant = rig.join(0, 1).await?;
        wait_until("amendments of the grant arrive", SOON, || {
            match recipient.look(|j| j.seqs_of_grant("Z00001", grant).len()) {
                0 => Err("none has arrived".to_owned()),
                _ => Ok(()),
            }
        })
        .await?;
        held_back(&tap).await?;
        let (admin, from, to) = (
            rig.member(0)?.unit.admin.clone(),
            rig.ods(0)?.to_owned(),
            rig.ods(1)?.to_owned(),
        );
        let first = tokio::spawn(async move { admin.set_once(Side::ShareOut, &from, &to, false).await });
        first_is_committed(&rig).await?;
        let receipt = second(&rig, change, nhs_number(round)?)
            .await
            .with_context(|| format!("{change:?}"))?;
        ensure!(
            receipt.may_have_received_to > 0,
            "{change:?}: nothing is in doubt: {receipt:?}"
        );
        let (_, turned) = first.await??;
        let own = turned.receipt.context("the first change's receipt")?;
        ensure!(
            own.connection_cut && own.ended_grant == grant,
            "it was not cut: {own:?}"
        );
        tap.hold(false);
        if matches!(change, Second::Half) {
            rig.turn(Side::ShareIn, 0, 1, true).await?;
        }
    }
    stop.store(true, Ordering::Relaxed);
    source.await??;
    rig.deployment.finished();
    Ok(())
}
