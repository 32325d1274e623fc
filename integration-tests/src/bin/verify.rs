//! `cargo verify`: the one test command. Runs every stage even after one failed, so that a run tells all
//! that is wrong, and ends with a summary; the exit code is 0 only if every stage passed.

#![expect(
    clippy::print_stdout,
    reason = "a command for people: what it says is its work"
)]

use std::{
    path::Path,
    process::{Command, ExitCode, Stdio},
    time::{Duration, Instant},
};

use clap::Parser;
use handfast_integration_tests::packages;

/// Checks everything that must hold before a change is taken.
#[derive(Parser)]
#[command(name = "cargo verify")]
struct Options {
    /// Adds the long modes of the tests: multiples of the stated numbers.
    #[arg(long)]
    long: bool,
    /// Only tests whose name, or whose file's name, contains this; the other stages are left out.
    #[arg(long, value_name = "NAME")]
    only: Option<String>,
    /// Replays the random choices of a failed run.
    #[arg(long, value_name = "SEED")]
    seed: Option<u64>,
}

enum Outcome {
    Passed,
    Failed(String),
    Left(String),
}

struct Stage {
    name: &'static str,
    took: Duration,
    outcome: Outcome,
}

fn main() -> ExitCode {
    // `cargo verify -- --long` and `cargo verify --long` mean the same: the alias ends in `--` already.
    let options = Options::parse_from(std::env::args_os().filter(|arg| arg != "--"));
    let begun = Instant::now();
    let mut stages = Vec::new();
    stage(&mut stages, "packages", packages_present);
    if options.only.is_none() {
        stage(&mut stages, "format", || run(cargo(&["fmt", "--all", "--check"])));
        stage(&mut stages, "clippy", || {
            run(cargo(&[
                "clippy",
                "--workspace",
                "--all-targets",
                "--quiet",
                "--",
                "-D",
                "warnings",
            ]))
        });
        stage(&mut stages, "dependencies", dependencies);
    }
    stage(&mut stages, "build", || {
        run(cargo(&["build", "--workspace", "--bins", "--quiet"]))
    });
    stage(&mut stages, "tests", || tests(&options));
    if options.only.is_none() {
        stage(&mut stages, "benchmarks", benchmarks);
    }
    summary(&stages, begun.elapsed())
}

fn stage(stages: &mut Vec<Stage>, name: &'static str, work: impl FnOnce() -> Outcome) {
    println!("── {name}");
    let begun = Instant::now();
    let outcome = work();
    let took = begun.elapsed();
    match &outcome {
        Outcome::Passed => println!("   {name}: passed in {:.1} s", took.as_secs_f64()),
        Outcome::Left(why) => println!("   {name}: left out: {why}"),
        Outcome::Failed(why) => println!("   {name}: FAILED after {:.1} s: {why}", took.as_secs_f64()),
    }
    stages.push(Stage { name, took, outcome });
}

fn packages_present() -> Outcome {
    match packages::install_missing() {
        Ok(done) => {
            println!("   {done}");
            Outcome::Passed
        }
        Err(e) => Outcome::Failed(format!("{e:#}")),
    }
}

/// What may come in as a dependency stands in deny.toml.
fn dependencies() -> Outcome {
    if !answers(&mut Command::new("cargo-deny"), "--version") {
        return Outcome::Left(
            "cargo-deny is not installed (`cargo install cargo-deny`), so deny.toml was not checked"
                .to_owned(),
        );
    }
    run(cargo(&[
        "deny",
        "--offline",
        "check",
        "licenses",
        "bans",
        "sources",
    ]))
}

/// With nextest where it is installed: it stops what hangs and runs each test in a process of its own.
fn tests(options: &Options) -> Outcome {
    let nextest = answers(&mut Command::new("cargo-nextest"), "--version");
    println!("   with cargo {}", if nextest { "nextest" } else { "test" });
    let mut command = if nextest {
        let mut c = cargo(&["nextest", "run", "--workspace", "--no-tests", "fail"]);
        if options.long {
            c.args(["--profile", "long"]);
        }
        if let Some(name) = &options.only {
            c.args(["-E", &format!("test({name}) | binary(~{name})")]);
        }
        c
    } else {
        let mut c = cargo(&[
            "test",
            "--workspace",
            "--no-fail-fast",
            "--lib",
            "--bins",
            "--tests",
        ]);
        if let Some(name) = &options.only {
            c.arg(name);
        }
        // Several of the tests want the whole machine; cargo test runs the files one after the other.
        c.args(["--", "--test-threads", "1"]);
        c
    };
    if options.long {
        command.env("HANDFAST_LONG", "1");
    }
    // Where an error came from says little here; what it says stands above the trace.
    command.env("RUST_LIB_BACKTRACE", "0");
    if let Some(seed) = options.seed {
        command.env("HANDFAST_SEED", seed.to_string());
    }
    run(command)
}

/// Each micro-benchmark once, as the tests are built: that it still runs, and what it asserts of itself. What it
/// takes says nothing.
fn benchmarks() -> Outcome {
    run(cargo(&[
        "test",
        "--workspace",
        "--quiet",
        "--bench",
        "batch",
        "--bench",
        "micro",
    ]))
}

fn cargo(args: &[&str]) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(args);
    command
}

/// Runs a command at the workspace's root, its output shown as it comes.
fn run(mut command: Command) -> Outcome {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    match command.current_dir(root).stdin(Stdio::null()).status() {
        Ok(status) if status.success() => Outcome::Passed,
        Ok(status) => Outcome::Failed(format!("{} ended with {status}", shown(&command))),
        Err(e) => Outcome::Failed(format!("{} could not be started: {e}", shown(&command))),
    }
}

fn answers(command: &mut Command, arg: &str) -> bool {
    command
        .arg(arg)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|s| s.success())
}

fn shown(command: &Command) -> String {
    let args: Vec<_> = command.get_args().map(|a| a.to_string_lossy()).collect();
    format!("cargo {}", args.join(" "))
}

fn summary(stages: &[Stage], took: Duration) -> ExitCode {
    println!("── summary");
    let mut failed = 0;
    for stage in stages {
        let word = match &stage.outcome {
            Outcome::Passed => "passed",
            Outcome::Left(_) => "left out",
            Outcome::Failed(_) => {
                failed += 1;
                "FAILED"
            }
        };
        println!(
            "   {:<14} {word:<9} {:>7.1} s",
            stage.name,
            stage.took.as_secs_f64()
        );
    }
    let seconds = took.as_secs_f64();
    if failed == 0 {
        println!("   everything passed in {seconds:.0} s");
        ExitCode::SUCCESS
    } else {
        println!(
            "   {failed} of {} stages failed, after {seconds:.0} s",
            stages.len()
        );
        ExitCode::FAILURE
    }
}
