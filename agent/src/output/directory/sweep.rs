//! Compares all that the inbox holds with what `changes.ndjson` says and what stands in `current/`, and
//! puts right what differs. Done a page at a time, only while no change is pending and the inbox holds all
//! that it is to hold, so that every difference is a real one.

use std::{
    collections::{BTreeSet, HashSet},
    io,
    sync::Arc,
};

use handfast_proto::ids::{OdsCode, RecordId};

use super::{
    effect::Folder,
    journal::{Line, rfc3339},
    known::Known,
    tree::Effect,
};
use crate::{
    output::Pause,
    store::inbox::{ChangeOp, HeldRecord, Inbox},
};

/// Records in one page.
const PAGE_RECORDS: u32 = 200;

/// Bytes of payload in one page; one record may exceed it.
const PAGE_BYTES: usize = 8 * 1024 * 1024;

type Names = Vec<(OdsCode, RecordId)>;

/// How far a comparison got.
#[derive(Default)]
pub(super) struct Sweep {
    /// The last record compared.
    after: Option<(OdsCode, String)>,
    held_done: bool,
    /// Everything that was found to be held.
    seen: Arc<parking_lot::Mutex<HashSet<(OdsCode, RecordId)>>>,
    /// What the folder says is held and was not seen; filled by the work itself.
    candidates: Arc<parking_lot::Mutex<Option<Names>>>,
    /// The sources of which it was given away that something of theirs is not held.
    told: BTreeSet<OdsCode>,
}

/// One step, to be carried out on the folder.
pub(super) enum Work {
    /// These are held.
    Held(Vec<HeldRecord>, i64),
    /// What else the folder says is held.
    Collect(Sweeping),
    /// These are not held.
    Gone(Names, i64, bool),
}

/// What [`Work::Collect`] shares with its [`Sweep`].
pub(super) struct Sweeping {
    seen: Arc<parking_lot::Mutex<HashSet<(OdsCode, RecordId)>>>,
    candidates: Arc<parking_lot::Mutex<Option<Names>>>,
}

impl Sweep {
    /// The sources of which this step takes something away without that having been given away before: then it is
    /// put back, to come again. What came after its name was compared is a candidate too, and is held.
    pub(super) fn put_back_untold(&mut self, work: &Work) -> Vec<OdsCode> {
        let Work::Gone(names, ..) = work else {
            return Vec::new();
        };
        let sources: BTreeSet<OdsCode> = names.iter().map(|(source, _)| *source).collect();
        let untold: Vec<OdsCode> = sources.difference(&self.told).copied().collect();
        if !untold.is_empty() {
            self.told.extend(&untold);
            if let Some(candidates) = self.candidates.lock().as_mut() {
                candidates.extend(names.iter().cloned());
            }
        }
        untold
    }

    /// The next step. `None`: not now, something is pending or still to come.
    pub(super) async fn next(&mut self, inbox: &Inbox, position: u64) -> Result<Option<Work>, Pause> {
        if !inbox.is_settled().await? || inbox.last_change() != position {
            return Ok(None);
        }
        if !self.held_done {
            return self.next_held(inbox, position).await;
        }
        let chunk: Names = {
            let mut candidates = self.candidates.lock();
            let Some(names) = candidates.as_mut() else {
                return Ok(Some(Work::Collect(Sweeping {
                    seen: self.seen.clone(),
                    candidates: self.candidates.clone(),
                })));
            };
            let rest = names.len().saturating_sub(PAGE_RECORDS as usize);
            names.split_off(rest)
        };
        let (upto, held) = inbox.which_are_held(&chunk).await?;
        if upto != position {
            if let Some(names) = self.candidates.lock().as_mut() {
                names.extend(chunk);
            }
            return Ok(None);
        }
        let last = self.candidates.lock().as_ref().is_none_or(Vec::is_empty);
        let gone = chunk.into_iter().filter(|key| !held.contains(key)).collect();
        Ok(Some(Work::Gone(gone, inbox.now_ms(), last)))
    }

    async fn next_held(&mut self, inbox: &Inbox, position: u64) -> Result<Option<Work>, Pause> {
        let mut page = Vec::new();
        let mut bytes = 0;
        for source in inbox.sources().await? {
            let after = match &self.after {
                Some((done, _)) if source < *done => continue,
                Some((at, record)) if source == *at => record.clone(),
                _ => String::new(),
            };
            let (upto, heads) = inbox.held_page(source, &after, PAGE_RECORDS).await?;
            if upto != position {
                return Ok(None);
            }
            for head in heads {
                // Changed meanwhile: the change says what to do, and this page comes again after it.
                let Some(held) = inbox
                    .held(head.source, &head.record)
                    .await?
                    .filter(|h| h.seq == head.seq)
                else {
                    return Ok(None);
                };
                bytes += held.payload.len();
                page.push(held);
                if bytes >= PAGE_BYTES {
                    break;
                }
            }
            if !page.is_empty() {
                break;
            }
        }
        match page.last() {
            Some(last) => self.after = Some((last.source, last.record.to_string())),
            None => self.held_done = true,
        }
        let mut seen = self.seen.lock();
        seen.extend(page.iter().map(|h| (h.source, h.record.clone())));
        Ok(Some(Work::Held(page, inbox.now_ms())))
    }
}

impl Work {
    /// Whether the comparison is complete with it.
    pub(super) fn is_last(&self) -> bool {
        matches!(self, Self::Gone(_, _, true))
    }

    /// Puts right what differs. Blocking.
    pub(super) fn carry_out(self, folder: &mut Folder) -> io::Result<()> {
        let known = folder.known.take().unwrap_or_default();
        let result = self.against(&known, folder);
        folder.known = Some(known);
        let (effects, lines) = result?;
        folder.carry_out(&effects, &lines)
    }

    fn against(self, known: &Known, folder: &Folder) -> io::Result<(Vec<Effect>, Vec<Line>)> {
        let mut effects = Vec::new();
        let mut lines = Vec::new();
        match self {
            Self::Held(page, now) => {
                for held in page {
                    let last = known.get(held.source, &held.record);
                    if !folder.tree.holds(held.source, &held.record, &held.payload)? {
                        effects.push(Effect {
                            source: held.source,
                            record: held.record.clone(),
                            content: Some(held.payload.clone()),
                        });
                    }
                    if last.is_none_or(|l| !l.present || l.seq != held.seq) {
                        let amended = last.is_some_and(|l| l.present);
                        let op = if amended {
                            ChangeOp::Amend
                        } else {
                            ChangeOp::Create
                        };
                        lines.push(line(held.source, &held.record, (held.seq, held.version), op, now));
                    }
                }
            }
            Self::Collect(sweeping) => {
                let seen = sweeping.seen.lock();
                let mut names = known.present();
                names.retain(|key| !seen.contains(key));
                let listed: HashSet<_> = names.iter().cloned().collect();
                names.extend(folder.tree.files(|source, record| {
                    let key = (source, record.clone());
                    !seen.contains(&key) && !listed.contains(&key)
                })?);
                *sweeping.candidates.lock() = Some(names);
            }
            Self::Gone(names, now, _) => {
                for (source, record) in names {
                    if let Some(last) = known.get(source, &record).filter(|l| l.present) {
                        let at = (last.seq, last.version);
                        lines.push(line(source, &record, at, ChangeOp::Withdraw, now));
                    }
                    effects.push(Effect {
                        source,
                        record,
                        content: None,
                    });
                }
            }
        }
        Ok((effects, lines))
    }
}

fn line(source: OdsCode, record: &RecordId, (seq, version): (u64, u64), op: ChangeOp, now: i64) -> Line {
    Line {
        source: source.to_string(),
        seq,
        op,
        record: record.to_string(),
        version,
        applied_at: rfc3339(now),
    }
}
