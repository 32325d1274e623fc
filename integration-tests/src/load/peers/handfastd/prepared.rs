//! A deployment with the units of every shape, and what one of some years holds beside them; made once, through the
//! services that people use, and stopped. Every round begins with a copy of it.

use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use tonic::transport::Channel;

use super::desks::{Desk, join, open};
use crate::{
    harness::{Deployment, Identity},
    load::{
        drive::{loaded_layout, record_words},
        interrupt::{Interrupt, NOTHING_MEASURED},
        peers::{
            batches::PATIENTS as MEASURED_PATIENTS,
            clients,
            options::{Beside, Shape},
            usage::settled,
        },
        progress::Progress,
    },
};

/// Units enrolled at one time, by programs of their own.
const ENROLLED_AT_ONCE: usize = 4;
/// How long all of it may take, on a slow machine.
const PREPARED_WITHIN: Duration = Duration::from_secs(1_800);

/// The deployment, stopped.
pub(in crate::load::peers) struct Prepared {
    pub(super) deployment: Deployment,
    /// As many as the largest shape has.
    pub(super) sources: Vec<Unit>,
    pub(super) recipients: Vec<Unit>,
    pub(super) beside: Beside,
}

/// A unit that takes part.
#[derive(Debug, Clone)]
pub(super) struct Unit {
    pub(super) desk: Desk,
    pub(super) agent: Identity,
}

impl Prepared {
    /// For shapes up to `most`; with what is held beside.
    pub(in crate::load::peers) async fn make(
        most: Shape,
        beside: Beside,
        progress: &Progress,
        interrupt: &mut Interrupt,
    ) -> anyhow::Result<Self> {
        let starting = Deployment::apart();
        let mut deployment = interrupt.unless(starting, NOTHING_MEASURED).await?;
        let filling = fill(&deployment, most, beside, progress);
        let filling = tokio::time::timeout(PREPARED_WITHIN, Box::pin(filling));
        let Some(units) = interrupt.or(filling).await else {
            deployment.silence();
            bail!(NOTHING_MEASURED);
        };
        let mut units = units.with_context(|| format!("it is not ready within {PREPARED_WITHIN:?}"))??;
        let recipients = units.split_off(most.sources);
        progress.say("stopping the loaded daemon");
        let ended = deployment.stop().await?;
        ensure!(ended.success(), "the loaded daemon ended with {ended}");
        Ok(Self {
            deployment,
            sources: units,
            recipients,
            beside,
        })
    }

    /// Nothing more is shown of it.
    pub(in crate::load::peers) fn finished(self) {
        self.deployment.finished();
    }
}

/// The units of every shape, sources first, and what is held beside them. Words come before agreements, so that none of
/// them begins or ends anything: what is measured is the weight of what is held.
async fn fill(
    deployment: &Deployment,
    most: Shape,
    beside: Beside,
    progress: &Progress,
) -> anyhow::Result<Vec<Unit>> {
    let count = most.sources + most.recipients;
    progress.count("units enrolled", count);
    let units = enrol(deployment, (0..count).map(clients::name), progress).await?;
    let url = deployment.url();
    let measured = open(&url, &desks_of(&units)).await?;
    let layout = loaded_layout(beside.agreements);
    progress.count("units enrolled beside", layout.units.len());
    let names = (0..layout.units.len()).map(|n| format!("Y{n:05}"));
    let others = enrol(deployment, names, progress).await?;
    let others = open(&url, &desks_of(&others)).await?;
    if beside.patients > 0 {
        record(&measured, &others, beside.patients, progress).await?;
    }
    progress.count("agreements joined", layout.joined.len());
    let pairs = layout.joined.iter().map(|(s, r)| (*s as usize, *r as usize));
    join(&others, pairs, || progress.one()).await?;
    progress.say("waiting until the loaded daemon has nothing to do");
    // Every run waits for its own copy too, and says where it is not at rest.
    settled(deployment.pid()?)
        .await
        .context("let the daemon settle")?;
    Ok(units)
}

async fn enrol(
    deployment: &Deployment,
    names: impl IntoIterator<Item = String>,
    progress: &Progress,
) -> anyhow::Result<Vec<Unit>> {
    stream::iter(names)
        .map(|ods| async move {
            let unit = deployment.add_unit(&ods, "gp").await?;
            let agent = deployment.enrol(&unit).await?;
            let identity = Identity::load(&unit.admin_profile)?;
            progress.one();
            anyhow::Ok(Unit {
                desk: Desk { ods, identity },
                agent,
            })
        })
        .buffered(ENROLLED_AT_ONCE)
        .try_collect()
        .await
}

fn desks_of(units: &[Unit]) -> Vec<Desk> {
    units.iter().map(|unit| unit.desk.clone()).collect()
}

/// What patients said, at the units beside, or where there are none, at the measured ones.
async fn record(
    measured: &[(String, Channel)],
    others: &[(String, Channel)],
    patients: u32,
    progress: &Progress,
) -> anyhow::Result<()> {
    let channels = |desks: &[(String, Channel)]| desks.iter().map(|(_, c)| c.clone()).collect::<Vec<_>>();
    let at_measured = measured.len() * MEASURED_PATIENTS as usize;
    progress.count("patients' words recorded", patients as usize + at_measured);
    let at = if others.is_empty() { measured } else { others };
    record_words(&channels(at), patients, MEASURED_PATIENTS, |n| {
        progress.more(n);
    })
    .await?;
    // Those whom the streams are about said yes at each measured unit, so that the gate looks each of them up.
    stream::iter(channels(measured))
        .map(|desk| async move {
            record_words(&[desk], MEASURED_PATIENTS, MEASURED_PATIENTS, |n| {
                progress.more(n);
            })
            .await
        })
        .buffer_unordered(ENROLLED_AT_ONCE)
        .try_collect()
        .await
}
