//! The FHIR connectors, end to end: two sources that both hold `Patient/1` and `Observation/1` write to a
//! unit whose own server holds them too; the order in which a server is written to; what becomes of what it
//! refuses; and what an agent's endpoint answers, which is kept from then on.
//!
//! Detects: ids that are the sources' own, or alike for two sources; references that still name a source's
//! ids; records written before their patient, or a record's versions side by side; a refusal for now taken
//! for one for good, or one for good for success; dead letters that only the recipient sees; an endpoint
//! that answers before its commit, with another status, or without an OperationOutcome.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use anyhow::{Context as _, ensure};
use handfast_integration_tests::harness::{
    FhirServer, Records, Town, expected, free_port, http, nhs_number, observation_line, patient_line,
    wait_until, wait_until_async,
};
use handfast_proto::v1::Side;
use serde_json::Value;

const SOON: Duration = Duration::from_secs(60);

/// Waits until an agent's endpoint answers at all.
async fn listening(port: u16) -> anyhow::Result<()> {
    wait_until_async("the agent's endpoint answers", SOON, || async {
        let answer = http(port, "GET", "/fhir/metadata", "").await;
        answer.map(drop).map_err(|e| format!("{e:#}"))
    })
    .await
}

async fn put(port: u16, line: &str) -> anyhow::Result<u16> {
    let value: Value = serde_json::from_str(line)?;
    let part = |key: &str| value.get(key).and_then(Value::as_str).unwrap_or_default();
    let path = format!("/fhir/{}/{}", part("resourceType"), part("id"));
    Ok(http(port, "PUT", &path, line).await?.status)
}

/// Three units: two with a FHIR endpoint as input, one with a FHIR server as output.
async fn town(server: &FhirServer, ports: [u16; 2]) -> anyhow::Result<Town> {
    let town = Town::new(3).await?;
    for (place, port) in ports.into_iter().enumerate() {
        let agent = &town.house(place)?.agent;
        agent.stop().await?;
        agent.configure(&format!(
            "[[input]]\ntype = \"fhir\"\nlisten = \"127.0.0.1:{port}\"\n\n[[output]]\ntype = \
             \"directory\"\npath = \"{}\"\n",
            agent.output().display()
        ))?;
        agent.run()?;
        listening(port).await?;
    }
    let agent = &town.house(2)?.agent;
    agent.stop().await?;
    agent.configure(&format!(
        "[[output]]\ntype = \"fhir\"\nbase_url = \"{}\"\n",
        server.url()
    ))?;
    agent.run()?;
    for source in 0..2 {
        town.turn(Side::ShareOut, source, 2, true).await?;
        town.turn(Side::ShareIn, source, 2, true).await?;
    }
    Ok(town)
}

fn own() -> anyhow::Result<Records> {
    let lines = [
        patient_line("1", nhs_number(5)?, "Own"),
        observation_line("1", "1", 1),
    ];
    expected(lines.iter().map(String::as_str))
}

/// What a server holds beside its own, by the unit that it came from.
fn foreign(server: &FhirServer, own: &Records, value: u64) -> Vec<(String, Value)> {
    server
        .records()
        .into_iter()
        .filter(|(name, _)| !own.contains_key(name))
        .filter(|(_, v)| v.pointer("/valueQuantity/value").and_then(Value::as_u64) == Some(value))
        .collect()
}

/// Each source's records stand beside the unit's own, under names of their own, naming their own patient.
fn each_is_an_own_record(server: &FhirServer, own: &Records) -> anyhow::Result<()> {
    let held = server.records();
    for (name, value) in own {
        ensure!(held.get(name) == Some(value), "the unit's own {name} was changed");
    }
    let mut patients = BTreeSet::new();
    for n in 0..2 {
        let came = foreign(server, own, 100 + n);
        let [(name, observation)] = came.as_slice() else {
            anyhow::bail!("source {n}: {came:?}");
        };
        let subject = observation
            .pointer("/subject/reference")
            .and_then(Value::as_str)
            .context("a subject")?;
        ensure!(
            held.contains_key(subject),
            "{name} names {subject}, which is not there"
        );
        ensure!(
            !own.contains_key(subject),
            "{name} names the unit's own {subject}"
        );
        patients.insert(subject.to_owned());
        let origin = observation.pointer("/meta/source").and_then(Value::as_str);
        ensure!(
            origin.is_some_and(|o| o.contains(&format!("Z0000{}", n + 1))),
            "{name} has the origin {origin:?}"
        );
    }
    ensure!(patients.len() == 2, "both sources' patients are {patients:?}");
    Ok(())
}

async fn holds(server: &FhirServer, count: usize) -> anyhow::Result<()> {
    wait_until(
        &format!("the server holds {count} records"),
        SOON,
        || match server.records().len() {
            n if n == count => Ok(()),
            n => Err(format!("it holds {n}")),
        },
    )
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_sources_and_the_unit_itself_all_hold_patient_1() -> anyhow::Result<()> {
    let own = own()?;
    let server = FhirServer::start(own.clone()).await?;
    let ports = [free_port()?, free_port()?];
    let town = town(&server, ports).await?;
    for (n, port) in (0_u64..).zip(ports) {
        ensure!(put(port, &patient_line("1", nhs_number(n)?, "Synthetic")).await? == 201);
        ensure!(put(port, &observation_line("1", "1", 100 + n)).await? == 201);
    }
    holds(&server, 6).await?;
    each_is_an_own_record(&server, &own)?;

    // A change is an update of the same, a deletion removes it, and only that source's.
    ensure!(put(ports[0], &observation_line("1", "1", 300)).await? == 200);
    wait_until("the change is at the server", SOON, || {
        match foreign(&server, &own, 300).len() {
            1 => Ok(()),
            n => Err(format!("{n} such records")),
        }
    })
    .await?;
    ensure!(server.records().len() == 6, "a change made another record");
    ensure!(http(ports[0], "DELETE", "/fhir/Observation/1", "").await?.status == 204);
    holds(&server, 5).await?;
    // A half turned off withdraws that source's, and leaves the rest.
    town.turn(Side::ShareOut, 1, 2, false).await?;
    holds(&server, 3).await?;
    // Its clinicians are told so, and not what.
    let told = server.told();
    let of = |ods: &str| {
        told.values()
            .find(|v| v.to_string().contains(ods))
            .context("told")
    };
    let (ended, stands) = (of("Z00002")?.to_string(), of("Z00001")?.to_string());
    ensure!(
        ended.contains("withdrawn") && !ended.contains("Observation"),
        "{ended}"
    );
    ensure!(!stands.contains("withdrawn"), "{stands}");
    for (name, value) in &own {
        ensure!(
            server.records().get(name) == Some(value),
            "the unit's own {name} was changed"
        );
    }
    town.deployment.finished();
    Ok(())
}

/// Of each record, by the value that it carries: what the server took, in order. 0 = deleted.
fn by_record(server: &FhirServer) -> BTreeMap<String, Vec<u64>> {
    let mut taken: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    for (name, content) in server.taken() {
        let value = content.map_or(0, |c| {
            let value = c.pointer("/valueQuantity/value").and_then(Value::as_u64);
            value.unwrap_or_default()
        });
        if name.starts_with("Observation/") {
            taken.entry(name).or_default().push(value);
        }
    }
    taken
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_record_is_written_in_order_and_after_its_patient() -> anyhow::Result<()> {
    let server = FhirServer::start(Records::new()).await?;
    server.be_unsteady();
    let ports = [free_port()?, free_port()?];
    let town = town(&server, ports).await?;
    let port = ports[0];
    for patient in 0..4 {
        let id = format!("p{patient}");
        ensure!(put(port, &patient_line(&id, nhs_number(patient)?, "Synthetic")).await? == 201);
        for n in 0..3 {
            put(port, &observation_line(&format!("o{patient}-{n}"), &id, 1)).await?;
        }
    }
    holds(&server, 16).await?;
    // Versions come faster than the server takes them, a record after the other and round again; one is
    // deleted in between, and another at the end.
    for value in 2..=40 {
        for n in 0..3 {
            put(port, &observation_line(&format!("o0-{n}"), "p0", value)).await?;
        }
        if value == 20 {
            http(port, "DELETE", "/fhir/Observation/o0-1", "").await?;
        }
    }
    http(port, "DELETE", "/fhir/Observation/o0-2", "").await?;
    let newest = |server: &FhirServer| foreign(server, &Records::new(), 40).len();
    wait_until("the newest versions are at the server", SOON, || {
        match (newest(&server), server.records().len()) {
            (2, 15) => Ok(()),
            (newest, all) => Err(format!("{newest} newest versions, {all} records")),
        }
    })
    .await?;
    for (name, values) in by_record(&server) {
        let kept: Vec<u64> = values.iter().copied().filter(|v| *v > 0).collect();
        ensure!(
            kept.is_sorted_by(|a, b| a < b),
            "the server took {name} in the order {values:?}"
        );
    }
    let list = town.house(2)?.agent.command(&["dead-letters", "list"]).await?;
    ensure!(
        !list.stdout.contains("Observation"),
        "something came before its patient: {}",
        list.stdout
    );
    town.deployment.finished();
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_server_refuses_is_retried_or_set_aside() -> anyhow::Result<()> {
    let server = FhirServer::start(Records::new()).await?;
    let ports = [free_port()?, free_port()?];
    let town = town(&server, ports).await?;
    put(ports[0], &patient_line("1", nhs_number(1)?, "Synthetic")).await?;
    // Not now: it is tried again, and goes when the server takes it.
    server.refuse("Observation", Some(503));
    put(ports[0], &observation_line("1", "1", 1)).await?;
    wait_until("it is tried and tried again", SOON, || {
        let tried = server
            .calls()
            .iter()
            .filter(|c| c.contains("Observation"))
            .count();
        if tried >= 2 {
            Ok(())
        } else {
            Err(format!("tried {tried} times"))
        }
    })
    .await?;
    server.refuse("Observation", None);
    holds(&server, 2).await?;
    // Never: it is set aside, shown, and what follows goes on.
    server.refuse("Observation", Some(422));
    put(ports[0], &observation_line("2", "1", 2)).await?;
    put(ports[0], &patient_line("2", nhs_number(2)?, "Synthetic")).await?;
    holds(&server, 3).await?;
    let recipient = &town.house(2)?.agent;
    wait_until_async("the dead letter is listed", SOON, || async {
        let list = recipient.command(&["dead-letters", "list"]).await;
        let list = list.map_err(|e| format!("{e:#}"))?;
        if list.stdout.contains("Observation/2") {
            Ok(())
        } else {
            Err(list.stdout + &list.stderr)
        }
    })
    .await?;
    wait_until_async("the source's administrator sees it", SOON, || async {
        let profile = &town.households[0].unit.admin_profile;
        let status = town.deployment.ctl(profile, &["status"]).await;
        let status = status
            .and_then(|s| s.ok()?.json())
            .map_err(|e| format!("{e:#}"))?;
        let letters: u64 = status
            .get("pairs")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .filter_map(|p| p.get("dead_letters").and_then(Value::as_u64))
            .sum();
        if letters == 1 {
            Ok(())
        } else {
            Err(format!("{letters} dead letters"))
        }
    })
    .await?;
    town.deployment.finished();
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_endpoint_answers_as_fhir_servers_do() -> anyhow::Result<()> {
    let server = FhirServer::start(Records::new()).await?;
    let ports = [free_port()?, free_port()?];
    let town = town(&server, ports).await?;
    let port = ports[0];
    let patient = patient_line("1", nhs_number(1)?, "Synthetic");
    let created = http(port, "PUT", "/fhir/Patient/1", &patient).await?;
    ensure!(
        created.status == 201 && created.head.contains("etag"),
        "{created:?}"
    );
    let again = http(port, "PUT", "/fhir/Patient/1", &patient).await?;
    ensure!(again.status == 200, "{again:?}");
    for (method, path, body, status) in [
        ("PUT", "/fhir/Patient/1", "{", 400),
        ("PUT", "/fhir/Patient/2", patient.as_str(), 400),
        ("PUT", "/fhir/Patient/../x", patient.as_str(), 0),
        ("DELETE", "/fhir/Patient/1", "", 204),
    ] {
        let answer = http(port, method, path, body).await?;
        if status == 0 {
            ensure!((400..500).contains(&answer.status), "{method} {path}: {answer:?}");
            continue;
        }
        ensure!(answer.status == status, "{method} {path}: {answer:?}");
        if status >= 400 {
            ensure!(
                answer.body.contains("OperationOutcome"),
                "{method} {path}: {answer:?}"
            );
        }
    }
    town.deployment.finished();
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_endpoint_answered_is_kept_when_the_agent_is_killed() -> anyhow::Result<()> {
    let server = FhirServer::start(Records::new()).await?;
    let ports = [free_port()?, free_port()?];
    let town = town(&server, ports).await?;
    let (port, agent) = (ports[0], &town.house(0)?.agent);
    ensure!(put(port, &patient_line("1", nhs_number(1)?, "Synthetic")).await? == 201);
    let rounds = 10;
    for n in 0..rounds {
        ensure!(put(port, &observation_line(&format!("o{n}"), "1", n)).await? == 201);
        agent.kill();
        agent.run()?;
        listening(port).await?;
    }
    holds(&server, 1 + usize::try_from(rounds)?).await?;
    town.deployment.finished();
    Ok(())
}
