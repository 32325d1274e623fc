//! `about/<source>.json`: how this unit stands with a source, for whoever reads `current/<source>`. Beside the records
//! and not among them, and kept when all of them are withdrawn. No clinical content, nobody's name.
//!
//! ```json
//! {
//!   "source": "Z00101",
//!   "as_of": "2026-11-23T10:00:00.000Z",
//!   "shared": true,
//!   "categories": ["allergies", "problems"],
//!   "notices": [
//!     { "code": "withdrawn", "since": "2026-11-23", "text": "Records were withdrawn …" },
//!     { "code": "possibly-incomplete", "reasons": ["narrowed-scope"], "text": "What is shown may be incomplete: …" }
//!   ]
//! }
//! ```
//!
//! `as_of`: until when the daemon was heard of the source, null if never. `shared`: a grant is in force.
//! `categories`: those in scope, null for every category. `notices`: of the kinds `stale`, `withdrawn` and
//! `possibly-incomplete`, at most one each. A file is replaced by rename.

use std::{
    fs::{self, File},
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use handfast_proto::ids::OdsCode;
use serde::Serialize;

use super::journal::rfc3339;
use crate::store::inbox::{About, Notice, NoticeCode, NoticeReason, category_name};

#[derive(Serialize)]
struct Page<'a> {
    source: &'a str,
    as_of: Option<String>,
    shared: bool,
    categories: Option<Vec<String>>,
    notices: Vec<Line<'a>>,
}

#[derive(Serialize)]
struct Line<'a> {
    code: NoticeCode,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    reasons: &'a [NoticeReason],
    #[serde(skip_serializing_if = "Option::is_none")]
    since: Option<&'a str>,
    text: String,
}

impl<'a> From<&'a About> for Page<'a> {
    fn from(about: &'a About) -> Self {
        let names = |all: &Vec<_>| all.iter().copied().map(category_name).collect();
        Self {
            source: about.source.as_str(),
            as_of: about.as_of.map(rfc3339),
            shared: about.shared,
            categories: about.categories.as_ref().map(names),
            notices: about.notices.iter().map(Line::from).collect(),
        }
    }
}

impl<'a> From<&'a Notice> for Line<'a> {
    fn from(notice: &'a Notice) -> Self {
        Self {
            code: notice.code,
            reasons: &notice.reasons,
            since: notice.since.as_deref(),
            text: notice.text(),
        }
    }
}

/// The folder `about/`.
#[derive(Debug, Clone)]
pub(super) struct AboutPages(PathBuf);

impl AboutPages {
    pub(super) fn new(root: PathBuf) -> Self {
        Self(root)
    }

    /// Writes pages, durably.
    pub(super) fn write(&self, abouts: &[About]) -> io::Result<()> {
        fs::create_dir_all(&self.0)?;
        for about in abouts {
            let mut text = serde_json::to_vec_pretty(&Page::from(about))?;
            text.push(b'\n');
            let staged = self.0.join(format!(".{}.json.tmp", about.source));
            let mut file = File::create(&staged)?;
            file.write_all(&text)?;
            file.sync_all()?;
            fs::rename(&staged, self.path(about.source))?;
        }
        File::open(&self.0)?.sync_all()
    }

    /// The sources that have a page.
    pub(super) fn sources(&self) -> io::Result<Vec<OdsCode>> {
        if !self.0.try_exists()? {
            return Ok(Vec::new());
        }
        let mut found = Vec::new();
        for entry in fs::read_dir(&self.0)? {
            let name = entry?.file_name().to_string_lossy().into_owned();
            found.extend(
                name.strip_suffix(".json")
                    .and_then(|code| code.parse::<OdsCode>().ok()),
            );
        }
        Ok(found)
    }

    fn path(&self, source: OdsCode) -> PathBuf {
        Path::join(&self.0, format!("{source}.json"))
    }
}
