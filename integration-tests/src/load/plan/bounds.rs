//! The bounds of a plan. Each name carries its unit.

/// Characters of a scenario's name.
pub const MAX_NAME_CHARS: usize = 60;
/// Seconds measured.
pub const MAX_SECONDS: u32 = 7 * 24 * 3600;
/// Seconds before them.
pub const MAX_WARM_UP_SECONDS: u32 = 3600;
/// Units of a topology, without those of idle agreements.
pub const MAX_UNITS: u32 = 1_000;
/// Ordered pairs of a topology: a full mesh of 200 units has 39,800.
pub const MAX_PAIRS: u32 = 40_000;
/// Patients: of the numbers that begin with 999 some 909,000 have a check digit.
pub const MAX_PATIENTS: u32 = 900_000;
/// Records of one source.
pub const MAX_RECORDS_PER_SOURCE: u32 = 10_000_000;
/// Bytes of a payload of a fixed size: every template must fit into the least.
pub const MIN_FIXED_BYTES: u32 = 1_024;
/// Bytes of a payload of a fixed size, at most.
pub const MAX_FIXED_BYTES: u32 = 1024 * 1024;
/// Bytes of the smallest payload of the spread.
pub const MIN_SPREAD_BYTES: u32 = 300;
/// Bytes of the largest payload of the spread.
pub const MAX_SPREAD_BYTES: u32 = 300 * 1024;
/// Amendments a second of all sources together.
pub const MAX_AMENDMENTS_PER_SECOND: f64 = 1_000_000.0;
/// Toggles, dissents or drops a second.
pub const MAX_CHANGES_PER_SECOND: f64 = 1_000.0;
/// Milliseconds that a slow recipient takes over a message.
pub const MAX_DELAY_MS: u32 = 60_000;
/// Agreements loaded beside the measured ones.
pub const MAX_LOADED_AGREEMENTS: u32 = 10_000;
/// Patients of whom words are loaded.
pub const MAX_LOADED_PATIENTS: u32 = 800_000;
