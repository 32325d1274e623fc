//! The rules of import of ARCHITECTURE.md, and the limits that keep files and functions readable, checked
//! on the sources themselves.
//!
//! Detects, each seen by putting it into the sources: an import against the direction of the layers or around
//! in a circle, written as `crate::`, by `super::`, in a group or in a path; a module without a rank; a crate
//! where it does not belong; a file or function that has grown too long; a `mod.rs` that does more than
//! re-export; a test that is left out or waits by the clock; a lint that is allowed.

#![expect(clippy::unwrap_used, reason = "a test panics where it fails")]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

/// Lines of a file.
const MAX_FILE_LINES: usize = 400;
/// Lines of a function, without blank ones and comments.
const MAX_FUNCTION_LINES: usize = 70;

/// The daemon's modules from the bottom up; one may import those of lower ranks, and of its own rank as long
/// as that goes one way.
const DAEMON: &[(&str, u32)] = &[
    ("clock", 0),
    ("random", 0),
    ("consent", 1),
    ("config", 1),
    ("telemetry", 1),
    ("store", 2),
    ("audit", 3),
    ("enrolment", 3),
    ("hand_off", 3),
    ("ingest", 3),
    ("delivery", 3),
    ("sharing", 4),
    ("grpc", 5),
    ("console", 5),
    ("state_dir", 6),
    ("lifecycle", 6),
    ("operator", 6),
    ("init", 6),
    ("app", 7),
    ("cli", 8),
];

/// The agent's modules from the bottom up.
const AGENT: &[(&str, u32)] = &[
    ("clock", 0),
    ("retry", 0),
    ("text", 0),
    ("retry", 0),
    ("status", 1),
    ("identity", 1),
    ("codec", 1),
    ("store", 2),
    ("input", 3),
    ("output", 3),
    ("link", 3),
    ("enrol", 4),
    ("dead_letters", 4),
    ("config", 4),
    ("telemetry", 4),
    ("lifecycle", 4),
    ("app", 5),
    ("cli", 6),
];

/// Modules that never import one another, whatever their rank.
const APART: &[(&str, &str)] = &[("input", "output"), ("input", "link"), ("output", "link")];

/// Crates, and the one part of a package that may name each.
const CRATES: &[(&str, &str, &[&str])] = &[
    ("daemon", "sqlx", &["store"]),
    ("daemon", "handfast_agent", &[]),
    ("agent", "handfast_daemon", &[]),
    ("agent", "sqlx", &["store"]),
    ("agent", "backoff", &["retry"]),
    ("proto", "tokio", &[]),
    ("proto", "sqlx", &[]),
];

/// What the daemon's pure part never names.
const NOT_IN_CONSENT: &[&str] = &["tokio", "sqlx", "tonic", "std::fs", "std::net", "tracing"];

/// Files of tests that may wait by the clock, and for what.
const MAY_SLEEP: &[(&str, &str)] = &[
    ("out_of_descriptors.rs", "watches what a stretch of time costs"),
    ("s2_no_forwarding_without_both.rs", "watches that nothing arrives"),
    ("slow_loris_and_limits.rs", "is slow on purpose"),
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn sources(under: &Path) -> Vec<PathBuf> {
    let mut out = Vec::new();
    let Ok(entries) = fs::read_dir(under) else {
        return out;
    };
    for path in entries.filter_map(|e| Some(e.ok()?.path())) {
        if path.is_dir() && !path.ends_with("target") {
            out.extend(sources(&path));
        } else if path.extension().is_some_and(|e| e == "rs") {
            out.push(path);
        }
    }
    out.sort();
    out
}

/// A file's lines without comments.
fn code(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap();
    text.lines()
        .map(|l| if l.trim_start().starts_with("//") { "" } else { l })
        .collect::<Vec<_>>()
        .join("\n")
}

/// The first part of a file's path below `src`, without its ending.
fn module(src: &Path, file: &Path) -> String {
    let below = file.strip_prefix(src).unwrap();
    let first = below.components().next().unwrap().as_os_str().to_string_lossy();
    first.trim_end_matches(".rs").to_owned()
}

/// The modules of its own crate that a file names.
fn names(src: &Path, file: &Path) -> BTreeSet<String> {
    let text = code(file);
    let mut out = BTreeSet::new();
    let depth = file.strip_prefix(src).unwrap().components().count();
    let is_mod = file.ends_with("mod.rs");
    let up = "super::".repeat(if is_mod { depth - 1 } else { depth });
    for prefix in ["crate::", if up.is_empty() { "crate::" } else { &up }] {
        for (at, _) in text.match_indices(prefix) {
            if text[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':') {
                continue;
            }
            out.extend(heads(&text[at + prefix.len()..]));
        }
    }
    out
}

/// The first names of a path, or of each path in a group.
fn heads(rest: &str) -> Vec<String> {
    let ident = |s: &str| {
        s.chars()
            .take_while(|c| c.is_alphanumeric() || *c == '_')
            .collect::<String>()
    };
    let Some(group) = rest.strip_prefix('{') else {
        return vec![ident(rest)];
    };
    let mut out = Vec::new();
    let (mut depth, mut start) = (0, true);
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => start = true,
            c if start && !c.is_whitespace() => {
                out.push(ident(&group[at..]));
                start = false;
            }
            _ => {}
        }
    }
    out
}

fn one_way(package: &str, ranks: &[(&str, u32)]) -> Vec<String> {
    let src = root().join(package).join("src");
    let ranks: BTreeMap<&str, u32> = ranks.iter().copied().collect();
    let mut faults = Vec::new();
    let mut edges: BTreeSet<(String, String)> = BTreeSet::new();
    for file in sources(&src) {
        let from = module(&src, &file);
        if ["main", "lib", "bin", "ctl", "testing"].contains(&from.as_str()) {
            continue;
        }
        let Some(rank) = ranks.get(from.as_str()) else {
            faults.push(format!(
                "{}: a module without a rank in this test",
                file.display()
            ));
            continue;
        };
        for to in names(&src, &file) {
            let only_in_tests = to == "testing";
            if to == from || to.is_empty() || to.starts_with(char::is_uppercase) || only_in_tests {
                continue;
            }
            let apart = APART
                .iter()
                .any(|(a, b)| (*a, *b) == (&from, &to) || (*b, *a) == (&from, &to));
            match ranks.get(to.as_str()) {
                Some(lower) if lower <= rank && !(package == "agent" && apart) => {}
                _ => faults.push(format!("{} imports {to}", file.display())),
            }
            edges.insert((from.clone(), to));
        }
    }
    for (a, b) in &edges {
        if a < b && edges.contains(&(b.clone(), a.clone())) {
            faults.push(format!("{package}: {a} and {b} import each other"));
        }
    }
    faults
}

fn none(faults: &[String]) {
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

#[test]
fn imports_run_one_way() {
    let mut faults = one_way("daemon", DAEMON);
    faults.extend(one_way("agent", AGENT));
    none(&faults);
}

#[test]
fn handfastctl_knows_the_contract_alone() {
    let src = root().join("daemon/src");
    let mut faults = Vec::new();
    for file in sources(&src.join("ctl")) {
        for name in names(&src, &file) {
            if name != "ctl" && !name.starts_with(char::is_uppercase) {
                faults.push(format!("{} imports {name}", file.display()));
            }
        }
    }
    none(&faults);
}

#[test]
fn crates_stay_in_their_place() {
    let mut faults = Vec::new();
    for (package, name, only_in) in CRATES {
        let src = root().join(package).join("src");
        for file in sources(&src) {
            let inside = only_in.contains(&module(&src, &file).as_str());
            let tests = file.ends_with("tests.rs") || file.components().any(|c| c.as_os_str() == "tests");
            if !inside && !tests && code(&file).contains(&format!("{name}::")) {
                faults.push(format!("{} names {name}", file.display()));
            }
        }
    }
    for file in sources(&root().join("daemon/src/consent")) {
        let text = code(&file);
        for name in NOT_IN_CONSENT {
            if text.contains(&format!("{name}::")) {
                faults.push(format!("{} names {name}", file.display()));
            }
        }
    }
    none(&faults);
}

#[test]
fn daemon_and_agent_do_not_know_each_other() {
    for (package, other) in [("daemon", "handfast-agent"), ("agent", "handfast-daemon")] {
        let manifest = fs::read_to_string(root().join(package).join("Cargo.toml")).unwrap();
        assert!(!manifest.contains(other), "{package} depends on {other}");
    }
}

fn every_source() -> Vec<PathBuf> {
    ["proto", "daemon", "agent", "integration-tests"]
        .iter()
        .flat_map(|package| sources(&root().join(package)))
        .collect()
}

#[test]
fn files_and_functions_stay_short() {
    let mut faults = Vec::new();
    for file in every_source() {
        let text = fs::read_to_string(&file).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        // The contract's identifiers carry their tests in one file.
        let limit = if file.ends_with("proto/src/ids.rs") {
            450
        } else {
            MAX_FILE_LINES
        };
        if lines.len() > limit {
            faults.push(format!("{}: {} lines", file.display(), lines.len()));
        }
        for (at, line) in lines.iter().enumerate() {
            let body = function_lines(&lines[at..], line);
            if body > MAX_FUNCTION_LINES {
                faults.push(format!(
                    "{}:{}: a function of {body} lines",
                    file.display(),
                    at + 1
                ));
            }
        }
    }
    none(&faults);
}

/// A line without what may stand before an item's own word.
fn bare(trimmed: &str) -> &str {
    let words = ["pub ", "pub(crate) ", "pub(super) ", "const ", "async "];
    words.iter().fold(trimmed, |t, w| t.strip_prefix(w).unwrap_or(t))
}

/// Lines of the function that begins with `line`, or 0 where none does. rustfmt puts its closing brace at
/// the indentation of its first line.
fn function_lines(rest: &[&str], line: &str) -> usize {
    let trimmed = line.trim_start();
    if !bare(trimmed).starts_with("fn ") || line.trim_end().ends_with(';') {
        return 0;
    }
    let close = format!("{}}}", &line[..line.len() - trimmed.len()]);
    let Some(end) = rest.iter().position(|l| *l == close) else {
        return 0;
    };
    rest[..end]
        .iter()
        .filter(|l| !l.trim().is_empty() && !l.trim_start().starts_with("//"))
        .count()
        .saturating_sub(1)
}

#[test]
fn mod_rs_only_re_exports() {
    let mut faults = Vec::new();
    for file in every_source().into_iter().filter(|f| f.ends_with("mod.rs")) {
        let text = code(&file);
        for word in ["fn ", "impl ", "struct ", "enum "] {
            if text.lines().any(|l| bare(l.trim_start()).starts_with(word)) {
                faults.push(format!("{} holds a `{}`", file.display(), word.trim()));
            }
        }
    }
    none(&faults);
}

#[test]
fn no_test_is_left_out_or_waits_by_the_clock() {
    let ignore = concat!("#[", "ignore");
    let allows = [concat!("#[", "allow("), concat!("#![", "allow(")];
    let mut faults = Vec::new();
    for file in every_source() {
        let text = code(&file);
        if text.contains(ignore) {
            faults.push(format!("{} leaves a test out", file.display()));
        }
        if allows.iter().any(|allow| text.contains(allow)) {
            faults.push(format!(
                "{} allows a lint: expect it, with the reason",
                file.display()
            ));
        }
    }
    for file in sources(&root().join("integration-tests/tests")) {
        let name = file.file_name().unwrap().to_string_lossy().into_owned();
        let may = MAY_SLEEP.iter().any(|(f, _)| *f == name);
        if !may && code(&file).contains(concat!("sleep", "(")) {
            faults.push(format!("{} sleeps: wait for what it waits for", file.display()));
        }
    }
    none(&faults);
}
