//! Emergency access: a clinician opens one patient's records of other units, in sight of the privacy officers.
//!
//! Who may: a clinician asks, for their own unit. How an access ends and is reviewed stands in `access_end`.
//!
//! Invariants: the access and its alerts are committed before anything is opened. What decides whether a source
//! is opened is what the recipient may know anyway: that both units take part, and that the source shares out
//! towards it. The patient's word at the source is for the gate alone: an access where the patient has dissented
//! is opened like any other, and carries nothing.

use std::{collections::BTreeSet, num::NonZeroU32, sync::Arc};

use futures::{FutureExt as _, Stream};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use handfast_proto::{
    emergency::{
        DEFAULT_ACCESS_SECONDS, Ground, MAX_ACCESS_SECONDS, MAX_LISTED, MAX_NAMED_SOURCES, NotAGround,
    },
    ids::{NhsNumber, OdsCode, PersonId},
};

use super::{
    ActError, Caller, Context, Listing,
    access_audit::{self, Refusals},
    access_view::{Reach, as_seen_by, listed_for, reach},
    context::{detached, required},
    opening::{Opening, shared_out_to},
    watching::watch_list,
};
use crate::{
    consent::Standing,
    store::{AccessId, AccessQuery, AccessRow, AccessesOf, NewAccess, Role, With},
};

/// People of whom is remembered how often they asked, until those who were quiet are forgotten.
const REMEMBERED_PEOPLE: usize = 1024;

/// The field of a request that is refused for its alert type and reason.
pub(super) const GROUND: &str = "alert_reason";

/// An emergency access is asked for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AskAccess {
    /// Whose records.
    pub patient: NhsNumber,
    /// Which units' records; empty: of all that share out towards the caller's.
    pub sources: Vec<OdsCode>,
    /// Alert type and reason, or that they do not go together.
    pub ground: Result<Ground, NotAGround>,
    /// Why, in the clinician's words.
    pub note: String,
    /// For how long; 0: [`DEFAULT_ACCESS_SECONDS`].
    pub seconds: u32,
}

/// An emergency access was opened.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AccessOpened {
    /// As the clinician sees it.
    pub access: AccessRow,
    /// Of the sources that were named, those that do not share out towards the recipient.
    pub not_shared_out: Vec<OdsCode>,
}

/// How often one person may ask.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AskRate {
    /// In an hour.
    pub per_hour: NonZeroU32,
    /// At once, after a quiet time.
    pub burst: NonZeroU32,
}

/// The acts on emergency accesses.
#[derive(Clone)]
pub struct EmergencyAccess {
    pub(super) ctx: Context,
    rates: Arc<DefaultKeyedRateLimiter<PersonId>>,
    refusals: Arc<Refusals>,
}

impl EmergencyAccess {
    /// Acts on what `ctx` holds. One for the daemon: two would count each for itself.
    pub fn new(ctx: Context, rate: AskRate) -> Self {
        let quota = Quota::per_hour(rate.per_hour).allow_burst(rate.burst);
        Self {
            ctx,
            rates: Arc::new(RateLimiter::keyed(quota)),
            refusals: Arc::default(),
        }
    }

    /// Opens one patient's records, at once. A refusal is entered in the audit log.
    pub async fn ask(&self, caller: &Caller, asked: AskAccess) -> Result<AccessOpened, ActError> {
        let checked = self.check(caller, &asked).await;
        let (access, not_shared_out) = match checked {
            Ok(checked) => checked,
            Err(error) => {
                self.refusals.enter(&self.ctx, caller, &asked, &error).await?;
                return Err(error);
            }
        };
        let (this, caller) = (self.clone(), caller.clone());
        detached(async move {
            let opened = this.open(&caller, access).await;
            // Also after an error: the access and its alerts may have been committed.
            this.ctx.changes.notify();
            let access = this.seen(&caller, opened?).await?;
            Ok(AccessOpened {
                access,
                not_shared_out,
            })
        })
        .await
    }

    /// What is to be opened, and which of the sources that were named are not.
    async fn check(&self, caller: &Caller, asked: &AskAccess) -> Result<(NewAccess, Vec<OdsCode>), ActError> {
        let (person, recipient) = clinician(caller).ok_or(ActError::Denied)?;
        self.within_rate(&person)?;
        let ground = asked
            .ground
            .map_err(|why| ActError::invalid(GROUND, why.to_string()))?;
        let note = required("note", &asked.note)?;
        let seconds = seconds(asked.seconds)?;
        let named = named(&asked.sources, recipient)?;
        let at = self.ctx.clock.now_ms();
        let (sources, not_shared_out) = self.sources(recipient, &named, at)?;
        if !self.ctx.store.has_privacy_officer(recipient, at).await? {
            return Err(ActError::Refused(
                "your unit has no privacy officer who could review an emergency access: your administrator \
                 adds one, who then enrols",
            ));
        }
        let access = NewAccess {
            recipient,
            person,
            patient: asked.patient,
            sources,
            ground,
            note,
            at,
            until: at.saturating_add(i64::from(seconds) * 1000),
        };
        Ok((access, not_shared_out))
    }

    /// The accesses that the caller may see, the newest first, at most [`MAX_LISTED`].
    pub async fn list(&self, caller: &Caller, listing: Listing) -> Result<Vec<AccessRow>, ActError> {
        let query = AccessQuery {
            of: listed_for(caller).ok_or(ActError::Denied)?,
            open_at: listing.open.then(|| self.ctx.clock.now_ms()),
            before: listing.before.map(AccessId),
            limit: MAX_LISTED,
        };
        let rows = self.ctx.store.accesses(&query).await?;
        Ok(rows
            .into_iter()
            .filter_map(|row| as_seen_by(caller, row))
            .collect())
    }

    /// What [`EmergencyAccess::list`] gives, now and whenever it is different.
    pub fn watch(
        &self,
        caller: &Caller,
        listing: Listing,
    ) -> impl Stream<Item = Result<Vec<AccessRow>, ActError>> + Send + use<> {
        let this = self.clone();
        watch_list(&self.ctx, caller, move |caller| {
            let this = this.clone();
            async move { this.list(&caller, listing).await }.boxed()
        })
    }

    fn within_rate(&self, person: &PersonId) -> Result<(), ActError> {
        if self.rates.len() > REMEMBERED_PEOPLE {
            self.rates.retain_recent();
        }
        self.rates.check_key(person).map_err(|_| {
            ActError::TooMany(
                "you have asked for too many emergency accesses in this hour: ask a colleague, or wait"
                    .to_owned(),
            )
        })
    }

    /// Which of the named sources (or of all) may be opened, and which of those named may not.
    fn sources(
        &self,
        recipient: OdsCode,
        named: &BTreeSet<OdsCode>,
        now: i64,
    ) -> Result<(Vec<OdsCode>, Vec<OdsCode>), ActError> {
        let book = self.ctx.revoker.book();
        if book.standing(recipient) != Standing::Enrolled {
            return Err(ActError::Refused(
                "your unit is suspended: nothing is opened to it",
            ));
        }
        let may = shared_out_to(&book, recipient, now);
        let (open, closed) = if named.is_empty() {
            (may, Vec::new())
        } else {
            named.iter().partition(|source| may.contains(source))
        };
        if open.is_empty() {
            return Err(ActError::Refused(
                "none of these units shares out towards yours: an emergency access opens only what a source \
                 shares out; its administrators turn that on",
            ));
        }
        Ok((open, closed))
    }

    /// Commits an access, then opens its sources. Not cancellation-safe.
    async fn open(&self, caller: &Caller, access: NewAccess) -> Result<AccessId, ActError> {
        let alerts = access_audit::alerted(&self.ctx, caller, &access)?;
        let id = self.ctx.store.add_access(&access, &With::audit(alerts)).await?;
        if !Opening::new(&self.ctx, caller, id, &access).open().await? {
            return Err(ActError::Conflict(
                "the units stopped sharing out towards yours at this very moment: nothing was opened",
            ));
        }
        Ok(id)
    }

    /// An access that the caller may act for, and how far. To all others there is no difference between an
    /// access of others and none.
    pub(super) async fn within_reach(
        &self,
        caller: &Caller,
        id: AccessId,
    ) -> Result<(AccessRow, Reach), ActError> {
        let row = self.one(id).await?.ok_or(ActError::Denied)?;
        let reach = reach(caller, &row).ok_or(ActError::Denied)?;
        Ok((row, reach))
    }

    pub(super) async fn seen(&self, caller: &Caller, id: AccessId) -> Result<AccessRow, ActError> {
        let row = self.one(id).await?.and_then(|row| as_seen_by(caller, row));
        row.ok_or(ActError::Missing("emergency access"))
    }

    async fn one(&self, id: AccessId) -> Result<Option<AccessRow>, ActError> {
        let query = AccessQuery {
            of: AccessesOf::One(id),
            open_at: None,
            before: None,
            limit: 1,
        };
        Ok(self.ctx.store.accesses(&query).await?.pop())
    }
}

fn clinician(caller: &Caller) -> Option<(PersonId, OdsCode)> {
    match caller {
        Caller::Person {
            id,
            unit: Some(unit),
            role: Role::Clinician,
        } => Some((id.clone(), *unit)),
        _ => None,
    }
}

fn seconds(asked: u32) -> Result<u32, ActError> {
    match asked {
        0 => Ok(DEFAULT_ACCESS_SECONDS),
        1..=MAX_ACCESS_SECONDS => Ok(asked),
        _ => Err(ActError::invalid("seconds", "at most 86400, a day")),
    }
}

/// The sources that were named, each once.
fn named(sources: &[OdsCode], recipient: OdsCode) -> Result<BTreeSet<OdsCode>, ActError> {
    if sources.len() > MAX_NAMED_SOURCES {
        let why = format!("at most {MAX_NAMED_SOURCES} units by name: name none to ask all that may");
        return Err(ActError::invalid("sources", why));
    }
    if sources.contains(&recipient) {
        return Err(ActError::invalid(
            "sources",
            "your own unit's records are open to it already",
        ));
    }
    Ok(sources.iter().copied().collect())
}
