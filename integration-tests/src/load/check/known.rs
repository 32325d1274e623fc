//! What the checker knows of its own: who takes part, what each source sent, what was consented to, and the clock.

use std::{collections::HashMap, time::Instant};

use handfast_proto::amendment::Op;

use super::{
    consents::{Consents, Pair},
    log::{Sent, SourceLog},
};

/// Where a payload says it comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::load) struct Claim {
    pub(in crate::load) source: u32,
    pub(in crate::load) seq: u64,
    pub(in crate::load) record: u32,
}

/// Everything that is known without asking the daemon.
#[derive(Debug)]
pub(in crate::load) struct Known {
    /// ODS codes, by place.
    pub(in crate::load) units: Vec<String>,
    places: HashMap<String, u32>,
    /// What each unit sent, by place.
    pub(in crate::load) logs: Vec<SourceLog>,
    pub(in crate::load) consents: Consents,
    /// NHS numbers, by a patient's place.
    pub(in crate::load) numbers: Vec<u64>,
    /// Reads a payload's claim; `None` where its bytes are not those that were made.
    pub(super) read: fn(&[u8]) -> Option<Claim>,
    begun: Instant,
}

impl Known {
    pub(in crate::load) fn new(
        units: Vec<String>,
        pairs: &[Pair],
        numbers: Vec<u64>,
        read: fn(&[u8]) -> Option<Claim>,
    ) -> Self {
        let places: HashMap<String, u32> = units.iter().cloned().zip(0..).collect();
        let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        Self {
            consents: Consents::new(count(units.len()), pairs, count(numbers.len())),
            logs: units.iter().map(|_| SourceLog::new()).collect(),
            places,
            units,
            numbers,
            read,
            begun: Instant::now(),
        }
    }

    /// When the run's clock began.
    pub(in crate::load) fn begun(&self) -> Instant {
        self.begun
    }

    /// Microseconds of the run's clock, modulo 2^32: differences of up to an hour are right.
    #[expect(clippy::cast_possible_truncation, reason = "modulo 2^32 is what is meant")]
    pub(in crate::load) fn now_us(&self) -> u32 {
        self.begun.elapsed().as_micros() as u32
    }

    /// A unit's place.
    pub(in crate::load) fn place(&self, ods: &str) -> Option<u32> {
        self.places.get(ods).copied()
    }

    /// A unit's ODS code.
    pub(in crate::load) fn name(&self, unit: u32) -> &str {
        self.units
            .get(unit as usize)
            .map_or("a unit of no place", String::as_str)
    }

    pub(in crate::load) fn log(&self, source: u32) -> Option<&SourceLog> {
        self.logs.get(source as usize)
    }

    /// The NHS number of a record's patient; 0 where there is no such record.
    pub(super) fn patient_of(&self, source: u32, record: u32) -> u64 {
        let known = self.log(source).and_then(|log| log.record(record));
        let place = known.map_or(usize::MAX, |known| known.patient as usize);
        self.numbers.get(place).copied().unwrap_or(0)
    }

    /// Whether an amendment that a feed passed over had to come: not if it was private, if it was followed by a
    /// private version (then its payload is erased, and who reads behind the head does not get it), or if its
    /// patient ever said something that touches the pair.
    pub(super) fn had_to_come(&self, pair: Pair, seq: u32, sent: &Sent) -> bool {
        let record = self.log(pair.0).and_then(|log| log.record(sent.record));
        let private_later = record.is_some_and(|record| record.private_at >= seq);
        !sent.private && !private_later && !self.consents.ever_spoke(pair, sent.patient)
    }

    /// The seq of a record that a recipient has to hold once all is quiet; 0: it must not hold the record.
    pub(super) fn must_hold(&self, pair: Pair, record: u32) -> u32 {
        let log = self.log(pair.0);
        let newest = log.and_then(|log| {
            let last = log.record(record)?.last;
            Some((last, log.get(last)?))
        });
        let Some((last, sent)) = newest else { return 0 };
        let gone = sent.op == Op::Retract || sent.private;
        if gone || self.consents.in_force(pair) == 0 || self.consents.says_no(pair, sent.patient) {
            0
        } else {
            last
        }
    }
}
