//! `handfastd init` and `handfastd operator renew`: acts on a state directory, without a server.

use std::{
    fmt::Write as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::{Context as _, bail};
use jiff::Timestamp;

use crate::{
    audit::Scribe,
    clock::{Clock, SystemClock},
    consent::{Patients, Policy},
    enrolment::{Authority, check_trust_domain},
    operator::{OperatorCredential, OperatorDesk},
    random::{OsRandom, Random},
    sharing::Days,
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
    /// The zone whose days count.
    pub zone: String,
    /// What is asked of patients.
    pub policy: Policy,
    /// Whose records a half lets through that is set for the first time and does not say.
    pub default_patients: Patients,
}

/// Makes a deployment; what to tell the one who asked. One that was broken off is finished.
pub async fn init(wanted: &NewDeployment) -> anyhow::Result<String> {
    check_trust_domain(&wanted.trust_domain)?;
    Days::of(&wanted.zone).context("--zone")?;
    let clock = SystemClock::default();
    let (now, random) = (clock.now_ms(), OsRandom);
    let dir = StateDir::prepare(&wanted.state_dir)?;
    let _lock = dir.lock()?;
    let make = || Authority::create(&wanted.trust_domain, now, &random);
    let authority = dir.authority_or(&wanted.trust_domain, now, make)?;
    dir.audit_key(&random)?;
    // Refuses names that cannot stand in a certificate before anything depends on them.
    authority.issue_server(&wanted.dns, now, OPERATOR_LIFETIME_MS, &random)?;
    let deployment = Deployment {
        trust_domain: wanted.trust_domain.clone(),
        test: wanted.test,
        policy: wanted.policy,
        zone: wanted.zone.clone(),
        default_patients: wanted.default_patients,
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
    let scribe = Scribe::new(Arc::new(OsRandom));
    let desk = OperatorDesk {
        scribe: &scribe,
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
        format!(
            "  policy {}, patients {}, days of {}",
            match deployment.policy {
                Policy::UnlessDissented => "unless-dissented",
                Policy::Explicit => "explicit",
            },
            match deployment.default_patients {
                Patients::All => "all",
                Patients::Caseload => "caseload",
            },
            deployment.zone
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

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt as _};

    use super::*;
    use crate::{state_dir::StateError, store::With};

    fn wanted(dir: &Path) -> NewDeployment {
        NewDeployment {
            state_dir: dir.join("state"),
            trust_domain: "care.example".to_owned(),
            dns: vec!["daemon.example".to_owned()],
            test: true,
            operator_sets_halves: false,
            zone: "Europe/London".to_owned(),
            policy: Policy::UnlessDissented,
            default_patients: Patients::All,
        }
    }

    fn modes(dir: &Path) -> Vec<(PathBuf, u32)> {
        let mut found = vec![(
            dir.to_owned(),
            fs::metadata(dir).unwrap().permissions().mode() & 0o777,
        )];
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                found.extend(modes(&path));
            } else {
                let mode = fs::metadata(&path).unwrap().permissions().mode() & 0o777;
                found.push((path, mode));
            }
        }
        found
    }

    #[tokio::test]
    async fn a_deployment_is_made_once_and_for_its_owner_only() {
        let tmp = tempfile::tempdir().unwrap();
        let wanted = wanted(tmp.path());
        let wanted = NewDeployment {
            zone: "Europe/Dublin".to_owned(),
            policy: Policy::Explicit,
            default_patients: Patients::Caseload,
            ..wanted
        };
        let told = init(&wanted).await.unwrap();
        assert!(
            told.contains("test deployment") && told.contains("handfastd serve"),
            "{told}"
        );
        for (path, mode) in modes(&wanted.state_dir) {
            let expected = if path.is_dir() { 0o700 } else { 0o600 };
            assert_eq!(mode, expected, "{}", path.display());
        }
        let key = fs::read(wanted.state_dir.join("ca/key.pem")).unwrap();
        let store = SqliteStore::open(&wanted.state_dir).await.unwrap();
        let made = store.deployment().await.unwrap();
        assert_eq!(
            (made.policy, made.default_patients),
            (wanted.policy, wanted.default_patients)
        );
        assert_eq!(made.zone, wanted.zone);
        store.close().await;
        let again = init(&wanted).await.unwrap_err();
        assert!(
            matches!(again.downcast_ref(), Some(StateError::Exists(_))),
            "{again:#}"
        );
        assert_eq!(fs::read(wanted.state_dir.join("ca/key.pem")).unwrap(), key);
        let dir = StateDir::open(&wanted.state_dir).unwrap();
        assert_eq!(dir.names().unwrap().dns, wanted.dns);
    }

    #[tokio::test]
    async fn an_init_that_was_broken_off_is_finished_by_the_next() {
        let tmp = tempfile::tempdir().unwrap();
        let wanted = wanted(tmp.path());
        init(&wanted).await.unwrap();
        fs::remove_file(wanted.state_dir.join("server.toml")).unwrap();
        fs::remove_dir_all(wanted.state_dir.join("operator")).unwrap();
        assert!(
            StateDir::open(&wanted.state_dir).is_err(),
            "half a deployment is not served"
        );
        let other = NewDeployment {
            operator_sets_halves: true,
            ..wanted.clone()
        };
        assert!(init(&other).await.is_err(), "the same was not wanted");
        init(&wanted).await.unwrap();
        assert!(wanted.state_dir.join("operator/key.pem").exists());
    }

    #[tokio::test]
    async fn nothing_is_made_of_bad_names() {
        let tmp = tempfile::tempdir().unwrap();
        let mut bad = wanted(tmp.path());
        bad.trust_domain = "Care Example".to_owned();
        assert!(init(&bad).await.is_err());
        let mut bad = wanted(tmp.path());
        bad.zone = "Europe/Leicester".to_owned();
        assert!(format!("{:#}", init(&bad).await.unwrap_err()).contains("no time zone"));
        assert!(!bad.state_dir.exists());
    }

    #[tokio::test]
    async fn the_operator_gets_a_new_credential_and_a_revoked_one_a_new_name() {
        let tmp = tempfile::tempdir().unwrap();
        let wanted = wanted(tmp.path());
        init(&wanted).await.unwrap();
        let profile = wanted.state_dir.join("operator");
        let read = |name: &str| fs::read_to_string(profile.join(name)).unwrap();
        let settings = format!(
            "daemon = \"https://daemon.example:7443\"\n{}",
            read("profile.toml")
        );
        fs::write(profile.join("profile.toml"), &settings).unwrap();
        let before = (read("key.pem"), read("cert.pem"));
        renew_operator(&wanted.state_dir).await.unwrap();
        assert_ne!(before.0, read("key.pem"));
        assert_ne!(before.1, read("cert.pem"));
        assert_eq!(read("profile.toml"), settings);

        let store = SqliteStore::open(&wanted.state_dir).await.unwrap();
        let operator = "operator".parse().unwrap();
        store
            .revoke_person(&operator, "lost", 1, &With::nothing())
            .await
            .unwrap();
        store.close().await;
        let told = renew_operator(&wanted.state_dir).await.unwrap();
        assert!(told.contains("operator-"), "{told}");
        assert!(read("profile.toml").contains("person/operator-"));
        assert!(read("profile.toml").contains("https://daemon.example:7443"));
    }
}
