//! S1: when the call that turned a half off has returned "in force", nothing of the grant that it ended
//! leaves the daemon any more.
//!
//! The recipients write a message down before they send its receipt, so what a call counts as received is
//! in the journal when the call returns. After that, only what was already on a connection that the daemon
//! cut may still be read, and only within the receipt's "may have received"; and the daemon, which counts
//! at the socket, says of each cut how many bytes it wrote afterwards: none.
//!
//! Detects: a change that stops what is queued and neither waits for the transport nor cuts it; one that
//! waits for the transport and lets what is queued go; a cut that leaves the socket open; a receipt that
//! leaves out what was handed over on a connection that is gone, or before its cursor was committed.

#![expect(clippy::print_stdout, reason = "figures of a run, shown by the test runner")]

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use anyhow::{Context as _, ensure};
use handfast_integration_tests::harness::{
    Chaos, Deployment, Journal, Pace, Publisher, Rig, Subscriber, Turned, What, WireTap, amendment,
    long_mode, wait_until,
};
use handfast_proto::v1::{RevocationReceipt, Side};

/// Records that the source amends round and round.
const RECORDS: u64 = 2_000;
/// Amendments offered at once.
const OFFER: u64 = 256;
/// How long a recipient's connection or a delivery may take.
const SOON: Duration = Duration::from_secs(30);

/// A grant that a call ended, and where the recipient's journal stood when the call returned.
struct Ended {
    recipient: usize,
    grant: u64,
    receipt: RevocationReceipt,
    mark: usize,
    /// The recipient's newest connection at that time: nothing of the grant comes on a later one.
    connection: u32,
}

/// Streams as fast as the daemon takes it, until told to stop.
async fn stream(publisher: Arc<Publisher>, stop: Arc<AtomicBool>) -> anyhow::Result<u64> {
    let mut made = 0;
    while !stop.load(Ordering::Relaxed) {
        let mut some = Vec::new();
        for n in made..made + OFFER {
            some.push(amendment(n % RECORDS, n / RECORDS, 1024)?);
        }
        publisher.offer(some).await?;
        made += OFFER;
    }
    Ok(made)
}

/// Reads nothing for one to three seconds at a time.
async fn doze(subscriber: Arc<Subscriber>, mut chaos: Chaos) {
    loop {
        subscriber.pace(Pace::Stalled);
        chaos.pause(1_000, 3_000).await;
        subscriber.pace(Pace::Fast);
        chaos.pause(100, 800).await;
    }
}

fn ended(recipient: usize, grant: u64, turned: Turned, journal: &Journal) -> anyhow::Result<Ended> {
    let receipt = turned
        .receipt
        .context("a call that ended a grant gives its receipt")?;
    ensure!(
        receipt.ended_grant == grant,
        "the receipt is of grant {} instead of {grant}",
        receipt.ended_grant
    );
    Ok(Ended {
        recipient,
        grant,
        receipt,
        mark: journal.arrivals.len(),
        connection: journal.connection,
    })
}

/// Holds a recipient's whole journal against what the calls said.
fn hold_against(journal: &Journal, source: &str, all: &[Ended], recipient: usize) -> anyhow::Result<()> {
    journal.check().map_err(anyhow::Error::msg)?;
    for end in all.iter().filter(|e| e.recipient == recipient) {
        let known = end.receipt.received_through.max(end.receipt.may_have_received_to);
        for (at, arrival) in journal.arrivals.iter().enumerate() {
            let What::Deliver {
                source: s,
                grant,
                job,
                seqs,
            } = &arrival.what
            else {
                continue;
            };
            if s != source || *grant != end.grant {
                continue;
            }
            let last = seqs.last().copied().unwrap_or_default();
            // After a killed call it may only be known that the recipient has the withdrawal already.
            ensure!(
                *job != 0 || known == 0 || last <= known,
                "recipient {recipient} has seq {last} of grant {grant}; the receipt knows {:?}",
                end.receipt
            );
            if at < end.mark {
                continue;
            }
            ensure!(
                last <= end.receipt.may_have_received_to,
                "recipient {recipient} read seq {last} of grant {grant} after the call returned, on its \
                 connection {} (its newest then: {}) in job {job}: {:?}",
                arrival.connection,
                end.connection,
                end.receipt
            );
            ensure!(
                arrival.connection <= end.connection,
                "recipient {recipient} received seq {last} of grant {grant} on a later connection"
            );
        }
    }
    Ok(())
}

/// A daemon that tells of every connection that it cut.
async fn rig(units: usize) -> anyhow::Result<Rig> {
    let options = ["--log-level", "info,handfast_daemon::grpc::accept=debug"];
    Rig::over(Deployment::with_options(&options).await?, units).await
}

/// By the daemon's own count at the socket, not one byte was written after a cut; and every cut of a receipt
/// is among those that it counted.
async fn nothing_was_written_after_a_cut(rig: &Rig, cuts: usize) -> anyhow::Result<()> {
    let counted = || -> Vec<String> {
        let log = rig.deployment.logged();
        let cut = log.lines().filter(|line| line.contains("a connection was cut"));
        cut.map(str::to_owned).collect()
    };
    wait_until("the daemon tells of every cut", SOON, || match counted().len() {
        n if n >= cuts => Ok(()),
        n => Err(format!("of {n}, where the receipts have {cuts}")),
    })
    .await?;
    for line in counted() {
        ensure!(
            line.split_whitespace().any(|field| field == "after=0"),
            "bytes were written after a cut: {line}"
        );
    }
    Ok(())
}

/// A source that streams, and three recipients: one fast, one slow, one that dozes.
struct Load {
    rig: Rig,
    recipients: Vec<Arc<Subscriber>>,
    stop: Arc<AtomicBool>,
    source: tokio::task::JoinHandle<anyhow::Result<u64>>,
    dozing: tokio::task::JoinHandle<()>,
}

impl Load {
    async fn start(chaos: &mut Chaos) -> anyhow::Result<Self> {
        let rig = rig(4).await?;
        let paces = [Pace::Fast, Pace::Slow(Duration::from_millis(15)), Pace::Fast];
        let mut recipients = Vec::new();
        for (n, pace) in paces.into_iter().enumerate() {
            recipients.push(Arc::new(rig.subscriber(n + 1, pace)?));
        }
        for recipient in 1..=3 {
            rig.join(0, recipient).await?;
        }
        let stop = Arc::new(AtomicBool::new(false));
        let publisher = Arc::new(rig.publisher(0)?);
        let source = tokio::spawn(stream(publisher, stop.clone()));
        for recipient in &recipients {
            wait_until("the first amendments arrive", SOON, || {
                match recipient.look(|j| j.count("Z00001")) {
                    0 => Err("nothing has arrived".to_owned()),
                    _ => Ok(()),
                }
            })
            .await?;
        }
        let dozing = tokio::spawn(doze(
            recipients.last().context("three recipients")?.clone(),
            chaos.fork(),
        ));
        Ok(Self {
            rig,
            recipients,
            stop,
            source,
            dozing,
        })
    }

    fn recipient(&self, place: usize) -> anyhow::Result<&Subscriber> {
        Ok(self.recipients.get(place - 1).context("a recipient")?)
    }

    /// Stops the load, waits until every recipient knows that its last grant ended, and checks the journals.
    async fn finish(mut self, all: &[Ended]) -> anyhow::Result<()> {
        self.stop.store(true, Ordering::Relaxed);
        self.dozing.abort();
        let made = (&mut self.source).await??;
        let mut arrived = 0;
        for place in 1..=3 {
            let recipient = self.recipient(place)?;
            recipient.pace(Pace::Fast);
            if let Some(last) = all.iter().filter(|e| e.recipient == place).map(|e| e.grant).max() {
                wait_until("the end of the last grant is marked", SOON, || {
                    recipient
                        .look(|j| j.saw_the_end_of("Z00001", last))
                        .then_some(())
                        .ok_or_else(|| format!("grant {last} at recipient {place}"))
                })
                .await?;
            }
            recipient.look(|j| hold_against(j, "Z00001", all, place))?;
            arrived += recipient.look(|j| j.count("Z00001"));
        }
        let cut = all.iter().filter(|e| e.receipt.connection_cut).count();
        nothing_was_written_after_a_cut(&self.rig, cut).await?;
        println!(
            "{} grants ended, {cut} with a cut; {made} made, {arrived} arrived",
            all.len()
        );
        ensure!(arrived > 0, "nothing arrived: the test tests nothing");
        self.rig.deployment.finished();
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s1_nothing_follows_a_revocation_under_load() -> anyhow::Result<()> {
    let mut chaos = Chaos::new("s1 under load");
    let load = Load::start(&mut chaos).await?;
    let toggles = if long_mode() { 1_000 } else { 200 };
    let mut all = Vec::new();
    for _ in 0..toggles {
        let place = *chaos.pick(&[1, 2, 3]).context("a recipient")?;
        let side = *chaos.pick(&[Side::ShareOut, Side::ShareIn]).context("a side")?;
        let grant = load.rig.turn(side, 0, place, true).await?.agreement.grant;
        chaos.pause(0, 120).await;
        let turned = load.rig.turn(side, 0, place, false).await?;
        let recipient = load.recipient(place)?;
        all.push(recipient.look(|j| ended(place, grant, turned, j))?);
        load.rig.turn(side, 0, place, true).await?;
    }
    for place in 1..=3 {
        let grant = load
            .rig
            .turn(Side::ShareOut, 0, place, true)
            .await?
            .agreement
            .grant;
        let turned = load.rig.turn(Side::ShareOut, 0, place, false).await?;
        let recipient = load.recipient(place)?;
        all.push(recipient.look(|j| ended(place, grant, turned, j))?);
    }
    load.finish(&all).await
}

/// Whether the source's half towards a recipient is off: the change was committed.
async fn half_is_off(rig: &Rig, recipient: usize) -> anyhow::Result<bool> {
    let agreements = rig.member(0)?.unit.admin.list().await?;
    let recipient = rig.ods(recipient)?;
    let of_pair = agreements
        .iter()
        .find(|a| a.source == "Z00001" && a.recipient == recipient);
    Ok(of_pair.context("an agreement of the pair")?.grant == 0)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s1_nothing_follows_when_the_daemon_is_killed_in_the_call() -> anyhow::Result<()> {
    let mut chaos = Chaos::new("s1 killed");
    let load = Load::start(&mut chaos).await?;
    let rounds = if long_mode() { 1_000 } else { 200 };
    let (mut all, mut in_the_middle) = (Vec::new(), 0);
    for _ in 0..rounds {
        let place = *chaos.pick(&[1, 2, 3]).context("a recipient")?;
        let grant = load
            .rig
            .turn(Side::ShareOut, 0, place, true)
            .await?
            .agreement
            .grant;
        chaos.pause(20, 150).await;
        let (source, recipient) = (load.rig.ods(0)?.to_owned(), load.rig.ods(place)?.to_owned());
        let admin = load.rig.member(0)?.unit.admin.clone();
        let call =
            tokio::spawn(async move { admin.set_once(Side::ShareOut, &source, &recipient, false).await });
        chaos.pause(0, 60).await;
        load.rig.deployment.kill();
        let unanswered = call.await?.is_err();
        load.rig.deployment.serve().await?;
        in_the_middle += usize::from(unanswered && half_is_off(&load.rig, place).await?);
        let turned = load.rig.turn(Side::ShareOut, 0, place, false).await?;
        let recipient = load.recipient(place)?;
        all.push(recipient.look(|j| ended(place, grant, turned, j))?);
        load.rig.turn(Side::ShareOut, 0, place, true).await?;
    }
    for place in 1..=3 {
        let grant = load
            .rig
            .turn(Side::ShareOut, 0, place, true)
            .await?
            .agreement
            .grant;
        let turned = load.rig.turn(Side::ShareOut, 0, place, false).await?;
        let recipient = load.recipient(place)?;
        all.push(recipient.look(|j| ended(place, grant, turned, j))?);
    }
    println!("{in_the_middle} of {rounds} kills came between the commit and the answer");
    ensure!(
        in_the_middle >= rounds / 20,
        "only {in_the_middle} of {rounds} kills came between the commit and the answer"
    );
    load.finish(&all).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s1_a_recipient_that_does_not_answer_is_cut_and_reads_nothing_more() -> anyhow::Result<()> {
    let rig = rig(2).await?;
    let tap = WireTap::start(rig.deployment.port()).await?;
    let recipient = Subscriber::start(&tap.url(), &rig.member(1)?.identity, Pace::Fast);
    let stop = Arc::new(AtomicBool::new(false));
    let source = tokio::spawn(stream(Arc::new(rig.publisher(0)?), stop.clone()));
    for _ in 0..10 {
        let grant = rig.join(0, 1).await?;
        wait_until("amendments of the grant arrive", SOON, || {
            match recipient.look(|j| j.seqs_of_grant("Z00001", grant).len()) {
                0 => Err("none has arrived".to_owned()),
                _ => Ok(()),
            }
        })
        .await?;
        tap.hold(true);
        let held_from = tap.bytes();
        wait_until("the daemon hands something over that is held back", SOON, || {
            (tap.bytes() > held_from)
                .then_some(())
                .ok_or_else(|| "not a byte".to_owned())
        })
        .await?;
        let turned = rig.turn(Side::ShareOut, 0, 1, false).await?;
        let end = recipient.look(|j| ended(1, grant, turned, j))?;
        ensure!(end.receipt.connection_cut, "not cut: {:?}", end.receipt);
        ensure!(
            end.receipt.may_have_received_to > 0,
            "nothing in doubt: {:?}",
            end.receipt
        );
        wait_until("the daemon's end of the connection is gone", SOON, || {
            match tap.open() {
                0 => Ok(()),
                n => Err(format!("{n} connections are open")),
            }
        })
        .await?;
        tap.hold(false);
        wait_until(
            "the recipient is back and knows that the grant ended",
            SOON,
            || {
                recipient
                    .look(|j| j.saw_the_end_of("Z00001", grant))
                    .then_some(())
                    .ok_or_else(|| "no mark yet".to_owned())
            },
        )
        .await?;
        recipient.look(|j| hold_against(j, "Z00001", &[end], 1))?;
    }
    stop.store(true, Ordering::Relaxed);
    source.await??;
    nothing_was_written_after_a_cut(&rig, 10).await?;
    rig.deployment.finished();
    Ok(())
}
