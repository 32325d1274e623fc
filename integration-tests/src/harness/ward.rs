//! Two units with agents and people: one that records, and one whose clinicians open records in an emergency.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, ensure};
use handfast_proto::{ids::NhsNumber, v1::Side};
use serde_json::Value;

use super::{
    ctl::Reply,
    deployment::Deployment,
    synthetic::{nhs_number, observation_line, patient_line},
    town::Town,
    trees::{Records, tree_differs},
    wait::{wait_until, wait_until_async},
};

/// How long what needs no waiting may take on a busy machine.
const SOON: Duration = Duration::from_secs(30);

/// A town of two units, and the people of the wards.
#[derive(Debug)]
pub struct Ward {
    /// The source (`Z00001`) and the recipient (`Z00002`).
    pub town: Town,
    /// A clinician of the recipient.
    pub clinician: PathBuf,
    /// A privacy officer of the recipient.
    pub officer: PathBuf,
    /// A privacy officer of the source.
    pub source_officer: PathBuf,
    numbers: PathBuf,
}

impl Ward {
    /// The source shares out; nothing is shared in.
    pub async fn with_options(options: &[&str]) -> anyhow::Result<Self> {
        let town = Town::over(Deployment::with_options(options).await?, 2).await?;
        town.turn(Side::ShareOut, 0, 1, true).await?;
        let hire = async |place: usize, role: &str| {
            let unit = &town.house(place)?.unit;
            let name = format!("{role} Unwisely-Named");
            let (_, profile) = town.deployment.hire(unit, role, &name).await?;
            anyhow::Ok(profile)
        };
        let (clinician, officer) = (hire(1, "clinician").await?, hire(1, "privacy-officer").await?);
        let source_officer = hire(0, "privacy-officer").await?;
        let numbers = town.deployment.dir().join("numbers");
        fs::create_dir(&numbers).context("make a folder")?;
        Ok(Self {
            town,
            clinician,
            officer,
            source_officer,
            numbers,
        })
    }

    /// The source writes patients 0 to `patients`, each with three observations, the last of them private.
    pub async fn fill(&mut self, patients: u64) -> anyhow::Result<()> {
        let mut lines = Vec::new();
        for k in 0..patients {
            lines.push(patient_line(&format!("p{k}"), nhs_number(k)?, "Synthetic"));
            for n in 0..3 {
                let line = observation_line(&format!("o{k}-{n}"), &format!("p{k}"), n);
                lines.push(if n == 2 { private(&line) } else { line });
            }
        }
        let house = self.town.house_mut(0)?;
        let name = house.write_lines(lines)?;
        wait_until("the source took its file", SOON, || house.agent.took(&name)).await
    }

    /// What of a patient may be shared.
    pub fn shareable(&self, k: u64) -> anyhow::Result<Records> {
        let mut all = self.town.house(0)?.holds()?;
        all.retain(|name, value| {
            let own = name == &format!("Patient/p{k}") || name.starts_with(&format!("Observation/o{k}-"));
            own && value.get("meta").is_none()
        });
        Ok(all)
    }

    /// Waits until the recipient holds exactly this of the source.
    pub async fn holds(&self, want: &Records, within: Duration) -> anyhow::Result<()> {
        let output = self.town.house(1)?.agent.output();
        wait_until("the recipient holds what it may", within, || {
            tree_differs(&output, "Z00001", want)
        })
        .await
    }

    /// Asks for a patient's records; the number stands in a file, so that no process list shows it.
    pub async fn request(&self, profile: &Path, k: u64, more: &[&str]) -> anyhow::Result<Reply> {
        let path = self.numbers.join(k.to_string());
        fs::write(&path, nhs_number(k)?.reveal()).context("write a number")?;
        let path = path.to_string_lossy().into_owned();
        let mut args = vec![
            "emergency",
            "request",
            "--patient-file",
            &path,
            "--note",
            "Found on the floor",
        ];
        args.extend(more);
        self.town.deployment.ctl(profile, &args).await
    }

    /// An access as someone sees it.
    pub async fn access(&self, profile: &Path, id: u64) -> anyhow::Result<Value> {
        let list = self
            .town
            .deployment
            .ctl(profile, &["emergency", "list"])
            .await?
            .ok()?
            .json()?;
        let all = list["accesses"].as_array().context("a list of accesses")?;
        let found = all.iter().find(|access| access["id"] == id);
        found.cloned().context("an access of that number")
    }

    /// Waits until the first source of an access is over and its removal confirmed; what it looks like then.
    pub async fn over(&self, id: u64, within: Duration) -> anyhow::Result<Value> {
        wait_until_async(
            "the access is over, and its removal confirmed",
            within,
            || async {
                let access = self
                    .access(&self.officer, id)
                    .await
                    .map_err(|e| format!("{e:#}"))?;
                let source = &access["sources"][0];
                let confirmed = source["withdrawal"]["state"] == "confirmed";
                if confirmed {
                    Ok(())
                } else {
                    Err(source.to_string())
                }
            },
        )
        .await?;
        Ok(self.access(&self.officer, id).await?["sources"][0].clone())
    }

    /// The number of an access that was opened.
    pub fn opened(reply: &Reply) -> anyhow::Result<u64> {
        ensure!(reply.code == 0, "exit code {}: {}", reply.code, reply.stderr);
        reply.json()?["access"]["id"]
            .as_u64()
            .context("the access's number")
    }

    /// Every patient's number of whom the source wrote.
    pub fn numbers(patients: u64) -> anyhow::Result<Vec<NhsNumber>> {
        (0..patients).map(nhs_number).collect()
    }
}

/// The same entry, marked as not to leave.
fn private(line: &str) -> String {
    let mark = "\"meta\":{\"security\":[{\"system\":\
                \"http://terminology.hl7.org/CodeSystem/v3-Confidentiality\",\"code\":\"R\"}]},\"status\"";
    line.replacen("\"status\"", mark, 1)
}
