//! The store on SQLite, as the rest of the daemon sees it: it opens both files and hands each operation to
//! the file that carries it out.

use std::path::Path;

use async_trait::async_trait;
use handfast_proto::ids::{NhsNumber, OdsCode, PersonId};

use super::{
    agreements, append, current::Erased, database::Database, dead_letters, deployment, enrolment, erase,
    expiry, log, people, records::Records, settings::MAIN, subscriptions, units, withdrawals,
};
use crate::{
    consent::{Pair, Policy},
    store::{
        AgreementRow, AppendGroup, Certificate, ConfirmWithdrawal, CurrentRecord, DeadLetterRow, Deployment,
        HalfChange, HalfOutcome, Head, Hello, IssuedToken, Job, JobId, LogRow, NewPerson, NewToken, NewUnit,
        Of, PairState, PersonRow, ReachMove, RecordVersion, Role, Store, StoreError, SubjectCount,
        Subscription, TokenHash, UnitChange, UnitRow, UnitState, UnitStateOutcome, With, WordOutcome,
    },
};

/// A store in two SQLite files of a state directory: `handfast.db`, which holds everything that must be
/// durable, and `records.db`, the projection, which is derived from the log.
///
/// Two stores on one directory at once are safe, but a daemon takes care that there is only one.
#[derive(Debug)]
pub struct SqliteStore {
    main: Database,
    records: Records,
}

impl SqliteStore {
    /// Makes a deployment's store in a state directory that exists. [`StoreError::Exists`] where a
    /// deployment is there; one whose making was broken off is finished.
    pub async fn create(state_dir: &Path, deployment: &Deployment) -> Result<Self, StoreError> {
        Database::make(&MAIN, state_dir)?;
        let main = open_main(state_dir).await?;
        let mut write = main.write().await?;
        let result = deployment::insert(write.conn(), deployment).await;
        write.finish(result).await?;
        Self::with_records(main, state_dir).await
    }

    /// Opens the store of a state directory and brings its tables up to date. [`StoreError::Missing`]
    /// where there is none.
    pub async fn open(state_dir: &Path) -> Result<Self, StoreError> {
        if !state_dir.join(MAIN.file).exists() {
            return Err(StoreError::Missing(
                "deployment in this state directory: make one with handfastd init",
            ));
        }
        let main = open_main(state_dir).await?;
        deployment::read(&main).await?;
        Self::with_records(main, state_dir).await
    }

    /// Closes both files and waits for it. Nothing is lost where it is left out.
    pub async fn close(self) {
        self.records.close().await;
        self.main.close().await;
    }

    async fn with_records(main: Database, state_dir: &Path) -> Result<Self, StoreError> {
        let records = Records::open(state_dir, &main).await?;
        erase::finish_all(&main, &records).await?;
        Ok(Self { main, records })
    }

    pub(super) fn main(&self) -> &Database {
        &self.main
    }

    pub(super) fn records(&self) -> &Records {
        &self.records
    }
}

async fn open_main(state_dir: &Path) -> Result<Database, StoreError> {
    let migrations = sqlx::migrate!("./migrations/sqlite");
    Database::open(&MAIN, state_dir, &migrations).await
}

// === impl Store ===

#[async_trait]
impl Store for SqliteStore {
    async fn deployment(&self) -> Result<Deployment, StoreError> {
        deployment::read(&self.main).await
    }

    async fn touch(&self, at: i64) -> Result<(), StoreError> {
        deployment::touch(&self.main, at).await
    }

    async fn append(&self, group: &AppendGroup) -> Result<Vec<WordOutcome>, StoreError> {
        append::append(&self.main, group).await
    }

    async fn heads(&self) -> Result<Vec<(OdsCode, Head)>, StoreError> {
        log::heads(&self.main).await
    }

    async fn read_log(
        &self,
        source: OdsCode,
        after: u64,
        max_bytes: usize,
    ) -> Result<Vec<LogRow>, StoreError> {
        log::read(&self.main, source, after, max_bytes).await
    }

    async fn projected_through(&self, source: OdsCode) -> Result<u64, StoreError> {
        self.records.through(source).await
    }

    async fn project(
        &self,
        source: OdsCode,
        versions: &[RecordVersion],
        through: u64,
    ) -> Result<(), StoreError> {
        self.records.project(&self.main, source, versions, through).await
    }

    async fn current_records(
        &self,
        source: OdsCode,
        of: Of,
        after: u64,
        upto: u64,
        limit: u32,
    ) -> Result<Vec<CurrentRecord>, StoreError> {
        let seqs = (after, upto);
        self.records
            .current(source, of, Erased::LeftOut, seqs, limit)
            .await
    }

    async fn current_versions(
        &self,
        source: OdsCode,
        of: Of,
        after: u64,
        upto: u64,
        limit: u32,
    ) -> Result<Vec<CurrentRecord>, StoreError> {
        self.records
            .current(source, of, Erased::Too, (after, upto), limit)
            .await
    }

    async fn have_records(
        &self,
        source: OdsCode,
        patients: &[NhsNumber],
    ) -> Result<Vec<NhsNumber>, StoreError> {
        self.records.have(source, patients).await
    }

    async fn recorded_patients(
        &self,
        source: OdsCode,
        after: Option<NhsNumber>,
        limit: u32,
    ) -> Result<Vec<NhsNumber>, StoreError> {
        self.records.patients(source, after, limit).await
    }

    async fn subject_counts(
        &self,
        source: OdsCode,
        after: Option<NhsNumber>,
        limit: u32,
    ) -> Result<Vec<SubjectCount>, StoreError> {
        self.records.subjects(source, after, limit).await
    }

    async fn register_unit(
        &self,
        unit: &NewUnit,
        token: &NewToken,
        at: i64,
        with: &With,
    ) -> Result<UnitRow, StoreError> {
        units::register(&self.main, unit, token, at, with).await
    }

    async fn units(&self, now: i64) -> Result<Vec<UnitRow>, StoreError> {
        units::all(&self.main, now).await
    }

    async fn unit_state(&self, ods: OdsCode) -> Result<Option<UnitState>, StoreError> {
        units::stands(&self.main, ods).await
    }

    async fn set_unit_state(&self, change: &UnitChange, with: &With) -> Result<UnitStateOutcome, StoreError> {
        units::set_state(&self.main, change, with).await
    }

    async fn add_person(
        &self,
        person: &NewPerson,
        token: &NewToken,
        at: i64,
        with: &With,
    ) -> Result<PersonRow, StoreError> {
        people::add(&self.main, person, token, at, with).await
    }

    async fn person(&self, id: &PersonId) -> Result<Option<PersonRow>, StoreError> {
        people::one(&self.main, id).await
    }

    async fn people(&self) -> Result<Vec<PersonRow>, StoreError> {
        people::all(&self.main).await
    }

    async fn set_role(
        &self,
        id: &PersonId,
        role: Role,
        at: i64,
        with: &With,
    ) -> Result<PersonRow, StoreError> {
        people::set_role(&self.main, id, role, at, with).await
    }

    async fn revoke_person(
        &self,
        id: &PersonId,
        reason: &str,
        at: i64,
        with: &With,
    ) -> Result<PersonRow, StoreError> {
        people::revoke(&self.main, id, reason, at, with).await
    }

    async fn add_token(&self, token: &NewToken, at: i64, with: &With) -> Result<(), StoreError> {
        enrolment::add_token(&self.main, token, at, with).await
    }

    async fn find_token(&self, hash: &TokenHash, now: i64) -> Result<IssuedToken, StoreError> {
        enrolment::find_token(&self.main, hash, now).await
    }

    async fn consume_token(
        &self,
        hash: &TokenHash,
        certificate: &Certificate,
        now: i64,
        with: &With,
    ) -> Result<(), StoreError> {
        enrolment::consume_token(&self.main, hash, certificate, now, with).await
    }

    async fn add_certificate(
        &self,
        certificate: &Certificate,
        now: i64,
        with: &With,
    ) -> Result<(), StoreError> {
        enrolment::add_certificate(&self.main, certificate, now, with).await
    }

    async fn agreements(&self, unit: Option<OdsCode>) -> Result<Vec<AgreementRow>, StoreError> {
        agreements::all(&self.main, unit).await
    }

    async fn set_half(&self, change: &HalfChange, with: &With) -> Result<HalfOutcome, StoreError> {
        agreements::set_half(&self.main, change, with).await
    }

    async fn end_expired(&self, now: i64, with: &With) -> Result<Vec<HalfOutcome>, StoreError> {
        expiry::end(&self.main, now, with).await
    }

    async fn set_policy(&self, policy: Policy, at: i64, with: &With) -> Result<(), StoreError> {
        deployment::set_policy(&self.main, policy, at, with).await
    }

    async fn open_subscription(&self, hello: &Hello, at: i64) -> Result<Subscription, StoreError> {
        subscriptions::open(&self.main, hello, at).await
    }

    async fn recipient_jobs(&self, recipient: OdsCode) -> Result<(Vec<PairState>, Vec<Job>), StoreError> {
        subscriptions::pairs_and_jobs(&self.main, recipient).await
    }

    async fn owed_recipients(&self) -> Result<Vec<OdsCode>, StoreError> {
        subscriptions::owed_recipients(&self.main).await
    }

    async fn reaches(&self, recipient: OdsCode) -> Result<Vec<ReachMove>, StoreError> {
        subscriptions::reaches(&self.main, recipient).await
    }

    async fn unconfirmed(&self, recipient: OdsCode, job: JobId) -> Result<Option<Job>, StoreError> {
        withdrawals::unconfirmed(&self.main, recipient, job).await
    }

    async fn confirm_withdrawal(&self, confirm: &ConfirmWithdrawal, with: &With) -> Result<(), StoreError> {
        withdrawals::confirm(&self.main, confirm, with).await
    }

    async fn record_dead_letter(&self, letter: &DeadLetterRow, at: i64) -> Result<(), StoreError> {
        dead_letters::record(&self.main, letter, at).await
    }

    async fn dead_letters(&self) -> Result<Vec<(Pair, u64)>, StoreError> {
        dead_letters::counts(&self.main).await
    }
}
