//! Alerts to privacy officers: listing, watching and reviewing them.
//!
//! Who may: a unit's privacy officers see and review its alerts; its administrators those of a recovery by
//! the operator; auditors (of their unit) and the operator see those that nobody reviewed in time, without
//! anything that identifies a person. Nobody reviews what they did themselves. That is told by the person's
//! record: a second record of the same human being cannot be told from another person's.

use futures::{FutureExt as _, Stream};
use handfast_proto::{
    emergency::MAX_LISTED,
    ids::{NhsNumber, OdsCode, PersonId},
    v1::AlertStep,
};

use super::{
    ActError, Caller, Context,
    context::{detached, required},
    watching::watch_list,
};
use crate::audit::{
    Event,
    events::{Alerted, EmergencyReviewed},
};
use crate::consent::Pair;
use crate::store::{
    AccessId, AlertId, AlertKind, AlertQuery, AlertRow, AlertState, AlertsOf, ReviewRow, Role, With,
};

/// An alert, as far as the caller may know it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AlertView {
    /// Its number.
    pub id: AlertId,
    /// What happened.
    pub kind: AlertKind,
    /// How it stands.
    pub state: AlertState,
    /// Where.
    pub unit: OdsCode,
    /// The source of an emergency access.
    pub source: Option<OdsCode>,
    /// When.
    pub raised_at: i64,
    /// Since when it is escalated.
    pub escalated_at: Option<i64>,
    /// When it was first reviewed.
    pub reviewed_at: Option<i64>,
    /// `None` where the caller sees nothing that identifies a person.
    pub detail: Option<AlertDetail>,
}

/// The part of an alert that identifies persons.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AlertDetail {
    /// The emergency access.
    pub access: Option<AccessId>,
    /// Whom it is about.
    pub patient: Option<NhsNumber>,
    /// Who did it.
    pub by: String,
    /// Why, or more about it.
    pub note: String,
    /// Its reviews, in order.
    pub reviews: Vec<ReviewRow>,
}

/// Which alerts, or accesses, are to be listed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Listing {
    /// Only open ones.
    pub open: bool,
    /// Only those below this number.
    pub before: Option<u64>,
}

/// What a reviewer found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Finding {
    /// Whether it was justified.
    pub justified: bool,
    /// Why.
    pub note: String,
}

/// The acts on alerts.
#[derive(Clone)]
pub struct AlertDesk {
    ctx: Context,
}

impl AlertDesk {
    /// Acts on what `ctx` holds.
    pub fn new(ctx: Context) -> Self {
        Self { ctx }
    }

    /// The alerts that the caller may see, the newest first, at most [`MAX_LISTED`].
    pub async fn list(&self, caller: &Caller, listing: Listing) -> Result<Vec<AlertView>, ActError> {
        let (of, identifiable) = seen_by(caller).ok_or(ActError::Denied)?;
        let query = AlertQuery {
            of,
            open: listing.open,
            before: listing.before.map(AlertId),
            limit: MAX_LISTED,
        };
        let rows = self.ctx.store.alerts(&query).await?;
        Ok(rows.into_iter().map(|row| view(row, identifiable)).collect())
    }

    /// What [`AlertDesk::list`] gives, now and whenever it is different.
    pub fn watch(
        &self,
        caller: &Caller,
        listing: Listing,
    ) -> impl Stream<Item = Result<Vec<AlertView>, ActError>> + Send + use<> {
        let this = self.clone();
        watch_list(&self.ctx, caller, move |caller| {
            let this = this.clone();
            async move { this.list(&caller, listing).await }.boxed()
        })
    }

    /// Closes an alert, or adds a further review.
    pub async fn review(
        &self,
        caller: &Caller,
        id: AlertId,
        finding: &Finding,
    ) -> Result<AlertView, ActError> {
        let (of, identifiable) = seen_by(caller).ok_or(ActError::Denied)?;
        if !identifiable {
            return Err(ActError::Denied);
        }
        let row = self.one(id).await?.filter(|row| concerns(&of, row));
        let row = row.ok_or(ActError::Denied)?;
        let review = self.ctx.review_by(caller, finding)?;
        not_their_own(row.alert.person.as_ref(), &review)?;
        let entry = {
            let event = reviewed(&row, &review);
            self.ctx.entry(caller, review.at, event.as_ref())?
        };
        let with = With::audit(vec![entry]);
        let this = self.clone();
        detached(async move {
            let kept = this.ctx.store.review(&[id], &review, &with).await;
            this.ctx.changes.notify();
            kept?;
            let row = this.one(id).await?.ok_or(ActError::Missing("alert"))?;
            Ok(view(row, identifiable))
        })
        .await
    }

    async fn one(&self, id: AlertId) -> Result<Option<AlertRow>, ActError> {
        let query = AlertQuery {
            of: AlertsOf::One(id),
            open: false,
            before: None,
            limit: 1,
        };
        Ok(self.ctx.store.alerts(&query).await?.pop())
    }
}

/// What the audit log says of a review.
fn reviewed<'r>(row: &AlertRow, review: &'r ReviewRow) -> Box<dyn Event + Send + Sync + 'r> {
    if let (Some(access), Some(source), Some(patient)) = (row.access, row.alert.source, row.alert.patient) {
        return Box::new(EmergencyReviewed {
            pair: Pair {
                source,
                recipient: row.alert.unit,
            },
            patient,
            access: access.0,
            justified: review.justified,
            note: &review.note,
        });
    }
    Box::new(Alerted {
        step: AlertStep::Reviewed,
        kind: (row.alert.kind as i32).unsigned_abs(),
        alert: row.id.0,
        unit: row.alert.unit,
        source: row.alert.source,
        patient: row.alert.patient,
        justified: review.justified,
        note: &review.note,
    })
}

/// Which alerts a caller may see, and whether with what identifies persons.
fn seen_by(caller: &Caller) -> Option<(AlertsOf, bool)> {
    let Caller::Person { unit, role, .. } = caller else {
        return None;
    };
    match (role, unit) {
        (Role::PrivacyOfficer, Some(own)) => Some((AlertsOf::Unit(*own, None), true)),
        (Role::UnitAdmin, Some(own)) => Some((AlertsOf::Unit(*own, Some(AlertKind::OperatorRecovery)), true)),
        (Role::Auditor, Some(own)) => Some((AlertsOf::Escalated(Some(*own)), false)),
        (Role::Operator, None) => Some((AlertsOf::Escalated(None), false)),
        _ => None,
    }
}

/// Whether an alert is of those that a caller sees.
fn concerns(of: &AlertsOf, row: &AlertRow) -> bool {
    match of {
        AlertsOf::Unit(own, kind) => {
            let here = row.alert.unit == *own || row.alert.source == Some(*own);
            here && kind.is_none_or(|kind| kind == row.alert.kind)
        }
        AlertsOf::One(_) | AlertsOf::Escalated(_) => false,
    }
}

fn view(row: AlertRow, identifiable: bool) -> AlertView {
    let detail = AlertDetail {
        access: row.access,
        patient: row.alert.patient,
        by: row.alert.by,
        note: row.alert.note,
        reviews: row.reviews,
    };
    AlertView {
        id: row.id,
        kind: row.alert.kind,
        state: row.state,
        unit: row.alert.unit,
        source: row.alert.source,
        raised_at: row.alert.at,
        escalated_at: row.escalated_at,
        reviewed_at: row.reviewed_at,
        detail: identifiable.then_some(detail),
    }
}

/// Whether a review is by another person than the one it is about.
pub(super) fn not_their_own(about: Option<&PersonId>, review: &ReviewRow) -> Result<(), ActError> {
    if about == Some(&review.person) {
        return Err(ActError::Refused(
            "nobody reviews what they did themselves: another privacy officer of either unit does",
        ));
    }
    Ok(())
}

impl Context {
    /// A review by the caller, with the note that it needs.
    pub(super) fn review_by(&self, caller: &Caller, finding: &Finding) -> Result<ReviewRow, ActError> {
        let Caller::Person {
            id, unit: Some(unit), ..
        } = caller
        else {
            return Err(ActError::Denied);
        };
        Ok(ReviewRow {
            person: id.clone(),
            unit: *unit,
            justified: finding.justified,
            note: required("note", &finding.note)?,
            at: self.clock.now_ms(),
        })
    }
}
