//! What the audit log says of emergency accesses.

use std::{collections::HashMap, num::NonZeroU32};

use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use handfast_proto::{
    ids::{OdsCode, PersonId},
    v1::{AlertKind, AlertStep},
};
use parking_lot::Mutex;

use super::{ActError, AskAccess, Caller, Context, emergency::GROUND};
use crate::{
    audit::events::{Alerted, EmergencyEnded, EmergencyRefused, EmergencyReviewed},
    consent::Pair,
    store::{AccessRow, EndAccess, NewAccess, NewEntry, ReviewRow, SourceRow},
};

/// Refusals of one person that are entered one by one in an hour.
const REFUSALS_PER_HOUR: NonZeroU32 = NonZeroU32::MIN.saturating_add(59);

/// Characters of a refused clinician's own words that are entered.
const MAX_NOTE_CHARS: usize = 200;

/// The alerts that come with an access, one a source.
pub(super) fn alerted(ctx: &Context, caller: &Caller, access: &NewAccess) -> Result<Vec<NewEntry>, ActError> {
    let entry = |source: &OdsCode| {
        let event = Alerted {
            step: AlertStep::Raised,
            kind: (AlertKind::EmergencyAccess as i32).unsigned_abs(),
            alert: 0,
            unit: access.recipient,
            source: Some(*source),
            patient: Some(access.patient),
            justified: false,
            note: &access.note,
        };
        ctx.entry(caller, access.at, &event)
    };
    access.sources.iter().map(entry).collect()
}

/// The review of an access, as far as a source goes.
pub(super) fn reviewed(
    ctx: &Context,
    caller: &Caller,
    row: &AccessRow,
    source: OdsCode,
    review: &ReviewRow,
) -> Result<NewEntry, ActError> {
    let event = EmergencyReviewed {
        pair: pair(row, source),
        patient: row.access.patient,
        access: row.id.0,
        justified: review.justified,
        note: &review.note,
    };
    ctx.entry(caller, review.at, &event)
}

/// The early end of an access, as far as it is not over already.
pub(super) fn ended(
    ctx: &Context,
    caller: &Caller,
    row: &AccessRow,
    end: &EndAccess,
) -> Result<Vec<NewEntry>, ActError> {
    let meant = row.sources.iter().filter(|s| end.sources.contains(&s.source));
    let entry = |source: &SourceRow| {
        let event = EmergencyEnded {
            pair: pair(row, source.source),
            patient: row.access.patient,
            access: row.id.0,
            grant: source.grant,
            expired: false,
        };
        ctx.entry(caller, end.at, &event)
    };
    meant.filter(|s| s.ended_at.is_none()).map(entry).collect()
}

fn pair(row: &AccessRow, source: OdsCode) -> Pair {
    Pair {
        source,
        recipient: row.access.recipient,
    }
}

/// Enters refused attempts: of one person only so many one by one, so that nobody fills the log; how many were
/// passed over at a unit stands in the next of that unit that is entered.
pub(super) struct Refusals {
    rates: DefaultKeyedRateLimiter<PersonId>,
    passed_over: Mutex<HashMap<OdsCode, u64>>,
}

impl Default for Refusals {
    fn default() -> Self {
        Self {
            rates: RateLimiter::keyed(Quota::per_hour(REFUSALS_PER_HOUR)),
            passed_over: Mutex::default(),
        }
    }
}

impl Refusals {
    /// Enters an attempt that was refused for what it is or whose it is, or for an alert type and a reason that do
    /// not go together; one that made no sense is none.
    pub(super) async fn enter(
        &self,
        ctx: &Context,
        caller: &Caller,
        asked: &AskAccess,
        error: &ActError,
    ) -> Result<(), ActError> {
        let refused = matches!(
            error,
            ActError::Denied
                | ActError::Refused(_)
                | ActError::TooMany(_)
                | ActError::Invalid { field: GROUND, .. }
        );
        let Caller::Person {
            id,
            unit: Some(recipient),
            ..
        } = caller
        else {
            return Ok(());
        };
        if !refused {
            return Ok(());
        }
        if self.rates.check_key(id).is_err() {
            *self.passed_over.lock().entry(*recipient).or_default() += 1;
            return Ok(());
        }
        let mut why = error.to_string();
        let passed_over = self.passed_over.lock().remove(recipient).unwrap_or(0);
        if passed_over > 0 {
            why.push_str(&format!(" ({passed_over} more were refused and not entered)"));
        }
        let note: String = asked
            .note
            .chars()
            .filter(|c| !c.is_control())
            .take(MAX_NOTE_CHARS)
            .collect();
        let event = EmergencyRefused {
            recipient: *recipient,
            patient: Some(asked.patient),
            why: &why,
            note: &note,
        };
        let entry = ctx.entry(caller, ctx.clock.now_ms(), &event)?;
        Ok(ctx.store.enter(&[entry]).await?)
    }
}
