//! What must be true, in plain sets: who said what, what each source has recorded, and so what each recipient
//! may hold. It knows nothing of seqs, cursors, grants' numbers, jobs or books, and shares no code with the gate.

use std::collections::{BTreeMap, BTreeSet};

use handfast_proto::{
    amendment::Category,
    ids::{NhsNumber, OdsCode},
};

use crate::consent::Pair;

/// One version of a record, told from every other by its content.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Version {
    pub(super) patient: NhsNumber,
    pub(super) category: Category,
    /// Private, or of a restricted patient.
    pub(super) marked: bool,
    pub(super) content: u64,
}

/// One half of an agreement.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Half {
    pub(super) on: bool,
    pub(super) categories: BTreeSet<i32>,
    pub(super) caseload: bool,
    pub(super) explicit: bool,
    pub(super) ends: Option<i64>,
}

/// What a patient said, and when.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Said {
    Yes,
    No,
    Ended,
}

/// One patient's records of a source opened at a recipient.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Opened {
    pub(super) pair: Pair,
    pub(super) patient: NhsNumber,
    pub(super) until: i64,
    /// Tells it from a colleague's of the same records.
    pub(super) access: u32,
}

/// Everything that was consented to. `true` as a side: out; `false`: in.
#[derive(Clone, Debug, Default)]
pub(super) struct Consents {
    pub(super) now: i64,
    pub(super) explicit: bool,
    pub(super) halves: BTreeMap<(Pair, bool), Half>,
    pub(super) words: BTreeMap<(OdsCode, NhsNumber, bool), (Said, i64)>,
    /// Which unit, the former number, and what it became.
    pub(super) joined: BTreeSet<(OdsCode, NhsNumber, NhsNumber)>,
    pub(super) claims: BTreeSet<(OdsCode, NhsNumber)>,
    /// Of whom a unit recorded something, as far as the daemon may have noticed.
    pub(super) recorded: BTreeSet<(OdsCode, NhsNumber)>,
    /// Of whom a unit holds a record, and the daemon has noticed.
    pub(super) held: BTreeSet<(OdsCode, NhsNumber)>,
    pub(super) suspended: BTreeSet<OdsCode>,
    pub(super) withdrawn: BTreeSet<OdsCode>,
    pub(super) opened: Vec<Opened>,
}

impl Default for Half {
    fn default() -> Self {
        Self {
            on: false,
            categories: super::source::CATEGORIES.iter().map(|c| *c as i32).collect(),
            caseload: false,
            explicit: false,
            ends: None,
        }
    }
}

impl Half {
    fn holds(&self, now: i64) -> bool {
        self.on && self.ends.is_none_or(|end| now < end)
    }
}

impl Consents {
    pub(super) fn half(&self, pair: Pair, out: bool) -> Half {
        self.halves.get(&(pair, out)).cloned().unwrap_or_default()
    }

    /// The later word counts, and of two at once the dissent.
    pub(super) fn say(&mut self, unit: OdsCode, patient: NhsNumber, out: bool, said: Said, at: i64) {
        let stands = self.words.get(&(unit, patient, out)).copied();
        let counts = match stands {
            None => true,
            Some((before, before_at)) => {
                at > before_at || (at == before_at && (said == Said::No || before != Said::No))
            }
        };
        if counts {
            self.words.insert((unit, patient, out), (said, at));
        }
    }

    /// Time passes, or halves and units changed: what is over stays over.
    pub(super) fn end_what_is_over(&mut self) {
        let opened = std::mem::take(&mut self.opened);
        let goes_on = |o: &Opened| {
            let out = self.half(o.pair, true).holds(self.now) && !self.withdrawn.contains(&o.pair.source);
            out && self.now < o.until
        };
        self.opened = opened.into_iter().filter(goes_on).collect();
    }

    /// Whether an emergency access may be opened.
    pub(super) fn may_open(&self, pair: Pair) -> bool {
        self.half(pair, true).holds(self.now) && !self.withdrawn.contains(&pair.source)
    }

    /// Whether a version may be at a recipient.
    pub(super) fn allows(&self, pair: Pair, version: &Version) -> bool {
        let stands = |unit| !self.suspended.contains(unit);
        self.allows_while_all_stand(pair, version) && stands(&pair.source) && stands(&pair.recipient)
    }

    fn allows_while_all_stand(&self, pair: Pair, version: &Version) -> bool {
        let (out, into) = (self.half(pair, true), self.half(pair, false));
        let category = version.category as i32;
        let leaves = out.holds(self.now)
            && out.categories.contains(&category)
            && self.agreed(pair.source, pair.source, version.patient, true, out.explicit)
            && !version.marked
            && !self.withdrawn.contains(&pair.source);
        let emergency = self.opened.iter().any(|o| {
            o.pair == pair && self.leads_to(pair.source, o.patient, version.patient) && self.now < o.until
        });
        let enters = into.holds(self.now)
            && into.categories.contains(&category)
            && self.agreed(pair.recipient, pair.source, version.patient, false, into.explicit);
        let by_caseload = out.caseload || into.caseload;
        leaves
            && (emergency || (enters && (!by_caseload || self.on_caseload(pair.recipient, version.patient))))
    }

    /// Whether a patient has said no to sharing out what a unit recorded.
    pub(super) fn dissents(&self, unit: OdsCode, patient: NhsNumber) -> bool {
        self.words.iter().any(|((u, number, out), (said, _))| {
            let one_patient = *number == patient || self.same(unit, patient, *number);
            *u == unit && *out && one_patient && *said == Said::No
        })
    }

    /// A dissent under any of the patient's numbers stops; a yes counts under its own.
    fn agreed(&self, unit: OdsCode, source: OdsCode, patient: NhsNumber, out: bool, explicit: bool) -> bool {
        let said = |number| self.words.get(&(unit, number, out)).map(|(said, _)| *said);
        let own = said(patient);
        let dissent = self.words.keys().any(|(_, number, _)| {
            let one_patient = *number == patient
                || self.same(source, patient, *number)
                || self.same(unit, patient, *number);
            one_patient && said(*number) == Some(Said::No)
        });
        !dissent && (own == Some(Said::Yes) || !(explicit || self.explicit))
    }

    fn on_caseload(&self, unit: OdsCode, patient: NhsNumber) -> bool {
        self.claims.contains(&(unit, patient)) || self.recorded.contains(&(unit, patient))
    }

    /// Whether what a unit recorded under one number is under another now, and nobody else had it too.
    fn leads_to(&self, unit: OdsCode, from: NhsNumber, to: NhsNumber) -> bool {
        let (mut at, mut seen) = (from, BTreeSet::new());
        while at != to {
            let left = self
                .joined
                .iter()
                .filter(|(u, former, _)| (*u, *former) == (unit, at));
            let became: Vec<NhsNumber> = left.map(|(_, _, current)| *current).collect();
            if became.len() != 1 || self.held.contains(&(unit, at)) || !seen.insert(at) {
                return false;
            }
            at = became[0];
        }
        true
    }

    /// Whether a unit said that two numbers are one patient's, over however many steps.
    fn same(&self, unit: OdsCode, one: NhsNumber, other: NhsNumber) -> bool {
        let mut all = BTreeSet::from([one]);
        loop {
            let next = self.joined.iter().filter(|(u, _, _)| *u == unit);
            let found: BTreeSet<NhsNumber> = next
                .filter(|(_, a, b)| all.contains(a) || all.contains(b))
                .flat_map(|(_, a, b)| [*a, *b])
                .collect();
            let before = all.len();
            all.extend(found);
            if all.contains(&other) {
                return one != other;
            }
            if all.len() == before {
                return false;
            }
        }
    }
}
