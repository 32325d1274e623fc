//! The agent's settings: read from `agent.toml`, checked whole before anything starts, and printed back.

mod check;
mod fault;
mod model;
mod paths;
mod print;
mod raw;

pub use check::load;
pub use fault::{ConfigError, Fault};
pub use model::{
    Config, DEFAULT_FHIR_TIMEOUT_MS, DEFAULT_MAX_PAYLOAD_MIB, DEFAULT_SETTLE_MS, FhirInput, FhirOutput,
    Input, InputKind, LogFormat, LogLevel, MAX_CONNECTORS, Output, OutputKind, Overrides,
};
pub use print::print;
