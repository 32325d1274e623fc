//! What the store on SQLite does about patients: it hands each operation to the file that carries it out.

use async_trait::async_trait;
use handfast_proto::ids::{NhsNumber, OdsCode, RecordId};

use super::{
    caseload, erase,
    erasures::{self, Erasure, Whose},
    store::SqliteStore,
    words,
};
use crate::store::{
    ClaimChange, ClaimRow, Erased, JoinedNumbers, PatientStore, StandingWords, StoreError, With, WordChange,
    WordOutcome, WordRow,
};

#[async_trait]
impl PatientStore for SqliteStore {
    async fn record_words(
        &self,
        changes: &[WordChange],
        with: &With,
    ) -> Result<Vec<WordOutcome>, StoreError> {
        words::record(self.main(), changes, with).await
    }

    async fn words_of(
        &self,
        patient: NhsNumber,
        unit: Option<OdsCode>,
        limit: u32,
    ) -> Result<Vec<WordRow>, StoreError> {
        words::of_patient(self.main(), patient, unit, limit).await
    }

    async fn words_in_force(
        &self,
        unit: OdsCode,
        after: Option<NhsNumber>,
        limit: u32,
    ) -> Result<Vec<WordRow>, StoreError> {
        words::in_force(self.main(), unit, after, limit).await
    }

    async fn standing_words(&self, after: u64, limit: u32) -> Result<StandingWords, StoreError> {
        words::standing(self.main(), after, limit).await
    }

    async fn joined_numbers(&self) -> Result<Vec<JoinedNumbers>, StoreError> {
        caseload::joined(self.main()).await
    }

    async fn set_claims(&self, changes: &[ClaimChange], with: &With) -> Result<(), StoreError> {
        caseload::set_claims(self.main(), changes, with).await
    }

    async fn claims(
        &self,
        unit: OdsCode,
        after: Option<NhsNumber>,
        limit: u32,
    ) -> Result<Vec<ClaimRow>, StoreError> {
        caseload::claims(self.main(), unit, after, limit).await
    }

    async fn claiming_units(&self) -> Result<Vec<OdsCode>, StoreError> {
        caseload::claiming(self.main()).await
    }

    async fn claimed_patients(
        &self,
        unit: OdsCode,
        after: Option<NhsNumber>,
        limit: u32,
    ) -> Result<Vec<NhsNumber>, StoreError> {
        caseload::claimed(self.main(), unit, after, limit).await
    }

    async fn note_erasures(
        &self,
        source: OdsCode,
        patients: &[NhsNumber],
        records: &[(RecordId, u64)],
        upto: u64,
    ) -> Result<(), StoreError> {
        let patients = patients.iter().map(|patient| Erasure {
            source,
            whose: Whose::Patient(*patient),
            upto,
        });
        let records = records.iter().map(|(record, seq)| Erasure {
            source,
            whose: Whose::Record(record.clone()),
            upto: seq.saturating_sub(1),
        });
        let all: Vec<Erasure> = patients.chain(records).collect();
        erasures::note(self.main(), &all).await
    }

    async fn carry_out_erasures(&self, limit: u32) -> Result<Erased, StoreError> {
        erase::carry_out(self.main(), self.records(), limit).await
    }

    async fn erased_patients(
        &self,
        source: OdsCode,
        after: Option<NhsNumber>,
        limit: u32,
    ) -> Result<Vec<NhsNumber>, StoreError> {
        erasures::patients(self.main(), source, after, limit).await
    }

    async fn erased_records(
        &self,
        source: OdsCode,
        patient: NhsNumber,
        limit: u32,
    ) -> Result<Vec<RecordId>, StoreError> {
        self.records().erased(source, patient, limit).await
    }
}
