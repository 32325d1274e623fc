//! Everyone who calls: each role of two units, their agents, the operator, and two who are nobody.

use std::path::Path;

use anyhow::Context as _;
use handfast_integration_tests::harness::{Deployment, Identity, UnitAtTest, Windows, connect};
use tonic::transport::Channel;

use crate::probes::Fixtures;

/// A unit with people in every role.
pub(crate) const OWN: &str = "Z00001";
/// Another one.
pub(crate) const OTHER: &str = "Z00002";
/// A unit without an administrator.
pub(crate) const UNSTAFFED: &str = "Z00003";

/// A unit that shares out towards both.
const SOURCE: &str = "Z00004";

/// Roles of a unit's people beside its administrator.
const ROLES: [&str; 3] = ["clinician", "privacy-officer", "auditor"];

/// Someone who calls.
pub(crate) struct Caller {
    /// For people.
    pub(crate) name: String,
    /// As the table's columns have it.
    pub(crate) role: &'static str,
    /// Whose.
    pub(crate) unit: Option<&'static str>,
    /// With their certificate; `None`: without one.
    pub(crate) channel: Option<Channel>,
}

/// Enrols them all.
pub(crate) async fn all_callers(deployment: &Deployment) -> anyhow::Result<(Vec<Caller>, Fixtures)> {
    let (mut callers, mut fixtures) = (Vec::new(), Fixtures::default());
    let operator = Identity::load(&deployment.operator())?;
    callers.push(caller(deployment, "the operator", "operator", None, &operator).await?);
    callers.push(Caller {
        name: "nobody".to_owned(),
        role: "nobody",
        unit: None,
        channel: None,
    });
    let source = deployment.add_unit(SOURCE, "gp").await?;
    for ods in [OWN, OTHER] {
        let unit = deployment.add_unit(ods, "gp").await?;
        let agent = deployment.enrol(&unit).await?;
        callers.push(caller(deployment, "agent", "agent", Some(ods), &agent).await?);
        let admin = Identity::load(&unit.admin_profile)?;
        callers.push(caller(deployment, "administrator", "unit-admin", Some(ods), &admin).await?);
        let mut clinician = None;
        for role in ROLES {
            let (_, profile) = deployment.hire(&unit, role, role).await?;
            let person = Identity::load(&profile)?;
            callers.push(caller(deployment, role, role, Some(ods), &person).await?);
            // The first of them.
            clinician.get_or_insert(profile);
        }
        let clinician = clinician.context("a clinician")?;
        let access = access(deployment, &source, ods, &clinician).await?;
        fixtures.accesses.insert(ods, access);
        // Whoever is to be changed or revoked by the probes.
        let (spare, _) = deployment.hire(&unit, "clinician", "spare").await?;
        fixtures.spares.insert(ods, spare);
        let (id, profile) = deployment.hire(&unit, "clinician", "gone").await?;
        let revoked = Identity::load(&profile)?;
        let revoke = ["person", "revoke", &id, "--reason", "left"];
        deployment.operate(&revoke).await?;
        fixtures.alerts.insert(ods, alert(deployment, &unit).await?);
        callers.push(caller(deployment, "a revoked clinician", "nobody", Some(ods), &revoked).await?);
    }
    let add = ["unit", "add", UNSTAFFED, "--name", "Empty", "--kind", "gp"];
    deployment.operate(&add).await?;
    let add = [
        "person",
        "add",
        "--unit",
        UNSTAFFED,
        "--role",
        "clinician",
        "--name",
        "spare",
    ];
    let spare = deployment.operate(&add).await?.json()?;
    fixtures.spares.insert(UNSTAFFED, id(&spare)?);
    fixtures.token = deployment.operate(&["unit", "token", UNSTAFFED]).await?.token()?;
    Ok((callers, fixtures))
}

/// An emergency access that a clinician asks for.
async fn access(
    deployment: &Deployment,
    source: &UnitAtTest,
    recipient: &str,
    clinician: &Path,
) -> anyhow::Result<u64> {
    let share = [
        "agreement",
        "share-out",
        "--from",
        SOURCE,
        "--to",
        recipient,
        "on",
    ];
    deployment.ctl(&source.admin_profile, &share).await?.ok()?;
    let request = [
        "emergency",
        "request",
        "--patient",
        "9990000018",
        "--from",
        SOURCE,
        "--note",
        "a test",
    ];
    let asked = deployment.ctl(clinician, &request).await?.ok()?.json()?;
    asked["access"]["id"].as_u64().context("the number of an access")
}

/// The alert that the operator revoked somebody.
async fn alert(deployment: &Deployment, unit: &UnitAtTest) -> anyhow::Result<u64> {
    let list = deployment
        .ctl(&unit.admin_profile, &["alerts", "list"])
        .await?
        .ok()?;
    list.json()?["alerts"][0]["id"].as_u64().context("an alert")
}

fn id(added: &serde_json::Value) -> anyhow::Result<String> {
    Ok(added["person"]["id"].as_str().context("an id")?.to_owned())
}

async fn caller(
    deployment: &Deployment,
    name: &str,
    role: &'static str,
    unit: Option<&'static str>,
    identity: &Identity,
) -> anyhow::Result<Caller> {
    Ok(Caller {
        name: unit.map_or_else(|| name.to_owned(), |unit| format!("{name} of {unit}")),
        role,
        unit,
        channel: Some(connect(&deployment.url(), identity, Windows::default()).await?),
    })
}
