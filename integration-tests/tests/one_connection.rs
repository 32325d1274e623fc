//! An agent publishes and receives over one connection. One that does not read what it is sent goes on publishing over
//! it; and where the daemon cuts it for the sake of a revocation, what is published is neither lost nor doubled.
//!
//! Detects: an agent that opens a connection for each stream; windows of the agent's in which deliveries that nobody reads
//! leave acknowledgements no room; an uplink that does not come back from a cut that was not its own.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use handfast_integration_tests::harness::{
    AgentProcess, Deployment, Journal, Pace, Publisher, Rig, SharedConnection, SmallDisk, Subscriber,
    WireTap, amendment, expected, nhs_number, observation_line, patient_line, tree_differs, wait_until,
};
use handfast_proto::v1::Side;

const SOON: Duration = Duration::from_secs(60);
/// For so long nothing is sent where windows are full.
const QUIET: Duration = Duration::from_millis(500);
/// What is sent to an agent that reads nothing, at the least: the window of its stream.
const UNREAD_BYTES: u64 = 256 * 1024;
/// Amendments offered at once.
const OFFER: u64 = 250;
/// Amendments, of 1 KiB each, that are more than a recipient which reads nothing has room for.
const TOO_MANY: u64 = 4_000;

async fn publish(publisher: &Publisher, count: u64) -> anyhow::Result<()> {
    for first in (0..count).step_by(usize::try_from(OFFER)?) {
        let some: anyhow::Result<Vec<_>> = (first..first + OFFER).map(|n| amendment(n, 0, 1024)).collect();
        publisher.offer(some?).await?;
    }
    publisher.wait_acked(count, SOON).await
}

/// Everything of a source came live, once, and in order.
async fn came_once(subscriber: &Subscriber, source: &str, count: u64) -> anyhow::Result<()> {
    wait_until(&format!("all of {source} arrives"), SOON, || {
        subscriber.look(|journal| match journal.highest_seq(source) {
            seq if seq >= count => Ok(()),
            seq => Err(format!("it has come to seq {seq}")),
        })
    })
    .await?;
    let seqs = subscriber.look(|journal| journal.live_seqs(source));
    ensure!(
        seqs.iter().copied().eq(1..=count),
        "of {count} amendments of {source}, {} came",
        seqs.len()
    );
    subscriber.look(Journal::check).map_err(anyhow::Error::msg)
}

async fn welcomed(subscriber: &Subscriber) -> anyhow::Result<()> {
    wait_until("the subscription is open", SOON, || {
        subscriber.look(|journal| match journal.arrivals.len() {
            0 => Err("no welcome yet".to_owned()),
            _ => Ok(()),
        })
    })
    .await
}

fn connections(tap: &WireTap, wanted: u64) -> anyhow::Result<()> {
    let (open, attended) = (tap.open(), tap.attended());
    ensure!(
        open == wanted && attended == wanted,
        "{open} connections are open at the daemon's end and {attended} at the agent's, not {wanted}"
    );
    Ok(())
}

/// Waits until the daemon has sent all that there is room for: what is published after finds the windows as full as they
/// get.
async fn no_more_goes_out(tap: &WireTap, before: u64) -> anyhow::Result<()> {
    let (mut bytes, mut since) = (before, Instant::now());
    wait_until("nothing more is sent", SOON, || {
        if tap.bytes() > bytes {
            (bytes, since) = (tap.bytes(), Instant::now());
        }
        match bytes >= before + UNREAD_BYTES && since.elapsed() >= QUIET {
            true => Ok(()),
            false => Err(format!("{bytes} bytes so far")),
        }
    })
    .await
}

/// Two units joined both ways; the second's clients share one connection, which the agent's own code makes.
struct Scene {
    rig: Rig,
    tap: WireTap,
    near: (Publisher, Subscriber),
    far: (Publisher, Subscriber),
}

impl Scene {
    async fn new() -> anyhow::Result<Self> {
        let rig = Rig::new(2).await?;
        rig.join(0, 1).await?;
        rig.join(1, 0).await?;
        let tap = WireTap::start(rig.deployment.port()).await?;
        let identity = &rig.member(1)?.identity;
        let shared = SharedConnection::of_agent(&tap.url(), identity, rig.ods(1)?.parse()?)?;
        let near = (rig.publisher(0)?, rig.subscriber(0, Pace::Fast)?);
        let far = (
            Publisher::over(shared.clone()),
            Subscriber::over(shared, Pace::Fast),
        );
        welcomed(&near.1).await?;
        welcomed(&far.1).await?;
        Ok(Self { rig, tap, near, far })
    }

    fn ods(&self, place: usize) -> anyhow::Result<&str> {
        self.rig.ods(place)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_recipient_that_does_not_read_publishes_over_the_same_connection() -> anyhow::Result<()> {
    let scene = Scene::new().await?;
    scene.far.1.pace(Pace::Stalled);
    let before = scene.tap.bytes();
    publish(&scene.near.0, TOO_MANY).await?;
    no_more_goes_out(&scene.tap, before).await?;
    let had = scene.far.1.look(|journal| journal.count("Z00001"));
    publish(&scene.far.0, TOO_MANY).await?;
    came_once(&scene.near.1, scene.ods(1)?, TOO_MANY).await?;
    ensure!(
        scene.far.1.look(|journal| journal.count("Z00001")) <= had + usize::try_from(OFFER)?,
        "it was to read nothing meanwhile"
    );
    connections(&scene.tap, 1)?;
    scene.far.1.pace(Pace::Fast);
    came_once(&scene.far.1, scene.ods(0)?, TOO_MANY).await?;
    connections(&scene.tap, 1)?;
    scene.rig.deployment.finished();
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn l1_a_cut_for_a_revocation_costs_what_is_published_nothing() -> anyhow::Result<()> {
    let scene = Scene::new().await?;
    scene.far.1.pace(Pace::Stalled);
    publish(&scene.near.0, TOO_MANY).await?;
    let publishing = publish(&scene.far.0, 5 * TOO_MANY);
    let revoking = async {
        wait_until("something was published", SOON, || match scene.far.0.acked() {
            0 => Err("nothing yet".to_owned()),
            _ => Ok(()),
        })
        .await?;
        scene.rig.turn(Side::ShareIn, 0, 1, false).await
    };
    let ((), turned) = tokio::try_join!(publishing, revoking)?;
    let receipt = turned.receipt.context("a receipt")?;
    ensure!(
        receipt.may_have_received_to > 0,
        "the recipient that does not read was to be cut: {receipt:?}"
    );
    came_once(&scene.near.1, scene.ods(1)?, 5 * TOO_MANY).await?;
    scene.rig.deployment.finished();
    Ok(())
}

/// A patient and observations of some KiB each, so that they soon are more than the credit. What one unit writes differs
/// from what the other does, or it would be taken for an echo.
fn lines(patient: u64, count: u64) -> anyhow::Result<Vec<String>> {
    let text = "x".repeat(4 * 1024);
    let note = format!("\"status\":\"final\",\"note\":[{{\"text\":\"{text}\"}}]");
    let name = format!("p{patient}");
    let mut lines = vec![patient_line(&name, nhs_number(patient)?, "Synthetic")];
    lines.extend((0..count).map(|n| {
        let line = observation_line(&format!("o{patient}-{n}"), &name, n);
        line.replace("\"status\":\"final\"", &note)
    }));
    Ok(lines)
}

async fn holds(agent: &AgentProcess, source: &str, lines: &[String]) -> anyhow::Result<()> {
    let want = expected(lines.iter().map(String::as_str))?;
    wait_until(&format!("all of {source} is there"), SOON, || {
        tree_differs(&agent.output(), source, &want)
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_whose_inbox_takes_nothing_publishes_over_its_one_connection() -> anyhow::Result<()> {
    let deployment = Deployment::start().await?;
    let tap = WireTap::start(deployment.port()).await?;
    let units = [
        deployment.add_unit("Z00001", "gp").await?,
        deployment.add_unit("Z00002", "gp").await?,
    ];
    for (source, recipient) in [(0, 1), (1, 0)] {
        let (from, to) = (&units[source].ods, &units[recipient].ods);
        units[source].admin.set(Side::ShareOut, from, to, true).await?;
        units[recipient].admin.set(Side::ShareIn, from, to, true).await?;
    }
    let near = deployment.agent(&units[0]).await?;
    let place = deployment.dir().join(&units[1].ods);
    let far = AgentProcess::enrol(&place, &tap.url(), &units[1].token).await?;
    // The inbox lies on a disk of its own.
    let disk = SmallDisk::new(deployment.dir(), 32)?;
    std::os::unix::fs::symlink(disk.path().join("inbox.db"), far.state().join("inbox.db"))?;
    near.run()?;
    far.run()?;
    for (n, agent) in (1..).zip([&near, &far]) {
        agent.drop_lines("a.ndjson", lines(n, 1)?.iter().map(String::as_str))?;
    }
    holds(&far, "Z00001", &lines(1, 1)?).await?;
    holds(&near, "Z00002", &lines(2, 1)?).await?;
    connections(&tap, 1)?;

    disk.fill()?;
    near.drop_lines("b.ndjson", lines(1, 600)?.iter().map(String::as_str))?;
    let full = || {
        far.status()
            .is_some_and(|status| status["disk_full"].to_string().contains("inbox"))
    };
    wait_until("the agent says that its inbox is full", SOON, || match full() {
        true => Ok(()),
        false => Err("not yet".to_owned()),
    })
    .await?;
    far.drop_lines("b.ndjson", lines(2, 600)?.iter().map(String::as_str))?;
    holds(&near, "Z00002", &lines(2, 600)?).await?;
    connections(&tap, 1)?;
    disk.free()?;
    holds(&far, "Z00001", &lines(1, 600)?).await?;
    deployment.finished();
    Ok(())
}
