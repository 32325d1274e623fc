//! The process, and the side that starts it and listens to it: a line of counts at a time on standard output.

use std::{
    io::Write as _,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Stdio,
    sync::Arc,
    time::Duration,
};

use anyhow::Context as _;
use clap::Args;
use rustls::crypto::aws_lc_rs;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::{Child, Command},
    sync::{Semaphore, watch},
    task::JoinSet,
};

use super::{
    super::enrol::Enrolled,
    counts::{Counting, Counts},
    keep::keep,
    link::Link,
};

/// How often a process tells its counts.
const TELL_EVERY: Duration = Duration::from_millis(100);
/// Connections of one process that are made at one time, before they stand for the first time.
const FIRST_AT_ONCE: usize = 48;

/// A process with many agents' links; started by `scale idle`.
#[derive(Debug, Clone, Args)]
pub struct CrowdOptions {
    /// The units, as `scale idle` wrote them.
    #[arg(long)]
    members: PathBuf,
    /// The daemon's address.
    #[arg(long)]
    daemon: SocketAddr,
    /// The place of the first of them among all.
    #[arg(long, default_value_t = 0)]
    first: u32,
}

/// Keeps the links up until standard output is closed.
pub async fn crowd(options: CrowdOptions) -> anyhow::Result<()> {
    let text = std::fs::read_to_string(&options.members).context("read the crowd's units")?;
    let units: Vec<Enrolled> = serde_json::from_str(&text).context("read the crowd's units")?;
    let provider = Arc::new(aws_lc_rs::default_provider());
    let counting = Arc::new(Counting::default());
    let first = Arc::new(Semaphore::new(FIRST_AT_ONCE));
    let mut links = JoinSet::new();
    for (place, unit) in (options.first..).zip(&units) {
        let link = Link::new(place, options.daemon, unit, &provider)?;
        let (counting, first) = (Arc::clone(&counting), Arc::clone(&first));
        links.spawn(async move { keep(link, &counting, &first).await });
    }
    let mut out = std::io::stdout();
    loop {
        let line = serde_json::to_string(&counting.now())?;
        writeln!(out, "{line}").context("tell the counts")?;
        tokio::time::sleep(TELL_EVERY).await;
    }
}

/// Such processes, seen from the one that starts them; they end with it.
pub(in super::super) struct Crowd {
    parts: Vec<watch::Receiver<Counts>>,
    tasks: JoinSet<()>,
}

impl Crowd {
    /// Starts as many processes as it takes, each with at most `each` units, of which the first has the place
    /// `first` among all.
    pub(in super::super) fn start(
        dir: &Path,
        daemon: SocketAddr,
        units: &[Enrolled],
        (first, each): (u32, usize),
    ) -> anyhow::Result<Self> {
        let (mut parts, mut tasks) = (Vec::new(), JoinSet::new());
        for (n, some) in units.chunks(each.max(1)).enumerate() {
            let members = dir.join(format!("crowd-{n}.json"));
            std::fs::write(&members, serde_json::to_string(some)?).context("write the crowd's units")?;
            let (told, heard) = watch::channel(Counts::default());
            let child = Command::new(std::env::current_exe().context("find this program")?)
                .args(["scale", "crowd", "--daemon", &daemon.to_string()])
                .args(["--first", &(first as usize + n * each).to_string(), "--members"])
                .arg(&members)
                .stdin(Stdio::null())
                .stdout(Stdio::piped())
                .kill_on_drop(true)
                .spawn()
                .context("start a process with agents' links")?;
            tasks.spawn(listen(child, told));
            parts.push(heard);
        }
        Ok(Self { parts, tasks })
    }

    /// What was told last, all together; fails where one of the processes has ended.
    pub(in super::super) fn counts(&mut self) -> anyhow::Result<Counts> {
        if self.tasks.try_join_next().is_some() {
            anyhow::bail!("a process with agents' links has ended");
        }
        let all = self.parts.iter().map(|part| *part.borrow());
        Ok(all.fold(Counts::default(), Counts::and))
    }
}

async fn listen(mut child: Child, told: watch::Sender<Counts>) {
    let Some(out) = child.stdout.take() else { return };
    let mut lines = BufReader::new(out).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        if let Ok(counts) = serde_json::from_str(&line) {
            told.send_replace(counts);
        }
    }
}
