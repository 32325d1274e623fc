//! What an entry is found by, read from its leaf. Pure.

use handfast_proto::{
    audit::{Runs, decode_leaf, kind_of, units_of},
    ids::OdsCode,
    v1::{AuditLeaf, audit_leaf::Event},
};

use crate::{
    consent::Pair,
    store::{EntryKeys, EntryRow},
};

/// What an entry is found by. One that cannot be read is found by its place and kind alone; that it cannot is
/// for the check of the whole log to say.
pub(super) fn keys_of(row: &EntryRow) -> EntryKeys {
    let leaf = decode_leaf(&row.entry.leaf).ok();
    let units = leaf.as_ref().map(units).unwrap_or_default();
    EntryKeys {
        index: row.index,
        kind: leaf.as_ref().map_or(row.entry.kind, kind_of),
        at: leaf.as_ref().map_or(row.entry.at, |leaf| leaf.at),
        units,
        handed: leaf.as_ref().and_then(handed),
        withheld: matches!(
            leaf.as_ref().and_then(|leaf| leaf.event.as_ref()),
            Some(Event::Withheld(_))
        ),
    }
}

fn units(leaf: &AuditLeaf) -> Vec<OdsCode> {
    let mut units: Vec<OdsCode> = units_of(leaf).filter_map(|unit| unit.parse().ok()).collect();
    units.sort_unstable();
    units.dedup();
    units
}

/// Of which pair an entry says that seqs were handed over or withheld, and which.
pub(super) fn handed(leaf: &AuditLeaf) -> Option<(Pair, Runs)> {
    let (recipient, parts): (&str, Vec<&[u64]>) = match leaf.event.as_ref()? {
        Event::Disclosed(e) => (&leaf.recipient, vec![&e.runs, &e.removals]),
        Event::PerhapsDisclosed(e) => (&leaf.recipient, vec![&e.runs]),
        Event::Withheld(e) => (
            &e.recipient,
            e.withheld.iter().map(|w| w.runs.as_slice()).collect(),
        ),
        _ => return None,
    };
    let pair = Pair {
        source: leaf.source.parse().ok()?,
        recipient: recipient.parse().ok()?,
    };
    let mut runs = Runs::default();
    for part in parts {
        runs.extend(&Runs::from_wire(part).ok()?);
    }
    Some((pair, runs))
}
