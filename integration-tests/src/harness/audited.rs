//! A deployment with something in its audit log, and what reads that log.

use std::{
    fs,
    ops::Range,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use handfast_proto::{
    audit::EXPORT_MAGIC,
    v1::{ExportEntry, ExportFrame, export_frame::Frame},
};
use prost::Message as _;

use super::{
    binaries::binary,
    ctl::Reply,
    deployment::{Deployment, UnitAtTest},
    synthetic::nhs_number,
};

/// A deployment of two units in which something happened, and the first one's privacy officer.
#[derive(Debug)]
pub struct Audited {
    /// The daemon.
    pub deployment: Deployment,
    /// The units, `Z00001` first.
    pub units: Vec<UnitAtTest>,
    /// The profile of the first one's privacy officer.
    pub officer: PathBuf,
}

impl Audited {
    /// What the acts give as their reason, so that it can be found.
    pub const REASON: &str = "a reason of the test's own";

    /// A deployment in which both hands were joined and a patient said no.
    pub async fn new() -> anyhow::Result<Self> {
        let deployment = Deployment::start().await?;
        let mut units = Vec::new();
        for ods in ["Z00001", "Z00002"] {
            units.push(deployment.add_unit(ods, "gp").await?);
        }
        let officer = PathBuf::new();
        let mut told = Self {
            deployment,
            units,
            officer,
        };
        let add = "person add --unit Z00001 --role privacy-officer --name Officer".split(' ');
        told.officer = told.person(0, &add.collect::<Vec<_>>(), "officer").await?;
        told.turn("share-out", 0, true).await?;
        told.turn("share-in", 1, true).await?;
        let number = nhs_number(1)?.reveal();
        let args = [
            "patient",
            "consent",
            "set",
            "--patient",
            &number,
            "--share-out",
            "no",
        ];
        told.act(0, &args).await?;
        Ok(told)
    }

    /// Adds a person, by their unit's own administrator, and enrols them. Returns their profile.
    pub async fn person(&self, unit: usize, add: &[&str], profile: &str) -> anyhow::Result<PathBuf> {
        let token = self.act(unit, add).await?.token()?;
        let profile = self.deployment.dir().join(profile);
        let (url, path) = (self.deployment.url(), profile.to_string_lossy());
        let args = ["enrol", "--daemon", &url, "--token", &token, "--profile", &path];
        Reply::of(&binary("handfastctl")?, &args).await?.ok()?;
        Ok(profile)
    }

    /// Something that the administrator of a unit does.
    pub async fn act(&self, unit: usize, args: &[&str]) -> anyhow::Result<Reply> {
        let unit = self.units.get(unit).context("a unit")?;
        self.deployment.ctl(&unit.admin_profile, args).await?.ok()
    }

    /// Turns a half of the pair on or off.
    pub async fn turn(&self, half: &str, unit: usize, on: bool) -> anyhow::Result<()> {
        let on = if on { "on" } else { "off" };
        let pair = ["--from", "Z00001", "--to", "Z00002"];
        let args = ["agreement", half, on, "--reason", Self::REASON];
        self.act(unit, &[&args[..], &pair[..]].concat()).await.map(drop)
    }

    /// `handfastctl audit …` by the privacy officer.
    pub async fn audit(&self, args: &[&str]) -> anyhow::Result<Reply> {
        self.deployment
            .ctl(&self.officer, &[&["audit"], args].concat())
            .await
    }

    /// The whole log as a file of this name, and its bytes.
    pub async fn export(&self, name: &str) -> anyhow::Result<(PathBuf, Vec<u8>)> {
        let path = self.deployment.dir().join(name);
        let shown = path.to_string_lossy();
        self.audit(&["export", "--out", &shown, "--reason", Self::REASON])
            .await?
            .ok()?;
        let bytes = fs::read(&path).context("read the export")?;
        Ok((path, bytes))
    }

    /// The file with the log's public key.
    pub async fn public_key(&self) -> anyhow::Result<PathBuf> {
        let path = self.deployment.dir().join("audit.pem");
        self.audit(&["public-key", "--out", &path.to_string_lossy()])
            .await?
            .ok()?;
        Ok(path)
    }

    /// `handfastd audit check`.
    pub async fn check_database(&self, key: &Path) -> anyhow::Result<Reply> {
        let args = [
            "audit".as_ref(),
            "check".as_ref(),
            "--state-dir".as_ref(),
            self.deployment.state_dir().as_os_str(),
            "--public-key".as_ref(),
            key.as_os_str(),
        ];
        Reply::of(&binary("handfastd")?, &args).await
    }
}

/// `handfastctl audit verify`, with no daemon and no credential.
pub async fn verify_export(log: &Path, key: &Path) -> anyhow::Result<Reply> {
    let (log, key) = (log.to_string_lossy(), key.to_string_lossy());
    let args = ["--output", "json", "audit", "verify", &log, "--public-key", &key];
    Reply::of(&binary("handfastctl")?, &args).await
}

/// The frames of a file: where each one's bytes are, and how many entries stand before it.
pub fn export_frames(log: &[u8]) -> anyhow::Result<Vec<(Range<usize>, u64, ExportFrame)>> {
    let (mut at, mut entries, mut out) = (EXPORT_MAGIC.len(), 0, Vec::new());
    while let Some(len) = log.get(at..).and_then(|rest| rest.first_chunk::<4>()) {
        let end = at + 4 + usize::try_from(u32::from_be_bytes(*len))?;
        let frame = ExportFrame::decode(log.get(at + 4..end).context("a whole frame")?)?;
        let before = entries;
        entries += u64::from(matches!(frame.frame, Some(Frame::Entry(_))));
        out.push((at..end, before, frame));
        at = end;
    }
    Ok(out)
}

/// Entries by their place.
pub fn export_entries(log: &[u8]) -> anyhow::Result<Vec<ExportEntry>> {
    let frames = export_frames(log)?.into_iter();
    let entries = frames.filter_map(|(_, _, frame)| match frame.frame {
        Some(Frame::Entry(entry)) => Some(entry),
        _ => None,
    });
    Ok(entries.collect())
}
