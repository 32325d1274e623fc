//! What recipients have received, what was withheld from them, and what they may have received, on its way into
//! the next commit. Merged as it comes: what waits is bounded by the pairs, grants and jobs that are under way,
//! and seqs that follow one another take one run.

use std::collections::BTreeMap;

use handfast_proto::{audit::Runs, v1::PerhapsCause};

use super::{
    actor::Actor,
    events::{Disclosed, PerhapsDisclosed, Withheld},
    parts::Event,
    scribe::{NotEntered, Scribe},
};
use crate::{
    consent::{GrantId, Pair, Reason},
    store::{JobId, NewEntry},
};

/// Runs in one entry: the longest numbers there are still fit into a leaf.
const MAX_ENTRY_RUNS: usize = 1024;

/// One pair's amendments under one grant, live or in one job.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Stream {
    /// Which pair.
    pub pair: Pair,
    /// Under which grant.
    pub grant: GrantId,
    /// The reconcile job; `None`: live.
    pub job: Option<JobId>,
}

#[derive(PartialEq, Eq, Debug, Default)]
struct Collected {
    versions: Runs,
    removals: Runs,
    /// By the reason's place in [`Reason::ALL`].
    withheld: BTreeMap<usize, Runs>,
    /// By the cause's number.
    perhaps: BTreeMap<i32, Runs>,
}

/// What waits to be entered.
#[derive(PartialEq, Eq, Debug, Default)]
pub struct Disclosures(BTreeMap<Stream, Collected>);

impl Disclosures {
    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many runs of seqs wait.
    pub fn runs(&self) -> usize {
        self.0.values().map(Collected::runs).sum()
    }

    /// Versions are durable at the recipient.
    pub fn versions(&mut self, stream: Stream, first: u64, last: u64) {
        self.of(stream).versions.insert(first, last);
    }

    /// Removals by record id are durable at the recipient.
    pub fn removals(&mut self, stream: Stream, first: u64, last: u64) {
        self.of(stream).removals.insert(first, last);
    }

    /// Something was withheld.
    pub fn withheld(&mut self, stream: Stream, reason: Reason, first: u64, last: u64) {
        let runs = self.of(stream).withheld.entry(reason as usize).or_default();
        runs.insert(first, last);
    }

    /// It is not known whether something arrived.
    pub fn perhaps(&mut self, stream: Stream, cause: PerhapsCause, first: u64, last: u64) {
        let runs = self.of(stream).perhaps.entry(cause.into()).or_default();
        runs.insert(first, last);
    }

    /// The versions that wait of some streams, as what has perhaps arrived: for what is entered ahead of them.
    pub fn as_perhaps(&self, cause: PerhapsCause, is_meant: impl Fn(&Stream) -> bool) -> Self {
        let mut perhaps = Self::default();
        for (stream, collected) in self.0.iter().filter(|(stream, _)| is_meant(stream)) {
            let waiting = collected.perhaps.values().chain([&collected.versions]);
            for (first, last) in waiting.flat_map(Runs::iter) {
                perhaps.perhaps(*stream, cause, first, last);
            }
        }
        perhaps
    }

    /// Whether something of such a stream waits.
    pub fn has(&self, is_meant: impl Fn(&Stream) -> bool) -> bool {
        self.0.keys().any(is_meant)
    }

    /// Adds what came later.
    pub fn merge(&mut self, later: Self) {
        for (stream, new) in later.0 {
            let of = self.of(stream);
            of.versions.extend(&new.versions);
            of.removals.extend(&new.removals);
            for (reason, runs) in new.withheld {
                of.withheld.entry(reason).or_default().extend(&runs);
            }
            for (cause, runs) in new.perhaps {
                of.perhaps.entry(cause).or_default().extend(&runs);
            }
        }
    }

    /// The entries, in the order of the streams.
    pub fn entries(&self, scribe: &Scribe, at: i64) -> Result<Vec<NewEntry>, NotEntered> {
        let mut out = Vec::with_capacity(self.0.len());
        for (stream, collected) in &self.0 {
            let mut enter = |event: &dyn Event| -> Result<(), NotEntered> {
                out.push(scribe.entry(at, &Actor::Daemon, event)?);
                Ok(())
            };
            collected.disclosed(*stream, &mut enter)?;
            collected.withheld(*stream, &mut enter)?;
            collected.perhaps(*stream, &mut enter)?;
        }
        Ok(out)
    }

    fn of(&mut self, stream: Stream) -> &mut Collected {
        self.0.entry(stream).or_default()
    }
}

type Enter<'e> = &'e mut dyn FnMut(&dyn Event) -> Result<(), NotEntered>;

impl Collected {
    fn runs(&self) -> usize {
        let by_reason = self.withheld.values().chain(self.perhaps.values());
        let all = by_reason.chain([&self.versions, &self.removals]);
        all.map(Runs::len).sum()
    }

    fn disclosed(&self, Stream { pair, grant, job }: Stream, enter: Enter<'_>) -> Result<(), NotEntered> {
        let mut versions = self.versions.clone().split(MAX_ENTRY_RUNS).into_iter();
        let mut removals = self.removals.clone().split(MAX_ENTRY_RUNS).into_iter();
        loop {
            let (some, gone) = (versions.next(), removals.next());
            if some.is_none() && gone.is_none() {
                return Ok(());
            }
            enter(&Disclosed {
                pair,
                grant,
                job,
                runs: &some.unwrap_or_default(),
                removals: &gone.unwrap_or_default(),
            })?;
        }
    }

    fn withheld(&self, Stream { pair, grant, job }: Stream, enter: Enter<'_>) -> Result<(), NotEntered> {
        let mut waiting: Vec<(Reason, Runs)> = Vec::new();
        let mut runs_in = 0;
        for (place, runs) in &self.withheld {
            let Some(reason) = Reason::ALL.get(*place) else {
                continue;
            };
            for part in runs.clone().split(MAX_ENTRY_RUNS) {
                if runs_in + part.len() > MAX_ENTRY_RUNS && !waiting.is_empty() {
                    let withheld = &std::mem::take(&mut waiting);
                    enter(&Withheld {
                        pair,
                        grant,
                        job,
                        withheld,
                    })?;
                    runs_in = 0;
                }
                runs_in += part.len();
                waiting.push((*reason, part));
            }
        }
        if waiting.is_empty() {
            return Ok(());
        }
        let withheld = &waiting;
        enter(&Withheld {
            pair,
            grant,
            job,
            withheld,
        })
    }

    fn perhaps(&self, Stream { pair, grant, job }: Stream, enter: Enter<'_>) -> Result<(), NotEntered> {
        for (cause, runs) in &self.perhaps {
            let cause = PerhapsCause::try_from(*cause).unwrap_or_default();
            for runs in runs.clone().split(MAX_ENTRY_RUNS) {
                enter(&PerhapsDisclosed {
                    pair,
                    grant,
                    job,
                    runs: &runs,
                    cause,
                })?;
            }
        }
        Ok(())
    }
}
