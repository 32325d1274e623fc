//! The audit log is read by those who may, with a reason that is entered, in every form that handfastctl gives; and
//! what identifies a patient can be erased, with the log still proven.
//!
//! Detects, each seen with that guard taken out: a reading by whoever has no part in it, such as a unit's
//! administrator; a reading that is not entered; what was withheld told to the recipient's people; an erasure that no
//! entry tells of, so that the log does not hold any more.

use std::{fs, time::Duration};

use anyhow::{Context as _, ensure};
use handfast_integration_tests::harness::{
    Audited, nhs_number, observation_line, patient_line, verify_export, wait_until,
};
use serde_json::Value;

const SOON: Duration = Duration::from_secs(30);

/// The kinds of entries in an answer.
fn kinds(found: &Value) -> Vec<&str> {
    let entries = found["entries"].as_array().map(Vec::as_slice).unwrap_or_default();
    entries
        .iter()
        .filter_map(|entry| entry["kind"].as_str())
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_reading_needs_a_reason_and_a_role_and_is_entered() -> anyhow::Result<()> {
    let told = Audited::new().await?;
    let number = nhs_number(1)?.reveal();
    let of_patient = ["audit", "search", "--patient", &number];
    let with_reason = [&of_patient[..], &["--reason", "a complaint"]].concat();
    let without = told.deployment.ctl(&told.officer, &of_patient).await?;
    ensure!(without.code == 2, "{without:?}");
    let operator = told.deployment.operator();
    let admin = &told.units.first().context("a unit")?.admin_profile;
    for profile in [&operator, admin] {
        let said = told.deployment.ctl(profile, &with_reason).await?;
        ensure!(said.code == 3, "{said:?}");
    }
    let found = told
        .deployment
        .ctl(&told.officer, &with_reason)
        .await?
        .ok()?
        .json()?;
    ensure!(kinds(&found).contains(&"patient-word"), "{found}");
    let again = told
        .deployment
        .ctl(&told.officer, &with_reason)
        .await?
        .ok()?
        .json()?;
    let entries = again["entries"].as_array().context("entries")?;
    let read = entries.iter().find(|entry| entry["kind"] == "audit-read");
    let read = read.context("the reading before was not entered")?;
    ensure!(read["personal"]["reason"] == "a complaint", "{read}");
    let all = told
        .audit(&["search", "--reason", "a complaint"])
        .await?
        .ok()?
        .json()?;
    for kind in ["daemon", "half-set", "person-changed", "token-made", "enrolled"] {
        ensure!(kinds(&all).contains(&kind), "{kind} is not in {all}");
    }
    told.deployment.finished();
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_withheld_is_explained_to_the_sources_people_alone() -> anyhow::Result<()> {
    let told = Audited::new().await?;
    let number = nhs_number(1)?;
    let agent = told
        .deployment
        .agent(told.units.first().context("a unit")?)
        .await?;
    agent.run()?;
    let lines = [
        patient_line("p1", number, "Kowalski"),
        observation_line("o1", "p1", 70),
    ];
    agent.drop_lines("some.ndjson", lines.iter().map(String::as_str))?;
    wait_until("the records are taken", SOON, || agent.took("some.ndjson")).await?;
    let number = number.reveal();
    let explain = "audit explain --from Z00001 --to Z00002 --reason asked --patient".split(' ');
    let explain: Vec<&str> = explain.chain([number.as_str()]).collect();
    let mut explained = Value::Null;
    let end = tokio::time::Instant::now() + SOON;
    while explained["records"]
        .as_array()
        .is_none_or(|records| records.len() < 2)
    {
        ensure!(tokio::time::Instant::now() < end, "not both records: {explained}");
        explained = told.deployment.ctl(&told.officer, &explain).await?.ok()?.json()?;
    }
    for record in explained["records"].as_array().context("records")? {
        ensure!(record["standing"] == "withheld", "{record}");
        ensure!(record["withheld"] == "patient_dissent_out", "{record}");
    }
    let args = "person add --unit Z00002 --role auditor --name Auditor"
        .split(' ')
        .collect::<Vec<_>>();
    let auditor = told.person(1, &args, "auditor").await?;
    let received = told.deployment.ctl(&auditor, &explain).await?.ok()?.json()?;
    ensure!(received["records"] == serde_json::json!([]), "{received}");
    agent.stop().await?;
    told.deployment.finished();
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_log_is_written_in_every_form_and_proven_after_an_erasure() -> anyhow::Result<()> {
    let told = Audited::new().await?;
    let key = told.public_key().await?;
    let number = nhs_number(1)?.reveal();
    let of_patient = |args: &[&str]| {
        let mut all: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
        all.extend(["--patient", &number, "--reason", "asked for"].map(str::to_owned));
        all
    };
    let audit = async |args: Vec<String>| {
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        told.audit(&args).await?.ok()
    };
    let page = told.deployment.dir().join("report.html");
    let page_path = page.to_string_lossy();
    audit(of_patient(&["report", "--format", "html", "--out", &page_path])).await?;
    let html = fs::read_to_string(&page)?;
    ensure!(
        html.contains("said no") && !html.contains("<li>Viewed by"),
        "{html}"
    );
    let report = audit(of_patient(&["report"])).await?.json()?;
    ensure!(
        report["complete"] == true && report["viewed"] == serde_json::json!([]),
        "{report}"
    );
    let events = told.deployment.dir().join("events.ndjson");
    let events_path = events.to_string_lossy();
    let export = ["export", "--format", "fhir", "--out", &events_path];
    let without = told.audit(&export).await?;
    ensure!(without.code == 2, "an export without a reason: {without:?}");
    told.audit(&[&export[..], &["--reason", "asked for"]].concat())
        .await?
        .ok()?;
    let lines = fs::read_to_string(&events)?;
    ensure!(lines.lines().count() >= 10, "{lines}");
    for line in lines.lines() {
        let event: Value = serde_json::from_str(line)?;
        ensure!(event["resourceType"] == "AuditEvent", "{event}");
    }
    let before = audit(of_patient(&["search"])).await?.json()?;
    ensure!(kinds(&before).contains(&"patient-word"), "{before}");
    let erased = audit(of_patient(&["erase", "--before", "2199-01-01"]))
        .await?
        .json()?;
    // The patient's word, the removals that it made due, and of those who read about the patient, whom they read of.
    ensure!(erased["entries"] == 6, "{erased}");
    let after = audit(of_patient(&["search"])).await?.json()?;
    ensure!(!kinds(&after).contains(&"patient-word"), "{after}");
    let (log, _) = told.export("erased.hfaudit").await?;
    verify_export(&log, &key).await?.ok()?;
    told.deployment.stop().await?;
    told.check_database(&key).await?.ok()?;
    told.deployment.finished();
    Ok(())
}
