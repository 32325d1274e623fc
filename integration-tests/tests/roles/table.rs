//! Reads the table "Who may what" of ARCHITECTURE.md.

use std::{collections::BTreeMap, fs, path::Path};

use anyhow::{Context as _, bail, ensure};

/// The heading above the table.
const HEADING: &str = "## Who may what";

/// Who may make a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum May {
    /// They may.
    Yes,
    /// They may, of their own unit.
    Own,
    /// They may, of a unit that has no administrator.
    Unstaffed,
    /// They may not.
    No,
}

/// The table.
#[derive(Debug)]
pub(crate) struct Table {
    rows: BTreeMap<String, BTreeMap<String, May>>,
}

impl Table {
    pub(crate) fn read() -> anyhow::Result<Self> {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../ARCHITECTURE.md");
        let text = fs::read_to_string(path)?;
        let section = text
            .split_once(HEADING)
            .context("the heading \"Who may what\"")?
            .1;
        let section = section.split("\n## ").next().unwrap_or(section);
        let mut lines = section.lines().filter(|line| line.starts_with('|'));
        let header = cells(lines.next().context("a header")?);
        ensure!(
            header.first() == Some(&"call"),
            "the first column is the call: {header:?}"
        );
        let mut rows = BTreeMap::new();
        for line in lines.filter(|line| !line.starts_with("|--")) {
            let row = cells(line);
            ensure!(row.len() == header.len(), "{line}: {} cells", row.len());
            let may = header.iter().zip(&row).skip(1).map(|(role, cell)| {
                let may = may(cell).with_context(|| line.to_owned())?;
                anyhow::Ok(((*role).to_owned(), may))
            });
            let call = row.first().context("a call")?.trim_matches('`').to_owned();
            let before = rows.insert(call.clone(), may.collect::<Result<_, _>>()?);
            ensure!(before.is_none(), "{call} stands in it twice");
        }
        Ok(Self { rows })
    }

    pub(crate) fn calls(&self) -> impl Iterator<Item = &str> {
        self.rows.keys().map(String::as_str)
    }

    pub(crate) fn may(&self, call: &str, role: &str) -> anyhow::Result<May> {
        let row = self
            .rows
            .get(call)
            .with_context(|| format!("no row for {call}"))?;
        row.get(role)
            .copied()
            .with_context(|| format!("no column for {role}"))
    }
}

fn cells(line: &str) -> Vec<&str> {
    line.trim_matches('|').split('|').map(str::trim).collect()
}

fn may(cell: &str) -> anyhow::Result<May> {
    Ok(match cell {
        "yes" => May::Yes,
        "own" => May::Own,
        "unstaffed" => May::Unstaffed,
        "–" => May::No,
        other => bail!("{other:?} is none of yes, own, unstaffed, –"),
    })
}
