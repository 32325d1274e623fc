//! A daemon of a test's own, with its units and their administrators.
//!
//! It lives in a temporary folder, which goes when the deployment is dropped. A test that reaches its end
//! says [`Deployment::finished`]; where it does not, the last lines of every log are shown.

use std::{
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, bail};
use parking_lot::Mutex;
use tempfile::TempDir;
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};

use super::{
    admin::Admin,
    agent::AgentProcess,
    binaries::binary,
    ctl::Reply,
    identity::Identity,
    places::{free_port, temp_dir},
    process::Process,
    tls::{Windows, connect},
    wait::wait_until_async,
};

/// How long a daemon may take until it answers the health check.
const READY_WITHIN: Duration = Duration::from_secs(30);
/// Lines of each log shown where a test fails.
const SHOWN_LINES: usize = 40;
/// The trust domain of every deployment of the tests.
pub(super) const TRUST_DOMAIN: &str = "test.example";

/// A daemon in a temporary folder.
#[derive(Debug)]
pub struct Deployment {
    dir: TempDir,
    state: PathBuf,
    port: u16,
    options: Vec<String>,
    daemon: Mutex<Option<Process>>,
    /// Whether a Ctrl-C at the terminal is for this program alone.
    pub(super) apart: bool,
    finished: bool,
}

/// A unit of a deployment, with an administrator.
#[derive(Debug, Clone)]
pub struct UnitAtTest {
    /// Its ODS code.
    pub ods: String,
    /// The profile of its administrator, for handfastctl.
    pub admin_profile: PathBuf,
    /// Its administrator.
    pub admin: Admin,
    /// A token for its agent, not used yet.
    pub token: String,
}

impl Deployment {
    /// Makes a deployment and waits until it serves.
    pub async fn start() -> anyhow::Result<Self> {
        Self::with_options(&[]).await
    }

    /// With more options to `handfastd serve`.
    pub async fn with_options(options: &[&str]) -> anyhow::Result<Self> {
        let dir = temp_dir()?;
        let state = dir.path().join("daemon");
        Self::in_state_dir(dir, state, options).await
    }

    /// With more options to `handfastd init`.
    pub async fn made(init: &[&str]) -> anyhow::Result<Self> {
        let dir = temp_dir()?;
        let state = dir.path().join("daemon");
        Self::unmade(dir, state, &[])?.make(init).await
    }

    /// With more options to both.
    pub async fn made_with(init: &[&str], options: &[&str]) -> anyhow::Result<Self> {
        let dir = temp_dir()?;
        let state = dir.path().join("daemon");
        Self::unmade(dir, state, options)?.make(init).await
    }

    /// With a daemon that outlives a Ctrl-C at the terminal: whoever started it ends it.
    pub async fn apart() -> anyhow::Result<Self> {
        let dir = temp_dir()?;
        let state = dir.path().join("daemon");
        let mut deployment = Self::unmade(dir, state, &[])?;
        deployment.apart = true;
        deployment.make(&[]).await
    }

    /// With the daemon's state in a folder of the test's choice.
    pub async fn in_state_dir(dir: TempDir, state: PathBuf, options: &[&str]) -> anyhow::Result<Self> {
        Self::unmade(dir, state, options)?.make(&[]).await
    }

    async fn make(self, init: &[&str]) -> anyhow::Result<Self> {
        Reply::of(&binary("handfastd")?, &self.init_args(init))
            .await?
            .ok()?;
        self.serve().await?;
        Ok(self)
    }

    /// One of which `handfastd init` is still to be run.
    pub(super) fn unmade(dir: TempDir, state: PathBuf, options: &[&str]) -> anyhow::Result<Self> {
        Ok(Self {
            dir,
            state,
            port: free_port()?,
            options: options.iter().map(|o| (*o).to_owned()).collect(),
            daemon: Mutex::new(None),
            apart: false,
            finished: false,
        })
    }

    /// What makes it, with more options.
    pub(super) fn init_args(&self, init: &[&str]) -> Vec<String> {
        let state = self.state.to_string_lossy();
        let args = [
            "init",
            "--state-dir",
            &state,
            "--trust-domain",
            TRUST_DOMAIN,
            "--test",
        ];
        args.iter().chain(init).map(|arg| (*arg).to_owned()).collect()
    }

    /// Its temporary folder.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// The daemon's state.
    pub fn state_dir(&self) -> &Path {
        &self.state
    }

    /// Where agents and people reach it.
    pub fn url(&self) -> String {
        format!("https://127.0.0.1:{}", self.port)
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The daemon's log.
    pub fn log(&self) -> PathBuf {
        self.dir().join("daemon.log")
    }

    /// The operator's profile.
    pub fn operator(&self) -> PathBuf {
        self.state.join("operator")
    }

    /// The authority's certificate, PEM.
    pub fn ca_pem(&self) -> anyhow::Result<String> {
        Ok(Identity::load(&self.operator())?.ca_pem)
    }

    /// The authority itself, certificate and key, from the daemon's state: to make what it would not issue.
    pub fn authority(&self) -> anyhow::Result<(String, String)> {
        let key = fs::read_to_string(self.state.join("ca/key.pem")).context("read the authority's key")?;
        Ok((self.ca_pem()?, key))
    }

    /// Starts the daemon and waits until it answers the health check.
    pub async fn serve(&self) -> anyhow::Result<()> {
        self.launch()?;
        self.ready().await
    }

    /// Starts the daemon and does not wait.
    pub fn launch(&self) -> anyhow::Result<()> {
        self.launch_in(&[])
    }

    /// The same with more in its environment.
    pub(super) fn launch_in(&self, environment: &[(&str, &OsStr)]) -> anyhow::Result<()> {
        let state = self.state.to_string_lossy().into_owned();
        let listen = format!("127.0.0.1:{}", self.port);
        let mut args = vec!["serve", "--state-dir", &state, "--listen", &listen];
        args.extend(self.options.iter().map(String::as_str));
        let (program, log) = (binary("handfastd")?, self.log());
        let process = Process::spawn_as(&program, &args, &log, environment, self.apart)?;
        *self.daemon.lock() = Some(process);
        Ok(())
    }

    /// Waits until the daemon answers the health check.
    pub async fn ready(&self) -> anyhow::Result<()> {
        let operator = Identity::load(&self.operator())?;
        let url = self.url();
        wait_until_async("the daemon answers the health check", READY_WITHIN, || async {
            if let Some(status) = self.daemon.lock().as_mut().and_then(Process::ended) {
                return Err(format!("it ended with {status}"));
            }
            healthy(&url, &operator).await.map_err(|e| format!("{e:#}"))
        })
        .await
    }

    /// SIGKILL.
    pub fn kill(&self) {
        if let Some(mut process) = self.daemon.lock().take() {
            process.kill();
        }
    }

    /// SIGKILL, and up again.
    pub async fn restart(&self) -> anyhow::Result<()> {
        self.kill();
        self.serve().await
    }

    /// SIGTERM, and waits for the end.
    pub async fn stop(&self) -> anyhow::Result<std::process::ExitStatus> {
        let process = self.daemon.lock().take();
        process.context("the daemon is not running")?.stop().await
    }

    /// The daemon's process id.
    pub fn pid(&self) -> anyhow::Result<u32> {
        let daemon = self.daemon.lock();
        Ok(daemon.as_ref().context("the daemon is not running")?.pid())
    }

    /// Stops the daemon's process without ending it, or lets it go on.
    pub fn freeze(&self, frozen: bool) -> anyhow::Result<()> {
        let daemon = self.daemon.lock();
        let process = daemon.as_ref().context("the daemon is not running")?;
        if frozen { process.freeze() } else { process.thaw() }
    }

    /// Runs handfastctl with a profile.
    pub async fn ctl(&self, profile: &Path, args: &[&str]) -> anyhow::Result<Reply> {
        let (url, profile) = (self.url(), profile.to_string_lossy().into_owned());
        let mut all = vec!["--profile", &profile, "--daemon", &url, "--output", "json"];
        all.extend(args);
        Reply::of(&binary("handfastctl")?, &all).await
    }

    /// The same, with something on standard input.
    pub async fn ctl_with_input(&self, profile: &Path, args: &[&str], input: &str) -> anyhow::Result<Reply> {
        let (url, profile) = (self.url(), profile.to_string_lossy().into_owned());
        let mut all = vec!["--profile", &profile, "--daemon", &url, "--output", "json"];
        all.extend(args);
        Reply::of_input(&binary("handfastctl")?, &all, input).await
    }

    /// Runs handfastctl as the operator; fails where it does.
    pub async fn operate(&self, args: &[&str]) -> anyhow::Result<Reply> {
        self.ctl(&self.operator(), args).await?.ok()
    }

    /// Enrols a unit, and an administrator of it.
    pub async fn add_unit(&self, ods: &str, kind: &str) -> anyhow::Result<UnitAtTest> {
        self.add_named_unit(ods, &format!("Unit {ods}"), kind).await
    }

    /// Enrols a unit under a name, and an administrator of it.
    pub async fn add_named_unit(&self, ods: &str, name: &str, kind: &str) -> anyhow::Result<UnitAtTest> {
        let token = self
            .operate(&["unit", "add", ods, "--name", name, "--kind", kind])
            .await?
            .token()?;
        let admin_profile = self.add_person(ods, "unit-admin").await?;
        let admin = Admin::new(&self.url(), Identity::load(&admin_profile)?);
        Ok(UnitAtTest {
            ods: ods.to_owned(),
            admin_profile,
            admin,
            token,
        })
    }

    /// Adds a person to a unit and enrols them with handfastctl. Returns their profile.
    pub async fn add_person(&self, ods: &str, role: &str) -> anyhow::Result<PathBuf> {
        let name = format!("A {role} of {ods}");
        let token = self
            .operate(&["person", "add", "--unit", ods, "--role", role, "--name", &name])
            .await?
            .token()?;
        let profile = self.dir().join(format!("{ods}-{role}"));
        let (url, path) = (self.url(), profile.to_string_lossy().into_owned());
        let args = ["enrol", "--daemon", &url, "--token", &token, "--profile", &path];
        Reply::of(&binary("handfastctl")?, &args).await?.ok()?;
        Ok(profile)
    }

    /// Has a unit's administrator add a person, and enrols them with handfastctl: their id, and their profile.
    pub async fn hire(&self, unit: &UnitAtTest, role: &str, name: &str) -> anyhow::Result<(String, PathBuf)> {
        let add = [
            "person", "add", "--unit", &unit.ods, "--role", role, "--name", name,
        ];
        let added = self.ctl(&unit.admin_profile, &add).await?.ok()?;
        let id = added.json()?["person"]["id"].as_str().map(str::to_owned);
        let profile = self
            .dir()
            .join(format!("{}-{}", unit.ods, name.replace(' ', "-")));
        let (url, path) = (self.url(), profile.to_string_lossy().into_owned());
        let token = added.token()?;
        let enrol = ["enrol", "--daemon", &url, "--token", &token, "--profile", &path];
        Reply::of(&binary("handfastctl")?, &enrol).await?.ok()?;
        Ok((id.context("a person's id")?, profile))
    }

    /// A unit's certificate for a protocol client, through the enrolment service.
    pub async fn enrol(&self, unit: &UnitAtTest) -> anyhow::Result<Identity> {
        Identity::enrol(&self.url(), &self.ca_pem()?, &unit.token).await
    }

    /// An enrolled agent of a unit, with directory connectors, not yet running.
    pub async fn agent(&self, unit: &UnitAtTest) -> anyhow::Result<AgentProcess> {
        AgentProcess::enrol(&self.dir().join(&unit.ods), &self.url(), &unit.token).await
    }

    /// A line of what the daemon has logged so far.
    pub fn logged(&self) -> String {
        fs::read_to_string(self.log()).unwrap_or_default()
    }

    /// The test reached its end: nothing is shown.
    pub fn finished(mut self) {
        self.silence();
    }

    /// Nothing is shown at its end, however that comes.
    pub fn silence(&mut self) {
        self.finished = true;
    }
}

impl Drop for Deployment {
    #[expect(clippy::print_stderr, reason = "shown by the test runner where a test fails")]
    fn drop(&mut self) {
        self.kill();
        if self.finished {
            return;
        }
        let mut logs: Vec<_> = fs::read_dir(self.dir())
            .into_iter()
            .flatten()
            .filter_map(|e| Some(e.ok()?.path()))
            .filter(|p| p.extension().is_some_and(|e| e == "log"))
            .collect();
        logs.sort();
        for log in logs {
            let text = fs::read_to_string(&log).unwrap_or_default();
            let lines: Vec<_> = text.lines().collect();
            eprintln!("── the end of {}", log.display());
            for line in &lines[lines.len().saturating_sub(SHOWN_LINES)..] {
                eprintln!("{line}");
            }
        }
        if std::env::var_os("HANDFAST_KEEP").is_some() {
            self.dir.disable_cleanup(true);
            eprintln!("kept {}", self.dir.path().display());
        }
    }
}

async fn healthy(url: &str, operator: &Identity) -> anyhow::Result<()> {
    let channel = connect(url, operator, Windows::default()).await?;
    let request = HealthCheckRequest::default();
    let status = HealthClient::new(channel)
        .check(request)
        .await?
        .into_inner()
        .status();
    if status != ServingStatus::Serving {
        bail!("it says {status:?}");
    }
    Ok(())
}
