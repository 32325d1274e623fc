//! S2: no amendment arrives at any recipient while fewer than both halves are on.
//!
//! Four units, all twelve ordered pairs at once. First every pair goes through every combination of its two
//! halves; then halves are turned at random under load, and every arrival must belong to a grant that was
//! in force.
//!
//! Detects: a grant that begins with one half, under a gate that does not look at the other.

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Context as _, ensure};
use handfast_integration_tests::harness::{
    Chaos, Journal, Pace, Publisher, Rig, Subscriber, What, amendment, long_mode, wait_until,
};
use handfast_proto::v1::{RevocationReceipt, Side};

const UNITS: usize = 4;
/// Amendments of each unit in each round of the matrix.
const ROUND: u64 = 200;
/// How long deliveries may take.
const SOON: Duration = Duration::from_secs(30);
/// How long it is watched that nothing arrives.
const WATCH: Duration = Duration::from_millis(700);

fn pairs() -> Vec<(usize, usize)> {
    (0..UNITS)
        .flat_map(|s| (0..UNITS).filter(move |r| *r != s).map(move |r| (s, r)))
        .collect()
}

struct Network {
    rig: Rig,
    publishers: Vec<Publisher>,
    recipients: Vec<Subscriber>,
    made: Vec<u64>,
}

impl Network {
    async fn start() -> anyhow::Result<Self> {
        let rig = Rig::new(UNITS).await?;
        let publishers = (0..UNITS).map(|n| rig.publisher(n)).collect::<Result<_, _>>()?;
        let recipients = (0..UNITS)
            .map(|n| rig.subscriber(n, Pace::Fast))
            .collect::<Result<_, _>>()?;
        Ok(Self {
            rig,
            publishers,
            recipients,
            made: vec![0; UNITS],
        })
    }

    fn recipient(&self, place: usize) -> anyhow::Result<&Subscriber> {
        self.recipients.get(place).context("a recipient")
    }

    /// Every unit publishes `count` records of its own.
    async fn publish(&mut self, count: u64) -> anyhow::Result<()> {
        for (publisher, made) in self.publishers.iter().zip(&mut self.made) {
            let some = (*made..*made + count)
                .map(|n| amendment(n, 0, 300))
                .collect::<Result<_, _>>()?;
            publisher.offer(some).await?;
            *made += count;
        }
        Ok(())
    }

    async fn acknowledged(&self) -> anyhow::Result<()> {
        for (publisher, made) in self.publishers.iter().zip(&self.made) {
            publisher.wait_acked(*made, SOON).await?;
        }
        Ok(())
    }

    /// How many messages of amendments of a source arrived at a recipient, from `mark` on.
    fn arrived_since(&self, pair: (usize, usize), mark: usize) -> anyhow::Result<usize> {
        let source = self.rig.ods(pair.0)?;
        Ok(self.recipient(pair.1)?.look(|j| {
            j.arrivals
                .iter()
                .skip(mark)
                .filter(|a| matches!(&a.what, What::Deliver { source: s, .. } if s == source))
                .count()
        }))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s2_every_combination_of_halves_of_twelve_pairs() -> anyhow::Result<()> {
    let mut net = Network::start().await?;
    for round in 0..4 {
        let mut both = Vec::new();
        let mut not_both = Vec::new();
        for (n, (s, r)) in pairs().into_iter().enumerate() {
            let combination = (n + round) % 4;
            let (out, into) = (combination & 1 == 1, combination & 2 == 2);
            net.rig.turn(Side::ShareOut, s, r, out).await?;
            net.rig.turn(Side::ShareIn, s, r, into).await?;
            if out && into {
                both.push((s, r));
            } else {
                let mark = net.recipient(r)?.look(|j| j.arrivals.len());
                not_both.push(((s, r), mark));
            }
        }
        net.publish(ROUND).await?;
        net.acknowledged().await?;
        for (s, r) in both {
            let (source, made) = (net.rig.ods(s)?, net.made[s]);
            let recipient = net.recipient(r)?;
            wait_until(&format!("all of {source} arrive at {r}"), SOON, || {
                recipient.look(|j| match j.highest_seq(source) {
                    seq if seq >= made => Ok(()),
                    seq => Err(format!("up to {seq} of {made}")),
                })
            })
            .await?;
        }
        tokio::time::sleep(WATCH).await;
        for (pair, mark) in not_both {
            let arrived = net.arrived_since(pair, mark)?;
            ensure!(
                arrived == 0,
                "round {round}: {arrived} messages of {pair:?} without both"
            );
        }
    }
    for recipient in &net.recipients {
        recipient.look(Journal::check).map_err(anyhow::Error::msg)?;
    }
    net.rig.deployment.finished();
    Ok(())
}

/// What is known of one grant of a pair.
#[derive(Debug, Clone, Default)]
struct Known {
    /// Where the recipient's journal stood when the call that ended it returned, and its receipt.
    ended: Option<(usize, RevocationReceipt)>,
}

type Book = BTreeMap<((usize, usize), u64), Known>;

/// Every arrival belongs to a grant of its pair, and came before the grant's end or is known to the receipt.
fn check_arrivals(net: &Network, book: &Book) -> anyhow::Result<usize> {
    let mut arrived = 0;
    for (s, r) in pairs() {
        let source = net.rig.ods(s)?;
        let journal = net.recipient(r)?.look(Clone::clone);
        journal.check().map_err(anyhow::Error::msg)?;
        for (at, arrival) in journal.arrivals.iter().enumerate() {
            let What::Deliver {
                source: of,
                grant,
                seqs,
                ..
            } = &arrival.what
            else {
                continue;
            };
            if of != source {
                continue;
            }
            arrived += seqs.len();
            let known = book
                .get(&((s, r), *grant))
                .with_context(|| format!("an arrival of {source} at {r} under grant {grant}, never given"))?;
            let Some((mark, receipt)) = &known.ended else {
                continue;
            };
            let last = seqs.last().copied().unwrap_or_default();
            ensure!(
                at < *mark || (receipt.connection_cut && last <= receipt.may_have_received_to),
                "seq {last} of {source} arrived at {r} after grant {grant} had ended: {receipt:?}"
            );
        }
    }
    Ok(arrived)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s2_halves_turned_at_random_under_load() -> anyhow::Result<()> {
    let mut chaos = Chaos::new("s2 under load");
    let mut net = Network::start().await?;
    let mut halves: BTreeMap<(usize, usize), (bool, bool, u64)> = BTreeMap::new();
    let mut book = Book::new();
    let turns = if long_mode() { 3_000 } else { 600 };
    for _ in 0..turns {
        net.publish(chaos.number(1, 40)).await?;
        let pair = *chaos.pick(&pairs()).context("a pair")?;
        let side = *chaos.pick(&[Side::ShareOut, Side::ShareIn]).context("a side")?;
        let (out, into, grant) = halves.entry(pair).or_default();
        let half = if side == Side::ShareOut {
            &mut *out
        } else {
            &mut *into
        };
        *half = !*half;
        let turned = net.rig.turn(side, pair.0, pair.1, *half).await?;
        let now = turned.agreement.grant;
        ensure!(
            (now > 0) == (*out && *into),
            "{pair:?}: grant {now} with halves {out} and {into}"
        );
        if now > 0 {
            book.insert((pair, now), Known::default());
        } else if *grant > 0 {
            let receipt = turned.receipt.context("a receipt of the grant that ended")?;
            let mark = net.recipient(pair.1)?.look(|j| j.arrivals.len());
            let known = Known {
                ended: Some((mark, receipt)),
            };
            book.insert((pair, *grant), known);
        }
        *grant = now;
    }
    net.acknowledged().await?;
    tokio::time::sleep(WATCH).await;
    let arrived = check_arrivals(&net, &book)?;
    println!("{turns} turns, {} grants, {arrived} arrived", book.len());
    ensure!(arrived > 0, "nothing arrived: the test tests nothing");
    net.rig.deployment.finished();
    Ok(())
}
