//! What a unit received of a patient's records from another: what the log says went to it, and nothing that would tell
//! it more of the source.
//!
//! Invariants: only where something went to the unit is looked for the patient, and how much of an answer is looked at
//! does not depend on the patient; a removal is told only of a record that had arrived under one of the numbers asked
//! for, and as that version was, because the wire told no more.

use std::collections::BTreeMap;

use handfast_proto::ids::{NhsNumber, OdsCode, RecordId};

use super::{
    desk::AuditDesk,
    entries::{Found, Search},
    handed::{HandedOver, MAX_HANDED, Version},
};
use crate::sharing::ActError;

/// Blocks of a source's stream looked at for one answer.
pub(super) const MAX_BLOCKS: u32 = 4_096;

/// Of each record the newest version that arrived, by seq.
pub(super) type Arrived = BTreeMap<RecordId, Version>;

/// What was received of a source.
#[derive(Default)]
pub(super) struct Received {
    /// What the log says, by seq.
    pub(super) handed: Vec<HandedOver>,
    /// What arrived last of each record.
    pub(super) arrived: Arrived,
    /// Whether something was left out.
    pub(super) cut_off: bool,
}

/// Of whom, from whom, to whom.
#[derive(Clone, Copy)]
pub(super) struct Asked<'n> {
    pub(super) source: OdsCode,
    pub(super) own: OdsCode,
    pub(super) numbers: &'n [NhsNumber],
}

impl AuditDesk {
    /// Adds what was received of one source beyond a seq; where to go on, if that was not all. `blocks`: how many may
    /// be looked at.
    pub(super) async fn received_page(
        &self,
        asked: Asked<'_>,
        after: u64,
        blocks: &mut u32,
        search: &Search,
        found: &mut Found,
    ) -> Result<Option<u64>, ActError> {
        let store = &self.ctx.store;
        let told = store.told_through(asked.source, asked.own).await?;
        if told <= after {
            return Ok(None);
        }
        if *blocks == 0 || found.handed_over.len() >= MAX_HANDED {
            return Ok(Some(after));
        }
        self.ctx.projected.up_to(asked.source, told).await?;
        let part = store
            .stretches_told(asked.source, asked.own, asked.numbers, after, *blocks)
            .await?;
        *blocks = blocks.saturating_sub(part.looked_at);
        let mut walk = Walk::beyond(self, asked, after);
        for stretch in part.stretches {
            walk.stretch(stretch).await?;
            found.cut_off |= walk.received.cut_off;
            let handed = std::mem::take(&mut walk.received.handed);
            found
                .handed_over
                .extend(handed.into_iter().filter(|h| search.asks_for(h)));
            if found.handed_over.len() >= MAX_HANDED {
                return Ok(Some(stretch.1));
            }
        }
        Ok(part.through)
    }

    /// Everything that was received of one source; `None` where that is more than so many versions.
    pub(super) async fn all_received(
        &self,
        asked: Asked<'_>,
        most: usize,
    ) -> Result<Option<Received>, ActError> {
        let told = self.ctx.store.told_through(asked.source, asked.own).await?;
        self.ctx.projected.up_to(asked.source, told).await?;
        let mut walk = Walk::beyond(self, asked, 0);
        walk.until(u64::MAX, most).await?;
        let received = walk.received;
        Ok((received.handed.len() <= most && !received.cut_off).then_some(received))
    }
}

/// Goes through what was received of one source, stretch by stretch.
struct Walk<'d> {
    desk: &'d AuditDesk,
    asked: Asked<'d>,
    start: u64,
    at: u64,
    received: Received,
    /// What had arrived before the start; read once it is asked for.
    before: Option<Arrived>,
}

impl<'d> Walk<'d> {
    fn beyond(desk: &'d AuditDesk, asked: Asked<'d>, start: u64) -> Self {
        Self {
            desk,
            asked,
            start,
            at: start,
            received: Received::default(),
            before: None,
        }
    }

    /// Goes on up to a seq, and no further than so many versions.
    async fn until(&mut self, upto: u64, most: usize) -> Result<(), ActError> {
        let Asked { source, own, numbers } = self.asked;
        let mut next = Some(self.at);
        while let Some(at) = next.filter(|at| *at < upto) {
            let store = &self.desk.ctx.store;
            let part = store.stretches_told(source, own, numbers, at, MAX_BLOCKS).await?;
            for stretch in part.stretches {
                if stretch.0 > upto || self.received.handed.len() > most {
                    return Ok(());
                }
                self.stretch((stretch.0, stretch.1.min(upto))).await?;
            }
            next = part.through;
        }
        Ok(())
    }

    async fn stretch(&mut self, stretch: (u64, u64)) -> Result<(), ActError> {
        let Asked { source, own, numbers } = self.asked;
        let desk = self.desk;
        let versions = desk.versions(source, Some(numbers), stretch, self.at).await?;
        self.at = stretch.1;
        if versions.is_empty() {
            return Ok(());
        }
        let (said, cut_off) = desk.said_of(source, Some(own), stretch).await?;
        self.received.cut_off |= cut_off;
        for version in versions {
            let of: Vec<_> = said
                .iter()
                .filter(|said| said.runs.contains(version.seq))
                .collect();
            for said in of.iter().filter(|said| !said.removals) {
                self.received.handed.push(said.of(source, version.clone()));
                self.received
                    .arrived
                    .insert(version.record.clone(), version.clone());
            }
            for said in of.iter().filter(|said| said.removals) {
                if let Some(arrived) = self.arrived(&version.record).await? {
                    let removed = Version {
                        seq: version.seq,
                        ..arrived
                    };
                    self.received.handed.push(said.of(source, removed));
                }
            }
        }
        Ok(())
    }

    /// The newest version of a record that had arrived by now.
    async fn arrived(&mut self, record: &RecordId) -> Result<Option<Version>, ActError> {
        if let Some(version) = self.received.arrived.get(record) {
            return Ok(Some(version.clone()));
        }
        if self.before.is_none() && self.start > 0 {
            let mut before = Walk::beyond(self.desk, self.asked, 0);
            // It begins with the stream, and does not come here again.
            Box::pin(before.until(self.start, usize::MAX)).await?;
            self.before = Some(before.received.arrived);
        }
        let before = self.before.as_ref().and_then(|before| before.get(record));
        Ok(before.cloned())
    }
}
