//! The agent's parts, made from its settings and started as tasks.

use std::{path::PathBuf, sync::Arc};

use anyhow::Context as _;
use handfast_proto::ids::OdsCode;
use tokio_util::sync::CancellationToken;

use super::{inputs, status_file::StatusWriter};
use crate::{
    clock::Clock,
    config::{Config, OutputKind},
    identity::CurrentIdentity,
    input::{InputContext, follow_copies},
    lifecycle::{Supervisor, watchdog},
    link::{
        Link,
        downlink::{self, DownlinkContext},
        uplink::{self, UplinkContext},
    },
    output::{
        self, Output,
        directory::DirectoryOutput,
        fhir::{FhirOutput, FhirSettings},
    },
    status::StatusBoard,
    store::{
        inbox::{Inbox, OutputSpec},
        outbox::{Disk, Outbox},
    },
};

/// What every part may need.
pub(super) struct Parts {
    pub(super) unit: OdsCode,
    pub(super) config: Config,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) board: StatusBoard,
    pub(super) link: Link,
    pub(super) outbox: Arc<Outbox>,
    pub(super) inbox: Inbox,
    /// The daemon's.
    pub(super) trust_domain: String,
}

impl Parts {
    /// The outputs, each at its place in the inbox's queue.
    pub(super) async fn start_outputs(&self, tasks: &mut Supervisor) -> anyhow::Result<()> {
        let outputs = &self.config.outputs;
        let specs: Vec<OutputSpec> = outputs.iter().map(spec).collect();
        let gone = self
            .inbox
            .set_outputs(&specs)
            .await
            .context("enter the outputs in the inbox")?;
        for name in gone {
            tracing::warn!(
                output = name,
                "this output is no longer configured: what it wrote stays where it is, and no withdrawal will \
                 remove it"
            );
        }
        for configured in outputs {
            let name = &configured.name;
            let made: Box<dyn Output> = match &configured.kind {
                OutputKind::Directory { path } => {
                    Box::new(DirectoryOutput::new(name, path.clone(), self.inbox.clone()))
                }
                OutputKind::Fhir(fhir) => {
                    let settings = FhirSettings {
                        base_url: fhir.base_url.clone(),
                        credentials_file: fhir.credentials_file.clone(),
                        ca_file: fhir.ca_file.clone(),
                        timeout: fhir.timeout,
                    };
                    Box::new(FhirOutput::new(name, settings, self.inbox.clone()))
                }
            };
            let board = self.board.output(name, configured.kind.type_name());
            let task = endless(output::run(made, self.inbox.clone(), board, tasks.stop()));
            tasks.spawn(format!("the output {name}"), task);
        }
        Ok(())
    }

    /// The inputs. When this returns, each listens or watches.
    pub(super) async fn start_inputs(&self, tasks: &mut Supervisor) -> anyhow::Result<()> {
        let codec = inputs::codec(&self.config, self.unit);
        for configured in &self.config.inputs {
            let name = &configured.name;
            let ctx = InputContext {
                unit: self.unit,
                outbox: Arc::clone(&self.outbox),
                inbox: self.inbox.clone(),
                codec: Arc::clone(&codec),
                board: self.board.input(name, configured.kind.type_name()),
                clock: Arc::clone(&self.clock),
            };
            let input = inputs::open(configured, ctx).await;
            let input = input.with_context(|| format!("the input {name}"))?;
            let stop = tasks.stop();
            tasks.spawn(
                format!("the input {name}"),
                async move { Ok(input.run(stop).await?) },
            );
        }
        Ok(())
    }

    /// The two streams to the daemon, over one connection.
    pub(super) fn start_links(&self, tasks: &mut Supervisor) {
        let uplink = UplinkContext {
            link: self.link.clone(),
            outbox: Arc::clone(&self.outbox),
            board: self.board.clone(),
            clock: Arc::clone(&self.clock),
        };
        tasks.spawn("the uplink", endless(uplink::run(uplink, tasks.stop())));
        let downlink = DownlinkContext {
            link: self.link.clone(),
            inbox: self.inbox.clone(),
            board: self.board.clone(),
            trust_domain: self.trust_domain.clone(),
        };
        tasks.spawn("the downlink", endless(downlink::run(downlink, tasks.stop())));
    }

    /// Those that look on, and keep in step.
    pub(super) fn start_watchers(
        &self,
        tasks: &mut Supervisor,
        state_dir: PathBuf,
        identity: Arc<CurrentIdentity>,
    ) {
        let writer = StatusWriter {
            state_dir,
            clock: Arc::clone(&self.clock),
            board: self.board.clone(),
            identity,
            outbox: Arc::clone(&self.outbox),
            inbox: self.inbox.clone(),
        };
        tasks.spawn("the writer of status.json", writer.run(tasks.stop()));
        let disk = show_disk(Arc::clone(&self.outbox), self.board.clone(), tasks.stop());
        tasks.spawn("the watch on the outbox's disk", disk);
        let (inbox, stop) = (self.inbox.clone(), tasks.stop());
        let clean = async move {
            stop.run_until_cancelled(inbox.keep_clean()).await;
        };
        tasks.spawn("the cleaning of the inbox", endless(clean));
        let (following, stop) = (
            follow_copies(self.inbox.clone(), Arc::clone(&self.outbox)),
            tasks.stop(),
        );
        let following = async move {
            stop.run_until_cancelled(following).await;
        };
        tasks.spawn("the following of received patients", endless(following));
        tasks.spawn("the watchdog", endless(watchdog(tasks.stop())));
    }
}

/// An output as the inbox knows it: by its name, and by what it writes to, because one that was pointed
/// elsewhere must be compared anew.
fn spec(output: &crate::config::Output) -> OutputSpec {
    OutputSpec {
        name: output.name.clone(),
        kind: match &output.kind {
            OutputKind::Directory { path } => format!("directory {}", path.display()),
            OutputKind::Fhir(fhir) => format!("fhir {}", fhir.base_url),
        },
    }
}

/// A task that ends only when it is asked to.
async fn endless(task: impl Future<Output = ()>) -> anyhow::Result<()> {
    task.await;
    Ok(())
}

/// Shows on the board whether the outbox's disk takes what is written.
async fn show_disk(outbox: Arc<Outbox>, board: StatusBoard, stop: CancellationToken) -> anyhow::Result<()> {
    let mut disk = outbox.disk();
    loop {
        let full = matches!(&*disk.borrow_and_update(), Disk::Full);
        board.disk_full("outbox", full);
        match stop.run_until_cancelled(disk.changed()).await {
            None => return Ok(()),
            Some(changed) => changed.context("the outbox has stopped")?,
        }
    }
}
