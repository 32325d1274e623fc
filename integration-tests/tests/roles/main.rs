//! Who may what: every call of every service, tried by every role of two units, by the operator and by nobody,
//! against the table in ARCHITECTURE.md.
//!
//! Detects: a call that a role may make and the table says it may not, or the other way round; a call that
//! reaches another unit; a call of the contract that the table, or this test, does not know.

mod callers;
mod probes;
mod raw;
mod table;

use std::{collections::BTreeSet, time::Duration};

use anyhow::{Context as _, ensure};
use handfast_integration_tests::harness::{Deployment, connect_anonymous};
use handfast_proto::v1::FILE_DESCRIPTOR_SET;
use prost::Message as _;
use prost_types::FileDescriptorSet;
use tonic::Code;

use callers::{Caller, OTHER, OWN, UNSTAFFED, all_callers};
use probes::{Fixtures, Probe, probes};
use table::{May, Table};

/// How long one call may take.
const SOON: Duration = Duration::from_secs(20);

/// Every call of the contract, `Service.Method`.
fn calls_of_the_contract() -> anyhow::Result<BTreeSet<String>> {
    let set = FileDescriptorSet::decode(FILE_DESCRIPTOR_SET)?;
    let services = set.file.iter().flat_map(|file| &file.service);
    let calls = services.flat_map(|s| s.method.iter().map(move |m| format!("{}.{}", s.name(), m.name())));
    Ok(calls.collect())
}

#[test]
fn the_table_and_the_test_know_every_call() -> anyhow::Result<()> {
    let contract = calls_of_the_contract()?;
    let table = Table::read()?;
    let of_table: BTreeSet<String> = table.calls().map(|row| bare(row).to_owned()).collect();
    ensure!(
        of_table == contract,
        "ARCHITECTURE.md, \"Who may what\", lacks {:?} and has too many {:?}",
        contract.difference(&of_table).collect::<Vec<_>>(),
        of_table.difference(&contract).collect::<Vec<_>>()
    );
    let tried: BTreeSet<String> = probes(&Fixtures::default())
        .iter()
        .map(|probe| probe.row.to_owned())
        .collect();
    let rows: BTreeSet<String> = table.calls().map(str::to_owned).collect();
    ensure!(
        tried == rows,
        "tests/roles/probes.rs lacks {:?} and has too many {:?}",
        rows.difference(&tried).collect::<Vec<_>>(),
        tried.difference(&rows).collect::<Vec<_>>()
    );
    Ok(())
}

/// A row's call, without the part in brackets that says which use of it is meant.
fn bare(row: &str) -> &str {
    row.split(" (").next().unwrap_or(row)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_role_may_what_the_table_says_and_nothing_else() -> anyhow::Result<()> {
    let table = Table::read()?;
    let deployment = Deployment::start().await?;
    let (callers, fixtures) = all_callers(&deployment).await?;
    let mut faults = Vec::new();
    for probe in probes(&fixtures) {
        for caller in &callers {
            let want = table.may(probe.row, caller.role)?;
            let found = found(&deployment, &probe, caller).await?;
            if !found.is(want, caller.role) {
                faults.push(format!(
                    "{} by {}: {found:?}, the table says {want:?}",
                    probe.row, caller.name
                ));
            }
        }
    }
    ensure!(faults.is_empty(), "\n{}", faults.join("\n"));
    deployment.finished();
    Ok(())
}

/// Whether a call was let in, of each unit that it was tried on.
#[derive(Debug)]
struct Found {
    own: bool,
    other: bool,
    unstaffed: bool,
}

impl Found {
    fn is(&self, want: May, role: &str) -> bool {
        let all = [self.own, self.other, self.unstaffed];
        match want {
            May::Yes => all == [true; 3],
            May::No => all == [false; 3],
            May::Own => all == [true, false, false],
            // A unit without an administrator has no people of its own.
            May::Unstaffed => role == "operator" && all == [false, false, true],
        }
    }
}

async fn found(deployment: &Deployment, probe: &Probe, caller: &Caller) -> anyhow::Result<Found> {
    // The second unit's people are at home where the first's are not.
    let (own, other) = if caller.unit == Some(OTHER) {
        (OTHER, OWN)
    } else {
        (OWN, OTHER)
    };
    let mut found = [false; 3];
    for (at, target) in [own, other, UNSTAFFED].into_iter().enumerate() {
        found[at] = let_in(deployment, probe, caller, target).await?;
        if !probe.has_target {
            found = [found[0]; 3];
            break;
        }
    }
    let [own, other, unstaffed] = found;
    Ok(Found {
        own,
        other,
        unstaffed,
    })
}

/// Whether the daemon let a call in: it answered, or refused it for something else than who asks.
async fn let_in(
    deployment: &Deployment,
    probe: &Probe,
    caller: &Caller,
    target: &'static str,
) -> anyhow::Result<bool> {
    let channel = match &caller.channel {
        Some(channel) => channel.clone(),
        None => connect_anonymous(&deployment.url(), &deployment.ca_pem()?).await?,
    };
    let what = || format!("{} by {} on {target}", probe.row, caller.name);
    let call = raw::call(channel, bare(probe.row), probe.body(target));
    let answer = tokio::time::timeout(SOON, call).await.with_context(what)?;
    match answer {
        Ok(()) => Ok(true),
        Err(status) => match status.code() {
            Code::PermissionDenied | Code::Unauthenticated => Ok(false),
            Code::InvalidArgument | Code::NotFound | Code::AlreadyExists | Code::FailedPrecondition => {
                Ok(true)
            }
            _ => Err(anyhow::Error::new(status).context(what())),
        },
    }
}
