//! The walks as tests: two hundred short ones, ten thousand in the long mode.

use std::{
    fs,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    path::Path,
    sync::atomic::{AtomicU64, Ordering},
};

use super::{
    rig,
    world::{End, World},
};

/// Walks of a normal run, and of the long mode.
const WALKS: u64 = 200;
const WALKS_LONG: u64 = 10_000;

/// Steps of one walk.
const STEPS: usize = 120;

/// Walks at once.
const THREADS: usize = 2;

fn walk(seed: u64, made: &Path) {
    let dir = tempfile::tempdir().unwrap();
    for file in fs::read_dir(made).unwrap() {
        let file = file.unwrap();
        fs::copy(file.path(), dir.path().join(file.file_name())).unwrap();
    }
    let mut world = World::new(seed, STEPS);
    loop {
        // Each life has a runtime of its own: dropping it is the crash.
        let runtime = if seed.is_multiple_of(2) {
            tokio::runtime::Builder::new_current_thread().enable_all().build()
        } else {
            tokio::runtime::Builder::new_multi_thread()
                .worker_threads(2)
                .enable_all()
                .build()
        };
        let runtime = runtime.unwrap();
        let end = runtime.block_on(world.live(dir.path()));
        drop(runtime);
        if end == End::Over {
            return;
        }
    }
}

fn replayable(seed: u64, made: &Path) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| walk(seed, made))) {
        println!("HANDFAST_SEED={seed} replays the walk that failed");
        resume_unwind(panic);
    }
}

#[test]
fn random_walks_keep_s1_s2_l1_and_w1() {
    let made = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(rig::make(made.path()));
    drop(runtime);
    if let Ok(seed) = std::env::var("HANDFAST_SEED") {
        return replayable(seed.parse().unwrap(), made.path());
    }
    let walks = if std::env::var_os("HANDFAST_LONG").is_some() {
        WALKS_LONG
    } else {
        WALKS
    };
    let first: u64 = rand::random::<u64>() >> 1;
    println!("{walks} walks from HANDFAST_SEED={first} on");
    let next = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                loop {
                    let n = next.fetch_add(1, Ordering::Relaxed);
                    if n >= walks {
                        return;
                    }
                    replayable(first + n, made.path());
                }
            });
        }
    });
}
