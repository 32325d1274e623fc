//! What an agent's output folder must hold: the `current/` tree, file by file, and `changes.ndjson`.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use anyhow::Context as _;
use serde::Deserialize;
use serde_json::Value;

/// Records by `ResourceType/id`.
pub type Records = BTreeMap<String, Value>;

/// A line of `changes.ndjson`.
#[derive(Debug, Clone, Deserialize)]
pub struct Change {
    /// Who recorded it.
    pub source: String,
    /// Its place in its source's stream.
    pub seq: u64,
    /// `create`, `amend`, `retract` or `withdraw`.
    pub op: String,
    /// `ResourceType/id`.
    pub record: String,
}

/// What a source holds after its lines were taken in order; entered-in-error ones are gone.
pub fn expected<'a>(lines: impl IntoIterator<Item = &'a str>) -> anyhow::Result<Records> {
    let mut out = Records::new();
    for line in lines {
        let value: Value = serde_json::from_str(line).context("read a line")?;
        let text = |key: &str| value.get(key).and_then(Value::as_str).unwrap_or_default();
        let name = format!("{}/{}", text("resourceType"), text("id"));
        if text("status") == "entered-in-error" {
            out.remove(&name);
        } else {
            out.insert(name, value);
        }
    }
    Ok(out)
}

/// What `output/current/source` holds: records alone. What clinicians are told of a source stands beside, in
/// `output/about`, and is no part of it.
pub fn tree(output: &Path, source: &str) -> anyhow::Result<Records> {
    let mut out = Records::new();
    for kind in entries(&output.join("current").join(source)) {
        for file in entries(&kind) {
            if file.extension().is_none_or(|e| e != "json") {
                continue;
            }
            let Ok(text) = fs::read(&file) else {
                continue; // Removed meanwhile.
            };
            let value = serde_json::from_slice(&text).with_context(|| format!("read {}", file.display()))?;
            let kind = kind.file_name().unwrap_or_default().to_string_lossy();
            let id = file.file_name().unwrap_or_default().to_string_lossy();
            out.insert(format!("{kind}/{}", id.trim_end_matches(".json")), value);
        }
    }
    Ok(out)
}

/// Whether `output/current/source` is exactly `want`; an error says in what they differ.
pub fn tree_differs(output: &Path, source: &str, want: &Records) -> Result<(), String> {
    let got = tree(output, source).map_err(|e| format!("{e:#}"))?;
    let missing: Vec<_> = want.keys().filter(|k| !got.contains_key(*k)).take(3).collect();
    let extra: Vec<_> = got.keys().filter(|k| !want.contains_key(*k)).take(3).collect();
    let other: Vec<_> = got
        .iter()
        .filter(|(k, v)| want.get(*k).is_some_and(|w| w != *v))
        .map(|(k, _)| k)
        .take(3)
        .collect();
    if missing.is_empty() && extra.is_empty() && other.is_empty() {
        return Ok(());
    }
    Err(format!(
        "{} holds {} of {} records of {source}; missing {missing:?}, too many {extra:?}, different {other:?}",
        output.display(),
        got.len(),
        want.len()
    ))
}

/// The lines of `changes.ndjson`. A last line without its end is not there yet.
pub fn changes(output: &Path) -> anyhow::Result<Vec<Change>> {
    let path = output.join("changes.ndjson");
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(e).context("read changes.ndjson"),
    };
    let whole = text.rfind('\n').map_or("", |end| &text[..=end]);
    whole
        .lines()
        .enumerate()
        .map(|(n, line)| {
            serde_json::from_str(line).with_context(|| format!("{} line {}", path.display(), n + 1))
        })
        .collect()
}

/// Each seq of each source once and in order; where `heads` says how many there are, all of them.
/// Withdrawals are left out: they have no seq of their own.
pub fn check_changes(changes: &[Change], heads: &BTreeMap<String, u64>) -> Result<(), String> {
    let mut last: BTreeMap<&str, u64> = BTreeMap::new();
    let mut seen: BTreeMap<&str, BTreeSet<u64>> = BTreeMap::new();
    for (n, change) in changes.iter().enumerate() {
        if change.op == "withdraw" {
            continue;
        }
        let before = last.insert(&change.source, change.seq).unwrap_or_default();
        if change.seq <= before {
            return Err(format!(
                "line {}: seq {} of {} after seq {before}",
                n + 1,
                change.seq,
                change.source
            ));
        }
        seen.entry(&change.source).or_default().insert(change.seq);
    }
    for (source, head) in heads {
        let seqs = seen.remove(source.as_str()).unwrap_or_default();
        if let Some(gap) = (1..=*head).find(|seq| !seqs.contains(seq)) {
            return Err(format!("seq {gap} of {source} (of {head}) is not there"));
        }
    }
    Ok(())
}

fn entries(dir: &Path) -> BTreeSet<std::path::PathBuf> {
    fs::read_dir(dir)
        .into_iter()
        .flatten()
        .filter_map(|e| Some(e.ok()?.path()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(seq: u64) -> Change {
        Change {
            source: "Z00101".to_owned(),
            seq,
            op: "create".to_owned(),
            record: "Observation/1".to_owned(),
        }
    }

    #[test]
    fn repeats_gaps_and_wrong_order_are_found() {
        let heads = BTreeMap::from([("Z00101".to_owned(), 2)]);
        assert_eq!(check_changes(&[change(1), change(2)], &heads), Ok(()));
        assert!(check_changes(&[change(1), change(1)], &heads).is_err());
        assert!(check_changes(&[change(2), change(1)], &heads).is_err());
        assert!(check_changes(&[change(2)], &heads).is_err());
    }
}
