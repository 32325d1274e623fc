//! A patient in the log: under which numbers, in which units' streams, and what became of all of it.

use handfast_proto::ids::{NhsNumber, OdsCode};

use super::{
    desk::AuditDesk,
    entries::{Found, Search},
    handed::HandedOver,
    token::Place,
};
use crate::{audit::Reader, consent::UnitPatients, sharing::ActError};

/// Versions in one answer that is not read in parts.
const MAX_ALL_HANDED: usize = 50_000;

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

    /// Everything that was handed over of a patient's records to or from the reader's unit, and whether that is
    /// all: an answer holds so much and no more.
    pub(super) async fn all_handed(
        &self,
        own: OdsCode,
        patient: NhsNumber,
        search: &Search,
    ) -> Result<(Vec<HandedOver>, bool), ActError> {
        let mut found = Found::default();
        let mut all = Vec::new();
        let mut place = self.sources().await?.into_iter().min().map(|source| (source, 0));
        while let Some(from) = place {
            let next = self.handed_page(own, patient, from, search, &mut found).await?;
            all.append(&mut found.handed_over);
            if all.len() > MAX_ALL_HANDED || found.cut_off {
                return Ok((all, false));
            }
            place = match next {
                Some(Place::Handed(source, after)) => Some((source, after)),
                _ => None,
            };
        }
        Ok((all, true))
    }
}
