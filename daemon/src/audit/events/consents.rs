//! Halves, the policy, grants that end, and the withdrawals that follow.

use handfast_proto::{
    ids::{NhsNumber, OdsCode},
    v1::{self, AuditField, GrantEnd, WithdrawalScope, WithdrawalStep, audit_leaf::Event as Wire},
};

use crate::{
    audit::{
        parts::{Event, Parts},
        wire::{half_scope, policy, side},
    },
    consent::{CategorySet, GrantId, Pair, Policy, categories},
    store::{HalfChange, Job, JobKind},
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

/// Of a patient's records removals are due, at one recipient or many. Concerns the unit alone at which it came
/// about: whether a recipient holds anything of the patient is known when it has removed it, and who holds nothing
/// is not to learn of them.
#[derive(Debug)]
pub struct WithdrawalsDue<'c> {
    /// Where the patient's word, number or place on a caseload changed.
    pub unit: OdsCode,
    /// Whose records.
    pub patient: NhsNumber,
    /// From whom to whom, and under which grants.
    pub due: &'c [(Pair, GrantId)],
}

impl WithdrawalsDue<'_> {
    /// Grants in one entry: the longest names and numbers there are still fit into a leaf.
    pub const MAX_GRANTS: usize = 1024;
}

impl Event for WithdrawalsDue<'_> {
    fn parts(&self) -> Parts {
        let due = self.due.iter().map(|(pair, grant)| v1::WithdrawalDue {
            source: pair.source.to_string(),
            recipient: pair.recipient.to_string(),
            grant: grant.0,
        });
        let event = v1::WithdrawalEvent {
            step: WithdrawalStep::Due.into(),
            scope: WithdrawalScope::Patient.into(),
            due: due.collect(),
            ..v1::WithdrawalEvent::default()
        };
        Parts::of(Wire::Withdrawal(event))
            .unit(self.unit)
            .patient(self.patient)
    }
}

/// Under a grant that goes on, a removal is due of what other terms leave out. Concerns both units.
#[derive(Debug)]
pub struct WithdrawalDue {
    /// Which pair.
    pub pair: Pair,
    /// Under which grant.
    pub grant: GrantId,
    /// Under an emergency access: whose records.
    pub patient: Option<NhsNumber>,
    /// The categories that are left out.
    pub categories: CategorySet,
    /// Whether patients are left out.
    pub some_patients: bool,
}

impl Event for WithdrawalDue {
    fn parts(&self) -> Parts {
        let categories = categories().filter(|category| self.categories.contains(*category));
        let event = v1::WithdrawalEvent {
            step: WithdrawalStep::Due.into(),
            grant: self.grant.0,
            scope: WithdrawalScope::Terms.into(),
            categories: categories.map(Into::into).collect(),
            some_patients: self.some_patients,
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
    /// The job.
    pub job: Job,
    /// Records removed.
    pub removed: u64,
    /// Records that an output could not remove.
    pub not_removed: u64,
}

impl Event for WithdrawalConfirmed {
    fn parts(&self) -> Parts {
        let Job {
            id,
            pair,
            grant,
            kind,
        } = self.job;
        let (scope, patient) = match kind {
            JobKind::Withdraw { patient: None } | JobKind::CatchUp { .. } => (WithdrawalScope::Grant, None),
            JobKind::Withdraw {
                patient: Some(patient),
            }
            | JobKind::Patient { patient, .. } => (WithdrawalScope::Patient, Some(patient)),
            JobKind::Changes { .. } => (WithdrawalScope::Terms, None),
        };
        let event = v1::WithdrawalEvent {
            step: WithdrawalStep::Confirmed.into(),
            job: id.0,
            grant: grant.0,
            removed: self.removed,
            not_removed: self.not_removed,
            scope: scope.into(),
            ..v1::WithdrawalEvent::default()
        };
        Parts::of(Wire::Withdrawal(event)).pair(pair).patient(patient)
    }
}
