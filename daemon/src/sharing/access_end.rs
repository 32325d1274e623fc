//! How an emergency access ends before its time, and is reviewed.
//!
//! Who may: its clinician ends it, and a privacy officer of a unit that it concerns ends it as far as it does. A
//! privacy officer of such a unit who is another person reviews it. Invariant: what is noted as ended has ended.

use handfast_proto::ids::OdsCode;

use super::{
    ActError, Caller, EmergencyAccess, Finding, access_audit, access_view::Reach, alerts::not_their_own,
    context::detached,
};
use crate::store::{AccessId, AccessRow, EndAccess, Role, With};

impl EmergencyAccess {
    /// Ends an access before its time. Returns when that is in force, or with `false` where it is pending;
    /// asking again is safe.
    pub async fn end(
        &self,
        caller: &Caller,
        id: AccessId,
        source: Option<OdsCode>,
    ) -> Result<(AccessRow, bool), ActError> {
        let (row, reach) = self.within_reach(caller, id).await?;
        let source = match (reach, source) {
            (Reach::Source(own), None) => Some(own),
            (_, named) => named,
        };
        if source.is_some_and(|source| !reach.covers(source)) {
            return Err(ActError::Denied);
        }
        if source.is_some_and(|source| !row.access.sources.contains(&source)) {
            return Err(ActError::invalid(
                "source",
                "this access was not asked of that unit",
            ));
        }
        let meant = row.sources.iter().map(|s| s.source);
        let end = EndAccess {
            id,
            sources: meant.filter(|s| source.is_none_or(|only| only == *s)).collect(),
            by: caller.name(),
            unit: caller.unit().ok_or(ActError::Denied)?,
            at: self.ctx.clock.now_ms(),
        };
        let (this, caller) = (self.clone(), caller.clone());
        detached(async move {
            let audit = access_audit::ended(&this.ctx, &caller, &row, &end)?;
            let ended = this.ctx.revoker.end_access(end, audit).await;
            this.ctx.changes.notify();
            let in_force = ended?.in_force;
            Ok((this.seen(&caller, id).await?, in_force))
        })
        .await
    }

    /// Says whether an access was justified, as far as it concerns the caller's unit.
    pub async fn review(
        &self,
        caller: &Caller,
        id: AccessId,
        finding: &Finding,
    ) -> Result<AccessRow, ActError> {
        if !matches!(
            caller,
            Caller::Person {
                role: Role::PrivacyOfficer,
                ..
            }
        ) {
            return Err(ActError::Denied);
        }
        let (row, reach) = self.within_reach(caller, id).await?;
        let review = self.ctx.review_by(caller, finding)?;
        not_their_own(Some(&row.access.person), &review)?;
        let covered = row.sources.iter().filter(|source| reach.covers(source.source));
        let not_yet = covered.filter(|source| source.reviews.iter().all(|r| r.person != review.person));
        let (mut alerts, mut audit) = (Vec::new(), Vec::new());
        for source in not_yet {
            alerts.push(source.alert);
            audit.push(access_audit::reviewed(
                &self.ctx,
                caller,
                &row,
                source.source,
                &review,
            )?);
        }
        if alerts.is_empty() {
            return Err(ActError::Conflict(
                "you have reviewed this already: another person may add to it",
            ));
        }
        let (this, caller) = (self.clone(), caller.clone());
        detached(async move {
            let kept = this.ctx.store.review(&alerts, &review, &With::audit(audit)).await;
            this.ctx.changes.notify();
            kept?;
            this.seen(&caller, id).await
        })
        .await
    }
}
