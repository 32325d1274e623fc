//! Halves, the policy, grants that end, and the withdrawals that follow.

use handfast_proto::{
    ids::NhsNumber,
    v1::{self, AuditField, GrantEnd, WithdrawalStep, audit_leaf::Event as Wire},
};

use crate::{
    audit::{
        parts::{Event, Parts},
        wire::{half_scope, policy, side},
    },
    consent::{GrantId, Pair, Policy},
    store::{HalfChange, JobId},
};

/// A half was turned, or its scope changed. Concerns both units; who did it and why only the half's own.
#[derive(Debug)]
pub struct HalfSet<'c>(
    /// As it is committed.
    pub &'c HalfChange,
);

impl Event for HalfSet<'_> {
    fn parts(&self) -> Parts {
        let HalfChange {
            pair,
            side: half,
            on,
            scope,
            reason,
            ..
        } = self.0;
        let event = v1::HalfSetEvent {
            side: side(*half).into(),
            on: *on,
            scope: scope.as_ref().map(half_scope),
        };
        Parts::of(Wire::HalfSet(event))
            .pair(*pair)
            .personal(AuditField::Reason, reason)
    }
}

/// What is asked of patients was changed. Concerns everyone.
#[derive(Debug)]
pub struct PolicySet<'c> {
    /// To what.
    pub policy: Policy,
    /// Why.
    pub reason: &'c str,
}

impl Event for PolicySet<'_> {
    fn parts(&self) -> Parts {
        let event = v1::PolicySetEvent {
            policy: policy(self.policy).to_owned(),
        };
        Parts::of(Wire::PolicySet(event)).personal(AuditField::Reason, self.reason)
    }
}

/// A grant ended; a withdrawal of what it carried is due. Concerns both units.
#[derive(Debug)]
pub struct GrantEnded {
    /// Which pair.
    pub pair: Pair,
    /// Which grant.
    pub grant: GrantId,
    /// Why.
    pub end: GrantEnd,
}

impl Event for GrantEnded {
    fn parts(&self) -> Parts {
        let event = v1::GrantEndedEvent {
            grant: self.grant.0,
            end: self.end.into(),
        };
        Parts::of(Wire::GrantEnded(event)).pair(self.pair)
    }
}

/// Under a grant that goes on, a removal is due: of one patient's records, or of what another scope or policy
/// ended. Concerns both units.
#[derive(Debug)]
pub struct WithdrawalDue {
    /// Which pair.
    pub pair: Pair,
    /// Under which grant.
    pub grant: GrantId,
    /// Whose records, where they are one patient's.
    pub patient: Option<NhsNumber>,
}

impl Event for WithdrawalDue {
    fn parts(&self) -> Parts {
        let event = v1::WithdrawalEvent {
            step: WithdrawalStep::Due.into(),
            grant: self.grant.0,
            ..v1::WithdrawalEvent::default()
        };
        Parts::of(Wire::Withdrawal(event))
            .pair(self.pair)
            .patient(self.patient)
    }
}

/// A recipient carried a withdrawal, or the removals of a reconcile, out. Concerns both units.
#[derive(Debug)]
pub struct WithdrawalConfirmed {
    /// Which pair.
    pub pair: Pair,
    /// The job.
    pub job: JobId,
    /// Under which grant.
    pub grant: GrantId,
    /// Records removed.
    pub removed: u64,
    /// Records that an output could not remove.
    pub not_removed: u64,
}

impl Event for WithdrawalConfirmed {
    fn parts(&self) -> Parts {
        let event = v1::WithdrawalEvent {
            step: WithdrawalStep::Confirmed.into(),
            job: self.job.0,
            grant: self.grant.0,
            removed: self.removed,
            not_removed: self.not_removed,
        };
        Parts::of(Wire::Withdrawal(event)).pair(self.pair)
    }
}
