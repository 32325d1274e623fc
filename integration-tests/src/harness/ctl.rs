//! Runs a command to its end and keeps what it said.

use std::{ffi::OsStr, path::Path, process::Stdio, time::Duration};

use anyhow::{Context as _, bail};
use serde_json::Value;
use tokio::io::AsyncWriteExt as _;

/// How long a command may take.
const TIMEOUT: Duration = Duration::from_secs(60);

/// What a command answered.
#[derive(Debug, Clone)]
pub struct Reply {
    /// The command as it was given, without its program's path.
    pub command: String,
    /// The exit code; -1 where a signal ended it.
    pub code: i32,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Reply {
    /// Runs a program with nothing on standard input.
    pub async fn of<A: AsRef<OsStr>>(program: &Path, args: &[A]) -> anyhow::Result<Self> {
        Self::of_input(program, args, "").await
    }

    /// Runs a program with a text on standard input.
    pub async fn of_input<A: AsRef<OsStr>>(program: &Path, args: &[A], input: &str) -> anyhow::Result<Self> {
        let shown: Vec<_> = args.iter().map(|a| a.as_ref().to_string_lossy()).collect();
        let name = program.file_name().unwrap_or_default().to_string_lossy();
        let command = format!("{name} {}", shown.join(" "));
        let mut child = tokio::process::Command::new(program)
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("start {command}"))?;
        if let Some(mut stdin) = child.stdin.take() {
            // A program that reads nothing may be over already.
            let _ = stdin.write_all(input.as_bytes()).await;
        }
        let output = tokio::time::timeout(TIMEOUT, child.wait_with_output())
            .await
            .with_context(|| format!("{command}: no end within {TIMEOUT:?}"))?
            .with_context(|| format!("start {command}"))?;
        Ok(Self {
            command,
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        })
    }

    /// Fails unless the exit code was 0.
    pub fn ok(self) -> anyhow::Result<Self> {
        if self.code != 0 {
            bail!(
                "{}: exit code {}: {}",
                self.command,
                self.code,
                self.stderr.trim()
            );
        }
        Ok(self)
    }

    /// Standard output as JSON.
    pub fn json(&self) -> anyhow::Result<Value> {
        serde_json::from_str(&self.stdout)
            .with_context(|| format!("{}: standard output is not JSON: {}", self.command, self.stdout))
    }

    /// The `token` of a JSON answer.
    pub fn token(&self) -> anyhow::Result<String> {
        let json = self.json()?;
        let token = json.get("token").and_then(Value::as_str);
        Ok(token
            .with_context(|| format!("{}: no token in the answer", self.command))?
            .to_owned())
    }
}
