//! What the deployment asks of a patient before anything is shared.
//!
//! Who may: anyone enrolled sees it; the operator previews and sets it, and is shown numbers alone.

use handfast_proto::ids::OdsCode;

use super::{
    ActError, Caller, Context,
    context::{detached, required},
    tally::{Counts, Tally, walk},
};
use crate::{
    audit::events::PolicySet,
    consent::{Book, Carrier, Decision, Pair, Patients, Policy, Terms},
    delivery::InForce,
};

/// How long one answer of a preview may count before the sources that follow are left to the next, in
/// milliseconds. The source that it is at is counted to its end.
const PREVIEW_BUDGET_MS: i64 = 5_000;

/// What the deployment asks, and what it was made with.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PolicyView {
    /// What it asks of a patient.
    pub policy: Policy,
    /// Whose records a half lets through that is set for the first time and does not say.
    pub default_patients: Patients,
    /// Whose days are counted.
    pub zone: String,
}

/// What another policy would begin and end of a pair.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PairChange {
    /// Which pair.
    pub pair: Pair,
    /// What would begin to flow.
    pub begins: Counts,
    /// What would be withdrawn.
    pub ends: Counts,
}

/// The acts on the policy.
#[derive(Clone)]
pub struct PolicyDesk {
    ctx: Context,
}

impl PolicyDesk {
    /// Acts on what `ctx` holds.
    pub fn new(ctx: Context) -> Self {
        Self { ctx }
    }

    /// What is asked.
    pub fn get(&self, _enrolled: &Caller) -> PolicyView {
        PolicyView {
            policy: self.ctx.revoker.book().policy(),
            default_patients: self.ctx.deployment.default_patients,
            zone: self.ctx.deployment.zone.clone(),
        }
    }

    /// What another policy would begin and end, of the sources beyond `after` by ODS code, pair by pair; and
    /// beyond which source to ask for the rest. Pairs of which nothing would are left out.
    pub async fn preview(
        &self,
        caller: &Caller,
        policy: Policy,
        after: Option<OdsCode>,
    ) -> Result<(Vec<PairChange>, Option<OdsCode>), ActError> {
        caller.must_operate()?;
        let book = self.ctx.revoker.book();
        let begun = self.ctx.clock.now_ms();
        let mut sources: Vec<OdsCode> = book.pairs().map(|(pair, _)| pair.source).collect();
        sources.sort_unstable();
        sources.dedup();
        let mut found = Vec::new();
        let mut beyond = sources
            .into_iter()
            .filter(|source| after.is_none_or(|after| *source > after))
            .peekable();
        while let Some(source) = beyond.next() {
            found.extend(self.of_source(&book, source, policy, begun).await?);
            if beyond.peek().is_some() && self.ctx.clock.now_ms() - begun > PREVIEW_BUDGET_MS {
                return Ok((found, Some(source)));
            }
        }
        Ok((found, None))
    }

    /// Sets it. Returns when it is in force, or says that it is pending; setting the same again is safe.
    pub async fn set(&self, caller: &Caller, policy: Policy, reason: &str) -> Result<InForce, ActError> {
        caller.must_operate()?;
        let reason = required("reason", reason)?;
        tracing::warn!(by = %caller.name(), ?policy, "the policy is being set");
        let event = PolicySet {
            policy,
            reason: &reason,
        };
        let audit = vec![self.ctx.entry(caller, self.ctx.clock.now_ms(), &event)?];
        let ctx = self.ctx.clone();
        detached(async move { Ok(ctx.revoker.set_policy(policy, audit).await?) }).await
    }

    async fn of_source(
        &self,
        book: &Book,
        source: OdsCode,
        policy: Policy,
        now: i64,
    ) -> Result<Vec<PairChange>, ActError> {
        let recipients = book.recipients_of(source);
        let mut ways: Vec<Way<'_>> = recipients
            .iter()
            .map(|recipient| {
                Way::new(
                    book,
                    Pair {
                        source,
                        recipient: *recipient,
                    },
                    policy,
                )
            })
            .collect();
        if ways.is_empty() {
            return Ok(Vec::new());
        }
        walk(&self.ctx, source, |row| {
            for way in &mut ways {
                let was = way.before.decide(&row.subject, now) == Decision::Forward;
                let is = way.after.decide(&row.subject, now) == Decision::Forward;
                match (was, is) {
                    (false, true) => way.begins.add(row),
                    (true, false) => way.ends.add(row),
                    _ => {}
                }
            }
        })
        .await?;
        let changes = ways.into_iter().map(|way| PairChange {
            pair: way.pair,
            begins: way.begins.counts(),
            ends: way.ends.counts(),
        });
        let nothing = Counts::default();
        Ok(changes
            .filter(|c| c.begins != nothing || c.ends != nothing)
            .collect())
    }
}

/// A pair under both policies.
struct Way<'b> {
    pair: Pair,
    before: Carrier<'b>,
    after: Carrier<'b>,
    begins: Tally,
    ends: Tally,
}

impl<'b> Way<'b> {
    fn new(book: &'b Book, pair: Pair, policy: Policy) -> Self {
        let before = Terms::of(&book.terms(pair), book.policy());
        Self {
            pair,
            before: book.under(pair, before),
            after: book.under(pair, Terms { policy, ..before }),
            begins: Tally::default(),
            ends: Tally::default(),
        }
    }
}
