//! `handfastd init` and `handfastd operator renew`: acts on a state directory, without a server.

use std::{
    fmt::Write as _,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail};
use jiff::Timestamp;

use crate::{
    clock::{Clock, SystemClock},
    consent::Policy,
    enrolment::{Authority, check_trust_domain},
    operator::{OperatorCredential, OperatorDesk},
    random::{OsRandom, Random},
    state_dir::{ServerNames, StateDir},
    store::{Deployment, SqliteStore, Store, StoreError},
};

/// How long the operator's credential holds, in milliseconds: 30 days.
const OPERATOR_LIFETIME_MS: i64 = 30 * 24 * 3600 * 1000;

/// What `init` is asked to make.
#[derive(Debug, Clone)]
pub struct NewDeployment {
    /// Where.
    pub state_dir: PathBuf,
    /// The SPIFFE trust domain.
    pub trust_domain: String,
    /// Names for the daemon's certificate, beside those of its own machine.
    pub dns: Vec<String>,
    /// Whether it is for synthetic data only.
    pub test: bool,
    /// Whether the operator may set any half.
    pub operator_sets_halves: bool,
}

/// Makes a deployment; what to tell the one who asked. One that was broken off is finished.
pub async fn init(wanted: &NewDeployment) -> anyhow::Result<String> {
    check_trust_domain(&wanted.trust_domain)?;
    let clock = SystemClock::default();
    let (now, random) = (clock.now_ms(), OsRandom);
    let dir = StateDir::prepare(&wanted.state_dir)?;
    let _lock = dir.lock()?;
    let make = || Authority::create(&wanted.trust_domain, now, &random);
    let authority = dir.authority_or(&wanted.trust_domain, now, make)?;
    // Refuses names that cannot stand in a certificate before anything depends on them.
    authority.issue_server(&wanted.dns, now, OPERATOR_LIFETIME_MS, &random)?;
    let deployment = Deployment {
        trust_domain: wanted.trust_domain.clone(),
        test: wanted.test,
        policy: Policy::UnlessDissented,
        operator_sets_halves: wanted.operator_sets_halves,
        made_at: now,
    };
    let store = make_store(&dir, &deployment).await?;
    let operator = issue(&dir, &store, &authority, &random, now).await?;
    dir.complete(&ServerNames {
        dns: wanted.dns.clone(),
    })?;
    store.close().await;
    Ok(told_of_init(&dir, &authority, &deployment, &operator))
}

/// Gives the operator a new credential; what to tell the one who asked. Works beside a serving daemon.
pub async fn renew_operator(state_dir: &Path) -> anyhow::Result<String> {
    let clock = SystemClock::default();
    let dir = StateDir::open(state_dir)?;
    let store = SqliteStore::open(dir.root()).await.context("open the store")?;
    let deployment = store.deployment().await.context("read the deployment")?;
    let authority = dir.authority(&deployment.trust_domain, clock.now_ms())?;
    let operator = issue(&dir, &store, &authority, &OsRandom, clock.now_ms()).await?;
    store.close().await;
    Ok(format!(
        "The credential of {} is new and holds until {}: {}\n",
        operator.id,
        day(operator.not_after),
        operator.profile.display()
    ))
}

async fn make_store(dir: &StateDir, deployment: &Deployment) -> anyhow::Result<SqliteStore> {
    match SqliteStore::create(dir.root(), deployment).await {
        Ok(store) => Ok(store),
        // Left by a broken-off init, which must have wanted the same.
        Err(StoreError::Exists(_)) => {
            let store = SqliteStore::open(dir.root()).await.context("open the store")?;
            let there = store.deployment().await.context("read the deployment")?;
            let same = Deployment {
                made_at: there.made_at,
                ..deployment.clone()
            };
            if there != same {
                bail!(
                    "{} was begun with other options ({there:?}): remove it and begin again",
                    dir.root().display()
                );
            }
            Ok(store)
        }
        Err(e) => Err(e).context("make the store"),
    }
}

async fn issue(
    dir: &StateDir,
    store: &dyn Store,
    authority: &Authority,
    random: &dyn Random,
    now: i64,
) -> anyhow::Result<OperatorCredential> {
    let desk = OperatorDesk {
        dir,
        store,
        authority,
        random,
        now,
        lifetime_ms: OPERATOR_LIFETIME_MS,
    };
    desk.issue().await
}

fn told_of_init(
    dir: &StateDir,
    authority: &Authority,
    deployment: &Deployment,
    operator: &OperatorCredential,
) -> String {
    let root = dir.root().display();
    let mut out = String::new();
    let kind = if deployment.test {
        "test deployment (synthetic data only)"
    } else {
        "deployment"
    };
    let fingerprint: String = authority
        .fingerprint()
        .iter()
        .fold(String::new(), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        });
    let lines = [
        format!("Made a {kind} of {} in {root}:", deployment.trust_domain),
        format!("  {root}/ca        its certificate authority. Keep the key safe: who has it is everybody."),
        format!(
            "  {root}/operator  your credential as {}, until {}",
            operator.id,
            day(operator.not_after)
        ),
        format!("  SHA-256 of the authority's certificate: {fingerprint}"),
        String::new(),
        "What to do next:".to_owned(),
        format!("  handfastd serve --state-dir {root} --listen 0.0.0.0:7443"),
        format!("  handfastctl --profile {root}/operator --daemon https://localhost:7443 status"),
        "  handfastctl … unit add ODS --name NAME --kind gp    prints the token for that unit's agent"
            .to_owned(),
        format!("If your credential ever expires: handfastd operator renew --state-dir {root}"),
    ];
    for line in lines {
        out.push_str(&line);
        out.push('\n');
    }
    out
}

fn day(ms: i64) -> String {
    Timestamp::from_millisecond(ms).map_or_else(|_| ms.to_string(), |t| t.strftime("%Y-%m-%d").to_string())
}
