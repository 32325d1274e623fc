//! The store trait: the operations of the job. Two backends implement it, one conformance suite holds them
//! to it.
//!
//! Each operation is one transaction and durable (fsynced) when it returns `Ok`. On an error nothing of it
//! was kept, but for [`StoreError::Failed`], where that is unknown. None is cancellation-safe unless it
//! only reads: a future dropped half-way may or may not have committed, so callers run writes in tasks of
//! their own. What names a unit or a person that is not there fails with [`StoreError::Missing`], a number
//! beyond 2^63 - 1 with [`StoreError::Conflict`].

use async_trait::async_trait;
use handfast_proto::ids::{NhsNumber, OdsCode, PersonId};

use super::{
    access_api::AccessStore,
    audit_api::AuditStore,
    emergency_api::EmergencyGrants,
    error::StoreError,
    patient_api::PatientStore,
    types::{
        AgreementRow, AppendGroup, Certificate, ConfirmWithdrawal, CurrentRecord, DeadLetterRow, Deployment,
        HalfChange, HalfOutcome, Head, Hello, IssuedToken, Job, JobId, LogRow, NewPerson, NewToken, NewUnit,
        Of, PersonRow, RecordVersion, Role, SubjectCount, Subscription, TokenHash, UnitChange, UnitRow,
        UnitState, UnitStateOutcome, With, WordOutcome,
    },
};
use crate::consent::Policy;

/// What is durable at the daemon.
#[async_trait]
pub trait Store: PatientStore + AccessStore + AuditStore + EmergencyGrants + Send + Sync + 'static {
    /// What was chosen when the deployment was made.
    async fn deployment(&self) -> Result<Deployment, StoreError>;

    /// Writes something small and makes it durable: the proof that the store still can.
    async fn touch(&self, at: i64) -> Result<(), StoreError>;

    // --- the log ---

    /// Commits a group: batches, moves, what the statements among the batches change, and what goes in beside
    /// it. [`StoreError::Conflict`] where a batch does not follow its source's head (seq or
    /// chain): then nothing of the group is kept. A source's first batch may name any chain before it.
    /// What became of the words that were stated, in their order.
    async fn append(&self, group: &AppendGroup) -> Result<Vec<WordOutcome>, StoreError>;

    /// Where every source's stream stands.
    async fn heads(&self) -> Result<Vec<(OdsCode, Head)>, StoreError>;

    /// Batches of a source in order, from the one that holds `after + 1` on; at least one where there is
    /// one, then no more than `max_bytes` of header and body.
    async fn read_log(
        &self,
        source: OdsCode,
        after: u64,
        max_bytes: usize,
    ) -> Result<Vec<LogRow>, StoreError>;

    // --- the projection: the current version of each record ---

    /// Up to which seq of a source the projection holds.
    async fn projected_through(&self, source: OdsCode) -> Result<u64, StoreError>;

    /// Brings the projection of a source up to `through`. `versions` are those of the seqs between.
    /// May be less durable than the rest: what is lost is projected again from the log.
    async fn project(
        &self,
        source: OdsCode,
        versions: &[RecordVersion],
        through: u64,
    ) -> Result<(), StoreError>;

    /// The seqs in (`after`, `upto`] that are the current version of their record, not retracted and not
    /// erased, in order, at most `limit`, with what the gate reads of each.
    async fn current_records(
        &self,
        source: OdsCode,
        of: Of,
        after: u64,
        upto: u64,
        limit: u32,
    ) -> Result<Vec<CurrentRecord>, StoreError>;

    /// The same with those that were erased.
    async fn current_versions(
        &self,
        source: OdsCode,
        of: Of,
        after: u64,
        upto: u64,
        limit: u32,
    ) -> Result<Vec<CurrentRecord>, StoreError>;

    /// Which of these patients have a current record of a source that is not retracted.
    async fn have_records(
        &self,
        source: OdsCode,
        patients: &[NhsNumber],
    ) -> Result<Vec<NhsNumber>, StoreError>;

    /// Every patient of whom a source has a current record that is not retracted, beyond `after`, by number,
    /// at most `limit`.
    async fn recorded_patients(
        &self,
        source: OdsCode,
        after: Option<NhsNumber>,
        limit: u32,
    ) -> Result<Vec<NhsNumber>, StoreError>;

    /// How many current records, not retracted, a source has of each patient, category and marks: patients
    /// beyond `after`, by number, at least one patient whole where there is one, then no more than about
    /// `limit` rows.
    async fn subject_counts(
        &self,
        source: OdsCode,
        after: Option<NhsNumber>,
        limit: u32,
    ) -> Result<Vec<SubjectCount>, StoreError>;

    // --- units ---

    /// Registers a unit and keeps its agent's first token. [`StoreError::Exists`] where it is there.
    async fn register_unit(
        &self,
        unit: &NewUnit,
        token: &NewToken,
        at: i64,
        with: &With,
    ) -> Result<UnitRow, StoreError>;

    /// Every unit, by ODS code. `now` tells which tokens of administrators are still good.
    async fn units(&self, now: i64) -> Result<Vec<UnitRow>, StoreError>;

    /// How one unit stands; `None`: it was never registered. Costs the same however many there are.
    async fn unit_state(&self, ods: OdsCode) -> Result<Option<UnitState>, StoreError>;

    /// Changes how a unit stands. A suspension that withdraws ends every grant with the unit as source, of
    /// agreements and emergencies, as if its halves had been turned off, and none starts before the unit is
    /// enrolled again. Retiring turns off every half that is the unit's own, in both directions
    /// (by whom and why as given), voids its agent's unused tokens, and is for good:
    /// [`StoreError::Conflict`] for a retired unit.
    async fn set_unit_state(&self, change: &UnitChange, with: &With) -> Result<UnitStateOutcome, StoreError>;

    // --- people ---

    /// Adds a person and keeps their token. [`StoreError::Exists`] where the id is taken,
    /// [`StoreError::Conflict`] where the unit is retired.
    async fn add_person(
        &self,
        person: &NewPerson,
        token: &NewToken,
        at: i64,
        with: &With,
    ) -> Result<PersonRow, StoreError>;

    /// One person.
    async fn person(&self, id: &PersonId) -> Result<Option<PersonRow>, StoreError>;

    /// Every person, by unit and name.
    async fn people(&self) -> Result<Vec<PersonRow>, StoreError>;

    /// Gives a person another role. [`StoreError::Conflict`] for one who was revoked.
    async fn set_role(
        &self,
        id: &PersonId,
        role: Role,
        at: i64,
        with: &With,
    ) -> Result<PersonRow, StoreError>;

    /// Revokes a person, for good; their unused tokens are void.
    async fn revoke_person(
        &self,
        id: &PersonId,
        reason: &str,
        at: i64,
        with: &With,
    ) -> Result<PersonRow, StoreError>;

    // --- enrolment ---

    /// Keeps a token. Earlier unused tokens of the same holder are void, and whatever has expired at `at`,
    /// of anybody, is forgotten. [`StoreError::Conflict`] for a retired unit or a revoked person.
    async fn add_token(&self, token: &NewToken, at: i64, with: &With) -> Result<(), StoreError>;

    /// Looks a token up without using it. [`StoreError::TokenRefused`] where it is not good at `now`.
    async fn find_token(&self, hash: &TokenHash, now: i64) -> Result<IssuedToken, StoreError>;

    /// Uses a token and records the certificate issued on it, together.
    /// [`StoreError::TokenRefused`] where it is not good at `now`, [`StoreError::Conflict`] where the
    /// certificate names another holder than the token.
    async fn consume_token(
        &self,
        hash: &TokenHash,
        certificate: &Certificate,
        now: i64,
        with: &With,
    ) -> Result<(), StoreError>;

    /// Records a certificate issued on a renewal. [`StoreError::Conflict`] for a retired unit or a revoked
    /// person, [`StoreError::Exists`] where the serial number is taken.
    async fn add_certificate(
        &self,
        certificate: &Certificate,
        now: i64,
        with: &With,
    ) -> Result<(), StoreError>;

    // --- agreements ---

    /// Every agreement of which a half was ever set, or those with a unit on either side, by pair.
    async fn agreements(&self, unit: Option<OdsCode>) -> Result<Vec<AgreementRow>, StoreError>;

    /// Turns a half. Where both halves are on afterwards and no grant was in force, one starts: its cursor
    /// is the source's head and a catch-up up to there is due. Where a grant was in force and a half is
    /// now off, it ends: its catch-up is dropped and a withdrawal is due. Turning a half to what it is
    /// changes nothing but who set it, when, why and its scope. A half whose end has passed at the change's
    /// time counts as off. Where the scope of a half changed under a grant that stays in force, the jobs of
    /// `with` say what follows. [`StoreError::Missing`] where a unit is not there;
    /// [`StoreError::Conflict`] where one of them is retired and the half is to be on.
    async fn set_half(&self, change: &HalfChange, with: &With) -> Result<HalfOutcome, StoreError>;

    /// Ends every grant of which a half, or the emergency access, has ended at `now`, as if a half had been
    /// turned off; `with` goes in beside them. The halves stay as they were set.
    async fn end_expired(&self, now: i64, with: &With) -> Result<Vec<HalfOutcome>, StoreError>;

    /// Changes what is asked of patients. `at` is when.
    async fn set_policy(&self, policy: Policy, at: i64, with: &With) -> Result<(), StoreError>;

    // --- subscriptions ---

    /// Opens a recipient's next subscription session. See [`Subscription`]. An inbox never seen before
    /// (or after another) becomes the recipient's: each grant's cursor goes to the source's head and a
    /// new catch-up takes the place of an older one; withdrawals that are not confirmed are due again. One
    /// that is refused is given neither pairs nor jobs, and the newest session as it was.
    async fn open_subscription(&self, hello: &Hello, at: i64) -> Result<Subscription, StoreError>;

    /// The pairs and jobs of a recipient, as [`Store::open_subscription`] gives them, without opening.
    async fn recipient_jobs(
        &self,
        recipient: OdsCode,
    ) -> Result<(Vec<super::PairState>, Vec<Job>), StoreError>;

    /// The units for which [`Store::recipient_jobs`] gives anything, by code: what a start reads of recipients costs
    /// nothing for those that are idle.
    async fn owed_recipients(&self) -> Result<Vec<OdsCode>, StoreError>;

    /// Between which seqs anything was handed over to a recipient, of each grant in force and each job that is not over.
    /// See [`super::ReachMove`].
    async fn reaches(&self, recipient: OdsCode) -> Result<Vec<super::ReachMove>, StoreError>;

    /// The withdrawal, or the reconcile, of this number that the recipient is yet to confirm.
    async fn unconfirmed(&self, recipient: OdsCode, job: JobId) -> Result<Option<Job>, StoreError>;

    /// Records that a withdrawal was carried out. Says the same again without harm: the first word stands,
    /// and a job that is not the recipient's, or is none, changes nothing.
    async fn confirm_withdrawal(&self, confirm: &ConfirmWithdrawal, with: &With) -> Result<(), StoreError>;

    /// Records what a recipient says of a dead letter; the last word counts.
    async fn record_dead_letter(&self, letter: &DeadLetterRow, at: i64) -> Result<(), StoreError>;

    /// How many unresolved dead letters each pair has.
    async fn dead_letters(&self) -> Result<Vec<(crate::consent::Pair, u64)>, StoreError>;
}
