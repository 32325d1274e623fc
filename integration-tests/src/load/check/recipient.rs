//! What one recipient receives, held against what is known: message by message, as it arrives and before its
//! receipt is sent. So whatever a call counts as received was checked before the call returns.
//!
//! Cost: one look into the source's log an amendment, and the payload's digest.

use std::{collections::HashMap, sync::Arc};

use handfast_proto::{
    amendment::{Batch, Entry, Op},
    v1::{CatchUp, ReconcileScope, Withdraw},
};
use hdrhistogram::Histogram;

use super::{
    doubtful::{Came, Doubtful},
    findings::{Fault, Findings},
    known::{Claim, Known},
    log::{Sent, hash},
    pair::{PairState, Place},
};

/// The longest latency that is told apart, in microseconds: ten minutes.
const MAX_LATENCY_US: u64 = 600_000_000;
/// Decimal digits that a latency is kept to.
const LATENCY_DIGITS: u8 = 3;

/// A histogram of latencies in microseconds.
pub(in crate::load) fn latencies() -> anyhow::Result<Histogram<u64>> {
    Ok(Histogram::new_with_bounds(1, MAX_LATENCY_US, LATENCY_DIGITS)?)
}

/// What is wrong with an amendment of a patient who said no.
const REFUSED: &str = "of a patient whose no was in force";

/// A recipient's journal, kept as what follows from it.
#[derive(Debug)]
pub(in crate::load) struct Recipient {
    known: Arc<Known>,
    me: u32,
    connection: u32,
    pairs: HashMap<u32, PairState>,
    doubtful: Doubtful,
    /// What was found.
    pub(in crate::load) findings: Findings,
    /// Amendments that arrived, repeats and removals included.
    pub(in crate::load) delivered: u64,
    /// Amendments that came again on a later connection, which an inbox drops.
    pub(in crate::load) repeats: u64,
    /// Of what the live feeds brought, since it was last taken away; none of a recipient that is made slow.
    pub(in crate::load) latency: Option<Histogram<u64>>,
}

/// Where a message stands.
#[derive(Debug, Clone, Copy)]
struct Around {
    source: u32,
    grant: u64,
    job: u64,
    now_us: u32,
}

impl Recipient {
    pub(in crate::load) fn new(known: Arc<Known>, me: u32, timed: bool) -> anyhow::Result<Self> {
        Ok(Self {
            known,
            me,
            connection: 0,
            pairs: HashMap::new(),
            doubtful: Doubtful::default(),
            findings: Findings::default(),
            delivered: 0,
            repeats: 0,
            latency: if timed { Some(latencies()?) } else { None },
        })
    }

    /// A connection begins to be made.
    pub(in crate::load) fn connecting(&mut self) {
        self.connection = self.known.consents.connecting(self.me);
    }

    /// Its number, from 1.
    pub(in crate::load) fn connection(&self) -> u32 {
        self.connection
    }

    /// Amendments under a grant, or one that came in pieces and is complete.
    pub(in crate::load) fn deliver(&mut self, source: &str, grant: u64, job: u64, batch: &Batch) {
        let count = batch.len() as u64;
        self.delivered += count;
        let Some(source) = self.lawful(source, grant, batch.last_seq(), count) else {
            return;
        };
        let around = Around {
            source,
            grant,
            job,
            now_us: self.known.now_us(),
        };
        let mut pair = self.pairs.remove(&source).unwrap_or_default();
        self.begins(&mut pair, around, batch.first_seq());
        for (index, entry) in batch.entries().enumerate() {
            self.one(&mut pair, around, &entry, batch.payload_slice(index));
        }
        self.pairs.insert(source, pair);
    }

    /// A piece of an amendment that is not complete yet. Whether it may come.
    pub(in crate::load) fn piece(&mut self, source: &str, grant: u64, seq: u64) -> bool {
        self.lawful(source, grant, seq, 1).is_some()
    }

    /// Something that breaks the contract.
    pub(in crate::load) fn broken(&mut self, why: &str) {
        let me = self.known.name(self.me);
        self.findings.add(Fault::Forged, 1, || format!("{me}: {why}"));
    }

    /// Whether whatever is of a grant may come now.
    pub(in crate::load) fn may_come(&self, source: &str, grant: u64) -> bool {
        let pair = self.known.place(source).map(|source| (source, self.me));
        let consents = &self.known.consents;
        pair.is_some_and(|pair| consents.may_come(pair, grant, self.connection, u64::MAX))
    }

    /// Whether anything of a grant may come now; says so where it may not.
    fn lawful(&mut self, source: &str, grant: u64, last: u64, count: u64) -> Option<u32> {
        let place = self.known.place(source);
        let pair = place.map(|source| (source, self.me));
        let me = self.known.name(self.me);
        let told = || format!("{me} received up to seq {last} of {source} under grant {grant}, ");
        let Some(pair) = pair.filter(|pair| self.known.consents.is_pair(*pair)) else {
            let words = || told() + "with which it has no agreement";
            self.findings.add(Fault::Leak, count, words);
            return None;
        };
        if self.pairs.get(&pair.0).is_some_and(|state| grant <= state.fenced) {
            let words = || told() + "after the mark of that grant's end";
            self.findings.add(Fault::Leak, count, words);
            return None;
        }
        let consents = &self.known.consents;
        if !consents.may_come(pair, grant, self.connection, last) {
            let words = || told() + "which no call had begun, or a call had ended";
            self.findings.add(Fault::Leak, count, words);
            return None;
        }
        Some(pair.0)
    }

    /// A catch-up comes before the live feed of its grant, and a job begins before what it sends.
    fn begins(&mut self, pair: &mut PairState, around: Around, first: u64) {
        pair.of_grant(around.grant);
        let in_time = match around.job {
            0 => pair.caught_up,
            job => pair.job(job).is_some(),
        };
        if !in_time {
            let (me, from) = (self.known.name(self.me), self.known.name(around.source));
            let (grant, job) = (around.grant, around.job);
            self.findings.add(Fault::OutOfOrder, 1, || {
                format!("{me} received seq {first} of {from} under grant {grant}, job {job}, out of its job's edges")
            });
        }
    }

    fn one(&mut self, pair: &mut PairState, around: Around, entry: &Entry<'_>, payload: &[u8]) {
        let seq = u32::try_from(entry.seq).unwrap_or(u32::MAX);
        let sent = self.known.log(around.source).and_then(|log| log.get(seq));
        let Some(sent) = sent else {
            self.find(Fault::Forged, around, entry.seq, "which its source has not sent");
            return;
        };
        if let Some((fault, why)) = self.wrong(around, entry, payload, &sent)
            && (why != REFUSED || self.is_leak(around, entry.seq))
        {
            self.find(fault, around, entry.seq, why);
            if fault == Fault::Leak {
                return;
            }
        }
        match pair.place(around.job, self.connection, seq) {
            Place::Next { from } => self.passed(pair, around, from, seq, &sent),
            Place::Again => self.repeats += 1,
            Place::Twice => self.find(Fault::Duplicated, around, entry.seq, "a second time"),
            Place::Late => {
                if pair.found(seq) {
                    self.findings.lost = self.findings.lost.saturating_sub(1);
                }
                self.find(Fault::OutOfOrder, around, entry.seq, "after a later one");
            }
        }
        match entry.op {
            Op::Create | Op::Amend => pair.version(around.job, sent.record, seq),
            _ => pair.removal(sent.record, seq),
        }
    }

    /// What is wrong with an amendment by itself, wherever it stands.
    fn wrong(
        &self,
        around: Around,
        entry: &Entry<'_>,
        payload: &[u8],
        sent: &Sent,
    ) -> Option<(Fault, &'static str)> {
        let known = &self.known;
        let log = known.log(around.source)?;
        let is_named = log
            .record(sent.record)
            .is_some_and(|record| record.name == hash(entry.record.as_bytes()));
        if !is_named {
            return Some((Fault::Forged, "as a change of another record"));
        }
        if matches!(entry.op, Op::Retract | Op::Remove) {
            let made_up = entry.op == Op::Retract && sent.op != Op::Retract;
            return made_up.then_some((Fault::Forged, "as a retraction"));
        }
        if sent.private {
            return Some((Fault::Leak, "which is private"));
        }
        let pair = (around.source, self.me);
        let consents = &known.consents;
        if consents.is_refused(pair, sent.patient, self.connection, entry.seq) {
            return Some((Fault::Leak, REFUSED));
        }
        let claim = Claim {
            source: around.source,
            seq: entry.seq,
            record: sent.record,
        };
        let number = known.numbers.get(sent.patient as usize).copied();
        let is_its_patient = entry.subject.map(|s| s.patient.as_u64()) == number;
        if sent.op != entry.op || !is_its_patient {
            return Some((Fault::Forged, "with another header than it was sent with"));
        }
        if (known.read)(payload) != Some(claim) {
            return Some((Fault::Forged, "with other bytes than it was sent with"));
        }
        None
    }

    /// The feed went on to `seq`: of the live feed, what it passed over must have been withheld.
    fn passed(&mut self, pair: &mut PairState, around: Around, from: u32, seq: u32, sent: &Sent) {
        if around.job != 0 {
            return;
        }
        self.missing(pair, around.source, from..seq);
        self.time(around.now_us, sent.due_us);
    }

    fn missing(&mut self, pair: &mut PairState, source: u32, seqs: std::ops::Range<u32>) {
        let Some(log) = self.known.log(source) else { return };
        let to = (source, self.me);
        for seq in seqs {
            let had_to = log
                .get(seq)
                .is_some_and(|sent| self.known.had_to_come(to, seq, &sent));
            if had_to && pair.misses(seq) {
                let (me, from) = (self.known.name(self.me), self.known.name(source));
                let words = || format!("{me} did not receive seq {seq} of {from}");
                self.findings.add(Fault::Lost, 1, words);
            }
        }
    }

    /// Of what a patient's no refuses: whether it can be said that it should not have come.
    fn is_leak(&mut self, around: Around, seq: u64) -> bool {
        let came = Came {
            pair: (around.source, self.me),
            grant: around.grant,
            connection: self.connection,
            seq,
        };
        self.doubtful.is_leak(&self.known.consents, came)
    }

    fn find(&mut self, fault: Fault, around: Around, seq: u64, why: &str) {
        let (me, from) = (self.known.name(self.me), self.known.name(around.source));
        let grant = around.grant;
        let words = || format!("{me} received seq {seq} of {from} under grant {grant} {why}");
        self.findings.add(fault, 1, words);
    }

    /// An edge of a job. With its end: what it removed, where that is to be confirmed.
    pub(in crate::load) fn edge(&mut self, edge: &CatchUp) -> Option<u64> {
        let source = self.known.place(&edge.source)?;
        let known = Arc::clone(&self.known);
        let pair = self.pairs.entry(source).or_default();
        pair.of_grant(edge.grant);
        if !edge.complete {
            pair.begins(edge.job, edge.scope(), edge.patient);
            return None;
        }
        let upto = u32::try_from(edge.upto_seq).unwrap_or(u32::MAX);
        let removed = pair.complete(edge.job, upto, |record| known.patient_of(source, record));
        (edge.scope() != ReconcileScope::Everything).then_some(removed)
    }

    /// Nothing of a grant follows.
    pub(in crate::load) fn fenced(&mut self, source: &str, grant: u64) {
        if let Some(source) = self.known.place(source) {
            let pair = self.pairs.entry(source).or_default();
            pair.fenced = pair.fenced.max(grant);
        }
    }

    /// What came under an ended grant is to be removed. How much that was.
    pub(in crate::load) fn withdraw(&mut self, withdraw: &Withdraw) -> u64 {
        let Some(source) = self.known.place(&withdraw.source) else {
            return 0;
        };
        let known = Arc::clone(&self.known);
        let pair = self.pairs.entry(source).or_default();
        pair.withdraw(withdraw.ended_grant, withdraw.patient, |record| {
            known.patient_of(source, record)
        })
    }

    /// A change that an agent has written for its clinical system, and the seq of what stands there now.
    pub(in crate::load) fn written(&mut self, source: &str, seq: Option<u32>, op: &str) {
        self.delivered += 1;
        let place = self.known.place(source);
        let pair = place.filter(|place| self.known.consents.is_pair((*place, self.me)));
        if !matches!(op, "create" | "amend") {
            return;
        }
        let Some(source) = pair else {
            let me = self.known.name(self.me);
            let words = || format!("{me} wrote something of {source}, with which it has no agreement");
            self.findings.add(Fault::Leak, 1, words);
            return;
        };
        let log = self.known.log(source);
        if let Some(sent) = log.and_then(|log| log.get(seq?)) {
            self.time(self.known.now_us(), sent.due_us);
        }
    }

    /// What an agent's output holds of a source: record and seq, and nothing else.
    pub(in crate::load) fn holds(&mut self, source: u32, held: &[(u32, u32)]) {
        self.pairs.entry(source).or_default().holds(held);
    }

    fn time(&mut self, now_us: u32, due_us: u32) {
        let late = now_us.wrapping_sub(due_us);
        // What was sent a moment after this clock was read comes out negative.
        let late = if late > u32::MAX / 2 { 0 } else { late };
        if let Some(latency) = &mut self.latency {
            latency.saturating_record(u64::from(late).max(1));
        }
    }

    /// The first record of a source that is not as it must be once all is quiet, from a record on.
    pub(super) fn differs(&self, source: u32, from: u32) -> Option<u32> {
        let records = self.known.log(source)?.records();
        let pair = self.pairs.get(&source);
        (from..records).find(|record| {
            let held = pair.map_or(0, |pair| pair.held(*record));
            held != self.known.must_hold((source, self.me), *record)
        })
    }

    /// Once all is quiet: what is held and must not be leaked, what is not and must be was lost, and so was what
    /// the feed of a grant in force did not bring.
    pub(super) fn conclude(&mut self, source: u32) {
        let known = Arc::clone(&self.known);
        for came in self.doubtful.leaks(&known.consents, source) {
            let (me, from) = (known.name(self.me), known.name(source));
            let words = || {
                format!(
                    "{me} received seq {} of {from} under grant {} {REFUSED}",
                    came.seq, came.grant
                )
            };
            self.findings.add(Fault::Leak, 1, words);
        }
        let Some(log) = known.log(source) else { return };
        let mut pair = self.pairs.remove(&source).unwrap_or_default();
        let to = (source, self.me);
        let (me, from) = (known.name(self.me), known.name(source));
        let in_force = known.consents.in_force(to);
        for record in 0..log.records() {
            let (held, must) = (pair.held(record), known.must_hold(to, record));
            if must == 0 && held != 0 {
                let words = || format!("{me} still holds seq {held} of {from} (record {record})");
                self.findings.add(Fault::Leak, 1, words);
            } else if must != held && pair.misses(must) {
                let words = || format!("{me} holds seq {held} of {from} (record {record}), not seq {must}");
                self.findings.add(Fault::Lost, 1, words);
            }
        }
        if in_force != 0 && pair.grant == in_force && pair.caught_up {
            let rest = pair.position() + 1..log.head() + 1;
            self.missing(&mut pair, source, rest);
        }
        self.pairs.insert(source, pair);
    }
}
