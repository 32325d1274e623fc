//! What the rounds gave, and how Handfast stands to each peer in them.
//!
//! Invariant: a ratio is of two figures of one round, so that what else the machine does weighs on both.

use serde::{Deserialize, Serialize};

use super::{
    options::{Beside, Kind, Shape},
    peer::About,
};
use crate::load::{Latency, Machine};

/// Every round, and what they come to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PeersReport {
    /// [`PeersReport::FORMAT`].
    pub format: u32,
    /// Where it ran.
    pub machine: Machine,
    /// The file system of the temporary folder, in which every server had its files.
    pub file_system: String,
    /// When it began, RFC 3339.
    pub started_at: String,
    /// How often every peer did every shape's work.
    pub rounds: u32,
    /// Whether it was asked to end before every round was over.
    pub interrupted: bool,
    /// Why it ended before every round was over, where something failed: who, at what, and the error.
    pub failed: Option<String>,
    /// How long each was measured.
    pub seconds: u64,
    /// What Handfast held beside the measured units.
    pub beside: Beside,
    /// Bytes of every payload.
    pub payload_bytes: u64,
    /// What all sources together may be ahead of the slowest recipient.
    pub window_amendments: u64,
    /// What took part, and how it was set.
    pub peers: Vec<About>,
    /// What did not.
    pub missing: Vec<Missing>,
    /// Shape by shape, how Handfast stands to each peer.
    pub compared: Vec<Compared>,
    /// Shape by shape, how long each took at a steady rate.
    pub latencies: Vec<Latencies>,
    /// Every round.
    pub runs: Vec<PeerRun>,
}

/// A peer that did not take part.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Missing {
    /// Which.
    pub peer: Kind,
    /// Why, and what to do.
    pub why: String,
}

/// One peer in one round.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct PeerRun {
    /// From 1.
    pub round: u32,
    /// Sources and recipients.
    pub shape: Shape,
    /// Which.
    pub peer: Kind,
    /// Amendments a second that were due; none: as fast as it goes.
    pub rate: Option<u64>,
    /// The machine's load average when it began.
    pub load_average: f64,
    /// Whether the server had nothing to do when its clients began; false: it still had something after a long wait.
    pub at_rest: bool,
    /// How long was measured.
    pub seconds: f64,
    /// Amendments that came to every recipient in that time.
    pub amendments: u64,
    /// The same a second.
    pub amendments_per_s: f64,
    /// CPU time of the server's processes.
    pub server_cpu_s: f64,
    /// The same for a million such amendments.
    pub server_cpu_s_per_million: f64,
    /// CPU time of this process, which is all the clients and holds what comes against what was sent; it takes turns with
    /// the server on the same cores.
    pub client_cpu_s: f64,
    /// The same for a million such amendments.
    pub client_cpu_s_per_million: f64,
    /// Amendments sent from the beginning to the end, all of which came to everyone, each once and in order.
    pub sent_and_arrived: u64,
    /// Deliveries that were held against what was sent, byte by byte.
    pub deliveries_checked: u64,
    /// From when each was due until a recipient had it, where there is a rate.
    pub latency_ms: Option<Latency>,
}

/// The least, the median and the most over the rounds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Span {
    /// The least.
    pub min: f64,
    /// The median.
    pub median: f64,
    /// The most.
    pub max: f64,
}

/// How Handfast stands to a peer at a shape.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Compared {
    /// Sources and recipients.
    pub shape: Shape,
    /// With whom.
    pub peer: Kind,
    /// Amendments a second through Handfast.
    pub handfast_per_s: Span,
    /// Through the peer.
    pub peer_per_s: Span,
    /// The first over the second, round by round: above 1 Handfast is faster.
    pub rate_ratio: Span,
    /// CPU seconds a million of Handfast's server.
    pub handfast_cpu_s_per_million: Span,
    /// Of the peer's.
    pub peer_cpu_s_per_million: Span,
    /// The first over the second, round by round: below 1 Handfast takes less.
    pub cpu_ratio: Span,
    /// CPU seconds a million of Handfast's clients.
    pub handfast_client_cpu_s_per_million: Span,
    /// Of the peer's.
    pub peer_client_cpu_s_per_million: Span,
}

/// How long a peer took at a shape and a steady rate.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Latencies {
    /// Sources and recipients.
    pub shape: Shape,
    /// Amendments a second that were due.
    pub rate: u64,
    /// Whose.
    pub peer: Kind,
    /// The median of each round, in milliseconds.
    pub p50_ms: Span,
    /// What all but one in a hundred kept to, in each round.
    pub p99_ms: Span,
    /// CPU seconds a million of the server.
    pub cpu_s_per_million: Span,
    /// Of the clients.
    pub client_cpu_s_per_million: Span,
}

impl Span {
    /// Of figures; none of none.
    pub fn of(mut figures: Vec<f64>) -> Option<Self> {
        figures.sort_by(f64::total_cmp);
        let (min, max) = (*figures.first()?, *figures.last()?);
        let upper = *figures.get(figures.len() / 2)?;
        let lower = *figures.get((figures.len() - 1) / 2)?;
        Some(Self {
            min,
            median: f64::midpoint(lower, upper),
            max,
        })
    }
}

/// Handfast with each peer at each shape, in the order in which they first ran.
pub(super) fn compare(runs: &[PeerRun]) -> Vec<Compared> {
    let mut pairs: Vec<(Shape, Kind)> = Vec::new();
    for run in runs
        .iter()
        .filter(|r| r.peer != Kind::Handfastd && r.rate.is_none())
    {
        if !pairs.contains(&(run.shape, run.peer)) {
            pairs.push((run.shape, run.peer));
        }
    }
    pairs
        .into_iter()
        .filter_map(|(shape, peer)| one(runs, shape, peer))
        .collect()
}

fn one(runs: &[PeerRun], shape: Shape, peer: Kind) -> Option<Compared> {
    let as_fast = |r: &&PeerRun| r.shape == shape && r.rate.is_none();
    let of = |kind: Kind| runs.iter().filter(as_fast).filter(move |r| r.peer == kind);
    let rounds: Vec<(&PeerRun, &PeerRun)> = of(peer)
        .filter_map(|theirs| {
            Some((
                of(Kind::Handfastd).find(|ours| ours.round == theirs.round)?,
                theirs,
            ))
        })
        .collect();
    let span = |figure: &dyn Fn(&PeerRun, &PeerRun) -> f64| {
        Span::of(rounds.iter().map(|(ours, theirs)| figure(ours, theirs)).collect())
    };
    let over = |a: f64, b: f64| if b > 0.0 { a / b } else { 0.0 };
    Some(Compared {
        shape,
        peer,
        handfast_per_s: span(&|ours, _| ours.amendments_per_s)?,
        peer_per_s: span(&|_, theirs| theirs.amendments_per_s)?,
        rate_ratio: span(&|ours, theirs| over(ours.amendments_per_s, theirs.amendments_per_s))?,
        handfast_cpu_s_per_million: span(&|ours, _| ours.server_cpu_s_per_million)?,
        peer_cpu_s_per_million: span(&|_, theirs| theirs.server_cpu_s_per_million)?,
        cpu_ratio: span(&|ours, theirs| {
            over(ours.server_cpu_s_per_million, theirs.server_cpu_s_per_million)
        })?,
        handfast_client_cpu_s_per_million: span(&|ours, _| ours.client_cpu_s_per_million)?,
        peer_client_cpu_s_per_million: span(&|_, theirs| theirs.client_cpu_s_per_million)?,
    })
}

/// Everyone at each shape and rate, in the order in which they first ran.
pub(super) fn latencies(runs: &[PeerRun]) -> Vec<Latencies> {
    let mut cases: Vec<(Shape, u64, Kind)> = Vec::new();
    for run in runs {
        let case = run.rate.map(|rate| (run.shape, rate, run.peer));
        cases.extend(case.filter(|case| !cases.contains(case)));
    }
    let of = |(shape, rate, peer): (Shape, u64, Kind)| {
        let runs: Vec<&PeerRun> = runs
            .iter()
            .filter(|r| (r.shape, r.rate, r.peer) == (shape, Some(rate), peer))
            .collect();
        let span = |figure: &dyn Fn(&Latency) -> f64| {
            Span::of(
                runs.iter()
                    .filter_map(|r| r.latency_ms.as_ref().map(figure))
                    .collect(),
            )
        };
        Some(Latencies {
            shape,
            rate,
            peer,
            p50_ms: span(&|l| l.p50)?,
            p99_ms: span(&|l| l.p99)?,
            cpu_s_per_million: Span::of(runs.iter().map(|r| r.server_cpu_s_per_million).collect())?,
            client_cpu_s_per_million: Span::of(runs.iter().map(|r| r.client_cpu_s_per_million).collect())?,
        })
    };
    cases.into_iter().filter_map(of).collect()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::load::peers) const SHAPE: Shape = Shape {
        sources: 1,
        recipients: 4,
    };

    pub(in crate::load::peers) fn run(round: u32, peer: Kind, per_s: f64, cpu: f64) -> PeerRun {
        PeerRun {
            round,
            shape: SHAPE,
            peer,
            rate: None,
            load_average: 0.5,
            at_rest: true,
            seconds: 1.0,
            amendments: 1,
            amendments_per_s: per_s,
            server_cpu_s: 1.0,
            server_cpu_s_per_million: cpu,
            client_cpu_s: 2.0,
            client_cpu_s_per_million: 2.0 * cpu,
            sent_and_arrived: 1,
            deliveries_checked: 4,
            latency_ms: None,
        }
    }

    #[test]
    fn ratios_are_of_figures_of_one_round() {
        let runs = [
            run(1, Kind::Handfastd, 100.0, 8.0),
            run(1, Kind::Redis, 50.0, 4.0),
            run(2, Kind::Redis, 100.0, 16.0),
            run(2, Kind::Handfastd, 50.0, 8.0),
            run(3, Kind::Handfastd, 100.0, 8.0),
            run(3, Kind::Redis, 100.0, 8.0),
        ];
        let compared = compare(&runs);
        assert_eq!(compared.len(), 1);
        assert_eq!(
            compared[0].rate_ratio,
            Span {
                min: 0.5,
                median: 1.0,
                max: 2.0
            }
        );
        assert_eq!(
            compared[0].cpu_ratio,
            Span {
                min: 0.5,
                median: 1.0,
                max: 2.0
            }
        );
        assert_eq!(
            compared[0].peer_per_s,
            Span {
                min: 50.0,
                median: 100.0,
                max: 100.0
            }
        );
    }

    #[test]
    fn a_span_of_an_even_number_has_its_median_between() {
        assert_eq!(
            Span::of(vec![4.0, 1.0]),
            Some(Span {
                min: 1.0,
                median: 2.5,
                max: 4.0
            })
        );
        assert_eq!(Span::of(Vec::new()), None);
    }

    pub(in crate::load::peers) fn at_a_rate(round: u32, peer: Kind, p50: f64) -> PeerRun {
        let latency = Latency {
            p50,
            p90: 2.0 * p50,
            p99: 3.0 * p50,
            p999: 4.0 * p50,
            max: 5.0 * p50,
        };
        PeerRun {
            rate: Some(5_000),
            latency_ms: Some(latency),
            ..run(round, peer, 5_000.0, 40.0)
        }
    }

    #[test]
    fn what_ran_at_a_rate_is_told_apart() {
        let runs = [
            run(1, Kind::Redis, 50.0, 4.0),
            at_a_rate(1, Kind::Handfastd, 2.0),
            at_a_rate(1, Kind::Redis, 1.0),
            at_a_rate(2, Kind::Redis, 3.0),
            run(1, Kind::Handfastd, 100.0, 4.0),
        ];
        let compared = compare(&runs);
        assert_eq!(compared.len(), 1);
        assert_eq!(
            compared[0].rate_ratio,
            Span {
                min: 2.0,
                median: 2.0,
                max: 2.0
            }
        );
        let latencies = latencies(&runs);
        assert_eq!(latencies.len(), 2);
        assert_eq!(
            (latencies[0].peer, latencies[0].p50_ms.median),
            (Kind::Handfastd, 2.0)
        );
        assert_eq!(
            latencies[1].p99_ms,
            Span {
                min: 3.0,
                median: 6.0,
                max: 9.0
            }
        );
    }
}
