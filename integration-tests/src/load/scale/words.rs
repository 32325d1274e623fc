//! What many patients said, recorded at units by their people through the service that they use.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use handfast_proto::{
    ids::NhsNumber,
    v1::{
        ConsentManner, InForce, PatientWordValue, RecordPatientConsentRequest,
        patient_consents_client::PatientConsentsClient,
    },
};
use tonic::transport::Channel;

use super::watch::bar;
use crate::harness::{Identity, UnitAtTest, Windows, connect};

/// Patients in one call; the most that the daemon takes.
const PATIENTS_A_CALL: usize = 100;
/// Calls at one time.
const CALLS_AT_ONCE: usize = 16;
/// How long a call may take, also beside all the others.
const CALL_WITHIN: Duration = Duration::from_secs(60);
/// Sides that each word is about: sharing out and sharing in.
pub(super) const SIDES: usize = 2;

/// Records that each patient said yes, about both sides, at each unit; how long that took.
pub(super) async fn record(
    url: &str,
    units: &[UnitAtTest],
    patients: &[NhsNumber],
) -> anyhow::Result<Duration> {
    let mut offices = Vec::new();
    for unit in units {
        let identity = Identity::load(&unit.admin_profile)?;
        offices.push(connect(url, &identity, Windows::default()).await?);
    }
    let progress = bar("patients' words recorded", units.len() * patients.len() * SIDES);
    let begun = Instant::now();
    let calls = patients
        .chunks(PATIENTS_A_CALL)
        .flat_map(|some| offices.iter().map(move |office| (office.clone(), some)));
    stream::iter(calls)
        .map(|(office, some)| {
            let progress = progress.clone();
            async move {
                call(office, some).await?;
                progress.inc((some.len() * SIDES) as u64);
                anyhow::Ok(())
            }
        })
        .buffer_unordered(CALLS_AT_ONCE)
        .try_collect::<()>()
        .await?;
    progress.finish_and_clear();
    Ok(begun.elapsed())
}

async fn call(office: Channel, some: &[NhsNumber]) -> anyhow::Result<()> {
    let request = RecordPatientConsentRequest {
        patients: some.iter().map(|number| number.reveal()).collect(),
        share_out: PatientWordValue::Yes.into(),
        share_in: PatientWordValue::Yes.into(),
        manner: ConsentManner::Spoken.into(),
        ..RecordPatientConsentRequest::default()
    };
    let mut consents = PatientConsentsClient::new(office);
    let answer = tokio::time::timeout(CALL_WITHIN, consents.record(request)).await;
    let answer = answer.with_context(|| format!("words took longer than {CALL_WITHIN:?}"))?;
    let answer = answer.context("record words")?.into_inner();
    ensure!(answer.in_force() == InForce::Yes, "words are not in force");
    Ok(())
}
