//! What a deployment of some years holds beside what is measured: agreements between other units, and what
//! patients said, at every unit. None of it changes what the measured pairs forward.

use anyhow::{Context as _, ensure};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use handfast_proto::v1::{
    ConsentManner, InForce, PatientWordValue, RecordPatientConsentRequest,
    patient_consents_client::PatientConsentsClient,
};
use tonic::transport::Channel;

use super::super::{
    data::Patients,
    plan::{Layout, Topology},
};

/// Patients in one call; the most that the daemon takes.
const PATIENTS_A_CALL: usize = 100;
/// Units whose people call at one time.
const CALLING_AT_ONCE: usize = 16;
/// Of the patients of whom nothing is sent, one in so many says no.
const ONE_NO_IN: u32 = 10;

/// As few units as have so many ordered pairs, and those pairs.
pub(in crate::load) fn loaded_layout(agreements: u32) -> Layout {
    let enough =
        |units: &u32| u64::from(*units) * u64::from(units.saturating_sub(1)) >= u64::from(agreements);
    let units = (0..).find(enough).unwrap_or(0);
    Topology::Mesh { units }.layout(Some(agreements))
}

/// Records what so many patients said, spread over the units; `each` is told how many more are recorded. Those of
/// whom something is sent, the first `measured`, say yes.
pub(in crate::load) async fn record_words(
    desks: &[Channel],
    patients: u32,
    measured: u32,
    each: impl Fn(usize),
) -> anyhow::Result<()> {
    let each = &each;
    stream::iter(desks.iter().enumerate())
        .map(|(place, desk)| async move {
            let own = (0..patients).filter(|k| *k as usize % desks.len() == place);
            let (no, yes): (Vec<u32>, Vec<u32>) =
                own.partition(|k| *k >= measured && k.is_multiple_of(ONE_NO_IN));
            for (word, who) in [(PatientWordValue::Yes, yes), (PatientWordValue::No, no)] {
                for some in who.chunks(PATIENTS_A_CALL) {
                    record(desk, some, word).await?;
                    each(some.len());
                }
            }
            anyhow::Ok(())
        })
        .buffer_unordered(CALLING_AT_ONCE)
        .try_collect()
        .await
}

async fn record(desk: &Channel, patients: &[u32], word: PatientWordValue) -> anyhow::Result<()> {
    let request = RecordPatientConsentRequest {
        patients: patients.iter().map(|k| Patients::nhs(*k).reveal()).collect(),
        share_out: word.into(),
        share_in: word.into(),
        manner: ConsentManner::Spoken.into(),
        ..RecordPatientConsentRequest::default()
    };
    let answer = PatientConsentsClient::new(desk.clone()).record(request).await;
    let answer = answer.context("record what patients said")?.into_inner();
    ensure!(
        answer.in_force() == InForce::Yes,
        "what patients said is not in force"
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_few_units_as_are_enough_have_so_many_pairs() {
        for (agreements, units) in [(0, 0), (1, 2), (2, 2), (3, 3), (1_000, 33)] {
            let layout = loaded_layout(agreements);
            assert_eq!(
                (layout.joined.len(), layout.units.len()),
                (agreements as usize, units)
            );
        }
    }
}
