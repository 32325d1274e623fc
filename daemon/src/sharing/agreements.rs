//! Sharing agreements: turning a half, previewing, listing and watching them.
//!
//! Who may: a half is turned, and previewed, by the administrators of the unit whose half it is; by the
//! operator only where the deployment was made so. The operator sees every agreement, a unit's people and
//! agent those with their unit on either side.

use std::{
    hash::{DefaultHasher, Hash as _, Hasher as _},
    sync::Arc,
    time::Duration,
};

use futures::{Stream, stream};
use handfast_proto::ids::OdsCode;
use tokio::{
    sync::{Mutex, Semaphore, watch},
    time::sleep,
};

use super::{
    ActError, Caller, Context, Notice, Preview, ScopeChange,
    context::{detached, text},
    notices::notices,
    preview::{Asker, Question, preview},
    scope::terms,
};
use crate::{
    audit::events::HalfSet,
    consent::{Book, GrantId, HalfTerms, Pair, Side, Standing},
    delivery::Receipt,
    store::{AgreementRow, HalfChange, HalfRow, HalfScope},
};

/// How often a watcher is told at most: a unit that turns halves all day costs others little.
const WATCH_INTERVAL: Duration = Duration::from_millis(100);

/// Previews that count at one time; more wait.
const PREVIEWS_AT_ONCE: usize = 2;

/// Locks over halves whose scope is being read and set; a half's depends on its pair alone.
const HALF_LOCKS: usize = 64;

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
    /// What is to be different about its scope; nothing where it is to be off.
    pub scope: ScopeChange,
}

/// An agreement as a caller may see it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AgreementView {
    /// The agreement.
    pub row: AgreementRow,
    /// Whether the source is suspended: then what the recipient holds of it is stale.
    pub stale: bool,
    /// What is to be done about its halves.
    pub notices: Vec<Notice>,
}

/// A half was turned.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Turned {
    /// The agreement afterwards.
    pub agreement: AgreementView,
    /// The grant that started.
    pub started: Option<GrantId>,
    /// False: it could not be established in time that nothing is in flight any more of what ended.
    pub in_force: bool,
    /// Where a grant ended, or goes on for less.
    pub receipt: Option<Receipt>,
}

/// The acts on agreements.
#[derive(Clone)]
pub struct Agreements {
    ctx: Context,
    previews: Arc<Semaphore>,
    /// Held from the reading of a half's scope to the commit of the one that follows from it.
    halves: Arc<[Mutex<()>]>,
}

impl Agreements {
    /// Acts on what `ctx` holds. One for the daemon: another would not keep this one's turns.
    pub fn new(ctx: Context) -> Self {
        Self {
            ctx,
            previews: Arc::new(Semaphore::new(PREVIEWS_AT_ONCE)),
            halves: (0..HALF_LOCKS).map(|_| Mutex::default()).collect(),
        }
    }

    /// Turns a half. Turning one off, or narrowing it, returns when that is in force, or says that it is
    /// pending; asking again is safe.
    pub async fn set(&self, caller: &Caller, half: SetHalf) -> Result<Turned, ActError> {
        self.may_set(caller, &half)?;
        let reason = text("reason", &half.reason)?;
        let (this, caller) = (self.clone(), caller.clone());
        detached(async move {
            let set = this.turn(&caller, half, reason).await;
            // Also after an error: it may have been committed.
            this.ctx.changes.notify();
            set
        })
        .await
    }

    /// What turning a half would begin and end, in numbers; nothing is turned.
    pub async fn preview(&self, caller: &Caller, half: SetHalf) -> Result<Preview, ActError> {
        self.may_set(caller, &half)?;
        let asker = match (caller.is_operator(), half.side) {
            (true, _) => Asker::Operator,
            (false, Side::ShareOut) => Asker::Source,
            (false, Side::ShareIn) => Asker::Recipient,
        };
        let permit = self.previews.acquire().await;
        let _permit = permit.map_err(|e| ActError::Failed(format!("wait to count: {e}")))?;
        let half_terms = if half.on {
            terms(true, self.scope_after(&half, self.ctx.clock.now_ms()).await?)
        } else {
            HalfTerms::OFF
        };
        let asked = Question {
            pair: half.pair,
            side: half.side,
            half: half_terms,
            asker,
        };
        preview(&self.ctx, asked).await
    }

    fn may_set(&self, caller: &Caller, half: &SetHalf) -> Result<(), ActError> {
        let operator = caller.is_operator() && self.ctx.deployment.operator_sets_halves;
        if !operator && !caller.administers(half.side.owner(half.pair)) {
            return Err(ActError::Denied);
        }
        if half.pair.source == half.pair.recipient {
            let why = "a unit does not share with itself: name two units";
            return Err(ActError::invalid("recipient", why));
        }
        if !half.on && !half.scope.is_nothing() {
            let why = "a half that is turned off keeps its scope: change it when it is turned on";
            return Err(ActError::invalid("scope", why));
        }
        Ok(())
    }

    /// Not cancellation-safe: runs in a task of its own.
    async fn turn(&self, caller: &Caller, half: SetHalf, reason: String) -> Result<Turned, ActError> {
        let at = self.ctx.clock.now_ms();
        // Turning off waits for nobody.
        let turn = if half.on {
            Some(self.lock_of(half.pair).lock().await)
        } else {
            None
        };
        let scope = if half.on {
            Some(self.scope_after(&half, at).await?)
        } else {
            None
        };
        let change = HalfChange {
            pair: half.pair,
            side: half.side,
            on: half.on,
            by: caller.name(),
            reason,
            scope,
            at,
        };
        let entry = self.ctx.entry(caller, at, &HalfSet(&change))?;
        let set = self.ctx.revoker.set_half(change, vec![entry]).await?;
        drop(turn);
        Ok(Turned {
            agreement: self.view(caller, set.outcome.agreement, &self.ctx.revoker.book()),
            started: set.outcome.started,
            in_force: set.in_force,
            receipt: set.receipt,
        })
    }

    /// The scope of a half that is to be on.
    async fn scope_after(&self, half: &SetHalf, now: i64) -> Result<HalfScope, ActError> {
        let rows = self.ctx.store.agreements(Some(half.pair.source)).await?;
        let row = rows.into_iter().find(|row| row.pair == half.pair);
        let before = row.map_or_else(HalfRow::default, |row| match half.side {
            Side::ShareOut => row.share_out,
            Side::ShareIn => row.share_in,
        });
        let default = self.ctx.deployment.default_patients;
        half.scope.apply(&before, default, &self.ctx.days, now)
    }

    fn lock_of(&self, pair: Pair) -> &Mutex<()> {
        let mut hasher = DefaultHasher::new();
        pair.hash(&mut hasher);
        let place = usize::try_from(hasher.finish() % HALF_LOCKS as u64).unwrap_or(0);
        &self.halves[place]
    }

    /// The agreements that the caller may see; with `unit`, those of them with that unit on either side.
    pub async fn list(&self, caller: &Caller, unit: Option<OdsCode>) -> Result<Vec<AgreementView>, ActError> {
        let scope = if caller.is_operator() {
            unit
        } else {
            Some(caller.unit().ok_or(ActError::Denied)?)
        };
        let mut rows = self.ctx.store.agreements(scope).await?;
        if let Some(unit) = unit {
            rows.retain(|a| a.pair.source == unit || a.pair.recipient == unit);
        }
        let book = self.ctx.revoker.book();
        Ok(rows
            .into_iter()
            .map(|row| self.view(caller, row, &book))
            .collect())
    }

    fn view(&self, caller: &Caller, row: AgreementRow, book: &Book) -> AgreementView {
        let now = self.ctx.clock.now_ms();
        AgreementView {
            stale: row.grant.is_some() && book.standing(row.pair.source) == Standing::Suspended,
            notices: notices(&row, self.ctx.days.today(now), now),
            row: as_seen_by(caller, row),
        }
    }

    /// What [`Agreements::list`] gives, now and whenever it is different. Ends with an error once the
    /// caller is revoked.
    ///
    /// Nothing is sent for a change that the caller cannot see, so that its time tells nothing either.
    pub fn watch(
        &self,
        caller: &Caller,
        unit: Option<OdsCode>,
    ) -> impl Stream<Item = Result<Vec<AgreementView>, ActError>> + Send + 'static {
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
    last: Option<Arc<[AgreementView]>>,
    over: bool,
}

impl Watching {
    /// The next list that differs from the last; `None` when the daemon stops. Cancellation-safe.
    async fn next(&mut self) -> Result<Option<Arc<[AgreementView]>>, ActError> {
        loop {
            if self.last.is_some() {
                if self.changes.changed().await.is_err() {
                    return Ok(None);
                }
                sleep(WATCH_INTERVAL).await;
            }
            self.changes.mark_unchanged();
            let ctx = &self.agreements.ctx;
            let caller = Caller::resolve(&self.caller.holder(), &*ctx.store).await?;
            self.caller = caller.ok_or(ActError::Denied)?;
            let rows: Arc<[AgreementView]> = self.agreements.list(&self.caller, self.unit).await?.into();
            if self.last.as_ref() != Some(&rows) {
                self.last = Some(Arc::clone(&rows));
                return Ok(Some(rows));
            }
        }
    }
}

/// Who of another unit turned its half is that unit's own affair: that it is on, since when and why is not.
///
/// How many withdrawals of a part are open, and how many records they were, both units see, whoever's word or scope
/// began them: a recipient is told what it removes, and a source's people are told of each record why it was
/// withheld (`Audit.Explain`), a patient's word at the recipient among the reasons. No patient is named here.
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
