//! Where each source's stream stands, as the last commit left it. Written by the committer alone.

use std::collections::HashMap;

use handfast_proto::ids::OdsCode;
use parking_lot::Mutex;

use crate::store::Head;

/// The heads of all sources.
#[derive(Debug, Default)]
pub struct Heads {
    heads: Mutex<HashMap<OdsCode, Head>>,
}

impl Heads {
    /// Where a source stands; nothing yet where it never published.
    pub fn of(&self, source: OdsCode) -> Head {
        self.heads.lock().get(&source).copied().unwrap_or(Head {
            seq: 0,
            chain: None,
            store: None,
        })
    }

    /// Takes over what the store has.
    pub(super) fn reload(&self, heads: impl IntoIterator<Item = (OdsCode, Head)>) {
        *self.heads.lock() = heads.into_iter().collect();
    }

    pub(super) fn advance(&self, heads: impl IntoIterator<Item = (OdsCode, Head)>) {
        self.heads.lock().extend(heads);
    }
}
