//! Agreements, grants, reconcile jobs and withdrawals. Times are milliseconds since 1970-01-01T00:00:00Z.

use handfast_proto::ids::{NhsNumber, OdsCode};

use super::people::{UnitRow, UnitState};
use crate::consent::{CategorySet, GrantId, HalfTerms, Pair, Patients, Scope, Side, Terms};

/// One half as the store keeps it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct HalfRow {
    /// Whether it is on.
    pub on: bool,
    /// Who set it last; empty while never set.
    pub set_by: String,
    /// When.
    pub set_at: i64,
    /// Why.
    pub reason: String,
    /// How it is narrowed.
    pub scope: HalfScope,
}

/// How a half is narrowed, when it ends, and what it rests on. Days are of the deployment's zone.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HalfScope {
    /// Which categories.
    pub categories: CategorySet,
    /// Whose records.
    pub patients: Patients,
    /// Whether it asks for the patient's explicit yes on its own side.
    pub explicit: bool,
    /// The last day on which it holds.
    pub ends_on: Option<jiff::civil::Date>,
    /// The first moment at which it no longer holds: the end of `ends_on`.
    pub ends_at: Option<i64>,
    /// The day by which it is to be reviewed.
    pub review_on: Option<jiff::civil::Date>,
    /// The data-sharing agreement's reference; may be empty.
    pub reference: String,
    /// Its legal basis; may be empty.
    pub legal_basis: String,
}

impl HalfScope {
    /// Not narrowed at all.
    pub const EVERYTHING: Self = Self {
        categories: CategorySet::ALL,
        patients: Patients::All,
        explicit: false,
        ends_on: None,
        ends_at: None,
        review_on: None,
        reference: String::new(),
        legal_basis: String::new(),
    };
}

impl Default for HalfScope {
    fn default() -> Self {
        Self::EVERYTHING
    }
}

impl HalfRow {
    /// Whether it is on and has not ended at a time.
    pub fn holds(&self, at: i64) -> bool {
        let terms = self.terms();
        terms.on && !terms.ended(at)
    }

    /// As the gate reads it.
    pub fn terms(&self) -> HalfTerms {
        HalfTerms {
            on: self.on,
            ends_at: self.scope.ends_at,
            scope: Scope {
                categories: self.scope.categories,
                patients: self.scope.patients,
            },
            requires_explicit: self.scope.explicit,
        }
    }
}

/// An agreement as the store keeps it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AgreementRow {
    /// Which pair.
    pub pair: Pair,
    /// The source's half.
    pub share_out: HalfRow,
    /// The recipient's half.
    pub share_in: HalfRow,
    /// The grant in force.
    pub grant: Option<GrantId>,
    /// Where none is: up to which seq the newest that ended was received or withheld; 0: there never was one.
    pub ended_at_seq: u64,
    /// The newest withdrawal.
    pub withdrawal: Option<WithdrawalRow>,
    /// What was withdrawn of the grant in force.
    pub partial: PartialWithdrawals,
}

/// Withdrawals of a part of what a grant carries, which goes on: of one patient, or of what a change left out.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct PartialWithdrawals {
    /// Those that are not confirmed yet, whether they will remove anything or not.
    pub open: u64,
    /// Records, of all of them, that an output could not remove.
    pub not_removed: u64,
    /// The newest that removed something, or could not.
    pub last: Option<WithdrawalRow>,
}

/// One half is to be turned.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HalfChange {
    /// Which pair.
    pub pair: Pair,
    /// Which half.
    pub side: Side,
    /// On or off.
    pub on: bool,
    /// Who turns it.
    pub by: String,
    /// Why.
    pub reason: String,
    /// How it is narrowed from now on; `None`: as it was, and not at all where it was never set.
    pub scope: Option<HalfScope>,
    /// When.
    pub at: i64,
}

/// What turning a half did.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HalfOutcome {
    /// The agreement afterwards.
    pub agreement: AgreementRow,
    /// The grant that it ended, with its cursor at that moment.
    pub ended: Option<(GrantId, u64)>,
    /// The emergency accesses of the pair that it ended, or that were over by then, with their cursors.
    pub emergencies_ended: Vec<(GrantId, u64)>,
    /// The grant that it started; its cursor stands at the source's head of that moment, and a catch-up is due.
    pub started: Option<GrantId>,
}

impl HalfOutcome {
    /// Whether a grant ended, the agreement's or an emergency access.
    pub fn ends_anything(&self) -> bool {
        self.ended.is_some() || !self.emergencies_ended.is_empty()
    }
}

/// A unit is to stand otherwise.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct UnitChange {
    /// Which unit.
    pub ods: OdsCode,
    /// How it is to stand.
    pub state: UnitState,
    /// With a suspension: what it shared out is withdrawn, not only frozen. Its grants as a source end, whatever
    /// its halves say; when the suspension ends they start anew where both halves are on.
    pub withdraw: bool,
    /// Who changes it.
    pub by: String,
    /// Why.
    pub reason: String,
    /// When.
    pub at: i64,
}

/// What changing a unit's state did.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct UnitStateOutcome {
    /// The unit afterwards.
    pub unit: UnitRow,
    /// The agreements whose grants it ended (a retired unit's halves go off), or started.
    pub pairs: Vec<HalfOutcome>,
}

/// Numbers a reconcile job. Rises in a deployment; the jobs of a pair are carried out in its order.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct JobId(pub u64);

/// What a reconcile job does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum JobKind {
    /// Sends the current version of every record up to a seq; what is not sent goes.
    CatchUp {
        /// The head when the grant started.
        upto: u64,
        /// Records up to this seq were received or withheld already.
        through: u64,
    },
    /// Sends the current version of a patient's records; what is not sent of that patient goes.
    Patient {
        /// Whose.
        patient: NhsNumber,
        /// Records up to this seq were received or withheld already.
        through: u64,
    },
    /// Of all current records, sends those that the gate lets through now and did not under `before`, and
    /// removes those that it let through then and does not now.
    Changes {
        /// The terms that were in force before.
        before: Terms,
        /// Records up to this seq were dealt with already.
        through: u64,
    },
    /// Has the recipient remove what it holds of the source and of no grant in force.
    Withdraw {
        /// Only of this patient.
        patient: Option<NhsNumber>,
    },
}

/// A reconcile that a change of consents asks for, entered in the change's own transaction for the grants
/// that are in force after it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NewJob {
    /// Over one patient, under each grant of the pair that may carry them: the agreement's, and an emergency
    /// access of theirs. Takes the place of a job of the same grant and patient that is not over.
    Patient(Pair, NhsNumber),
    /// Over the changes since these terms, under the agreement's grant.
    Changes(Pair, Terms),
}

/// A reconcile job that is not over.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Job {
    /// Its number.
    pub id: JobId,
    /// Which pair.
    pub pair: Pair,
    /// The grant it serves, or that ended.
    pub grant: GrantId,
    /// What it does.
    pub kind: JobKind,
}

/// How far a withdrawal is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum WithdrawalState {
    /// Not yet in the recipient's inbox.
    Pending,
    /// In the recipient's inbox.
    Received,
    /// Carried out by every output.
    Confirmed,
}

/// A withdrawal, for people.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct WithdrawalRow {
    /// Its job.
    pub job: JobId,
    /// The grant that ended.
    pub ended_grant: GrantId,
    /// How far it is.
    pub state: WithdrawalState,
    /// Records removed.
    pub removed: u64,
    /// Records that an output could not remove.
    pub not_removed: u64,
    /// Since when it is due.
    pub since: i64,
    /// When it was confirmed.
    pub confirmed_at: Option<i64>,
}

/// A recipient says that a withdrawal was carried out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ConfirmWithdrawal {
    /// Who says so; only its own jobs are touched.
    pub recipient: OdsCode,
    /// Which job.
    pub job: JobId,
    /// Records removed.
    pub removed: u64,
    /// Records that an output could not remove.
    pub not_removed: u64,
    /// When.
    pub at: i64,
}
