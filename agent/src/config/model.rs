//! Settings as they are in force: every value is there, every path is absolute, everything was checked.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use handfast_proto::limits::{DEFAULT_MAX_PAYLOAD_BYTES, HARD_MAX_PAYLOAD_BYTES};

use crate::codec::fhir::PrivateCodes;

/// Inputs, and outputs, in one agent.
pub const MAX_CONNECTORS: usize = 32;

const MIB: usize = 1024 * 1024;

/// `max_payload_mib` where nothing is said.
pub const DEFAULT_MAX_PAYLOAD_MIB: usize = DEFAULT_MAX_PAYLOAD_BYTES / MIB;

/// The largest `max_payload_mib`.
pub(super) const HARD_MAX_PAYLOAD_MIB: usize = HARD_MAX_PAYLOAD_BYTES / MIB;

/// `settle_ms` where nothing is said.
pub const DEFAULT_SETTLE_MS: u64 = 1000;

/// The largest `settle_ms`: an hour.
pub(super) const MAX_SETTLE_MS: u64 = 3_600_000;

/// `timeout_ms` of a FHIR output where nothing is said.
pub const DEFAULT_FHIR_TIMEOUT_MS: u64 = 30_000;

/// The largest `timeout_ms`: ten minutes.
pub(super) const MAX_FHIR_TIMEOUT_MS: u64 = 600_000;

/// The agent's settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// What the log tells.
    pub log_level: LogLevel,
    /// How the log looks.
    pub log_format: LogFormat,
    /// Mebibytes of one resource.
    pub max_payload_mib: usize,
    /// A list of codes whose entries are private.
    pub private_codes: Option<PathBuf>,
    /// What that list holds.
    pub codes: PrivateCodes,
    /// Where this unit's changes come from.
    pub inputs: Vec<Input>,
    /// Where what other units share goes to.
    pub outputs: Vec<Output>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            log_level: LogLevel::Info,
            log_format: LogFormat::Text,
            max_payload_mib: DEFAULT_MAX_PAYLOAD_MIB,
            private_codes: None,
            codes: PrivateCodes::default(),
            inputs: Vec::new(),
            outputs: Vec::new(),
        }
    }
}

impl Config {
    /// Bytes of one resource.
    pub fn max_payload_bytes(&self) -> usize {
        self.max_payload_mib.saturating_mul(MIB)
    }
}

/// What the log tells: itself and all before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum LogLevel {
    /// What stops the agent.
    Error,
    /// What a person should look at.
    Warn,
    /// What happens, without patient data.
    Info,
    /// Why it happens. For finding faults; may name records.
    Debug,
    /// Everything. For finding faults; may name records.
    Trace,
}

/// How the log looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// A line for people.
    Text,
    /// A JSON object a line.
    Json,
}

/// What was said outside the file, by a flag or an environment variable: it goes before the file.
#[derive(Debug, Clone, Default)]
pub struct Overrides {
    /// Before `log_level`.
    pub log_level: Option<LogLevel>,
    /// Before `log_format`.
    pub log_format: Option<LogFormat>,
    /// Before `max_payload_mib`; checked as the file's is.
    pub max_payload_mib: Option<u32>,
    /// Before `private_codes`; relative to the working folder.
    pub private_codes: Option<PathBuf>,
}

/// Where changes come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Input {
    /// Unique among all connectors.
    pub name: String,
    /// Of which kind, with its settings.
    pub kind: InputKind,
}

/// The kinds of input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InputKind {
    /// Files dropped into a folder.
    Directory {
        /// The folder.
        path: PathBuf,
        /// How long a file must be unchanged before it counts as complete.
        settle: Duration,
    },
    /// A local HTTP endpoint.
    Fhir(FhirInput),
}

/// A local HTTP endpoint that speaks FHIR.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FhirInput {
    /// Where it listens.
    pub listen: SocketAddr,
    /// Whether `listen` may be more than loopback.
    pub allow_remote: bool,
}

/// Where amendments of other units go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// Unique among all connectors.
    pub name: String,
    /// Of which kind, with its settings.
    pub kind: OutputKind,
}

/// The kinds of output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OutputKind {
    /// A folder kept in step.
    Directory {
        /// The folder.
        path: PathBuf,
    },
    /// A FHIR server kept in step.
    Fhir(FhirOutput),
}

/// A FHIR server that is written to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FhirOutput {
    /// Its base URL, without a slash at the end.
    pub base_url: String,
    /// Whether `base_url` may be http:// beyond loopback.
    pub allow_plaintext: bool,
    /// Who the agent is there; read from this file at the start.
    pub credentials_file: Option<PathBuf>,
    /// The authority of its certificate (PEM), where it is not one that the machine trusts.
    pub ca_file: Option<PathBuf>,
    /// How long one request may take.
    pub timeout: Duration,
}

impl InputKind {
    /// As in `type = "…"`.
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::Directory { .. } => "directory",
            Self::Fhir(_) => "fhir",
        }
    }
}

impl OutputKind {
    /// As in `type = "…"`.
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::Directory { .. } => "directory",
            Self::Fhir(_) => "fhir",
        }
    }
}

impl LogLevel {
    /// As in the file and on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        }
    }
}

impl LogFormat {
    /// As in the file and on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Json => "json",
        }
    }
}
