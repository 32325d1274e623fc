//! The templates, as often and as large as their kind stands in a general practice's records.

use std::sync::{Arc, OnceLock};

use anyhow::{Context as _, ensure};
use handfast_agent::codec::fhir;
use handfast_proto::amendment::{Category, Text};
use serde::Deserialize;
use serde_json::Value;

use super::{filler::Filler, template::Template};
use crate::load::plan::{MAX_SPREAD_BYTES, MIN_FIXED_BYTES, MIN_SPREAD_BYTES, scaled};

const FILE: &str = include_str!("templates.json");

/// The shares of resources, in percent, that are smaller than the sizes of a template's `bytes`.
const PERCENT: [u32; 6] = [0, 10, 50, 90, 99, 100];
/// A hundred percent, in the parts in which a size is drawn.
const PARTS: u32 = 100_000;

/// One template and what is known of it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Kind {
    pub(super) resource_type: String,
    pub(super) category: Category,
    /// Who recorded it; empty where the resource does not say.
    pub(super) author: Text,
    pub(super) template: Template,
    /// Sizes in bytes at [`PERCENT`].
    bytes: [u32; 6],
    weight: u32,
}

/// A template as the file has it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    name: String,
    weight: u32,
    bytes: [u32; 6],
    #[serde(default)]
    author: String,
    resource: Value,
}

/// Templates to draw from.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Catalogue {
    kinds: Arc<[Kind]>,
    /// The sum of the weights up to and with each.
    up_to: Vec<u32>,
    /// The place of one that is no Patient.
    plain: usize,
}

impl Catalogue {
    /// Every template.
    pub(super) fn spread() -> anyhow::Result<Self> {
        Self::of(shared()?.to_vec())
    }

    /// Those that can have any size.
    pub(super) fn of_any_size() -> anyhow::Result<Self> {
        let any = |k: &&Kind| k.template.filler() == Filler::Prose;
        let kinds: Vec<Kind> = shared()?.iter().filter(any).cloned().collect();
        let fits = |k: &Kind| k.template.least() <= MIN_FIXED_BYTES as usize;
        ensure!(
            kinds.iter().all(fits),
            "a template is larger than {MIN_FIXED_BYTES} bytes"
        );
        Self::of(kinds)
    }

    fn of(kinds: Vec<Kind>) -> anyhow::Result<Self> {
        let mut sum = 0;
        let up_to = kinds.iter().map(|kind| {
            sum += kind.weight;
            sum
        });
        let up_to = up_to.collect();
        let plain = kinds
            .iter()
            .position(|k| !k.is_patient())
            .context("a template of no Patient")?;
        Ok(Self {
            kinds: kinds.into(),
            up_to,
            plain,
        })
    }

    /// The kind of a record.
    #[inline]
    pub(super) fn kind(&self, place: usize) -> &Kind {
        &self.kinds[place]
    }

    /// The place of a kind, drawn by weight.
    #[inline]
    pub(super) fn draw(&self, random: u64) -> usize {
        let total = self.up_to.last().copied().unwrap_or(1);
        let at = scaled(random, total);
        self.up_to.partition_point(|up_to| *up_to <= at)
    }

    /// The place of a kind that is no Patient.
    pub(super) fn plain(&self) -> usize {
        self.plain
    }
}

impl Kind {
    pub(super) fn is_patient(&self) -> bool {
        self.resource_type == "Patient"
    }

    /// A size, drawn as the kind's sizes lie: even between two of its known shares.
    #[inline]
    pub(super) fn size(&self, random: u64) -> u32 {
        let at = scaled(random, PARTS);
        let parts = |percent: u32| percent * (PARTS / 100);
        let next = PERCENT
            .partition_point(|p| parts(*p) <= at)
            .min(PERCENT.len() - 1);
        let (from, to) = (parts(PERCENT[next - 1]), parts(PERCENT[next]));
        let (low, high) = (self.bytes[next - 1], self.bytes[next]);
        let part = u64::from(high - low) * u64::from(at - from) / u64::from(to - from);
        low + part as u32
    }
}

/// The file's templates, read once.
fn shared() -> anyhow::Result<&'static [Kind]> {
    static KINDS: OnceLock<Result<Vec<Kind>, String>> = OnceLock::new();
    let read = KINDS.get_or_init(|| read().map_err(|e| format!("{e:#}")));
    read.as_deref()
        .map_err(|e| anyhow::anyhow!("templates.json: {e}"))
}

fn read() -> anyhow::Result<Vec<Kind>> {
    let entries: Vec<Entry> = serde_json::from_str(FILE)?;
    let one = |entry: Entry| {
        let name = entry.name.clone();
        kind(entry).with_context(|| name)
    };
    entries.into_iter().map(one).collect()
}

fn kind(entry: Entry) -> anyhow::Result<Kind> {
    let resource_type = entry.resource.get("resourceType").and_then(Value::as_str);
    let resource_type = resource_type.context("a resourceType")?.to_owned();
    let template = Template::parse(&serde_json::to_string(&entry.resource)?)?;
    let (least, most) = (entry.bytes[0], entry.bytes[5]);
    ensure!(entry.bytes.is_sorted(), "the sizes rise");
    ensure!(
        least >= MIN_SPREAD_BYTES && most <= MAX_SPREAD_BYTES && least as usize >= template.least(),
        "the sizes lie between {MIN_SPREAD_BYTES}, {} and {MAX_SPREAD_BYTES} bytes",
        template.least()
    );
    Ok(Kind {
        category: fhir::category(&resource_type),
        resource_type,
        author: Text::new(entry.author).context("an author")?,
        template,
        bytes: entry.bytes,
        weight: entry.weight,
    })
}
