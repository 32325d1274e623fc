//! A PostgreSQL of its own in a temporary folder, on a unix socket there, set as suits the work.

use std::{
    fs,
    os::unix::fs::chown,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use parking_lot::Mutex;
use rustix::process::{Pid, Signal, kill_process, kill_process_group, test_kill_process_group};
use tempfile::TempDir;
use tokio_postgres::{Client, Config, NoTls};

use crate::{
    harness::{Process, wait_until, wait_until_async},
    load::peers::find,
};

/// What is set beside initdb's defaults: fsync and synchronous_commit stay on. A checkpoint begins at about half of
/// max_wal_size, and a second of the work may write 150 MiB: one falls into measured stretches of two minutes and more.
pub(super) const SETTINGS: &[&str] = &[
    "fsync = on",
    "synchronous_commit = on",
    "wal_sync_method = fdatasync",
    "wal_level = minimal",
    "max_wal_senders = 0",
    "wal_buffers = 64MB",
    "max_wal_size = 32GB",
    "min_wal_size = 4GB",
    "checkpoint_timeout = 1h",
    "shared_buffers = 2GB",
    "max_connections = 256",
    "jit = off",
    // The plan of the first reading is made on an empty table. Where it is made for the limit that it is given, it
    // expects to need every row behind the cursor, and sorts them all at each reading; one that is made for any limit
    // expects to need some, and walks the key.
    "plan_cache_mode = force_generic_plan",
    "listen_addresses = ''",
    "unix_socket_permissions = 0777",
];
/// The unprivileged user that Debian's package makes; PostgreSQL refuses to run as root.
const USER: &str = "postgres";
/// The database's user.
const ROLE: &str = "peers";
/// The socket's name has a port in it.
const PORT: u16 = 5432;
/// How long a cluster may take to be made, and to take connections.
const READY_WITHIN: Duration = Duration::from_secs(60);
/// How long an immediate shutdown may take before it is killed.
const STOPPED_WITHIN: Duration = Duration::from_secs(10);
/// How often it is looked at whether it is over.
const LOOK: Duration = Duration::from_millis(20);

/// A cluster that is up.
pub(super) struct Cluster {
    process: Process,
    dir: TempDir,
    pub(super) version: String,
}

impl Cluster {
    pub(super) async fn start() -> anyhow::Result<Self> {
        let bin = find::postgresql()?;
        let version = find::version(&bin.join("postgres")).await?;
        let dir = tempfile::Builder::new()
            .prefix("handfast-pg-")
            .tempdir()
            .context("make a temporary folder")?;
        let user = Unprivileged::needed()?;
        if let Some(user) = &user {
            chown(dir.path(), Some(user.uid), Some(user.gid)).context("give the folder to postgres")?;
        }
        let data = dir.path().join("data");
        make(&bin, &data, &dir.path().join("initdb.log"), user.is_some()).await?;
        let settings = [
            SETTINGS.join("\n"),
            format!("unix_socket_directories = '{}'\n", dir.path().display()),
        ];
        let conf = data.join("postgresql.conf");
        let before = fs::read_to_string(&conf).context("read postgresql.conf")?;
        fs::write(&conf, format!("{before}\n{}", settings.join("\n"))).context("write postgresql.conf")?;
        let (program, mut args) = as_user(&bin.join("postgres"), user.is_some());
        args.extend(["-D".to_owned(), data.to_string_lossy().into_owned()]);
        let log = dir.path().join("postgres.log");
        let process = Process::spawn_as(&program, &args, &log, &[], true)?;
        let mut cluster = Self {
            process,
            dir,
            version,
        };
        cluster.wait(&log).await?;
        Ok(cluster)
    }

    async fn wait(&mut self, log: &Path) -> anyhow::Result<()> {
        let config = self.config();
        let process = Mutex::new(&mut self.process);
        wait_until_async("PostgreSQL takes connections", READY_WITHIN, || async {
            if let Some(status) = process.lock().ended() {
                let said = fs::read_to_string(log).unwrap_or_default();
                return Err(format!("it ended with {status}: {said}"));
            }
            config
                .connect(NoTls)
                .await
                .map(drop)
                .map_err(|e| format!("{e:#}"))
        })
        .await
    }

    pub(super) fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// How to connect to it.
    pub(super) fn config(&self) -> Config {
        let mut config = Config::new();
        config
            .host_path(self.dir.path())
            .port(PORT)
            .user(ROLE)
            .dbname(USER);
        config
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // A postmaster that is killed leaves its shared memory behind: ask first, and again, because one that is just
        // starting does not hear.
        let pid = i32::try_from(self.process.pid()).ok().and_then(Pid::from_raw);
        let end = Instant::now() + STOPPED_WITHIN;
        while self.process.ended().is_none() && Instant::now() < end {
            if pid.is_none_or(|pid| kill_process(pid, Signal::QUIT).is_err()) {
                return;
            }
            std::thread::sleep(LOOK);
        }
    }
}

/// initdb, which runs other programs: they end with it, before its folder goes.
struct Making(Process);

impl Drop for Making {
    fn drop(&mut self) {
        let Some(group) = i32::try_from(self.0.pid()).ok().and_then(Pid::from_raw) else {
            return;
        };
        if self.0.ended().is_some() || kill_process_group(group, Signal::KILL).is_err() {
            return;
        }
        self.0.kill();
        let end = Instant::now() + STOPPED_WITHIN;
        while test_kill_process_group(group).is_ok() && Instant::now() < end {
            std::thread::sleep(LOOK);
        }
    }
}

/// Connects; the connection lasts as long as the client.
pub(super) async fn connect(config: &Config) -> anyhow::Result<Client> {
    let (client, connection) = config.connect(NoTls).await.context("connect to PostgreSQL")?;
    // Its end is seen by the client, whose calls fail then.
    tokio::spawn(connection);
    Ok(client)
}

async fn make(bin: &Path, data: &Path, log: &Path, as_other: bool) -> anyhow::Result<()> {
    let (program, mut args) = as_user(&bin.join("initdb"), as_other);
    let own = [
        "--auth",
        "trust",
        "--username",
        ROLE,
        "--encoding",
        "UTF8",
        "--locale",
        "C",
        "-D",
        &data.to_string_lossy(),
    ];
    args.extend(own.map(str::to_owned));
    let mut making = Making(Process::spawn_as(&program, &args, log, &[], true)?);
    let mut ended = None;
    wait_until("initdb has made a cluster", READY_WITHIN, || {
        ended = making.0.ended();
        ended.map(drop).ok_or_else(|| "it runs".to_owned())
    })
    .await?;
    ensure!(
        ended.is_some_and(|status| status.success()),
        "initdb failed: {}",
        fs::read_to_string(log).unwrap_or_default()
    );
    Ok(())
}

/// A program, and its arguments so far, run as [`USER`] where that is needed. env and setpriv become the program, so
/// that their pid is the program's; in a folder that it may enter, which PostgreSQL insists on.
fn as_user(program: &Path, needed: bool) -> (PathBuf, Vec<String>) {
    if !needed {
        return (program.to_owned(), Vec::new());
    }
    let args = [
        "--chdir=/".to_owned(),
        "setpriv".to_owned(),
        format!("--reuid={USER}"),
        format!("--regid={USER}"),
        "--clear-groups".to_owned(),
        "--".to_owned(),
        program.to_string_lossy().into_owned(),
    ];
    (PathBuf::from("/usr/bin/env"), args.to_vec())
}

struct Unprivileged {
    uid: u32,
    gid: u32,
}

impl Unprivileged {
    /// Where we are root.
    fn needed() -> anyhow::Result<Option<Self>> {
        if !rustix::process::geteuid().is_root() {
            return Ok(None);
        }
        let passwd = fs::read_to_string("/etc/passwd").context("read /etc/passwd")?;
        let line = passwd.lines().map(|l| l.split(':').collect::<Vec<_>>());
        let ids = line
            .filter(|fields| fields.first() == Some(&USER))
            .find_map(|f| Some((f.get(2)?.parse().ok()?, f.get(3)?.parse().ok()?)));
        let (uid, gid) = ids.context("the user postgres, whom Debian's package makes")?;
        Ok(Some(Self { uid, gid }))
    }
}
