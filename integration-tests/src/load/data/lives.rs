//! Which records of a source exist, and what happens to which of them next: create, then amend again and again,
//! then perhaps retract, and after some time another life under the same id, as a system may that restores a
//! deleted record.

use handfast_proto::amendment::Op;

use crate::load::plan::{Mix, SplitMix64};

/// Of an amend of a record, one in so many draws anew whether it is private.
const MARKED_ANEW_ONE_IN: u32 = 4;
/// A hundred percent, in the parts in which shares are drawn.
const PARTS: u32 = 1_000_000;

/// A record's state in four bytes: version, and two flags.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct State(u32);

impl State {
    const PRIVATE: u32 = 1;

    /// Versions that there were.
    fn versions(self) -> u32 {
        self.0 >> 1
    }

    fn is_private(self) -> bool {
        self.0 & Self::PRIVATE != 0
    }

    fn next(self, private: bool) -> Self {
        Self(((self.0 >> 1).wrapping_add(1) << 1) | u32::from(private))
    }
}

/// What happens next, to which record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Event {
    pub(super) record: u32,
    pub(super) op: Op,
    /// From 0.
    pub(super) version: u32,
    /// The mark of this version; of a retraction, that of the one it ends.
    pub(super) private: bool,
    /// The mark of the version before, for an amend.
    pub(super) was_private: bool,
}

/// The records of a source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Lives {
    /// By record; only those that ever existed.
    states: Vec<State>,
    live: Vec<u32>,
    retracted: Vec<u32>,
    most: u32,
    create: u32,
    retract: u32,
    private: u32,
}

impl Lives {
    pub(super) fn new(records: u32, mix: &Mix) -> Self {
        let parts = |percent: f64| (percent / 100.0 * f64::from(PARTS)).round() as u32;
        Self {
            states: Vec::new(),
            live: Vec::new(),
            retracted: Vec::new(),
            most: records,
            create: parts(mix.create_percent),
            retract: parts(mix.retract_percent),
            private: parts(mix.private_percent),
        }
    }

    /// `stays`: which records are never private and never retracted.
    pub(super) fn next(&mut self, random: &mut SplitMix64, stays: impl Fn(u32) -> bool) -> Event {
        let drawn = random.below(PARTS);
        if self.live.is_empty() || (drawn < self.create && self.live.len() < self.most as usize) {
            return self.create(random, stays);
        }
        let place = random.below(self.live.len() as u32) as usize;
        let record = self.live[place];
        if drawn >= PARTS - self.retract && !stays(record) {
            self.live.swap_remove(place);
            self.retracted.push(record);
            let private = self.states[record as usize].is_private();
            return self.event(record, Op::Retract, private);
        }
        let was = self.states[record as usize].is_private();
        let anew = self.private > 0 && random.below(MARKED_ANEW_ONE_IN) == 0;
        let private = if anew {
            self.draw_private(random) && !stays(record)
        } else {
            was
        };
        self.event(record, Op::Amend, private)
    }

    fn create(&mut self, random: &mut SplitMix64, stays: impl Fn(u32) -> bool) -> Event {
        let record = if self.states.len() < self.most as usize {
            self.states.push(State::default());
            self.states.len() as u32 - 1
        } else {
            // All exist or did; there is room, so that one of them is retracted.
            let place = random.below(self.retracted.len() as u32) as usize;
            self.retracted.swap_remove(place)
        };
        self.live.push(record);
        let private = self.private > 0 && self.draw_private(random) && !stays(record);
        self.event(record, Op::Create, private)
    }

    fn draw_private(&self, random: &mut SplitMix64) -> bool {
        random.below(PARTS) < self.private
    }

    fn event(&mut self, record: u32, op: Op, private: bool) -> Event {
        let before = self.states[record as usize];
        self.states[record as usize] = before.next(private);
        Event {
            record,
            op,
            version: before.versions(),
            private,
            was_private: before.is_private(),
        }
    }
}
