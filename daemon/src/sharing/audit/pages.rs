//! Exported entries on their way into messages.

use std::collections::VecDeque;

use prost::Message as _;

use super::{
    export::{ExportedEntry, PAGE_BYTES},
    handed::{HandedOver, MAX_HANDED},
};

/// Entries in pages that each fit into one message.
pub(super) fn in_pages(entries: Vec<ExportedEntry>) -> VecDeque<Vec<ExportedEntry>> {
    let mut pages = VecDeque::from([Vec::new()]);
    let (mut records, mut bytes) = (0, 0);
    for ExportedEntry {
        entry,
        handed_over,
        emergency,
    } in entries
    {
        let parts = handed_over.chunks(MAX_HANDED).map(<[HandedOver]>::to_vec);
        let parts: Vec<_> = if handed_over.is_empty() {
            vec![Vec::new()]
        } else {
            parts.collect()
        };
        for part in parts {
            if records + part.len() > MAX_HANDED || bytes > PAGE_BYTES {
                pages.push_back(Vec::new());
                (records, bytes) = (0, 0);
            }
            records += part.len();
            bytes += entry.leaf.encoded_len();
            let entry = entry.clone();
            if let Some(page) = pages.back_mut() {
                page.push(ExportedEntry {
                    entry,
                    handed_over: part,
                    emergency,
                });
            }
        }
    }
    pages.retain(|page| !page.is_empty());
    pages
}
