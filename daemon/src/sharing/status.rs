//! How the deployment stands, as far as each caller may know it.
//!
//! Invariants (I1): a unit is shown its own connections and its own pairs only; what a source forwarded
//! and withheld, and how far its stream is beyond a grant in force, only the source and the operator see.

use std::collections::HashMap;

use handfast_proto::ids::OdsCode;

use super::{ActError, Caller, Context};
use crate::{
    consent::{GrantId, Pair, Reason},
    delivery::{DeliveryStatus, PairCounts},
    store::UnitState,
};

/// How the deployment stands.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StatusView {
    /// The SPIFFE trust domain.
    pub trust_domain: String,
    /// Whether it was made for synthetic data only.
    pub test: bool,
    /// Units that take part, by ODS code.
    pub units: Vec<UnitView>,
    /// Pairs that have or had a grant, in order.
    pub pairs: Vec<PairView>,
}

/// How a unit is connected.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct UnitView {
    /// Which unit.
    pub ods: OdsCode,
    /// Its agent publishes.
    pub publishing: bool,
    /// Its agent subscribes.
    pub subscribed: bool,
    /// The last durable seq of its stream.
    pub head: u64,
}

/// How a pair stands.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PairView {
    /// Which pair.
    pub pair: Pair,
    /// The grant in force.
    pub grant: Option<GrantId>,
    /// Everything up to this seq was received or withheld.
    pub cursor: u64,
    /// The source's head; 0 for a recipient without a grant in force.
    pub head: u64,
    /// Amendments forwarded since the daemon started; 0 for the recipient.
    pub forwarded: u64,
    /// Amendments withheld since the daemon started, by reason; empty for the recipient.
    pub withheld: Vec<(Reason, u64)>,
    /// Dead letters that the recipient reports and that are not over.
    pub dead_letters: u64,
}

/// Shows how the deployment stands.
#[derive(Clone)]
pub struct StatusBoard {
    ctx: Context,
}

impl StatusBoard {
    /// Shows what `ctx` holds.
    pub fn new(ctx: Context) -> Self {
        Self { ctx }
    }

    /// What the caller may see.
    pub async fn status(&self, caller: &Caller) -> Result<StatusView, ActError> {
        let own = caller.unit();
        if own.is_none() && !caller.is_operator() {
            return Err(ActError::Denied);
        }
        let delivery = self.ctx.revoker.status();
        let heads: HashMap<OdsCode, u64> = delivery.heads.iter().copied().collect();
        let units = self.ctx.store.units(self.ctx.clock.now_ms()).await?;
        let units = units
            .iter()
            .filter(|u| u.state != UnitState::Retired)
            .filter(|u| own.is_none_or(|own| own == u.ods))
            .map(|u| UnitView {
                ods: u.ods,
                publishing: delivery.publishing.contains(&u.ods),
                subscribed: delivery.subscribed.contains(&u.ods),
                head: heads.get(&u.ods).copied().unwrap_or(0),
            })
            .collect();
        let letters = self.ctx.store.dead_letters().await?;
        Ok(StatusView {
            trust_domain: self.ctx.deployment.trust_domain.clone(),
            test: self.ctx.deployment.test,
            units,
            pairs: pairs(own, &delivery, &heads, letters.into_iter().collect()),
        })
    }
}

fn pairs(
    own: Option<OdsCode>,
    delivery: &DeliveryStatus,
    heads: &HashMap<OdsCode, u64>,
    mut letters: HashMap<Pair, u64>,
) -> Vec<PairView> {
    let mut views: Vec<PairView> = delivery
        .pairs
        .iter()
        .map(|counts| {
            let head = heads.get(&counts.pair.source).copied().unwrap_or(0);
            view(counts, head, letters.remove(&counts.pair).unwrap_or(0))
        })
        .collect();
    // A dead letter outlives its grant and the daemon's counters.
    views.extend(letters.into_iter().map(|(pair, dead_letters)| PairView {
        pair,
        grant: None,
        cursor: 0,
        head: heads.get(&pair.source).copied().unwrap_or(0),
        forwarded: 0,
        withheld: Vec::new(),
        dead_letters,
    }));
    if let Some(own) = own {
        views.retain(|v| v.pair.source == own || v.pair.recipient == own);
        let received = views.iter_mut().filter(|v| v.pair.source != own);
        received.for_each(hide_from_recipient);
    }
    views.sort_by_key(|v| v.pair);
    views
}

fn view(counts: &PairCounts, head: u64, dead_letters: u64) -> PairView {
    PairView {
        pair: counts.pair,
        grant: counts.grant,
        cursor: counts.cursor,
        head,
        forwarded: counts.forwarded,
        withheld: counts.withheld.clone(),
        dead_letters,
    }
}

fn hide_from_recipient(view: &mut PairView) {
    view.forwarded = 0;
    view.withheld.clear();
    if view.grant.is_none() {
        view.cursor = 0;
        view.head = 0;
    }
}
