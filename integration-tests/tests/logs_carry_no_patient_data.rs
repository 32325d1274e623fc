//! Logs carry no patient data at info level and above: neither the daemon's nor an agent's, whatever
//! happens; nor does what the commands print.
//!
//! Detects: any line, at any point of the run, with a name, a number or a text out of a resource.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::ensure;
use handfast_integration_tests::harness::{
    Chaos, Town, nhs_number, observation_line, patient_line, wait_until,
};
use handfast_proto::v1::Side;

const SOON: Duration = Duration::from_secs(60);
/// A family name, a note and a display text that occur nowhere else.
const MARKS: [&str; 3] = ["Quetzalcoatlus", "Xylophonium", "Heart rate"];

fn carries(text: &str) -> anyhow::Result<Option<String>> {
    for k in 0..40 {
        let number = nhs_number(k)?.reveal();
        let spaced = format!("{} {} {}", &number[..3], &number[3..6], &number[6..]);
        if text.contains(&number) || text.contains(&spaced) {
            return Ok(Some(format!("NHS number {k}")));
        }
    }
    Ok(MARKS.iter().find(|m| text.contains(*m)).map(|m| (*m).to_owned()))
}

/// Lines with marks: good ones, then private, bad, orphaned and retracted ones.
async fn feed(town: &mut Town, chaos: &mut Chaos) -> anyhow::Result<PathBuf> {
    let marked = patient_line("marked", nhs_number(30)?, MARKS[0]);
    let noted = observation_line("noted", "marked", 1).replacen(
        "\"status\"",
        &format!("\"note\":[{{\"text\":\"{}\"}}],\"status\"", MARKS[1]),
        1,
    );
    let private = noted.replacen("\"noted\"", "\"private\"", 1).replacen(
        "\"status\"",
        "\"meta\":{\"security\":[{\"system\":\"http://terminology.hl7.org/CodeSystem/v3-Confidentiality\",\
             \"code\":\"R\"}]},\"status\"",
        1,
    );
    // The household's own patients come first: its observations name them.
    town.house_mut(0)?.write(100, chaos)?;
    town.house_mut(0)?.write_lines(vec![marked, noted.clone()])?;
    town.tree_is_right((0, 1), true, SOON).await?;
    // Private entries, bad lines, patients never seen, retractions, revocations, crashes.
    let wrong = patient_line("wrong", nhs_number(31)?, MARKS[0]).replace(
        &nhs_number(31)?.reveal(),
        &nhs_number(31)?.reveal().replacen('9', "8", 1),
    );
    let bad = [
        private,
        wrong,
        format!("{{\"broken\":\"{}", MARKS[1]),
        observation_line("orphan", "never-seen", 2),
        noted.replacen("\"status\":\"final\"", "\"status\":\"entered-in-error\"", 1),
    ];
    let agent = &town.house(0)?.agent;
    agent.drop_lines("bad.ndjson", bad.iter().map(String::as_str))?;
    let rejected = agent.input().join("rejected/bad.ndjson.reason");
    wait_until("the bad lines are set aside", SOON, || {
        rejected
            .exists()
            .then_some(())
            .ok_or_else(|| "no reason".to_owned())
    })
    .await?;
    Ok(rejected)
}

/// Everything that is logged, printed or kept about what happened.
async fn said(town: &Town, rejected: &Path) -> anyhow::Result<Vec<(&'static str, String)>> {
    let mut texts = vec![
        ("the daemon's log", town.deployment.logged()),
        ("the reason file", fs::read_to_string(rejected)?),
    ];
    for house in &town.households {
        texts.push(("an agent's log", fs::read_to_string(house.agent.log())?));
        texts.push((
            "an agent's status",
            house.agent.status().unwrap_or_default().to_string(),
        ));
        let changes = fs::read_to_string(house.agent.output().join("changes.ndjson"));
        texts.push(("changes.ndjson", changes.unwrap_or_default()));
    }
    for args in [vec!["status"], vec!["agreement", "list"], vec!["unit", "list"]] {
        texts.push(("handfastctl", town.deployment.operate(&args).await?.stdout));
    }
    Ok(texts)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn logs_carry_no_patient_data_whatever_happens() -> anyhow::Result<()> {
    let mut chaos = Chaos::new("logs");
    let mut town = Town::new(2).await?;
    town.join_all().await?;
    let rejected = feed(&mut town, &mut chaos).await?;
    town.deployment.restart().await?;
    for house in &town.households {
        house.agent.restart()?;
    }
    town.turn(Side::ShareOut, 0, 1, false).await?;
    town.tree_is_right((0, 1), false, SOON).await?;
    town.turn(Side::ShareOut, 0, 1, true).await?;

    let texts = said(&town, &rejected).await?;
    for (what, text) in &texts {
        let found = carries(text)?;
        ensure!(found.is_none(), "{what} carries {found:?}");
    }
    ensure!(
        !texts[0].1.is_empty(),
        "the daemon logged nothing: the test tests nothing"
    );
    town.deployment.finished();
    Ok(())
}
