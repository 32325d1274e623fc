//! What is compared, and for how long.

use std::{fmt, path::PathBuf, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::load::plan::{MAX_LOADED_AGREEMENTS, MAX_LOADED_PATIENTS};

/// Sources or recipients of a shape at most.
pub(super) const MAX_SIDE: usize = 64;

/// How `peers` is run.
#[derive(Debug, Clone, clap::Args)]
pub struct PeersOptions {
    /// How often each peer does the work of each shape. Who comes first changes from round to round.
    #[arg(long, default_value_t = 5, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100))]
    pub rounds: u32,
    /// How long each is measured, after a warm-up of at most two seconds.
    #[arg(long, default_value_t = 5, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=600))]
    pub seconds: u64,
    /// Sources and recipients of what is measured as fast as it goes; every recipient gets what every source sends.
    #[arg(
        long,
        value_delimiter = ',',
        value_name = "SxR",
        default_value = "1x1,16x1,1x4,16x4,1x16,16x16"
    )]
    pub shapes: Vec<Shape>,
    /// Sources and recipients of what is measured at a steady rate, whose latency is told.
    #[arg(long, value_delimiter = ',', value_name = "SxR", default_value = "1x1")]
    pub latency_shapes: Vec<Shape>,
    /// Amendments a second that are due there, of all sources together.
    #[arg(long, default_value_t = 5_000, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    pub rate: u64,
    /// Only one of the two.
    #[arg(long, value_name = "WHAT")]
    pub only: Option<Only>,
    /// Whom Handfast is compared with; who is not installed is an error then. Left out: everyone who is installed.
    #[arg(long, value_delimiter = ',', value_name = "PEER")]
    pub against: Vec<Kind>,
    /// What Handfast holds beside.
    #[command(flatten)]
    pub beside: Beside,
    /// Installs PostgreSQL and Redis with apt-get where they are missing; needs root.
    #[arg(long)]
    pub install: bool,
    /// Writes every round and the ratios here as JSON.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Shows nothing while it runs.
    #[arg(long)]
    pub quiet: bool,
}

/// What Handfast holds beside the measured units, as it does after some years; by default 1,000 agreements and what
/// 100,000 patients said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::Args)]
pub struct Beside {
    /// Agreements between other units that Handfast holds, with both halves on.
    #[arg(long, default_value_t = 1_000, value_name = "N", value_parser = clap::value_parser!(u32).range(0..=i64::from(MAX_LOADED_AGREEMENTS)))]
    pub agreements: u32,
    /// Patients of whom Handfast holds a yes or a no; 0: of none, also of those whom the amendments are about.
    #[arg(long, default_value_t = 100_000, value_name = "N", value_parser = clap::value_parser!(u32).range(0..=i64::from(MAX_LOADED_PATIENTS)))]
    pub patients: u32,
}

impl Beside {
    /// Nothing.
    pub const NOTHING: Self = Self {
        agreements: 0,
        patients: 0,
    };
}

/// A part of the comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Only {
    /// As fast as it goes.
    Throughput,
    /// At a steady rate.
    Latency,
}

impl PeersOptions {
    /// What each peer does in a round: shapes, and the rate where there is one.
    pub(super) fn works(&self) -> Vec<(Shape, Option<u64>)> {
        let as_fast = self.shapes.iter().map(|shape| (*shape, None));
        let steady = self.latency_shapes.iter().map(|shape| (*shape, Some(self.rate)));
        match self.only {
            None => as_fast.chain(steady).collect(),
            Some(Only::Throughput) => as_fast.collect(),
            Some(Only::Latency) => steady.collect(),
        }
    }
}

/// Who does the work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
#[value(rename_all = "lower")]
pub enum Kind {
    /// handfastd on SQLite with everything on.
    Handfastd,
    /// A bare gRPC relay over mutual TLS with a synced log: no consent, no audit, no recovery.
    Relay,
    /// PostgreSQL, as a table of amendments.
    PostgreSql,
    /// Redis Streams.
    Redis,
}

impl Kind {
    /// Everyone that Handfast is compared with.
    pub const OTHERS: [Self; 3] = [Self::Relay, Self::PostgreSql, Self::Redis];
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Handfastd => "handfastd",
            Self::Relay => "bare relay",
            Self::PostgreSql => "PostgreSQL",
            Self::Redis => "Redis",
        })
    }
}

/// How many send and how many receive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Shape {
    /// Those that send.
    pub sources: usize,
    /// Those that receive, everything from each.
    pub recipients: usize,
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}", self.sources, self.recipients)
    }
}

impl From<Shape> for String {
    fn from(shape: Shape) -> Self {
        shape.to_string()
    }
}

impl TryFrom<String> for Shape {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl FromStr for Shape {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let side = |part: &str| part.parse().ok().filter(|n| (1..=MAX_SIDE).contains(n));
        let sides = text.split_once(['x', '×']);
        match sides.map(|(sources, recipients)| (side(sources), side(recipients))) {
            Some((Some(sources), Some(recipients))) => Ok(Self { sources, recipients }),
            _ => Err(format!(
                "“{text}” is no shape: write sources and recipients as in 16x4, each from 1 to {MAX_SIDE}"
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Command {
        #[command(flatten)]
        options: PeersOptions,
    }

    #[test]
    fn all_six_shapes_and_five_rounds_are_the_default() {
        let options = Command::parse_from(["peers"]).options;
        assert_eq!((options.rounds, options.shapes.len()), (5, 6));
        assert!(options.against.is_empty());
        let Beside { agreements, patients } = options.beside;
        assert_eq!((agreements, patients), (1_000, 100_000));
        let works = options.works();
        assert_eq!(works.len(), 7);
        assert_eq!(
            works[6],
            (
                Shape {
                    sources: 1,
                    recipients: 1
                },
                Some(5_000)
            )
        );
    }

    #[test]
    fn peers_and_shapes_are_chosen_by_name() {
        let args = [
            "peers",
            "--against",
            "relay,postgresql,redis",
            "--shapes",
            "16x4,1x16",
            "--only",
            "throughput",
        ];
        let options = Command::parse_from(args).options;
        assert_eq!(options.against, Kind::OTHERS);
        let shapes: Vec<String> = options.shapes.iter().map(Shape::to_string).collect();
        assert_eq!(shapes, ["16x4", "1x16"]);
        assert_eq!(options.works().len(), 2);
    }

    #[test]
    fn a_wrong_shape_is_refused_with_what_to_write() {
        for text in ["", "4", "0x1", "1x65", "axb", "1x2x3"] {
            let error = text.parse::<Shape>().unwrap_err();
            assert!(error.contains("16x4"), "{error}");
        }
    }
}
