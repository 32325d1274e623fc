//! A1: refused calls are in the log, a view that a recipient's agent reports is, and heads are signed and published
//! without anybody asking for one.
//!
//! Meant to detect: a refused call of somebody who can be named that is not entered, or not for their own unit's
//! officers to see; refused calls of nobody in particular that are not counted; a reported view that
//! does not come to the log, to the report in words or to its page; heads that are signed only when asked for; and a
//! published head that cannot be verified.

use std::{collections::BTreeMap, fs, path::Path, time::Duration};

use anyhow::{Context as _, ensure};
use handfast_integration_tests::harness::{
    Audited, Deployment, Ward, connect_anonymous, free_port, http, nhs_number, patient_line, wait_until,
    wait_until_async,
};
use handfast_proto::{
    merkle::{KeyId, PublicKey, SignedHead, TreeHash, TreeHead},
    v1::{ListUnitsRequest, units_client::UnitsClient},
};
use serde_json::Value;

const SOON: Duration = Duration::from_secs(60);

/// What the entries of a kind say, for whoever may read them.
async fn entries(deployment: &Deployment, reader: &Path, kind: &str) -> anyhow::Result<Vec<Value>> {
    let args = ["audit", "search", "--kind", kind, "--reason", "a test"];
    let found = deployment.ctl(reader, &args).await?.ok()?.json()?;
    Ok(found["entries"].as_array().context("entries")?.clone())
}

/// Waits for an entry of a kind that says something, by somebody.
async fn entered(
    deployment: &Deployment,
    reader: &Path,
    kind: &str,
    says: &str,
    by: &str,
) -> anyhow::Result<()> {
    wait_until_async(&format!("{kind} says {says}"), SOON, || async {
        let all = entries(deployment, reader, kind)
            .await
            .map_err(|e| format!("{e:#}"))?;
        let has =
            |entry: &Value, part: &str, text: &str| entry[part].as_str().is_some_and(|t| t.contains(text));
        let found = all
            .iter()
            .any(|entry| has(entry, "what", says) && has(entry, "by", by));
        found.then_some(()).ok_or_else(|| format!("{all:?}"))
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a1_refused_calls_are_entered_for_those_whose_people_made_them() -> anyhow::Result<()> {
    let told = Audited::new().await?;
    let deployment = &told.deployment;
    let unit = told.units.first().context("a unit")?;
    // Somebody with a role that does not go with the call.
    let search = ["audit", "search", "--reason", "curious"];
    let denied = deployment.ctl(&unit.admin_profile, &search).await?;
    ensure!(denied.code == 3, "{denied:?}");
    entered(
        deployment,
        &told.officer,
        "call-refused",
        "was refused Audit.Search",
        "a-unit-admin",
    )
    .await?;
    // Somebody who has left: no unit of theirs is in force, and its officers are told all the same.
    let (id, profile) = deployment.hire(unit, "clinician", "Left").await?;
    told.act(0, &["person", "revoke", &id, "--reason", "left"])
        .await?;
    let gone = deployment.ctl(&profile, &["unit", "list"]).await?;
    ensure!(gone.code != 0, "{gone:?}");
    entered(
        deployment,
        &told.officer,
        "call-refused",
        "was refused Units.List",
        &id,
    )
    .await?;
    // Nobody who could be named: counted, and entered at the latest when the daemon stops.
    let channel = connect_anonymous(&deployment.url(), &deployment.ca_pem()?).await?;
    let refused = UnitsClient::new(channel).list(ListUnitsRequest::default()).await;
    ensure!(refused.is_err_and(|status| status.code() == tonic::Code::Unauthenticated));
    deployment.stop().await?;
    deployment.serve().await?;
    entered(
        deployment,
        &told.officer,
        "calls-refused",
        "1 refused calls",
        "nobody known",
    )
    .await?;
    told.deployment.finished();
    Ok(())
}

fn event(patient: &str) -> String {
    serde_json::json!({
        "resourceType": "AuditEvent", "id": "seen-1",
        "type": {"system": "http://terminology.hl7.org/CodeSystem/audit-event-type", "code": "rest"},
        "subtype": [{"system": "http://hl7.org/fhir/restful-interaction", "code": "read"}],
        "action": "R", "recorded": "2026-03-05T10:00:00Z", "outcome": "0",
        "source": {"observer": {"display": "EHR"}},
        "agent": [{"requestor": true, "who": {"display": "Dr Looked"},
            "role": [{"coding": [{"code": "R8000", "display": "Clinical practitioner"}]}],
            "purposeOfUse": [{"coding": [{"code": "TREAT"}]}]}],
        "entity": [{"role": {"code": "1"}, "what": {"type": "Patient", "identifier": {
            "system": "https://fhir.nhs.uk/Id/nhs-number", "value": patient}}}]
    })
    .to_string()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a1_a_view_is_told_to_the_patient_with_who_looked_and_by_which_right() -> anyhow::Result<()> {
    let ward = Ward::with_options(&[]).await?;
    let deployment = &ward.town.deployment;
    let port = free_port()?;
    let agent = &ward.town.house(1)?.agent;
    agent.stop().await?;
    agent.configure(&format!(
        "[[input]]\ntype = \"fhir\"\nlisten = \"127.0.0.1:{port}\"\n\n[[output]]\ntype = \"directory\"\npath = \"{}\"\n",
        agent.output().display()
    ))?;
    agent.run()?;
    let number = nhs_number(0)?.reveal();
    wait_until_async("the agent takes the view", SOON, || async {
        let put =
            async |path: &str, body: &str| http(port, "PUT", path, body).await.map_err(|e| format!("{e:#}"));
        let patient = patient_line("p", nhs_number(0).map_err(|e| format!("{e:#}"))?, "Seen");
        put("/fhir/Patient/p", &patient).await?;
        let answer = put("/fhir/AuditEvent/seen-1", &event(&number)).await?;
        (answer.status < 300)
            .then_some(())
            .ok_or_else(|| format!("{}", answer.status))
    })
    .await?;
    entered(deployment, &ward.officer, "viewed", "reported a view", "Z00002").await?;
    let report = ["audit", "report", "--patient", &number, "--reason", "asked"];
    let told = deployment.ctl(&ward.officer, &report).await?.ok()?.json()?;
    let views = told["viewed"].as_array().context("views")?;
    ensure!(
        views.len() == 1 && views[0]["permission"] == "Clinical practitioner",
        "{told}"
    );
    for (format, opens) in [
        ("text", "- Viewed by Dr Looked"),
        ("html", "<li>Viewed by Dr Looked"),
    ] {
        let page = deployment.dir().join(format!("report.{format}"));
        let path = page.to_string_lossy();
        let more = ["--format", format, "--out", &path];
        deployment
            .ctl(&ward.officer, &[&report[..], &more].concat())
            .await?
            .ok()?;
        let text = fs::read_to_string(&page)?;
        let line = text
            .lines()
            .find(|line| line.contains(opens))
            .with_context(|| text.clone())?;
        ensure!(line.contains("by the permission Clinical practitioner"), "{line}");
    }
    ward.town.deployment.finished();
    Ok(())
}

fn bytes(hex: &str) -> anyhow::Result<Vec<u8>> {
    let pairs = hex.as_bytes().chunks(2);
    let each = pairs.map(|pair| Ok(u8::from_str_radix(std::str::from_utf8(pair)?, 16)?));
    each.collect()
}

/// The newest head that the daemon has published in its own log.
fn published(log: &str) -> anyhow::Result<Option<(String, SignedHead)>> {
    let Some(line) = log
        .lines()
        .rfind(|line| line.contains("signed a head of the audit log"))
    else {
        return Ok(None);
    };
    let fields: BTreeMap<&str, &str> = line
        .split_whitespace()
        .filter_map(|word| word.split_once('='))
        .collect();
    let field = |name: &str| {
        fields
            .get(name)
            .copied()
            .with_context(|| format!("{name} in {line}"))
    };
    let head = TreeHead {
        size: field("size")?.parse()?,
        root: TreeHash::from_slice(&bytes(field("root")?)?).context("a root")?,
        signed_at: field("signed_at")?.parse()?,
    };
    let signed = SignedHead {
        head,
        signature: bytes(field("signature")?)?
            .try_into()
            .map_err(|_| anyhow::anyhow!("a signature in {line}"))?,
        key: KeyId::from_slice(&bytes(field("key")?)?).context("a key")?,
    };
    Ok(Some((field("trust_domain")?.to_owned(), signed)))
}

/// Nothing here asks for a head: the daemon signs its first when it starts, and publishes it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a1_a_head_is_published_that_nobody_asked_for_and_anybody_can_verify() -> anyhow::Result<()> {
    let deployment = Deployment::start().await?;
    wait_until("a head is published", SOON, || {
        match published(&deployment.logged()) {
            Ok(Some(_)) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await?;
    let (trust_domain, signed) = published(&deployment.logged())?.context("a head")?;
    let pem = deployment.dir().join("audit.pem");
    let args = ["audit", "public-key", "--out", &pem.to_string_lossy()];
    deployment.operate(&args).await?.ok()?;
    let key = PublicKey::from_pem(&fs::read_to_string(&pem)?)?;
    key.verify(&trust_domain, &signed)?;
    let mut other = signed;
    other.head.size += 1;
    ensure!(
        key.verify(&trust_domain, &other).is_err(),
        "a head that says something else"
    );
    deployment.finished();
    Ok(())
}
