//! Settings as they stand in `agent.toml`, with the place of each. One flat table holds the keys of all
//! kinds of connector, so that the place of a fault is never lost; `check` sorts them.

use std::path::PathBuf;

use serde::Deserialize;
use toml::Spanned;

pub(super) type Place<T> = Option<Spanned<T>>;

#[derive(Debug, Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub(super) struct Raw {
    pub(super) log_level: Place<String>,
    pub(super) log_format: Place<String>,
    pub(super) max_payload_mib: Place<i64>,
    pub(super) private_codes: Place<PathBuf>,
    #[serde(default)]
    pub(super) input: Vec<Spanned<RawInput>>,
    #[serde(default)]
    pub(super) output: Vec<Spanned<RawOutput>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawInput {
    pub(super) r#type: Place<String>,
    pub(super) name: Place<String>,
    pub(super) path: Place<PathBuf>,
    pub(super) settle_ms: Place<i64>,
    pub(super) listen: Place<String>,
    pub(super) allow_remote: Place<bool>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawOutput {
    pub(super) r#type: Place<String>,
    pub(super) name: Place<String>,
    pub(super) path: Place<PathBuf>,
    pub(super) base_url: Place<String>,
    pub(super) allow_plaintext: Place<bool>,
    pub(super) credentials_file: Place<PathBuf>,
    pub(super) ca_file: Place<PathBuf>,
    pub(super) timeout_ms: Place<i64>,
}
