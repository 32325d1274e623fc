//! An agent of a test's own, with a folder for its input and one for its output.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use parking_lot::Mutex;
use serde_json::Value;

use super::{binaries::binary, ctl::Reply, process::Process};

/// An agent and its folders: `state`, `in`, `out`, and `agent.toml`.
#[derive(Debug)]
pub struct AgentProcess {
    dir: PathBuf,
    process: Mutex<Option<Process>>,
    /// Whether a Ctrl-C at the terminal is for this program alone.
    apart: bool,
}

impl AgentProcess {
    /// Enrols an agent and writes its configuration, with directory connectors.
    pub async fn enrol(dir: &Path, url: &str, token: &str) -> anyhow::Result<Self> {
        let agent = Self {
            dir: dir.to_path_buf(),
            process: Mutex::new(None),
            apart: false,
        };
        for folder in [agent.input(), agent.output(), agent.state()] {
            fs::create_dir_all(&folder).with_context(|| format!("create {}", folder.display()))?;
        }
        let config = format!(
            "[[input]]\ntype = \"directory\"\npath = \"{}\"\n\n[[output]]\ntype = \"directory\"\npath = \
             \"{}\"\n",
            agent.input().display(),
            agent.output().display()
        );
        agent.configure(&config)?;
        agent.enrol_again(url, token).await?;
        Ok(agent)
    }

    /// Enrols with another token, into the same state.
    pub async fn enrol_again(&self, url: &str, token: &str) -> anyhow::Result<()> {
        let state = self.state().to_string_lossy().into_owned();
        let args = ["enrol", "--state-dir", &state, "--daemon", url, "--token", token];
        Reply::of(&binary("handfast-agent")?, &args).await?.ok()?;
        Ok(())
    }

    /// An agent over folders that are there already (a copy, or what was restored).
    pub fn over(dir: &Path) -> Self {
        Self {
            dir: dir.to_path_buf(),
            process: Mutex::new(None),
            apart: false,
        }
    }

    /// The same, which from its next start outlives a Ctrl-C at the terminal: whoever started it ends it.
    pub fn apart(self) -> Self {
        Self { apart: true, ..self }
    }

    /// Writes another configuration.
    pub fn configure(&self, toml: &str) -> anyhow::Result<()> {
        fs::write(self.config(), toml).context("write agent.toml")
    }

    /// Where files are dropped.
    pub fn input(&self) -> PathBuf {
        self.dir.join("in")
    }

    /// What was received.
    pub fn output(&self) -> PathBuf {
        self.dir.join("out")
    }

    /// Its state.
    pub fn state(&self) -> PathBuf {
        self.dir.join("state")
    }

    /// Its configuration.
    pub fn config(&self) -> PathBuf {
        self.dir.join("agent.toml")
    }

    /// Its log.
    pub fn log(&self) -> PathBuf {
        self.dir.with_extension("log")
    }

    /// Starts it.
    pub fn run(&self) -> anyhow::Result<()> {
        let args = [
            "run".into(),
            "--state-dir".into(),
            self.state(),
            "--config".into(),
            self.config(),
        ];
        let program = binary("handfast-agent")?;
        let process = Process::spawn_as(&program, &args, &self.log(), &[], self.apart)?;
        *self.process.lock() = Some(process);
        Ok(())
    }

    /// Whether it ended by itself, and with which code.
    pub fn ended(&self) -> Option<std::process::ExitStatus> {
        self.process.lock().as_mut().and_then(Process::ended)
    }

    /// SIGKILL.
    pub fn kill(&self) {
        if let Some(mut process) = self.process.lock().take() {
            process.kill();
        }
    }

    /// Stops its process without ending it, or lets it go on.
    pub fn freeze(&self, frozen: bool) -> anyhow::Result<()> {
        let process = self.process.lock();
        let process = process.as_ref().context("the agent is not running")?;
        if frozen { process.freeze() } else { process.thaw() }
    }

    /// SIGKILL, and up again.
    pub fn restart(&self) -> anyhow::Result<()> {
        self.kill();
        self.run()
    }

    /// SIGTERM, and waits for the end.
    pub async fn stop(&self) -> anyhow::Result<std::process::ExitStatus> {
        let process = self.process.lock().take();
        process.context("the agent is not running")?.stop().await
    }

    /// Runs another of its commands to its end, with its state folder.
    pub async fn command(&self, args: &[&str]) -> anyhow::Result<Reply> {
        let state = self.state().to_string_lossy().into_owned();
        let mut all = args.to_vec();
        all.extend(["--state-dir", &state]);
        Reply::of(&binary("handfast-agent")?, &all).await
    }

    /// What it last wrote about itself.
    pub fn status(&self) -> Option<Value> {
        let text = fs::read(self.state().join("status.json")).ok()?;
        serde_json::from_slice(&text).ok()
    }

    /// Puts a file into its input, complete at once.
    pub fn drop_file(&self, name: &str, content: &str) -> anyhow::Result<()> {
        let half = self.input().join(format!(".{name}.tmp"));
        fs::write(&half, content).context("write the file")?;
        fs::rename(&half, self.input().join(name)).context("rename the file")
    }

    /// Puts lines into its input as one file.
    pub fn drop_lines<'a>(&self, name: &str, lines: impl IntoIterator<Item = &'a str>) -> anyhow::Result<()> {
        let mut content = String::new();
        for line in lines {
            content.push_str(line);
            content.push('\n');
        }
        self.drop_file(name, &content)
    }

    /// Whether a file was taken; an error says where it is instead.
    pub fn took(&self, name: &str) -> Result<(), String> {
        if self.input().join("done").join(name).exists() {
            return Ok(());
        }
        let reason = self.input().join("rejected").join(format!("{name}.reason"));
        match fs::read_to_string(reason) {
            Ok(why) => Err(format!("{name} was rejected: {why}")),
            Err(_) => Err(format!("{name} is not in done/")),
        }
    }
}
