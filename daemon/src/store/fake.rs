//! A store in memory for the tests of what is built on the log: it keeps batches and fails on demand.

use std::{collections::HashMap, time::Duration};

use async_trait::async_trait;
use handfast_proto::ids::{NhsNumber, OdsCode, PersonId, RecordId};
use parking_lot::Mutex;

use super::{
    AgreementRow, AppendGroup, Certificate, ClaimChange, ClaimRow, ConfirmWithdrawal, CurrentRecord,
    DeadLetterRow, Deployment, EmergencyGrants, EmergencyRow, Erased, HalfChange, HalfOutcome, Head, Hello,
    IssuedToken, Job, JobId, JoinedNumbers, LogRow, NewPerson, NewToken, NewUnit, Of, OpenEmergency,
    PairState, PatientStore, PersonRow, RecordVersion, Role, StandingWords, Store, StoreError, SubjectCount,
    Subscription, TokenHash, UnitChange, UnitRow, UnitState, UnitStateOutcome, With, WordChange, WordOutcome,
    WordRow,
};
use crate::consent::{GrantId, Pair, Policy};

/// How long it takes to project something.
pub(crate) const PROJECTING: Duration = Duration::from_millis(100);

/// How the next commit goes wrong.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fault {
    /// The disk is full; nothing is kept.
    Full,
    /// The store fails, but had kept it.
    UnknownButKept,
}

#[derive(Default)]
struct State {
    heads: HashMap<OdsCode, Head>,
    rows: Vec<(OdsCode, LogRow)>,
    fault: Option<Fault>,
}

/// The store.
#[derive(Default)]
pub(crate) struct FakeStore {
    state: Mutex<State>,
}

impl FakeStore {
    pub(crate) fn fail_next(&self, fault: Fault) {
        self.state.lock().fault = Some(fault);
    }

    /// First and last seq of every batch that was kept.
    pub(crate) fn appended(&self) -> Vec<(u64, u64)> {
        self.state
            .lock()
            .rows
            .iter()
            .map(|(_, row)| (row.first_seq, row.last_seq))
            .collect()
    }
}

pub(super) fn absent<T>() -> Result<T, StoreError> {
    Err(StoreError::Failed("this store keeps only a log".to_owned()))
}

#[async_trait]
impl Store for FakeStore {
    async fn append(&self, group: &AppendGroup) -> Result<Vec<WordOutcome>, StoreError> {
        let mut state = self.state.lock();
        let fault = state.fault.take();
        if let Some(Fault::Full) = fault {
            return Err(StoreError::Full);
        }
        for log in &group.batches {
            let batch = &log.batch;
            let (first_seq, last_seq) = (batch.first_seq(), batch.last_seq());
            let (header, body) = (batch.header().clone(), batch.body().clone());
            state.rows.push((
                log.source,
                LogRow {
                    first_seq,
                    last_seq,
                    at: group.at,
                    header,
                    body,
                },
            ));
            let head = Head {
                seq: last_seq,
                chain: Some(log.chain_after),
                store: Some(log.store),
            };
            state.heads.insert(log.source, head);
        }
        match fault {
            Some(Fault::UnknownButKept) => Err(StoreError::Failed("no answer".to_owned())),
            _ => Ok(Vec::new()),
        }
    }

    async fn heads(&self) -> Result<Vec<(OdsCode, Head)>, StoreError> {
        Ok(self
            .state
            .lock()
            .heads
            .iter()
            .map(|(source, head)| (*source, *head))
            .collect())
    }

    async fn read_log(&self, source: OdsCode, after: u64, _: usize) -> Result<Vec<LogRow>, StoreError> {
        let state = self.state.lock();
        let rows = state
            .rows
            .iter()
            .filter(|(s, row)| *s == source && row.last_seq > after);
        Ok(rows.map(|(_, row)| row.clone()).collect())
    }

    async fn deployment(&self) -> Result<Deployment, StoreError> {
        absent()
    }

    async fn touch(&self, _: i64) -> Result<(), StoreError> {
        absent()
    }

    async fn projected_through(&self, _: OdsCode) -> Result<u64, StoreError> {
        Ok(0)
    }

    async fn project(&self, _: OdsCode, _: &[RecordVersion], _: u64) -> Result<(), StoreError> {
        tokio::time::sleep(PROJECTING).await;
        Ok(())
    }

    async fn current_records(
        &self,
        _: OdsCode,
        _: Of,
        _: u64,
        _: u64,
        _: u32,
    ) -> Result<Vec<CurrentRecord>, StoreError> {
        absent()
    }

    async fn current_versions(
        &self,
        _: OdsCode,
        _: Of,
        _: u64,
        _: u64,
        _: u32,
    ) -> Result<Vec<CurrentRecord>, StoreError> {
        absent()
    }

    async fn have_records(&self, _: OdsCode, _: &[NhsNumber]) -> Result<Vec<NhsNumber>, StoreError> {
        absent()
    }

    async fn recorded_patients(
        &self,
        _: OdsCode,
        _: Option<NhsNumber>,
        _: u32,
    ) -> Result<Vec<NhsNumber>, StoreError> {
        absent()
    }

    async fn subject_counts(
        &self,
        _: OdsCode,
        _: Option<NhsNumber>,
        _: u32,
    ) -> Result<Vec<SubjectCount>, StoreError> {
        absent()
    }

    async fn register_unit(
        &self,
        _: &NewUnit,
        _: &NewToken,
        _: i64,
        _: &With,
    ) -> Result<UnitRow, StoreError> {
        absent()
    }

    async fn units(&self, _: i64) -> Result<Vec<UnitRow>, StoreError> {
        absent()
    }

    async fn unit_state(&self, _: OdsCode) -> Result<Option<UnitState>, StoreError> {
        absent()
    }

    async fn set_unit_state(&self, _: &UnitChange, _: &With) -> Result<UnitStateOutcome, StoreError> {
        absent()
    }

    async fn add_person(
        &self,
        _: &NewPerson,
        _: &NewToken,
        _: i64,
        _: &With,
    ) -> Result<PersonRow, StoreError> {
        absent()
    }

    async fn person(&self, _: &PersonId) -> Result<Option<PersonRow>, StoreError> {
        absent()
    }

    async fn people(&self) -> Result<Vec<PersonRow>, StoreError> {
        absent()
    }

    async fn set_role(&self, _: &PersonId, _: Role, _: i64, _: &With) -> Result<PersonRow, StoreError> {
        absent()
    }

    async fn revoke_person(&self, _: &PersonId, _: &str, _: i64, _: &With) -> Result<PersonRow, StoreError> {
        absent()
    }

    async fn add_token(&self, _: &NewToken, _: i64, _: &With) -> Result<(), StoreError> {
        absent()
    }

    async fn find_token(&self, _: &TokenHash, _: i64) -> Result<IssuedToken, StoreError> {
        absent()
    }

    async fn consume_token(
        &self,
        _: &TokenHash,
        _: &Certificate,
        _: i64,
        _: &With,
    ) -> Result<(), StoreError> {
        absent()
    }

    async fn add_certificate(&self, _: &Certificate, _: i64, _: &With) -> Result<(), StoreError> {
        absent()
    }

    async fn agreements(&self, _: Option<OdsCode>) -> Result<Vec<AgreementRow>, StoreError> {
        absent()
    }

    async fn set_half(&self, _: &HalfChange, _: &With) -> Result<HalfOutcome, StoreError> {
        absent()
    }

    async fn end_expired(&self, _: i64, _: &With) -> Result<Vec<HalfOutcome>, StoreError> {
        absent()
    }

    async fn set_policy(&self, _: Policy, _: i64, _: &With) -> Result<(), StoreError> {
        absent()
    }

    async fn open_subscription(&self, _: &Hello, _: i64) -> Result<Subscription, StoreError> {
        absent()
    }

    async fn recipient_jobs(&self, _: OdsCode) -> Result<(Vec<PairState>, Vec<Job>), StoreError> {
        absent()
    }

    async fn owed_recipients(&self) -> Result<Vec<OdsCode>, StoreError> {
        absent()
    }

    async fn reaches(&self, _: OdsCode) -> Result<Vec<super::ReachMove>, StoreError> {
        absent()
    }

    async fn unconfirmed(&self, _: OdsCode, _: JobId) -> Result<Option<Job>, StoreError> {
        absent()
    }

    async fn confirm_withdrawal(&self, _: &ConfirmWithdrawal, _: &With) -> Result<(), StoreError> {
        absent()
    }

    async fn record_dead_letter(&self, _: &DeadLetterRow, _: i64) -> Result<(), StoreError> {
        absent()
    }

    async fn dead_letters(&self) -> Result<Vec<(Pair, u64)>, StoreError> {
        absent()
    }
}

#[async_trait]
impl PatientStore for FakeStore {
    async fn record_words(&self, _: &[WordChange], _: &With) -> Result<Vec<WordOutcome>, StoreError> {
        absent()
    }

    async fn words_of(&self, _: NhsNumber, _: Option<OdsCode>, _: u32) -> Result<Vec<WordRow>, StoreError> {
        absent()
    }

    async fn words_in_force(
        &self,
        _: OdsCode,
        _: Option<NhsNumber>,
        _: u32,
    ) -> Result<Vec<WordRow>, StoreError> {
        absent()
    }

    async fn standing_words(&self, _: u64, _: u32) -> Result<StandingWords, StoreError> {
        absent()
    }

    async fn joined_numbers(&self) -> Result<Vec<JoinedNumbers>, StoreError> {
        absent()
    }

    async fn set_claims(&self, _: &[ClaimChange], _: &With) -> Result<(), StoreError> {
        absent()
    }

    async fn claims(&self, _: OdsCode, _: Option<NhsNumber>, _: u32) -> Result<Vec<ClaimRow>, StoreError> {
        absent()
    }

    async fn claiming_units(&self) -> Result<Vec<OdsCode>, StoreError> {
        absent()
    }

    async fn claimed_patients(
        &self,
        _: OdsCode,
        _: Option<NhsNumber>,
        _: u32,
    ) -> Result<Vec<NhsNumber>, StoreError> {
        absent()
    }

    async fn note_erasures(
        &self,
        _: OdsCode,
        _: &[NhsNumber],
        _: &[(RecordId, u64)],
        _: u64,
    ) -> Result<(), StoreError> {
        absent()
    }

    async fn carry_out_erasures(&self, _: u32) -> Result<Erased, StoreError> {
        absent()
    }

    async fn erased_patients(
        &self,
        _: OdsCode,
        _: Option<NhsNumber>,
        _: u32,
    ) -> Result<Vec<NhsNumber>, StoreError> {
        absent()
    }

    async fn erased_records(&self, _: OdsCode, _: NhsNumber, _: u32) -> Result<Vec<RecordId>, StoreError> {
        absent()
    }
}

#[async_trait]
impl EmergencyGrants for FakeStore {
    async fn open_emergency(&self, _: &OpenEmergency, _: &With) -> Result<Vec<EmergencyRow>, StoreError> {
        absent()
    }

    async fn which_are_emergencies(&self, _: &[GrantId]) -> Result<Vec<GrantId>, StoreError> {
        absent()
    }

    async fn emergencies(&self) -> Result<Vec<EmergencyRow>, StoreError> {
        absent()
    }
}
