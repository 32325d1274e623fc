//! How the deployment stands, as far as each caller may know it.
//!
//! Invariants (I1): a unit is shown its own connections and its own pairs only; what a source forwarded
//! and withheld, and how far its stream is beyond a grant in force, only the source and the operator see.

use std::collections::{BTreeSet, HashMap};

use handfast_proto::ids::OdsCode;

use super::{ActError, Caller, Context, Notice, notices::notices};
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
    /// Whether the source is suspended under a grant in force: then what the recipient holds of it is stale.
    pub stale: bool,
    /// What is to be done about its halves.
    pub notices: Vec<Notice>,
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
        let now = self.ctx.clock.now_ms();
        let all = self.ctx.store.units(now).await?;
        let suspended = all.iter().filter(|u| u.state == UnitState::Suspended);
        let units = all
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
        let agreements = self.ctx.store.agreements(own).await?;
        let known = Known {
            delivery: &delivery,
            heads: &heads,
            grants: agreements
                .iter()
                .filter_map(|a| Some((a.pair, a.grant?)))
                .collect(),
            letters: letters.into_iter().collect(),
            notices: agreements
                .iter()
                .map(|a| (a.pair, notices(a, self.ctx.days.today(now), now)))
                .collect(),
            suspended: suspended.map(|u| u.ods).collect(),
        };
        Ok(StatusView {
            trust_domain: self.ctx.deployment.trust_domain.clone(),
            test: self.ctx.deployment.test,
            units,
            pairs: pairs(own, known),
        })
    }
}

/// What is known of pairs, from memory and from the store.
struct Known<'a> {
    delivery: &'a DeliveryStatus,
    heads: &'a HashMap<OdsCode, u64>,
    grants: HashMap<Pair, GrantId>,
    letters: HashMap<Pair, u64>,
    notices: HashMap<Pair, Vec<Notice>>,
    suspended: BTreeSet<OdsCode>,
}

/// Every pair that was counted, has a grant though its recipient never connected, has dead letters, which
/// outlive both, or needs attention.
fn pairs(own: Option<OdsCode>, known: Known<'_>) -> Vec<PairView> {
    let counted = known.delivery.pairs.iter();
    let counted: HashMap<Pair, &PairCounts> = counted.map(|counts| (counts.pair, counts)).collect();
    let all: BTreeSet<Pair> = counted
        .keys()
        .chain(known.grants.keys())
        .chain(known.letters.keys())
        .chain(
            known
                .notices
                .iter()
                .filter(|(_, due)| !due.is_empty())
                .map(|(pair, _)| pair),
        )
        .copied()
        .collect();
    let ours = |pair: &Pair| own.is_none_or(|own| pair.source == own || pair.recipient == own);
    let views = all.into_iter().filter(ours).map(|pair| {
        let counts = counted.get(&pair);
        let grant = counts.map_or_else(|| known.grants.get(&pair).copied(), |c| c.grant);
        let mut view = PairView {
            pair,
            grant,
            cursor: counts.map_or(0, |c| c.cursor),
            head: known.heads.get(&pair.source).copied().unwrap_or(0),
            forwarded: counts.map_or(0, |c| c.forwarded),
            withheld: counts.map_or_else(Vec::new, |c| c.withheld.clone()),
            dead_letters: known.letters.get(&pair).copied().unwrap_or(0),
            stale: grant.is_some() && known.suspended.contains(&pair.source),
            notices: known.notices.get(&pair).cloned().unwrap_or_default(),
        };
        if own.is_some_and(|own| own != pair.source) {
            hide_from_recipient(&mut view);
        }
        view
    });
    views.collect()
}

fn hide_from_recipient(view: &mut PairView) {
    view.forwarded = 0;
    view.withheld.clear();
    if view.grant.is_none() {
        view.cursor = 0;
        view.head = 0;
    }
}
