//! What a deployment of some years holds before a scenario begins: agreements between units beside the
//! measured ones, and what patients said, everywhere; all of it through the services that people use.
//!
//! Words are recorded before the halves are turned on, so that none of them begins or ends anything: what is
//! measured is the weight of what is held, not the work of taking it down.

use std::{ops::Range, time::Instant};

use anyhow::{Context as _, ensure};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use handfast_proto::{
    ids::NhsNumber,
    v1::{
        ConsentManner, InForce, PatientWordValue, RecordPatientConsentRequest, SetAgreementRequest, Side,
        agreements_client::AgreementsClient, patient_consents_client::PatientConsentsClient,
    },
};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use tonic::transport::Channel;

use crate::harness::{Deployment, Identity, UnitAtTest, Windows, connect, nhs_numbers};

/// Agreements with both halves on.
const AGREEMENTS: usize = 1_000;
/// Units beside the measured ones; each shares with each other as far as that takes.
const OTHER_UNITS: usize = 33;
/// Patients of whom it is recorded what they said.
const PATIENTS: usize = 100_000;
/// The first of them: everyone whom the scenarios' amendments are about. What they said, to every measured
/// unit, is yes, so that the gate looks each of them up and as much is delivered as without a load.
const MEASURED_PATIENTS: usize = 1_000;
/// Of the others one in so many said no.
const ONE_NO_IN: usize = 10;
/// Patients in one call; the most that the daemon takes.
const PATIENTS_A_CALL: usize = 100;
/// Sides that each word is about: sharing out and sharing in.
const SIDES: usize = 2;
/// Units enrolled at one time, by programs of their own.
const ENROLLED_AT_ONCE: usize = 4;
/// Units whose people call at one time.
const CALLING_AT_ONCE: usize = 16;

/// What was loaded, and how quickly the daemon took it.
#[derive(Debug, Clone, Serialize)]
pub struct LoadFigures {
    /// Units of the deployment.
    pub units: usize,
    /// Agreements with both halves on, beside the measured ones.
    pub agreements: usize,
    /// Halves turned on in a second.
    pub halves_per_second: f64,
    /// Patients of whom something is recorded.
    pub patients: usize,
    /// Words in force, each about one side at one unit.
    pub words: usize,
    /// Words recorded in a second.
    pub words_per_second: f64,
}

/// An administrator's connection, kept open.
struct Office {
    ods: String,
    channel: Channel,
}

/// Loads a deployment whose measured units have every half off.
pub(super) async fn load(deployment: &Deployment, measured: &[&UnitAtTest]) -> anyhow::Result<LoadFigures> {
    let others = add_units(deployment).await?;
    let url = deployment.url();
    let mut offices = Vec::new();
    for unit in measured.iter().copied().chain(&others) {
        let identity = Identity::load(&unit.admin_profile)?;
        let channel = connect(&url, &identity, Windows::default()).await?;
        offices.push(Office {
            ods: unit.ods.clone(),
            channel,
        });
    }
    let numbers: Vec<NhsNumber> = nhs_numbers().take(PATIENTS).collect();
    let begun = Instant::now();
    let words = record_words(&offices, measured.len(), &numbers).await?;
    let words_took = begun.elapsed().as_secs_f64();
    let begun = Instant::now();
    let between = offices.get(measured.len()..).unwrap_or_default();
    let halves = turn_halves(between).await?;
    Ok(LoadFigures {
        units: offices.len(),
        agreements: halves / SIDES,
        halves_per_second: halves as f64 / begun.elapsed().as_secs_f64(),
        patients: numbers.len(),
        words,
        words_per_second: words as f64 / words_took,
    })
}

async fn add_units(deployment: &Deployment) -> anyhow::Result<Vec<UnitAtTest>> {
    let progress = progress("units enrolled", OTHER_UNITS);
    let mut units: Vec<UnitAtTest> = stream::iter(0..OTHER_UNITS)
        .map(|n| {
            let progress = progress.clone();
            async move {
                let unit = deployment.add_unit(&format!("Y{n:05}"), "gp").await;
                progress.inc(1);
                unit
            }
        })
        .buffer_unordered(ENROLLED_AT_ONCE)
        .try_collect()
        .await?;
    progress.finish_and_clear();
    units.sort_by(|a, b| a.ods.cmp(&b.ods));
    Ok(units)
}

/// Each unit's people record what was said there, call by call. Returns how many words that were.
async fn record_words(offices: &[Office], measured: usize, numbers: &[NhsNumber]) -> anyhow::Result<usize> {
    let units = offices.len();
    let shares: Vec<Share> = (0..units).map(|unit| share(unit, units, measured)).collect();
    let words = SIDES * shares.iter().map(Share::len).sum::<usize>();
    let progress = progress("patients' words recorded", words);
    stream::iter(offices.iter().zip(&shares))
        .map(|(office, share)| record_share(office, share, numbers, &progress))
        .buffer_unordered(CALLING_AT_ONCE)
        .try_collect::<()>()
        .await?;
    progress.finish_and_clear();
    Ok(words)
}

async fn record_share(
    office: &Office,
    share: &Share,
    numbers: &[NhsNumber],
    progress: &ProgressBar,
) -> anyhow::Result<()> {
    let mut client = PatientConsentsClient::new(office.channel.clone());
    for (word, patients) in [
        (PatientWordValue::Yes, &share.yes),
        (PatientWordValue::No, &share.no),
    ] {
        for some in patients.chunks(PATIENTS_A_CALL) {
            let patients = some.iter().filter_map(|place| numbers.get(*place));
            let request = RecordPatientConsentRequest {
                patients: patients.map(|number| number.reveal()).collect(),
                share_out: word.into(),
                share_in: word.into(),
                manner: ConsentManner::Spoken.into(),
                ..RecordPatientConsentRequest::default()
            };
            let answer = client.record(request).await;
            let answer = answer
                .with_context(|| format!("record words at {}", office.ods))?
                .into_inner();
            ensure!(
                answer.in_force() == InForce::Yes,
                "words at {} are not in force",
                office.ods
            );
            progress.inc((some.len() * SIDES) as u64);
        }
    }
    Ok(())
}

/// Turns on both halves of [`AGREEMENTS`] pairs, each by the unit whose half it is. Returns how many halves.
async fn turn_halves(offices: &[Office]) -> anyhow::Result<usize> {
    let pairs = pairs(offices.len());
    ensure!(
        pairs.len() == AGREEMENTS,
        "too few units for {AGREEMENTS} agreements"
    );
    let progress = progress("halves turned on", pairs.len() * SIDES);
    stream::iter(0..offices.len())
        .map(|unit| turn_own(offices, unit, &pairs, &progress))
        .buffer_unordered(CALLING_AT_ONCE)
        .try_collect::<()>()
        .await?;
    progress.finish_and_clear();
    Ok(pairs.len() * SIDES)
}

async fn turn_own(
    offices: &[Office],
    unit: usize,
    pairs: &[(usize, usize)],
    progress: &ProgressBar,
) -> anyhow::Result<()> {
    let office = offices.get(unit).context("a unit's administrator")?;
    let mut client = AgreementsClient::new(office.channel.clone());
    let name = |place: usize| offices.get(place).map(|o| o.ods.clone()).unwrap_or_default();
    for (source, recipient) in pairs {
        let side = match (*source == unit, *recipient == unit) {
            (true, _) => Side::ShareOut,
            (_, true) => Side::ShareIn,
            _ => continue,
        };
        let request = SetAgreementRequest {
            source: name(*source),
            recipient: name(*recipient),
            side: side.into(),
            on: true,
            reason: "a load".to_owned(),
            scope: None,
        };
        let answer = client.set(request).await;
        answer.with_context(|| format!("turn a half on at {}", office.ods))?;
        progress.inc(1);
    }
    Ok(())
}

/// Patients, by place, who said something at one unit.
#[derive(Debug, PartialEq, Eq, Default)]
struct Share {
    yes: Vec<usize>,
    no: Vec<usize>,
}

impl Share {
    fn len(&self) -> usize {
        self.yes.len() + self.no.len()
    }
}

/// Who said what at unit `unit` of `units`, of which the first `measured` are measured: the patients are spread
/// over all units evenly, and those of the measured streams spoke to each measured unit besides.
fn share(unit: usize, units: usize, measured: usize) -> Share {
    let everyone: Range<usize> = 0..PATIENTS;
    let here = |k: &usize| k % units == unit || (unit < measured && *k < MEASURED_PATIENTS);
    let says_no = |k: &usize| *k >= MEASURED_PATIENTS && k.is_multiple_of(ONE_NO_IN);
    let (no, yes) = everyone.filter(here).partition(says_no);
    Share { yes, no }
}

/// The first [`AGREEMENTS`] ordered pairs of so many units.
fn pairs(units: usize) -> Vec<(usize, usize)> {
    let all = (0..units).flat_map(|s| (0..units).map(move |r| (s, r)));
    all.filter(|(s, r)| s != r).take(AGREEMENTS).collect()
}

/// How far something is; not shown where nobody looks on.
pub(super) fn progress(what: &'static str, of: usize) -> ProgressBar {
    let style =
        ProgressStyle::with_template("{bar:30} {human_pos}/{human_len} {msg} ({per_sec}, {eta} left)");
    let bar = ProgressBar::new(of as u64).with_message(what);
    match style {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn everyone_said_something_and_the_measured_ones_yes_to_every_measured_unit() {
        let (units, measured) = (35, 2);
        let shares: Vec<Share> = (0..units).map(|u| share(u, units, measured)).collect();
        let spoke = |share: &Share| [share.yes.clone(), share.no.clone()].concat();
        let patients: BTreeSet<usize> = shares.iter().flat_map(spoke).collect();
        assert_eq!(patients.len(), PATIENTS);
        for share in &shares[..measured] {
            assert!((0..MEASURED_PATIENTS).all(|k| share.yes.contains(&k)));
        }
        let no: usize = shares.iter().map(|share| share.no.len()).sum();
        assert_eq!(no, (PATIENTS - MEASURED_PATIENTS) / ONE_NO_IN);
    }

    #[test]
    fn the_other_units_have_enough_pairs() {
        let pairs = pairs(OTHER_UNITS);
        assert_eq!(pairs.len(), AGREEMENTS);
        assert_eq!(pairs.iter().collect::<BTreeSet<_>>().len(), AGREEMENTS);
        assert!(pairs.iter().all(|(source, recipient)| source != recipient));
    }

    #[test]
    fn there_are_as_many_numbers_as_patients() {
        let numbers: BTreeSet<u64> = nhs_numbers().take(PATIENTS).map(NhsNumber::as_u64).collect();
        assert_eq!(numbers.len(), PATIENTS);
    }
}
