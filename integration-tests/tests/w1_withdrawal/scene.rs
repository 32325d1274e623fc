//! Two units with agents and both hands joined, and patients whose records tell by their names whose they are:
//! `Patient/p1`, `AllergyIntolerance/a1`, `Observation/o1-0` and `Observation/o1-1` are those of patient 1.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, ensure};
use handfast_integration_tests::harness::{
    Deployment, Records, Town, changes, nhs_number, observation_line, patient_line, tree, tree_differs,
    wait_until, wait_until_async,
};
use handfast_proto::v1::Side;
use serde_json::{Value, json};

/// How long what needs no waiting may take on a busy machine.
pub(crate) const SOON: Duration = Duration::from_secs(60);

/// The unit that records.
pub(crate) const SOURCE: &str = "Z00001";

/// Its place, and the recipient's.
pub(crate) const OUT: usize = 0;
pub(crate) const IN: usize = 1;

/// What stands in every allergy, and nowhere else.
pub(crate) const REMARK: &str = "anaphylaxis after the third almond biscuit, patient";

/// Two units, both hands joined.
pub(crate) struct Scene {
    pub(crate) town: Town,
}

impl Scene {
    /// With so many patients' records at the source, all of them at the recipient.
    pub(crate) async fn filled(patients: u64) -> anyhow::Result<Self> {
        Self::over(Deployment::start().await?, patients).await
    }

    /// The same, in a deployment that is there.
    pub(crate) async fn over(deployment: Deployment, patients: u64) -> anyhow::Result<Self> {
        let mut scene = Self {
            town: Town::over(deployment, 2).await?,
        };
        scene.join().await?;
        scene.fill(patients).await?;
        scene.shows(&scene.all()?).await?;
        Ok(scene)
    }

    pub(crate) async fn join(&self) -> anyhow::Result<()> {
        self.town.turn(Side::ShareOut, OUT, IN, true).await?;
        self.town.turn(Side::ShareIn, OUT, IN, true).await?;
        Ok(())
    }

    /// The source writes down so many patients.
    pub(crate) async fn fill(&mut self, patients: u64) -> anyhow::Result<()> {
        let mut lines = Vec::new();
        for k in 0..patients {
            lines.push(patient_line(&format!("p{k}"), nhs_number(k)?, "Synthetic"));
            lines.push(allergy(k));
            lines.push(observation(k, 0, 1));
            lines.push(observation(k, 1, 1));
        }
        self.write(lines).await
    }

    /// The source's system writes, and its agent has taken it.
    pub(crate) async fn write(&mut self, lines: Vec<String>) -> anyhow::Result<()> {
        let house = self.town.house_mut(OUT)?;
        let name = house.write_lines(lines)?;
        wait_until("the source took its file", SOON, || house.agent.took(&name)).await
    }

    /// A file of a unit's that is no record of what it holds.
    pub(crate) async fn drop_lines(&self, place: usize, name: &str, lines: &[String]) -> anyhow::Result<()> {
        let agent = &self.town.house(place)?.agent;
        agent.drop_lines(name, lines.iter().map(String::as_str))?;
        wait_until("the agent took its file", SOON, || agent.took(name)).await
    }

    /// What the source holds.
    pub(crate) fn all(&self) -> anyhow::Result<Records> {
        self.town.house(OUT)?.holds()
    }

    /// What it holds, but for one patient's.
    pub(crate) fn all_but(&self, patient: u64) -> anyhow::Result<Records> {
        self.only(|k, _| k != patient)
    }

    /// What it holds of some: by patient, and by type.
    pub(crate) fn only(&self, which: impl Fn(u64, &str) -> bool) -> anyhow::Result<Records> {
        let mut all = self.all()?;
        all.retain(|name, _| patient_of(name).is_some_and(|(k, kind)| which(k, kind)));
        Ok(all)
    }

    /// Waits until the recipient's folder shows exactly this.
    pub(crate) async fn shows(&self, want: &Records) -> anyhow::Result<()> {
        let output = self.output()?;
        wait_until("the recipient holds what it may", SOON, || {
            tree_differs(&output, SOURCE, want)
        })
        .await
    }

    /// What the recipient's folder shows now.
    pub(crate) fn shown(&self) -> anyhow::Result<Records> {
        tree(&self.output()?, SOURCE)
    }

    pub(crate) fn output(&self) -> anyhow::Result<PathBuf> {
        Ok(self.town.house(IN)?.agent.output())
    }

    /// How often something was ever done to a record at the recipient.
    pub(crate) fn times(&self, op: &str, record: &str) -> anyhow::Result<usize> {
        let lines = changes(&self.output()?)?;
        Ok(lines.iter().filter(|c| c.op == op && c.record == record).count())
    }

    /// Runs handfastctl as a unit's administrator.
    pub(crate) async fn administer(&self, place: usize, args: &[&str]) -> anyhow::Result<Value> {
        let profile = &self.town.house(place)?.unit.admin_profile;
        self.town.deployment.ctl(profile, args).await?.ok()?.json()
    }

    /// A patient's word at a unit, in force. The number goes by standard input.
    pub(crate) async fn said(&self, place: usize, patient: u64, words: &[&str]) -> anyhow::Result<Value> {
        let mut args = vec!["patient", "consent", "set", "--patient-file", "-", "--wait", "30"];
        args.extend(words);
        let answer = self.about(place, patient, &args).await?;
        ensure!(answer["in_force"] == "yes", "{answer}");
        Ok(answer)
    }

    /// A command about a patient, by a unit's administrator. The number goes by standard input.
    pub(crate) async fn about(&self, place: usize, patient: u64, args: &[&str]) -> anyhow::Result<Value> {
        let profile = &self.town.house(place)?.unit.admin_profile;
        let number = nhs_number(patient)?.reveal();
        let reply = self.town.deployment.ctl_with_input(profile, args, &number);
        reply.await?.ok()?.json()
    }

    /// Sets a half, in force.
    pub(crate) async fn half(&self, place: usize, args: &[&str]) -> anyhow::Result<Value> {
        let half = if place == OUT { "share-out" } else { "share-in" };
        let mut all = vec!["agreement", half, "--from", SOURCE, "--to", "Z00002"];
        all.extend(args);
        if !args.contains(&"--wait") {
            all.extend(["--wait", "30"]);
        }
        let answer = self.administer(place, &all).await?;
        ensure!(answer["in_force"] == "yes", "{answer}");
        Ok(answer)
    }

    /// The agreement as a unit's administrator sees it.
    pub(crate) async fn agreement(&self, place: usize) -> anyhow::Result<Value> {
        let list = self.administer(place, &["agreement", "list"]).await?;
        let found = list["agreements"].get(0);
        Ok(found.context("an agreement")?.clone())
    }

    /// Waits until both administrators see the agreement so.
    pub(crate) async fn both_see(
        &self,
        what: &str,
        seen: impl Fn(&Value) -> bool + Copy,
    ) -> anyhow::Result<()> {
        for place in [OUT, IN] {
            wait_until_async(what, SOON, || async {
                match self.agreement(place).await {
                    Ok(agreement) if seen(&agreement) => Ok(()),
                    Ok(agreement) => Err(agreement.to_string()),
                    Err(error) => Err(format!("{error:#}")),
                }
            })
            .await?;
        }
        Ok(())
    }

    /// Waits until what an agent says of itself is so.
    pub(crate) async fn status(
        &self,
        place: usize,
        what: &str,
        is: impl Fn(&Value) -> bool,
    ) -> anyhow::Result<()> {
        let agent = &self.town.house(place)?.agent;
        wait_until(what, SOON, || match agent.status() {
            Some(status) if is(&status) => Ok(()),
            status => Err(status.unwrap_or_default().to_string()),
        })
        .await
    }

    /// What the recipient's clinicians are told of the source.
    pub(crate) fn told(&self) -> anyhow::Result<Value> {
        let page = self.output()?.join("about").join(format!("{SOURCE}.json"));
        let text = fs::read(&page).with_context(|| format!("read {}", page.display()))?;
        Ok(serde_json::from_slice(&text)?)
    }
}

/// The patient's number and the type of a record, by its name.
fn patient_of(name: &str) -> Option<(u64, &str)> {
    let (kind, id) = name.split_once('/')?;
    let digits = id.get(1..)?.split('-').next()?;
    Some((digits.parse().ok()?, kind))
}

/// A patient's allergy, with a remark that stands nowhere else.
pub(crate) fn allergy(patient: u64) -> String {
    json!({
        "resourceType": "AllergyIntolerance", "id": format!("a{patient}"),
        "patient": {"reference": format!("Patient/p{patient}")},
        "note": [{"text": format!("{REMARK} {patient}.")}],
    })
    .to_string()
}

/// Version `value` of one of a patient's observations.
pub(crate) fn observation(patient: u64, n: u64, value: u64) -> String {
    let value = patient * 10_000 + n * 1_000 + value;
    observation_line(&format!("o{patient}-{n}"), &format!("p{patient}"), value)
}

/// A line with something else in it.
pub(crate) fn with(line: &str, key: &str, value: Value) -> anyhow::Result<String> {
    let mut parsed: Value = serde_json::from_str(line)?;
    parsed[key] = value;
    Ok(parsed.to_string())
}

/// The files below a folder in which a text stands.
pub(crate) fn files_with(folder: &Path, text: &str) -> anyhow::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| format!("read {}", folder.display()))? {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(files_with(&path, text)?);
            continue;
        }
        // A file that is gone meanwhile holds nothing.
        let content = fs::read(&path).unwrap_or_default();
        if content.windows(text.len()).any(|part| part == text.as_bytes()) {
            found.push(path);
        }
    }
    Ok(found)
}
