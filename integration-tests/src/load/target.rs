//! The daemon under load: one of its own in a temporary folder, or a given one that was made for synthetic data.
//! Either way units are enrolled and people act through the services that everybody uses.

use std::{
    collections::{BTreeMap, HashSet},
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::{Context as _, ensure};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use handfast_proto::v1::{
    AddPersonRequest, ListUnitsRequest, RegisterUnitRequest, RetireUnitRequest, Role, StatusRequest,
    StatusResponse, UnitKind, people_client::PeopleClient, units_client::UnitsClient,
};
use tonic::transport::Channel;

use super::{check::Pair, drive::Agent, plan::Unit};
use crate::harness::{AgentProcess, Deployment, Identity, SharedConnection, Windows, connect};

/// Units enrolled at one time.
const ENROLLED_AT_ONCE: usize = 8;
/// Codes that are tried for units whose own are taken: all of five digits.
const LAST_CODE: u32 = 99_999;

/// Where a given daemon is, and the operator's profile there, made by `handfastctl enrol`.
#[derive(Debug, Clone)]
pub struct Given {
    /// `https://HOST:PORT`.
    pub url: String,
    /// `key.pem`, `cert.pem`, `ca.pem`.
    pub profile: PathBuf,
    /// Its process and its state's folder, where they are on this machine and are to be measured.
    pub process: Option<(u32, PathBuf)>,
}

/// A unit that takes part.
#[derive(Debug, Clone)]
pub(super) struct Enrolled {
    pub(super) ods: String,
    /// Its agent's token, not used yet.
    token: String,
    /// Its administrator's connection.
    pub(super) desk: Channel,
}

/// A daemon and its operator.
pub(super) struct Target {
    pub(super) url: String,
    ca_pem: String,
    operator: Channel,
    own: Option<Deployment>,
    process: Option<(u32, PathBuf)>,
    taken: HashSet<String>,
    /// Units that this load enrolled.
    enrolled: Vec<String>,
}

impl Target {
    /// Starts a daemon, or looks at the given one: it must say that it was made with `init --test`.
    pub(super) async fn open(given: Option<&Given>) -> anyhow::Result<Self> {
        let (url, profile, own) = match given {
            Some(given) => (given.url.clone(), given.profile.clone(), None),
            None => {
                let own = Deployment::apart().await?;
                (own.url(), own.operator(), Some(own))
            }
        };
        let identity = Identity::load(&profile).with_context(|| {
            format!(
                "read the operator's profile {}: `handfastctl enrol` makes one",
                profile.display()
            )
        })?;
        let operator = connect(&url, &identity, Windows::default())
            .await
            .with_context(|| format!("connect to {url}"))?;
        let mut target = Self {
            url,
            ca_pem: identity.ca_pem,
            operator,
            own,
            process: given.and_then(|given| given.process.clone()),
            taken: HashSet::new(),
            enrolled: Vec::new(),
        };
        let status = target.status().await?;
        ensure!(
            status.test,
            "{} is not a test deployment, and a load would write into it: only one made with `handfastd init \
             --test` is driven",
            target.url
        );
        let units = UnitsClient::new(target.operator.clone())
            .list(ListUnitsRequest {})
            .await?;
        target.taken = units
            .into_inner()
            .units
            .into_iter()
            .map(|unit| unit.ods)
            .collect();
        Ok(target)
    }

    async fn status(&self) -> anyhow::Result<StatusResponse> {
        let status = UnitsClient::new(self.operator.clone())
            .status(StatusRequest {})
            .await;
        Ok(status.context("ask how the deployment stands")?.into_inner())
    }

    /// The process id of its own daemon, or of one that is to be measured.
    pub(super) fn pid(&self) -> Option<u32> {
        let given = self.process.as_ref().map(|(pid, _)| *pid);
        self.own.as_ref().map_or(given, |own| own.pid().ok())
    }

    /// The state of that daemon.
    pub(super) fn state_dir(&self) -> Option<&Path> {
        let given = self.process.as_ref().map(|(_, state)| state.as_path());
        self.own.as_ref().map(Deployment::state_dir).or(given)
    }

    /// Enrols units, each with an administrator; in the order given. A code that is taken is replaced.
    pub(super) async fn enrol(&mut self, units: &[Unit], each: impl Fn()) -> anyhow::Result<Vec<Enrolled>> {
        let mut named = Vec::new();
        for unit in units {
            let ods = self.free_code(&unit.ods)?;
            self.taken.insert(ods.clone());
            self.enrolled.push(ods.clone());
            named.push((ods, unit.kind));
        }
        let (operator, url, ca_pem, each) = (&self.operator, &self.url, &self.ca_pem, &each);
        stream::iter(named)
            .map(|(ods, kind)| async move {
                let unit = enrol(operator, url, ca_pem, &ods, kind).await;
                each();
                unit.with_context(|| format!("enrol {ods}"))
            })
            .buffered(ENROLLED_AT_ONCE)
            .try_collect()
            .await
    }

    fn free_code(&self, wanted: &str) -> anyhow::Result<String> {
        if !self.taken.contains(wanted) {
            return Ok(wanted.to_owned());
        }
        let mut others = (1..=LAST_CODE).map(|n| format!("Z{n:05}"));
        let free = others.find(|code| !self.taken.contains(code));
        free.context("every synthetic ODS code (Z and five digits) of this deployment is taken")
    }

    /// The agents of units: clients, or where there is a folder for them, the program itself.
    pub(super) async fn agents(&self, units: &[Enrolled], dir: Option<&Path>) -> anyhow::Result<Vec<Agent>> {
        stream::iter(units)
            .map(|unit| async move {
                let agent = match dir {
                    None => {
                        let identity = Identity::enrol(&self.url, &self.ca_pem, &unit.token).await?;
                        Agent::Protocol(SharedConnection::new(&self.url, &identity))
                    }
                    Some(dir) => {
                        let dir = dir.join(&unit.ods);
                        let agent = AgentProcess::enrol(&dir, &self.url, &unit.token).await?;
                        Agent::Full(Arc::new(agent.apart()))
                    }
                };
                anyhow::Ok(agent)
            })
            .buffered(ENROLLED_AT_ONCE)
            .try_collect()
            .await
    }

    /// Amendments withheld between these units since the daemon started, by reason. From `Units.Status`, which
    /// tells it the operator: counted where the gate decides about the live feed, once an amendment and pair.
    pub(super) async fn withheld(
        &self,
        pairs: &HashSet<(&str, &str)>,
    ) -> anyhow::Result<BTreeMap<String, u64>> {
        let mut all = BTreeMap::new();
        for pair in self.status().await?.pairs {
            if pairs.contains(&(pair.source.as_str(), pair.recipient.as_str())) {
                for withheld in pair.withheld {
                    *all.entry(withheld.reason).or_insert(0) += withheld.count;
                }
            }
        }
        Ok(all)
    }

    /// Ends its own daemon; leaves a given one with the load's units retired.
    pub(super) async fn leave(self) -> anyhow::Result<()> {
        if let Some(own) = self.own {
            own.finished();
            return Ok(());
        }
        for ods in self.enrolled {
            let retire = RetireUnitRequest {
                ods: ods.clone(),
                reason: "the load is over".to_owned(),
            };
            let retired = UnitsClient::new(self.operator.clone()).retire(retire).await;
            retired.with_context(|| format!("retire {ods}, which took part in the load"))?;
        }
        Ok(())
    }
}

async fn enrol(
    operator: &Channel,
    url: &str,
    ca_pem: &str,
    ods: &str,
    kind: &str,
) -> anyhow::Result<Enrolled> {
    let register = RegisterUnitRequest {
        ods: ods.to_owned(),
        name: format!("Load {ods}"),
        kind: kind_of(kind).into(),
    };
    let unit = UnitsClient::new(operator.clone())
        .register(register)
        .await?
        .into_inner();
    let add = AddPersonRequest {
        name: format!("An administrator of {ods}"),
        unit: ods.to_owned(),
        role: Role::UnitAdmin.into(),
    };
    let person = PeopleClient::new(operator.clone()).add(add).await?.into_inner();
    let token = |token: Option<handfast_proto::v1::Token>| token.map(|token| token.token).context("a token");
    let administrator = Identity::enrol(url, ca_pem, &token(person.token)?).await?;
    Ok(Enrolled {
        ods: ods.to_owned(),
        token: token(unit.token)?,
        desk: connect(url, &administrator, Windows::default()).await?,
    })
}

fn kind_of(name: &str) -> UnitKind {
    match name {
        "acute" => UnitKind::Acute,
        "community" => UnitKind::Community,
        "urgent-care" => UnitKind::UrgentCare,
        "mental-health" => UnitKind::MentalHealth,
        "hospice" => UnitKind::Hospice,
        "social-care" => UnitKind::SocialCare,
        _ => UnitKind::Gp,
    }
}

/// The codes of pairs.
pub(super) fn codes<'a>(units: &'a [Enrolled], pairs: &[Pair]) -> HashSet<(&'a str, &'a str)> {
    let code = |place: u32| units.get(place as usize).map(|unit| unit.ods.as_str());
    pairs
        .iter()
        .filter_map(|(source, recipient)| Some((code(*source)?, code(*recipient)?)))
        .collect()
}
