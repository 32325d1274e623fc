//! The store's operations about patients: words, caseloads, joined numbers, and the payloads that are erased.
//! What holds for every operation stands at [`super::Store`].

use async_trait::async_trait;
use handfast_proto::ids::{NhsNumber, OdsCode, RecordId};

use super::{
    error::StoreError,
    types::{
        ClaimChange, ClaimRow, Erased, JoinedNumbers, StandingWords, With, WordChange, WordOutcome, WordRow,
    },
};

/// What is durable about patients.
#[async_trait]
pub trait PatientStore: Send + Sync + 'static {
    /// Records words. A word said before the one in force is only history, but for a dissent said at the same
    /// moment; see [`crate::consent::prevails`]. One outcome a change, in order. [`StoreError::Missing`] where
    /// a unit is not there.
    async fn record_words(&self, changes: &[WordChange], with: &With)
    -> Result<Vec<WordOutcome>, StoreError>;

    /// Every word ever recorded of a patient, at a unit or at all, the newest first, at most `limit`.
    async fn words_of(
        &self,
        patient: NhsNumber,
        unit: Option<OdsCode>,
        limit: u32,
    ) -> Result<Vec<WordRow>, StoreError>;

    /// The words in force at a unit, of patients beyond `after`, by number, at least those of one patient
    /// where there is one, then at most about `limit`.
    async fn words_in_force(
        &self,
        unit: OdsCode,
        after: Option<NhsNumber>,
        limit: u32,
    ) -> Result<Vec<WordRow>, StoreError>;

    /// The words in force at all units, but for those that only ended what was recorded before: a page of at most
    /// `limit`, from the beginning (0) or from where the page before ended.
    async fn standing_words(&self, after: u64, limit: u32) -> Result<StandingWords, StoreError>;

    /// All numbers that units said are one patient's.
    async fn joined_numbers(&self) -> Result<Vec<JoinedNumbers>, StoreError>;

    /// Puts patients on caseloads by name, or takes them off. What is so already changes nothing.
    async fn set_claims(&self, changes: &[ClaimChange], with: &With) -> Result<(), StoreError>;

    /// Who is on a unit's caseload by name, beyond `after`, by number, at most `limit`.
    async fn claims(
        &self,
        unit: OdsCode,
        after: Option<NhsNumber>,
        limit: u32,
    ) -> Result<Vec<ClaimRow>, StoreError>;

    /// The units on whose caseload anybody is by name, by code.
    async fn claiming_units(&self) -> Result<Vec<OdsCode>, StoreError>;

    /// The same as [`PatientStore::claims`] without who put them there, and why.
    async fn claimed_patients(
        &self,
        unit: OdsCode,
        after: Option<NhsNumber>,
        limit: u32,
    ) -> Result<Vec<NhsNumber>, StoreError>;

    // --- payloads that are not to be kept ---

    /// Notes what is not to be in the log any more: every payload of these patients' records at a source up to
    /// `upto`, and of these records before the seq beside each, superseded ones too. It is carried out by
    /// [`PatientStore::carry_out_erasures`], or when the store is opened next. May go beyond what is projected.
    async fn note_erasures(
        &self,
        source: OdsCode,
        patients: &[NhsNumber],
        records: &[(RecordId, u64)],
        upto: u64,
    ) -> Result<(), StoreError>;

    /// Carries out what was noted and is not done, at most `limit` of it. Headers stay, and a payload is read as
    /// zeroes of its length from then on (see [`super::is_erased`]): whoever forwards from the log passes it
    /// over. What is erased is no current record any more, also once the projection is made anew. May be broken
    /// off and asked for again.
    ///
    /// The bytes are gone from the store's files when this returns, but where another program (a backup)
    /// reads the log's file meanwhile: then with the next [`super::Store::touch`] that finds nobody reading.
    /// What the disk keeps of overwritten bytes, and older backups, is out of reach.
    async fn carry_out_erasures(&self, limit: u32) -> Result<Erased, StoreError>;

    /// The patients of whom payloads at a source were erased, or are noted, beyond `after`, by number, at most
    /// `limit`.
    async fn erased_patients(
        &self,
        source: OdsCode,
        after: Option<NhsNumber>,
        limit: u32,
    ) -> Result<Vec<NhsNumber>, StoreError>;

    /// The records of a patient at a source of which the current version was erased, but for those that are
    /// private or of a restricted patient, by name, at most `limit`: to be asked for again where they may be
    /// forwarded.
    async fn erased_records(
        &self,
        source: OdsCode,
        patient: NhsNumber,
        limit: u32,
    ) -> Result<Vec<RecordId>, StoreError>;
}
