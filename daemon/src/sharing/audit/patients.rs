//! A patient in the log: under which numbers, and in which units' streams.

use handfast_proto::ids::{NhsNumber, OdsCode};

use super::{desk::AuditDesk, entries::Search};
use crate::{audit::Reader, consent::UnitPatients, sharing::ActError};

impl AuditDesk {
    /// The patient's numbers, as far as the reader's own unit said that they are one patient's, and no other
    /// patient of it had one of them too.
    pub(super) async fn numbers_of(
        &self,
        own: OdsCode,
        patient: NhsNumber,
    ) -> Result<Vec<NhsNumber>, ActError> {
        let book = self.ctx.revoker.book();
        let mut known = UnitPatients::default();
        for joined in self.ctx.store.joined_numbers().await? {
            if joined.unit == own {
                known.join(joined.former, joined.current);
                known.set(joined.former, book.facts(own, joined.former));
            }
        }
        let mut numbers = known.numbers_of(patient);
        numbers.retain(|number| known.are_surely_one(patient, *number));
        Ok(numbers)
    }

    /// Every unit whose stream may hold records of a patient that the reader may know of, by ODS code.
    pub(super) async fn sources(&self) -> Result<Vec<OdsCode>, ActError> {
        let units = self.ctx.store.units(self.ctx.clock.now_ms()).await?;
        // Also of those that have left: their records were handed over all the same.
        Ok(units.iter().map(|unit| unit.ods).collect())
    }

    /// Where a search goes on behind the entries: with the first source, where there is a patient.
    pub(super) async fn first_source(
        &self,
        reader: Reader,
        search: &Search,
    ) -> Result<Option<OdsCode>, ActError> {
        if search.patient.is_none() || reader == Reader::Operator {
            return Ok(None);
        }
        Ok(self.sources().await?.into_iter().min())
    }
}
