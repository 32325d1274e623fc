//! Which units there are, of which kinds, and which ordered pairs of them share.
//!
//! A unit's place in [`Layout::units`] is its number as a source and as a recipient everywhere in a run.

use serde::{Deserialize, Serialize};

/// Kinds of a county's centres, in the order in which they are added.
const CENTRES: [&str; 6] = [
    "acute",
    "community",
    "urgent-care",
    "mental-health",
    "hospice",
    "social-care",
];
/// The kind of a practice, and of the units of the plain shapes.
const PRACTICE: &str = "gp";
/// Units of idle agreements are named from here.
const FIRST_IDLE: u32 = 90_000;

/// A shape, and how large it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "shape", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Topology {
    /// Each source shares with each recipient.
    Bipartite {
        /// Units that only send.
        sources: u32,
        /// Units that only receive.
        recipients: u32,
    },
    /// Each unit shares with the next, the last with the first.
    Ring {
        /// How many.
        units: u32,
    },
    /// One unit in the middle; each other shares with it, and it with each.
    Star {
        /// Units around it.
        around: u32,
    },
    /// Practices around trusts and other services: each practice and each of them share both ways, and they
    /// among one another.
    County {
        /// Practices.
        #[serde(default = "practices")]
        practices: u32,
        /// Trusts and services: an acute trust, a community trust, urgent care, a mental health trust, a
        /// hospice, social care, and again.
        #[serde(default = "centres")]
        centres: u32,
    },
    /// Each unit shares with each other.
    Mesh {
        /// How many.
        units: u32,
    },
}

fn practices() -> u32 {
    140
}

fn centres() -> u32 {
    2
}

impl Default for Topology {
    fn default() -> Self {
        Self::Bipartite {
            sources: 4,
            recipients: 2,
        }
    }
}

/// A unit of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unit {
    /// Its ODS code, `Z` and five digits.
    pub ods: String,
    /// Its kind, as `handfastctl unit add --kind` takes it.
    pub kind: &'static str,
    /// Its part of all amendments, against the others' weights.
    pub weight: u32,
}

/// The units of a run and their pairs; places are those in `units`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    /// Every unit that sends or receives.
    pub units: Vec<Unit>,
    /// Those that send, in rising order.
    pub sources: Vec<u32>,
    /// Those that receive, in rising order.
    pub recipients: Vec<u32>,
    /// The ordered pairs (source, recipient) with both halves on.
    pub joined: Vec<(u32, u32)>,
    /// The pairs of the topology beyond the number of agreements: nothing is shared.
    pub apart: Vec<(u32, u32)>,
    /// Units of agreements over which nothing is sent.
    pub idle_units: Vec<Unit>,
    /// Their pairs; places are those in `idle_units`.
    pub idle: Vec<(u32, u32)>,
}

impl Topology {
    /// How many units it has.
    pub fn units(self) -> u64 {
        match self {
            Self::Bipartite {
                sources: a,
                recipients: b,
            }
            | Self::County {
                practices: a,
                centres: b,
            } => u64::from(a) + u64::from(b),
            Self::Ring { units } | Self::Mesh { units } => u64::from(units),
            Self::Star { around } => u64::from(around) + 1,
        }
    }

    /// How many ordered pairs it has.
    pub fn pairs(self) -> u64 {
        match self {
            Self::Bipartite { sources, recipients } => u64::from(sources) * u64::from(recipients),
            Self::Ring { units } => u64::from(units),
            Self::Star { around } => u64::from(around) * 2,
            Self::County { practices, centres } => {
                let centres = u64::from(centres);
                centres * (2 * u64::from(practices) + centres.saturating_sub(1))
            }
            Self::Mesh { units } => u64::from(units) * u64::from(units).saturating_sub(1),
        }
    }

    /// Its units and pairs, with so many agreements.
    pub fn layout(self, agreements: Option<u32>) -> Layout {
        let units: Vec<Unit> = (0..)
            .zip(self.kinds())
            .map(|(n, kind)| unit(n + 1, kind))
            .collect();
        let mut joined = self.ordered();
        let wanted = agreements.map_or(joined.len(), |a| a as usize);
        let idle = idle_pairs(wanted.saturating_sub(joined.len()));
        let named = |side: fn(&(u32, u32)) -> u32| {
            let mut all: Vec<u32> = joined.iter().map(side).collect();
            all.sort_unstable();
            all.dedup();
            all
        };
        let (sources, recipients) = (named(|p| p.0), named(|p| p.1));
        let apart = joined.split_off(wanted.min(joined.len()));
        let idle_units = idle.iter().map(|(s, r)| s.max(r) + 1).max().unwrap_or(0);
        Layout {
            units,
            sources,
            recipients,
            joined,
            apart,
            idle_units: (0..idle_units).map(|n| unit(FIRST_IDLE + n, PRACTICE)).collect(),
            idle,
        }
    }

    fn kinds(self) -> Vec<&'static str> {
        let gp = |n: u32| std::iter::repeat_n(PRACTICE, n as usize);
        match self {
            Self::Bipartite { sources, recipients } => gp(sources + recipients).collect(),
            Self::Ring { units } | Self::Mesh { units } => gp(units).collect(),
            Self::Star { around } => std::iter::once(CENTRES[0]).chain(gp(around)).collect(),
            Self::County { practices, centres } => {
                let around = CENTRES.iter().copied().cycle().take(centres as usize);
                around.chain(gp(practices)).collect()
            }
        }
    }

    /// The pairs in the order in which agreements are made: what a few of them join is what would be joined
    /// first, in a county the practices with the acute trust.
    fn ordered(self) -> Vec<(u32, u32)> {
        let both = |a: u32, b: u32| [(a, b), (b, a)];
        match self {
            Self::Bipartite { sources, recipients } => {
                let each = |r: u32| (0..sources).map(move |s| (s, sources + r));
                (0..recipients).flat_map(each).collect()
            }
            Self::Ring { units } => (0..units).map(|n| (n, (n + 1) % units)).collect(),
            Self::Star { around } => (1..=around).flat_map(|n| both(n, 0)).collect(),
            Self::County { practices, centres } => {
                let mut pairs = Vec::new();
                for centre in 0..centres {
                    pairs.extend((0..practices).flat_map(|p| both(centres + p, centre)));
                }
                for centre in 0..centres {
                    pairs.extend((centre + 1..centres).flat_map(|other| both(centre, other)));
                }
                pairs
            }
            Self::Mesh { units } => {
                let later = |n: u32| (n + 1..units).flat_map(move |other| both(n, other));
                (0..units).flat_map(later).collect()
            }
        }
    }
}

fn unit(n: u32, kind: &'static str) -> Unit {
    Unit {
        ods: format!("Z{n:05}"),
        kind,
        weight: weight(kind),
    }
}

/// What units of a kind record in a day against a practice's ten: about as counts of encounters go.
fn weight(kind: &str) -> u32 {
    match kind {
        "acute" => 200,
        "community" => 80,
        "urgent-care" => 40,
        "mental-health" => 30,
        "hospice" => 5,
        "social-care" => 20,
        _ => 10,
    }
}

/// The first ordered pairs of as few units as have so many.
fn idle_pairs(wanted: usize) -> Vec<(u32, u32)> {
    let enough = (0_u32..).find(|n| (*n as usize) * (n.saturating_sub(1) as usize) >= wanted);
    let units = enough.unwrap_or(0);
    let all = (0..units).flat_map(|s| (0..units).map(move |r| (s, r)));
    all.filter(|(s, r)| s != r).take(wanted).collect()
}
