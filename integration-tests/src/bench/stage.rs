//! The deployment of a scenario: its units, what is loaded beside them, and their halves.

use std::time::Duration;

use handfast_proto::v1::Side;

use super::load::{self, LoadFigures};
use crate::harness::{Deployment, Identity, UnitAtTest, cpu};

/// CPU time within [`LOOK`] below which a daemon counts as having nothing to do.
const QUIET_CPU: Duration = Duration::from_millis(20);
/// How long the daemon's CPU time is watched.
const LOOK: Duration = Duration::from_millis(500);
/// How long it may be at work before a scenario begins all the same.
const SETTLES_WITHIN: Duration = Duration::from_secs(120);

/// A deployment and the units that are measured.
pub(super) struct Stage {
    pub(super) deployment: Deployment,
    pub(super) sources: Vec<(UnitAtTest, Identity)>,
    pub(super) recipients: Vec<(UnitAtTest, Identity)>,
    /// What was loaded beside them.
    pub(super) load: Option<LoadFigures>,
}

impl Stage {
    /// With every half between the measured units off.
    pub(super) async fn apart(sources: usize, recipients: usize, loaded: bool) -> anyhow::Result<Self> {
        let deployment = Deployment::start().await?;
        let mut units = Vec::new();
        for n in 0..sources + recipients {
            let unit = deployment.add_unit(&format!("Z{n:05}"), "gp").await?;
            let identity = deployment.enrol(&unit).await?;
            units.push((unit, identity));
        }
        let load = if loaded {
            let measured: Vec<&UnitAtTest> = units.iter().map(|(unit, _)| unit).collect();
            let figures = load::load(&deployment, &measured).await?;
            settled(deployment.pid()?).await?;
            Some(figures)
        } else {
            None
        };
        Ok(Self {
            deployment,
            recipients: units.split_off(sources),
            sources: units,
            load,
        })
    }

    /// All sources share with all recipients.
    pub(super) async fn joined(sources: usize, recipients: usize, loaded: bool) -> anyhow::Result<Self> {
        let stage = Self::apart(sources, recipients, loaded).await?;
        for (source, _) in &stage.sources {
            for (recipient, _) in &stage.recipients {
                let (from, to) = (&source.ods, &recipient.ods);
                source.admin.set(Side::ShareOut, from, to, true).await?;
                recipient.admin.set(Side::ShareIn, from, to, true).await?;
            }
        }
        Ok(stage)
    }
}

/// Waits, bounded, until the daemon has nothing to do.
pub(super) async fn settled(pid: u32) -> anyhow::Result<()> {
    let end = tokio::time::Instant::now() + SETTLES_WITHIN;
    let mut before = cpu(pid)?;
    while tokio::time::Instant::now() < end {
        tokio::time::sleep(LOOK).await;
        let now = cpu(pid)?;
        if now.saturating_sub(before) <= QUIET_CPU {
            break;
        }
        before = now;
    }
    Ok(())
}
