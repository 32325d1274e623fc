//! Tries the checker: one amendment of the measured stretch is lost, changed or let through on the way from a
//! recipient's link to it. A run so tried has to find just that.

use std::{
    collections::HashMap,
    sync::atomic::{AtomicBool, Ordering::SeqCst},
};

use bytes::Bytes;
use handfast_proto::{
    amendment::{Batch, Cut, Form, Op},
    v1::Deliver,
};
use parking_lot::Mutex;

use super::{known::Known, log::Sent};
use crate::load::plan::{Changes, Sabotage};

/// Does what it was told to, once.
#[derive(Debug)]
pub(in crate::load) struct Saboteur {
    what: Sabotage,
    /// Whether there will be revocations after which something could come.
    toggled: bool,
    /// Whether a patient or a half may excuse later what is missing now.
    unsteady: bool,
    armed: AtomicBool,
    done: AtomicBool,
    /// One amendment a source and recipient, put by until its grant has ended.
    kept: Mutex<HashMap<(u32, u32), Deliver>>,
}

impl Saboteur {
    pub(in crate::load) fn new(what: Sabotage, changes: &Changes) -> Self {
        let toggled = changes.toggles_per_second > 0.0;
        Self {
            what,
            toggled,
            unsteady: toggled || changes.dissents_per_second > 0.0,
            armed: AtomicBool::new(false),
            done: AtomicBool::new(false),
            kept: Mutex::default(),
        }
    }

    /// The measured stretch begins, or is over.
    pub(in crate::load) fn arm(&self, armed: bool) {
        self.armed.store(armed, SeqCst);
    }

    /// Whether it found something to do.
    pub(in crate::load) fn is_done(&self) -> bool {
        self.done.load(SeqCst)
    }

    /// What the checker is given in place of what arrived.
    pub(in crate::load) fn tamper(
        &self,
        known: &Known,
        (me, connection): (u32, u32),
        deliver: Deliver,
    ) -> Vec<Deliver> {
        if !self.armed.load(SeqCst) || self.is_done() || deliver.job != 0 {
            return vec![deliver];
        }
        let changed = self.changed(known, (me, connection), &deliver);
        match changed {
            // Of several recipients one is first.
            Some(changed) if !self.done.swap(true, SeqCst) => changed,
            _ => vec![deliver],
        }
    }

    fn changed(
        &self,
        known: &Known,
        (me, connection): (u32, u32),
        deliver: &Deliver,
    ) -> Option<Vec<Deliver>> {
        let source = known.place(&deliver.source)?;
        let batch = Batch::parse(deliver.header.clone(), deliver.body.clone(), Form::Delivered).ok()?;
        let pair = (source, me);
        let meant = (0..batch.len()).find(|index| {
            let entry = batch.entry(*index);
            let seq = u32::try_from(entry.seq).unwrap_or(u32::MAX);
            let had_to = |sent: Sent| known.had_to_come(pair, seq, &sent);
            let sent = known.log(source).and_then(|log| log.get(seq));
            matches!(entry.op, Op::Create | Op::Amend) && sent.is_some_and(had_to)
        })?;
        match self.what {
            // What a grant lacks at its end is not missed: one is dropped after which something else comes.
            Sabotage::Drop if self.unsteady && meant + 1 >= batch.len() => None,
            Sabotage::Drop => Some(cut(deliver, &batch, |index| index != meant).into_iter().collect()),
            Sabotage::Forge => Some(vec![forge(deliver, &batch, meant)]),
            Sabotage::Leak => {
                let one = cut(deliver, &batch, |index| index == meant)?;
                let leaked = self.leaked(known, pair, connection, one)?;
                Some(vec![leaked, deliver.clone()])
            }
        }
    }

    /// What was put by and must not come any more; where no half is turned, one under a grant that never was.
    fn leaked(&self, known: &Known, pair: (u32, u32), connection: u32, one: Deliver) -> Option<Deliver> {
        if !self.toggled {
            return Some(Deliver {
                grant: one.grant + 1,
                ..one
            });
        }
        let mut kept = self.kept.lock();
        let over = |(of, put_by): (&(u32, u32), &Deliver)| {
            // Its recipient is the one that this message came to.
            let last = Batch::parse(put_by.header.clone(), put_by.body.clone(), Form::Delivered)
                .map_or(0, |batch| batch.last_seq());
            let may = known.consents.may_come(*of, put_by.grant, connection, last);
            (of.1 == pair.1 && !may).then_some(*of)
        };
        let found = kept.iter().find_map(over);
        kept.entry(pair).or_insert(one);
        found.and_then(|of| kept.remove(&of))
    }
}

fn cut(deliver: &Deliver, batch: &Batch, keeps: impl Fn(usize) -> bool) -> Option<Deliver> {
    let cuts = (0..batch.len()).map(|index| match (keeps(index), batch.entry(index).op) {
        (false, _) => Cut::Drop,
        (true, Op::Remove) => Cut::Remove,
        (true, Op::Retract) => Cut::Retract,
        (true, _) => Cut::Keep,
    });
    let encoded = batch.cut(&cuts.collect::<Vec<_>>())?;
    Some(Deliver {
        header: encoded.header,
        body: encoded.body,
        ..deliver.clone()
    })
}

fn forge(deliver: &Deliver, batch: &Batch, meant: usize) -> Deliver {
    let before: usize = (0..meant).map(|index| batch.payload_slice(index).len()).sum();
    let within = batch.payload_slice(meant).len() / 2;
    let mut body = deliver.body.to_vec();
    if let Some(byte) = body.get_mut(before + within) {
        *byte ^= 1;
    }
    Deliver {
        body: Bytes::from(body),
        ..deliver.clone()
    }
}
