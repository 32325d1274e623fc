//! Sharing agreements: turning a half, listing and watching them.
//!
//! Who may: a half is turned by the administrators of the unit whose half it is; by the operator only
//! where the deployment was made so. The operator sees every agreement, a unit's people and agent those
//! with their unit on either side.

use std::{sync::Arc, time::Duration};

use futures::{Stream, stream};
use handfast_proto::ids::OdsCode;
use tokio::{sync::watch, time::sleep};

use super::{
    ActError, Caller, Context,
    context::{detached, text},
};
use crate::{
    consent::{Pair, Side},
    delivery::HalfInForce,
    store::{AgreementRow, HalfChange, HalfRow},
};

/// How often a watcher is told at most: a unit that turns halves all day costs others little.
const WATCH_INTERVAL: Duration = Duration::from_millis(100);

/// A half is to be turned.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SetHalf {
    /// Which pair.
    pub pair: Pair,
    /// Which half.
    pub side: Side,
    /// On or off.
    pub on: bool,
    /// Why; may be empty.
    pub reason: String,
}

/// The acts on agreements.
#[derive(Clone)]
pub struct Agreements {
    ctx: Context,
}

impl Agreements {
    /// Acts on what `ctx` holds.
    pub fn new(ctx: Context) -> Self {
        Self { ctx }
    }

    /// Turns a half. Turning one off returns when that is in force, or says that it is pending; asking
    /// again is safe.
    pub async fn set(&self, caller: &Caller, half: SetHalf) -> Result<HalfInForce, ActError> {
        self.may_set(caller, half.side.owner(half.pair))?;
        if half.pair.source == half.pair.recipient {
            let why = "a unit does not share with itself: name two units";
            return Err(ActError::invalid("recipient", why));
        }
        let change = HalfChange {
            pair: half.pair,
            side: half.side,
            on: half.on,
            by: caller.name(),
            reason: text("reason", &half.reason)?,
            scope: None,
            at: self.ctx.clock.now_ms(),
        };
        let (ctx, viewer) = (self.ctx.clone(), caller.clone());
        detached(async move {
            let set = ctx.revoker.set_half(change, Vec::new()).await;
            // Also after an error: it may have been committed.
            ctx.changes.notify();
            let mut set = set?;
            set.outcome.agreement = as_seen_by(&viewer, set.outcome.agreement);
            Ok(set)
        })
        .await
    }

    fn may_set(&self, caller: &Caller, owner: OdsCode) -> Result<(), ActError> {
        let operator = caller.is_operator() && self.ctx.deployment.operator_sets_halves;
        if operator || caller.administers(owner) {
            Ok(())
        } else {
            Err(ActError::Denied)
        }
    }

    /// The agreements that the caller may see; with `unit`, those of them with that unit on either side.
    pub async fn list(&self, caller: &Caller, unit: Option<OdsCode>) -> Result<Vec<AgreementRow>, ActError> {
        let scope = if caller.is_operator() {
            unit
        } else {
            Some(caller.unit().ok_or(ActError::Denied)?)
        };
        let mut rows = self.ctx.store.agreements(scope).await?;
        if let Some(unit) = unit {
            rows.retain(|a| a.pair.source == unit || a.pair.recipient == unit);
        }
        Ok(rows.into_iter().map(|a| as_seen_by(caller, a)).collect())
    }

    /// What [`Agreements::list`] gives, now and whenever it is different. Ends with an error once the
    /// caller is revoked.
    ///
    /// Nothing is sent for a change that the caller cannot see, so that its time tells nothing either.
    pub fn watch(
        &self,
        caller: &Caller,
        unit: Option<OdsCode>,
    ) -> impl Stream<Item = Result<Vec<AgreementRow>, ActError>> + Send + 'static {
        let state = Watching {
            agreements: self.clone(),
            caller: caller.clone(),
            unit,
            changes: self.ctx.changes.subscribe(),
            last: None,
            over: false,
        };
        stream::unfold(state, |mut state| async move {
            if state.over {
                return None;
            }
            match state.next().await {
                Ok(rows) => rows.map(|rows| (Ok(rows.to_vec()), state)),
                Err(error) => {
                    state.over = true;
                    Some((Err(error), state))
                }
            }
        })
    }
}

struct Watching {
    agreements: Agreements,
    caller: Caller,
    unit: Option<OdsCode>,
    changes: watch::Receiver<u64>,
    last: Option<Arc<[AgreementRow]>>,
    over: bool,
}

impl Watching {
    /// The next list that differs from the last; `None` when the daemon stops. Cancellation-safe.
    async fn next(&mut self) -> Result<Option<Arc<[AgreementRow]>>, ActError> {
        loop {
            if self.last.is_some() {
                if self.changes.changed().await.is_err() {
                    return Ok(None);
                }
                sleep(WATCH_INTERVAL).await;
            }
            self.changes.mark_unchanged();
            let ctx = &self.agreements.ctx;
            let now = ctx.clock.now_ms();
            let caller = Caller::resolve(&self.caller.holder(), &*ctx.store, now).await?;
            self.caller = caller.ok_or(ActError::Denied)?;
            let rows: Arc<[AgreementRow]> = self.agreements.list(&self.caller, self.unit).await?.into();
            if self.last.as_ref() != Some(&rows) {
                self.last = Some(Arc::clone(&rows));
                return Ok(Some(rows));
            }
        }
    }
}

/// Who of another unit turned its half is that unit's own affair: that it is on, since when and why is not.
fn as_seen_by(caller: &Caller, mut row: AgreementRow) -> AgreementRow {
    if !caller.is_operator() {
        let foreign = |side: Side| caller.unit() != Some(side.owner(row.pair));
        let hide = |half: &mut HalfRow| half.set_by.clear();
        let (out, into) = (foreign(Side::ShareOut), foreign(Side::ShareIn));
        if out {
            hide(&mut row.share_out);
        }
        if into {
            hide(&mut row.share_in);
        }
    }
    row
}
