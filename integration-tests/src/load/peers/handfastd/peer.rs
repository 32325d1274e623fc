//! handfastd itself, as it is: on SQLite, with the gate, the ledger, the audit log, the chain and mutual TLS;
//! none of them can be turned off.

use std::sync::Arc;

use anyhow::Context as _;

use super::{
    desks::{Desk, join, open},
    prepared::{Prepared, Unit},
};
use crate::{
    harness::Deployment,
    load::{
        peers::{
            batches::Batches,
            clients,
            options::{Beside, Kind, Shape},
            peer::{About, Client, Peer},
            work::Work,
        },
        report::words::count,
    },
};

/// A daemon in which the sources of a shape share with all its recipients.
pub(in crate::load::peers) struct Handfastd {
    deployment: Deployment,
    sources: Vec<Unit>,
    recipients: Vec<Unit>,
    beside: Beside,
    batches: Arc<Batches>,
}

impl Handfastd {
    pub(in crate::load::peers) async fn start(
        prepared: &Prepared,
        shape: Shape,
        batches: Arc<Batches>,
    ) -> anyhow::Result<Self> {
        let deployment = prepared.deployment.copied().await?;
        let of = |units: &[Unit], n: usize| units.get(..n).map(<[Unit]>::to_vec);
        let sources = of(&prepared.sources, shape.sources).context("sources for the shape")?;
        let recipients = of(&prepared.recipients, shape.recipients).context("recipients for the shape")?;
        let desks: Vec<Desk> = sources
            .iter()
            .chain(&recipients)
            .map(|unit| unit.desk.clone())
            .collect();
        let desks = open(&deployment.url(), &desks).await?;
        let to = shape.sources..shape.sources + shape.recipients;
        let pairs =
            (0..shape.sources).flat_map(|source| to.clone().map(move |recipient| (source, recipient)));
        join(&desks, pairs, || {}).await?;
        Ok(Self {
            deployment,
            sources,
            recipients,
            beside: prepared.beside,
            batches,
        })
    }
}

impl Peer for Handfastd {
    fn about(&self) -> About {
        let mut settings = vec![
            "SQLite, every commit of the log synced, and of the projection, which is derived from it, at its \
             checkpoints; mutual TLS 1.3, consent, ledger, audit and recovery on, as always"
                .to_owned(),
        ];
        let Beside { agreements, patients } = self.beside;
        settings.push(format!(
            "holds {} other agreements and what {} patients said",
            count(agreements.into()),
            count(patients.into())
        ));
        settings.extend(clients::about());
        About {
            peer: Kind::Handfastd,
            version: format!("Handfast {}", env!("CARGO_PKG_VERSION")),
            settings,
        }
    }

    fn pid(&self) -> anyhow::Result<u32> {
        self.deployment.pid()
    }

    fn source(&self, place: usize, work: Arc<Work>) -> anyhow::Result<Client> {
        let identity = self.sources.get(place).context("a source")?.agent.clone();
        let (url, batches) = (self.deployment.url(), Arc::clone(&self.batches));
        Ok(Box::pin(clients::source(url, identity, place, batches, work)))
    }

    fn recipient(&self, place: usize, work: Arc<Work>) -> anyhow::Result<Client> {
        let identity = self.recipients.get(place).context("a recipient")?.agent.clone();
        let url = self.deployment.url();
        Ok(Box::pin(clients::recipient(url, identity, place, work)))
    }

    fn finished(self: Box<Self>) {
        self.deployment.finished();
    }
}
