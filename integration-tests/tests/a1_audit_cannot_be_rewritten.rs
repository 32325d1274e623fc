//! A1: the audit log cannot be altered unseen, not even by whoever hosts the daemon.
//!
//! Real acts through handfastctl; then the exported log is changed byte by byte, the database is changed behind a
//! daemon that is stopped, and a whole older log is put in the place of the newer one.
//!
//! Detects, each seen with that guard taken out: a byte of an export that nothing covers, or a fault that is put at another entry than the one that was
//! changed; an entry or a personal value in the database that the check does not look at; a daemon that does not
//! look at its log when it starts; a head that is not sent to agents, or not compared with the one that was kept; a
//! proof of another entry than the one asked for.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, ensure};
use handfast_integration_tests::harness::{
    AgentProcess, Audited, Identity, Windows, connect, export_entries, export_frames, verify_export,
    wait_until,
};
use handfast_proto::{
    audit::{ExportFault, Verified, Verifier},
    merkle::{PublicKey, TreeHash, verify_consistency, verify_inclusion},
    v1::{
        ExportEntry, ExportFrame, ProveConsistencyRequest, ProveInclusionRequest, audit_client::AuditClient,
        export_frame::Frame,
    },
};
use prost::Message as _;

const SOON: Duration = Duration::from_secs(30);
/// One in so many bytes is also changed for a handfastctl of its own.
const BY_PROCESS_EVERY: usize = 397;
/// As long, and not what was said.
const OTHER_REASON: &str = "a reason of somebody else'";

fn holds(key: PublicKey, log: &[u8]) -> Result<Verified, ExportFault> {
    let mut verifier = Verifier::new(key);
    verifier.push(log, &mut |_| {})?;
    verifier.finish()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a1_each_byte_of_an_export_is_covered_and_the_first_bad_entry_named() -> anyhow::Result<()> {
    let told = Audited::new().await?;
    let key = told.public_key().await?;
    let (log, bytes) = told.export("log.hfaudit").await?;
    told.deployment.stop().await?;
    let held = verify_export(&log, &key).await?.ok()?.json()?;
    let frames = export_frames(&bytes)?;
    let count = export_entries(&bytes)?.len();
    ensure!(count >= 15, "only {count} entries");
    ensure!(held["entries"] == count && held["holds"] == true, "{held}");
    let public = PublicKey::from_pem(&fs::read_to_string(&key)?)?;
    ensure!(holds(public, &bytes).is_ok());
    let changed = told.deployment.dir().join("changed.hfaudit");
    for at in 0..bytes.len() {
        let mut other = bytes.clone();
        other[at] ^= 1 << (at % 8);
        let fault = holds(public, &other).err();
        let fault = fault.with_context(|| format!("byte {at} of {} is not covered", bytes.len()))?;
        let frame = frames.iter().find(|(place, _, _)| place.contains(&at));
        if let Some((_, before, _)) = frame.filter(|(_, _, f)| matches!(f.frame, Some(Frame::Entry(_)))) {
            ensure!(
                (fault.from..=fault.to).contains(before),
                "byte {at} is of entry {before}: {fault}"
            );
        }
        if at % BY_PROCESS_EVERY == 0 {
            fs::write(&changed, &other)?;
            let said = verify_export(&changed, &key).await?;
            ensure!(said.code == 1, "byte {at}: {said:?}");
            ensure!(said.stderr.contains(&fault.to_string()), "byte {at}: {said:?}");
        }
    }
    // A leaf is named by itself, and so is a personal value.
    let with_value = |f: &ExportFrame| matches!(&f.frame, Some(Frame::Entry(e)) if !e.values.is_empty());
    let whole = frames.iter().find(|(_, _, f)| with_value(f));
    let (place, before, _) = whole.context("an entry with personal values")?;
    for at in [place.start + 60, place.end - 1] {
        let mut other = bytes.clone();
        other[at] ^= 1;
        fs::write(&changed, &other)?;
        let said = verify_export(&changed, &key).await?;
        ensure!(said.stderr.contains(&format!("entry {before}:")), "{said:?}");
    }
    told.deployment.finished();
    Ok(())
}

/// Every place where some bytes stand in the files of the store.
fn found(state: &Path, bytes: &[u8]) -> anyhow::Result<Vec<(PathBuf, usize)>> {
    let mut places = Vec::new();
    for file in fs::read_dir(state)? {
        let path = file?.path();
        if path
            .file_name()
            .is_none_or(|name| !name.to_string_lossy().contains(".db"))
        {
            continue;
        }
        let content = fs::read(&path)?;
        let at = content.windows(bytes.len()).enumerate();
        places.extend(
            at.filter(|(_, window)| *window == bytes)
                .map(|(at, _)| (path.clone(), at)),
        );
    }
    Ok(places)
}

/// Puts bytes in the place of others, wherever they stand.
fn replace(state: &Path, there: &[u8], other: &[u8]) -> anyhow::Result<()> {
    let places = found(state, there)?;
    ensure!(!places.is_empty(), "the bytes are not in the store");
    for (path, at) in places {
        let mut content = fs::read(&path)?;
        content[at..at + other.len()].copy_from_slice(other);
        fs::write(&path, content)?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a1_a_row_that_was_changed_with_the_daemon_stopped_is_found() -> anyhow::Result<()> {
    let told = Audited::new().await?;
    let key = told.public_key().await?;
    let (_, before) = told.export("before.hfaudit").await?;
    told.deployment.stop().await?;
    let state = told.deployment.state_dir().to_owned();
    told.check_database(&key).await?.ok()?;
    let entries = export_entries(&before)?;
    let shown = entries.iter().enumerate().filter(|(_, e)| !e.leaf.is_empty());
    let mut looked_at = 0;
    for (index, entry) in shown.clone() {
        let mut other = entry.leaf.to_vec();
        // Within the salt, and then somewhere behind it, so that a leaf that cannot be read is found too.
        let at = if index % 2 == 0 { 5 } else { other.len() * 2 / 3 };
        other[at] ^= 0x10;
        replace(&state, &entry.leaf, &other)?;
        let said = told.check_database(&key).await?;
        let named = said.stderr.contains(&format!("audit entry {index} "));
        ensure!(said.code == 1 && named, "entry {index}: {said:?}");
        replace(&state, &other, &entry.leaf)?;
        looked_at += 1;
    }
    ensure!(looked_at >= 10, "only {looked_at} entries are shown");
    told.check_database(&key).await?.ok()?;
    // What somebody said is put in other words: the daemon says so at its start, the export shows it.
    let reason = |e: &ExportEntry| e.values.iter().any(|value| value.value == Audited::REASON);
    let (index, entry) = shown
        .clone()
        .find(|(_, e)| reason(e))
        .context("an entry with the reason")?;
    let salted = entry.values.iter().find(|value| value.value == Audited::REASON);
    let salted = salted.context("the reason")?.encode_to_vec();
    let other = replaced(&salted, Audited::REASON.as_bytes(), OTHER_REASON.as_bytes());
    replace(&state, &salted, &other)?;
    let named = format!("audit entry {index} ");
    let said = told.check_database(&key).await?;
    ensure!(said.stderr.contains(&named), "{said:?}");
    told.deployment.serve().await?;
    wait_until("the daemon says what it found", SOON, || {
        let log = told.deployment.logged();
        let alarm = log.lines().find(|line| line.contains("ALARM"));
        match alarm {
            Some(line) if line.contains(&named) => Ok(()),
            Some(line) => Err(line.to_owned()),
            None => Err("no alarm".to_owned()),
        }
    })
    .await?;
    let (after, _) = told.export("after.hfaudit").await?;
    let said = verify_export(&after, &key).await?;
    ensure!(
        said.code == 1 && said.stderr.contains(&format!("entry {index}:")),
        "{said:?}"
    );
    told.deployment.finished();
    Ok(())
}

fn replaced(text: &[u8], there: &[u8], other: &[u8]) -> Vec<u8> {
    let mut out = text.to_vec();
    if let Some(at) = text.windows(there.len()).position(|window| window == there) {
        out[at..at + other.len()].copy_from_slice(other);
    }
    out
}

/// The files of the store as they are, put aside or back.
fn copy_store(from: &Path, to: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(to)?;
    for dir in [from, to] {
        for file in fs::read_dir(dir)? {
            let path = file?.path();
            let name = path
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned();
            if !name.contains(".db") {
                continue;
            }
            if dir == to && !from.join(&name).exists() {
                fs::remove_file(&path)?;
            } else if dir == from {
                fs::copy(&path, to.join(&name))?;
            }
        }
    }
    Ok(())
}

/// What an agent says of the audit log.
fn standing(agent: &AgentProcess) -> serde_json::Value {
    let status = agent.status().unwrap_or_default();
    status["inbox"]["audit_log"].clone()
}

async fn keeps(agent: &AgentProcess, size: u64) -> anyhow::Result<()> {
    wait_until(&format!("the agent keeps a head over {size}"), SOON, || {
        let standing = standing(agent);
        match standing["size"].as_u64() {
            Some(kept) if kept >= size && standing["alarm"].is_null() => Ok(()),
            _ => Err(standing.to_string()),
        }
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a1_an_agent_that_kept_a_head_notices_another_log_in_its_place() -> anyhow::Result<()> {
    let told = Audited::new().await?;
    let head = async |args: &[&str]| told.audit(&[&["tree-head"], args].concat()).await;
    let size = |head: &serde_json::Value| head["size"].as_u64().context("a size");
    let older = head(&[]).await?.ok()?.json()?;
    told.deployment.stop().await?;
    let (state, aside) = (told.deployment.state_dir(), told.deployment.dir().join("aside"));
    copy_store(state, &aside)?;
    told.deployment.serve().await?;

    let agent = told
        .deployment
        .agent(told.units.get(1).context("a unit")?)
        .await?;
    agent.run()?;
    let first = size(&head(&[]).await?.ok()?.json()?)?;
    keeps(&agent, first).await?;
    told.turn("share-in", 1, false).await?;
    let kept = head(&[]).await?.ok()?.json()?;
    keeps(&agent, size(&kept)?).await?;
    let (older_size, kept_size) = (size(&older)?.to_string(), size(&kept)?.to_string());
    let root = |head: &serde_json::Value| head["root"].as_str().unwrap_or_default().to_owned();
    let (older_root, kept_root) = (root(&older), root(&kept));
    head(&["--since", &older_size, "--root", &older_root])
        .await?
        .ok()?;
    agent.stop().await?;

    // The host puts the older log back, and lets others do what makes it as long again.
    told.deployment.stop().await?;
    copy_store(&aside, told.deployment.state_dir())?;
    told.deployment.serve().await?;
    while size(&head(&[]).await?.ok()?.json()?)? <= size(&kept)? {
        told.turn("share-out", 0, true).await?;
    }
    head(&["--since", &older_size, "--root", &older_root])
        .await?
        .ok()?;
    let said = head(&["--since", &kept_size, "--root", &kept_root]).await?;
    ensure!(said.code == 1 && said.stderr.contains("rewritten"), "{said:?}");
    agent.run()?;
    wait_until("the agent raises its alarm", SOON, || {
        let standing = standing(&agent);
        match standing["alarm"]["why"].as_str() {
            Some(why) if why.contains("rewritten") => Ok(()),
            _ => Err(standing.to_string()),
        }
    })
    .await?;
    let status = agent.command(&["status"]).await?;
    ensure!(status.stdout.contains("ALARM"), "{status:?}");
    agent.stop().await?;
    told.deployment.finished();
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a1_whoever_is_enrolled_can_have_it_proven_that_an_entry_is_in_the_log() -> anyhow::Result<()> {
    let told = Audited::new().await?;
    let (_, first) = told.export("first.hfaudit").await?;
    let (_, second) = told.export("second.hfaudit").await?;
    let key = PublicKey::from_pem(&fs::read_to_string(told.public_key().await?)?)?;
    let head = |bytes| holds(key, bytes)?.head.context("a head");
    let (old, new) = (head(&first)?, head(&second)?);
    let admin = Identity::load(&told.units.get(1).context("a unit")?.admin_profile)?;
    let channel = connect(&told.deployment.url(), &admin, Windows::default()).await?;
    let mut client = AuditClient::new(channel);
    let hashes = |raw: &[bytes::Bytes]| {
        let each = raw.iter().map(|raw| TreeHash::from_slice(raw).context("a hash"));
        each.collect::<anyhow::Result<Vec<_>>>()
    };
    let request = ProveConsistencyRequest {
        old_size: old.size,
        new_size: new.size,
    };
    let proof = client.prove_consistency(request).await?.into_inner().proof;
    verify_consistency((old.size, &old.root), (new.size, &new.root), &hashes(&proof)?)?;
    for (index, entry) in (0..).zip(export_entries(&second)?) {
        let request = ProveInclusionRequest {
            index,
            size: new.size,
        };
        let answer = client.prove_inclusion(request).await?.into_inner();
        ensure!(answer.leaf_hash == entry.hash, "entry {index} is another one");
        let leaf = TreeHash::from_slice(&entry.hash).context("a hash")?;
        verify_inclusion(&leaf, index, new.size, &hashes(&answer.proof)?, &new.root)?;
    }
    told.deployment.finished();
    Ok(())
}
