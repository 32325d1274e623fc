//! The walks as tests: two hundred short ones; ten thousand in the long mode (`HANDFAST_LONG`), or as many as
//! `HANDFAST_WALKS` says. `HANDFAST_SEED` replays one.

use std::{
    any::Any,
    collections::BTreeMap,
    fs,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};

use super::{
    bounds::Bounds,
    rig,
    world::{End, World},
};

/// Walks of a normal run, and of the long mode.
const WALKS: u64 = 200;
const WALKS_LONG: u64 = 10_000;

/// Steps of one walk.
const STEPS: usize = 120;

/// Walks at once: each waits for disks and clocks most of its time.
const THREADS: usize = 6;

/// How long a walk may take in all, in case something in it never yields.
const WALK_BOUND: Duration = Duration::from_secs(90);

/// How often it is looked whether one takes longer.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// What a thread of walks tells.
enum Told {
    Began(u64),
    Ended(u64),
    Failed(u64, Box<dyn Any + Send>),
}

fn walk(seed: u64, made: &Path) {
    let dir = tempfile::tempdir().unwrap();
    for file in fs::read_dir(made).unwrap() {
        let file = file.unwrap();
        fs::copy(file.path(), dir.path().join(file.file_name())).unwrap();
    }
    let bounds = Bounds::new();
    let mut world = World::new(seed, STEPS, bounds.clone());
    let mut end = End::Crash;
    while end == End::Crash {
        // Each life has a runtime of its own: dropping it is the crash.
        let runtime = runtime(&bounds, seed.is_multiple_of(2));
        let _errors = tracing::dispatcher::set_default(&bounds.dispatch());
        end = runtime.block_on(world.live(dir.path()));
    }
}

fn runtime(bounds: &Bounds, one_thread: bool) -> Runtime {
    if one_thread {
        return Builder::new_current_thread().enable_all().build().unwrap();
    }
    let errors = bounds.dispatch();
    // For as long as the thread lives.
    let heard = move || std::mem::forget(tracing::dispatcher::set_default(&errors));
    Builder::new_multi_thread()
        .worker_threads(2)
        .on_thread_start(heard)
        .enable_all()
        .build()
        .unwrap()
}

/// Walks in threads of their own, so that one that never yields does not hold up the test.
fn walk_on(next: &AtomicU64, beyond: u64, made: &TempDir, told: &mpsc::SyncSender<Told>) {
    loop {
        let seed = next.fetch_add(1, Ordering::Relaxed);
        if seed >= beyond || told.send(Told::Began(seed)).is_err() {
            return;
        }
        let ended = catch_unwind(AssertUnwindSafe(|| walk(seed, made.path())));
        let ended = ended.map_or_else(|panic| Told::Failed(seed, panic), |()| Told::Ended(seed));
        if told.send(ended).is_err() {
            return;
        }
    }
}

fn walk_all(first: u64, walks: u64, made: TempDir) {
    let next = Arc::new(AtomicU64::new(first));
    // Whatever becomes of this test, it stays while a walk is under way.
    let made = Arc::new(made);
    let (told, heard) = mpsc::sync_channel(THREADS);
    for _ in 0..THREADS {
        let (next, made, told) = (Arc::clone(&next), Arc::clone(&made), told.clone());
        thread::spawn(move || walk_on(&next, first + walks, &made, &told));
    }
    drop(told);
    let mut under_way: BTreeMap<u64, Instant> = BTreeMap::new();
    loop {
        match heard.recv_timeout(LOOK_INTERVAL) {
            Ok(Told::Began(seed)) => drop(under_way.insert(seed, Instant::now())),
            Ok(Told::Ended(seed)) => drop(under_way.remove(&seed)),
            Ok(Told::Failed(seed, panic)) => {
                println!("HANDFAST_SEED={seed} replays the walk that failed");
                resume_unwind(panic);
            }
            Err(mpsc::RecvTimeoutError::Disconnected) => return,
            Err(mpsc::RecvTimeoutError::Timeout) => {}
        }
        let stuck = under_way.iter().find(|(_, began)| began.elapsed() > WALK_BOUND);
        if let Some((seed, _)) = stuck {
            panic!("HANDFAST_SEED={seed} replays a walk that did not end within {WALK_BOUND:?}");
        }
    }
}

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap())
}

#[test]
fn random_walks_keep_s1_s2_l1_and_w1() {
    let made = tempfile::tempdir().unwrap();
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(rig::make(made.path()));
    drop(runtime);
    if let Some(seed) = number("HANDFAST_SEED") {
        return walk_all(seed, 1, made);
    }
    let long = std::env::var_os("HANDFAST_LONG").is_some();
    let walks = number("HANDFAST_WALKS").unwrap_or(if long { WALKS_LONG } else { WALKS });
    let first = u64::from(rand::random::<u32>());
    println!("{walks} walks from HANDFAST_SEED={first} on");
    walk_all(first, walks, made);
}
