//! Two units with some people, and commands run as them.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use handfast_integration_tests::harness::{Rig, nhs_number};
use serde_json::{Value, json};

/// Asserts a value within an answer.
pub(crate) fn is(answer: &Value, pointer: &str, want: &Value) -> anyhow::Result<()> {
    let found = answer
        .pointer(pointer)
        .with_context(|| format!("no {pointer} in {answer}"))?;
    ensure!(found == want, "{pointer} is {found}, not {want}, in {answer}");
    Ok(())
}

pub(crate) fn no_number_in(text: &str) -> anyhow::Result<()> {
    for k in 0..60 {
        ensure!(
            !text.contains(&nhs_number(k)?.reveal()),
            "NHS number {k} is in {text}"
        );
    }
    Ok(())
}

/// Two units with some people.
pub(crate) struct Scene {
    pub(crate) rig: Rig,
    pub(crate) clinician: PathBuf,
    pub(crate) officer: PathBuf,
    pub(crate) foreign: PathBuf,
}

impl Scene {
    pub(crate) async fn new() -> anyhow::Result<Self> {
        let rig = Rig::new(2).await?;
        let (first, second) = (rig.member(0)?.unit.clone(), rig.member(1)?.unit.clone());
        let (_, clinician) = rig.deployment.hire(&first, "clinician", "clinician").await?;
        let (_, officer) = rig.deployment.hire(&first, "privacy-officer", "officer").await?;
        let (_, foreign) = rig.deployment.hire(&second, "clinician", "clinician").await?;
        Ok(Self {
            rig,
            clinician,
            officer,
            foreign,
        })
    }

    pub(crate) fn admin(&self, place: usize) -> anyhow::Result<PathBuf> {
        Ok(self.rig.member(place)?.unit.admin_profile.clone())
    }

    /// A command, its exit code, and its answer.
    pub(crate) async fn run(&self, profile: &Path, code: i32, args: &[&str]) -> anyhow::Result<Value> {
        self.run_with(profile, code, args, "").await
    }

    pub(crate) async fn run_with(
        &self,
        profile: &Path,
        code: i32,
        args: &[&str],
        input: &str,
    ) -> anyhow::Result<Value> {
        let reply = self.rig.deployment.ctl_with_input(profile, args, input).await?;
        ensure!(
            reply.code == code,
            "{}: {} {}",
            reply.command,
            reply.code,
            reply.stderr
        );
        no_number_in(&reply.stderr)?;
        if code == 0 {
            reply.json()
        } else {
            Ok(json!(reply.stderr))
        }
    }

    pub(crate) fn finished(self) -> anyhow::Result<()> {
        no_number_in(&self.rig.deployment.logged())?;
        self.rig.deployment.finished();
        Ok(())
    }
}

const PAIR: [&str; 4] = ["--from", "Z00001", "--to", "Z00002"];

/// A command on a half of the first unit towards the second.
pub(crate) fn half<'a>(command: &[&'a str], rest: &[&'a str]) -> Vec<&'a str> {
    let mut all = vec!["agreement"];
    all.extend(command);
    all.extend(PAIR);
    all.extend(rest);
    all
}
