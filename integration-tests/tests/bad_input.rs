//! Bad input: what is good in a file is taken, what is not is set aside with its reason, and nothing of it
//! shows; large resources travel or are refused; an invalid configuration is named and stops the start.
//!
//! Detects: bad lines that are passed over in silence; a first bad line that ends the file; a torn last line
//! taken for none; a reason that shows content, or names every line of 10,000; an NHS number that is not
//! checked; a bound on a resource that is too small, or kept neither by the reader nor by the outbox; a
//! configuration that is not checked, or whose fault has no line.

use std::{fs, time::Duration};

use anyhow::{Context as _, ensure};
use handfast_integration_tests::harness::{
    Reply, Town, binary, nhs_number, observation_line, patient_line, wait_until,
};

const SOON: Duration = Duration::from_secs(60);

/// A text that stands in for what must not show anywhere but in the resource itself.
const SECRET: &str = "Xylophonium";

async fn town() -> anyhow::Result<Town> {
    let town = Town::new(2).await?;
    town.join_all().await?;
    Ok(town)
}

/// What was said about a file that was not taken whole.
async fn reason(town: &Town, name: &str) -> anyhow::Result<String> {
    let path = town
        .house(0)?
        .agent
        .input()
        .join("rejected")
        .join(format!("{name}.reason"));
    wait_until(&format!("{name} has a reason"), SOON, || {
        path.exists()
            .then_some(())
            .ok_or_else(|| "it has none".to_owned())
    })
    .await?;
    fs::read_to_string(path).context("read the reason")
}

fn good(n: u64) -> anyhow::Result<Vec<String>> {
    Ok(vec![
        patient_line("p1", nhs_number(1)?, SECRET),
        observation_line("o1", "p1", n),
    ])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_lines_are_named_and_good_ones_taken() -> anyhow::Result<()> {
    let mut town = town().await?;
    let mut lines = good(1)?;
    let bad_patient = |id: &str, number: &str| {
        format!(
            "{{\"resourceType\":\"Patient\",\"id\":\"{id}\",\"identifier\":[{{\"system\":\
             \"https://fhir.nhs.uk/Id/nhs-number\",\"value\":\"{number}\"}}],\"name\":[{{\"family\":\
             \"{SECRET}\"}}]}}"
        )
    };
    // Each line, and what is said of it.
    let bad = [
        (
            format!("{{\"resourceType\":\"Observation\",\"note\":\"{SECRET}"),
            "ends too early",
        ),
        (format!("not JSON {SECRET}"), "not well-formed"),
        ("[]".to_owned(), "not a FHIR resource"),
        ("{}".to_owned(), "not a FHIR resource"),
        (
            format!("{{\"resourceType\":\"Observation\",\"id\":\"../{SECRET}\"}}"),
            "no usable id",
        ),
        (bad_patient("p8", "9990000019"), "invalid NHS number"),
        (bad_patient("p9", "12345"), "invalid NHS number"),
        (
            format!(
                "{{\"resourceType\":\"Observation\",\"id\":\"o9\",\"status\":\"final\",\"note\":[{{\"text\":\"{SECRET}\"}}]}}"
            ),
            "no patient",
        ),
    ];
    lines.extend(bad.iter().map(|(line, _)| line.clone()));
    lines.push(observation_line("o2", "p1", 2));
    let input = town.house(0)?.agent.input();
    town.house(0)?
        .agent
        .drop_lines("mixed.ndjson", lines.iter().map(String::as_str))?;
    let why = reason(&town, "mixed.ndjson").await?;
    for (line, (_, said)) in (3..).zip(&bad) {
        let of_it = format!("line {line}: ");
        ensure!(
            why.lines().any(|l| l.starts_with(&of_it) && l.contains(said)),
            "\"{of_it}… {said}\" is not in:\n{why}"
        );
    }
    ensure!(
        why.lines().count() == bad.len(),
        "not these {} faults alone:\n{why}",
        bad.len()
    );
    for hidden in [SECRET, "9990000019", &nhs_number(1)?.reveal()] {
        ensure!(!why.contains(hidden), "the reason shows {hidden}:\n{why}");
    }
    ensure!(
        input.join("rejected/mixed.ndjson").exists(),
        "the file is not in rejected/"
    );
    let mut taken = good(1)?;
    taken.push(observation_line("o2", "p1", 2));
    town.house_mut(0)?.written.extend(taken);
    town.tree_is_right((0, 1), true, SOON).await?;
    town.deployment.finished();
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_truncated_file_is_taken_up_to_its_tear() -> anyhow::Result<()> {
    let mut town = town().await?;
    let whole = good(1)?;
    let torn = observation_line("o2", "p1", 2);
    let content = format!("{}\n{}\n{}", whole[0], whole[1], &torn[..torn.len() / 2]);
    town.house(0)?.agent.drop_file("torn.ndjson", &content)?;
    let why = reason(&town, "torn.ndjson").await?;
    ensure!(
        why.starts_with("line 3: ") && why.contains("ends too early"),
        "the tear in line 3 is not named: {why}"
    );
    town.house_mut(0)?.written.extend(whole);
    town.tree_is_right((0, 1), true, SOON).await?;
    town.deployment.finished();
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_bad_lines_do_no_harm() -> anyhow::Result<()> {
    let mut town = town().await?;
    let mut lines = good(1)?;
    lines.extend((0..10_000).map(|n| format!("{{\"resourceType\":\"Observation\",\"id\":{n}")));
    lines.push(observation_line("o2", "p1", 2));
    town.house(0)?
        .agent
        .drop_lines("bad.ndjson", lines.iter().map(String::as_str))?;
    let why = reason(&town, "bad.ndjson").await?;
    let named = why.lines().filter(|l| l.starts_with("line ")).count();
    let counted: usize = why
        .lines()
        .filter_map(|l| {
            l.strip_prefix("and ")?
                .strip_suffix(" more")?
                .parse::<usize>()
                .ok()
        })
        .sum();
    ensure!(
        named <= 1_000 && named + counted == 10_000,
        "{named} lines are named and {counted} counted, of 10,000"
    );
    let mut taken = good(1)?;
    taken.push(observation_line("o2", "p1", 2));
    town.house_mut(0)?.written.extend(taken);
    town.tree_is_right((0, 1), true, SOON).await?;
    // The next file is taken as if nothing had been.
    town.house_mut(0)?
        .write_lines(vec![observation_line("o3", "p1", 3)])?;
    town.tree_is_right((0, 1), true, SOON).await?;
    town.deployment.finished();
    Ok(())
}

fn large(id: &str, mebibytes: usize) -> String {
    let line = observation_line(id, "p1", 1);
    let filler = "x".repeat(mebibytes * 1024 * 1024);
    line.replacen(
        "\"status\"",
        &format!("\"note\":[{{\"text\":\"{filler}\"}}],\"status\""),
        1,
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_mebibytes_travel_and_fifty_are_refused() -> anyhow::Result<()> {
    let mut town = town().await?;
    town.house_mut(0)?.write_lines(good(1)?)?;
    town.house_mut(0)?.write_lines(vec![large("large", 5)])?;
    town.tree_is_right((0, 1), true, SOON).await?;
    town.house(0)?.agent.drop_file("huge.json", &large("huge", 50))?;
    let why = reason(&town, "huge.json").await?;
    ensure!(
        why.contains("the bound is") && why.len() < 2_000,
        "the reason is not its size: {why:.2000}"
    );
    // What follows is not held up.
    town.house_mut(0)?
        .write_lines(vec![observation_line("o3", "p1", 3)])?;
    town.tree_is_right((0, 1), true, SOON).await?;
    town.deployment.finished();
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_invalid_agent_configuration_is_named_and_stops_the_start() -> anyhow::Result<()> {
    let town = Town::new(1).await?;
    let agent = &town.house(0)?.agent;
    agent.stop().await?;
    let path = agent.input().display().to_string();
    // The configuration, and what the message must name: line, key, and what was expected.
    let faults: [(String, &[&str]); 6] = [
        (
            "[[input]]\ntype = \"directory\"\n".to_owned(),
            &["agent.toml:1:", "[[input]]", "'path' is missing"],
        ),
        (
            format!("[[input]]\ntype = \"carrier-pigeon\"\npath = \"{path}\"\n"),
            &[
                "agent.toml:2:",
                "type in [[input]]",
                "expected \"directory\" or \"fhir\"",
            ],
        ),
        (
            format!("[[input]]\ntype = \"directory\"\npath = \"{path}\"\npaht = \"x\"\n"),
            &["agent.toml:4:", "paht in [[input]]", "expected one of", "`path`"],
        ),
        (
            "[[input]]\ntype = \"fhir\"\nlisten = \"nowhere\"\n".to_owned(),
            &["agent.toml:3:", "listen in [[input]]", "expected IP:PORT"],
        ),
        (
            "[[output]]\ntype = \"fhir\"\nbase_url = 7\n".to_owned(),
            &["agent.toml:3:", "base_url in [[output]]", "expected a string"],
        ),
        ("[[input]\n".to_owned(), &["agent.toml:1:", "expected `]`"]),
    ];
    for (config, named) in faults {
        agent.configure(&config)?;
        let config_path = agent.config().display().to_string();
        let reply = agent.command(&["run", "--config", &config_path]).await?;
        ensure!(reply.code > 0, "started with:\n{config}");
        for word in named {
            ensure!(
                reply.stderr.contains(word),
                "{word} is not named for:\n{config}\nbut: {}",
                reply.stderr
            );
        }
    }
    town.deployment.finished();
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_invalid_daemon_configuration_is_named_and_stops_the_start() -> anyhow::Result<()> {
    let town = Town::new(0).await?;
    let deployment = &town.deployment;
    deployment.stop().await?;
    let file = deployment.dir().join("handfastd.toml");
    let state = deployment.state_dir().display().to_string();
    let file_name = file.display().to_string();
    let faults: [(&str, &[&str]); 4] = [
        (
            "lisen = \"127.0.0.1:1\"\n",
            &["line 1", "`lisen`", "expected one of", "`listen`"],
        ),
        (
            "\nlisten = \"nowhere\"\n",
            &["line 2", "listen", "expected IP:PORT"],
        ),
        (
            "[limits]\ndrain_ms = 0\n",
            &["line 2", "drain_ms", "expected a whole number from 1 to"],
        ),
        ("[limits\n", &["line 1", "expected `]`"]),
    ];
    for (config, named) in faults {
        fs::write(&file, config).context("write the configuration")?;
        let args = ["serve", "--state-dir", &state, "--config", &file_name];
        let reply = Reply::of(&binary("handfastd")?, &args).await?;
        ensure!(reply.code > 0, "started with:\n{config}");
        for word in named {
            ensure!(
                reply.stderr.contains(word),
                "{word} is not named for:\n{config}\nbut: {}",
                reply.stderr
            );
        }
    }
    town.deployment.finished();
    Ok(())
}
