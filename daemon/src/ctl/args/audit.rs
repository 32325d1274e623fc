//! The commands on the audit log.

use std::path::PathBuf;

use clap::{ArgGroup, Args, Subcommand, ValueEnum};
use handfast_proto::ids::OdsCode;

use super::patients::Numbers;
use crate::ctl::audit::KindArg;

/// How a log is checked.
const VERIFY_HELP: &str = "\
A log can be checked by anyone, offline, with nothing but its file and the deployment's public key,
fetched once and kept where the daemon's host cannot change it:

  handfastctl audit public-key --out audit.pem
  handfastctl audit export --out log.hfaudit --reason 'the yearly check'
  handfastctl audit verify log.hfaudit --public-key audit.pem";

#[derive(Debug, Subcommand)]
pub(in crate::ctl) enum AuditCommand {
    /// Write the public key with which the log's heads are signed to a new file
    PublicKey {
        /// The new file
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
    /// Show the newest signed head of the log
    ///
    /// The size and the root stand for the whole log up to there: write them down, and a log that is rewritten
    /// later does not continue them.
    TreeHead {
        /// The size of an older head: the daemon must prove that the log continues it
        #[arg(long, value_name = "SIZE", default_value_t = 0, hide_default_value = true)]
        since: u64,
        /// The root of that older head
        #[arg(long, value_name = "ROOT", requires = "since")]
        root: Option<String>,
    },
    /// Search the log; with a patient, also which record went to whom and when
    ///
    /// For privacy officers and auditors: what concerns your unit. For the operator: what is about no patient.
    /// That you searched, and why, is entered in the log.
    Search(SearchArgs),
    /// Say for each record of a patient when it was forwarded or withdrawn, or why it is withheld
    ///
    /// For privacy officers and auditors of the source and of the recipient. What was withheld is told to the
    /// source's people alone.
    Explain(ExplainArgs),
    /// Write the log, or its entries as FHIR AuditEvents, to a new file
    #[command(after_long_help = VERIFY_HELP)]
    Export(ExportArgs),
    /// Check a log that was exported: every entry, every head, order and completeness; needs no daemon
    #[command(after_long_help = VERIFY_HELP)]
    Verify {
        /// The exported log
        #[arg(value_name = "FILE")]
        log: PathBuf,
        /// The public key, as 'audit public-key' wrote it
        #[arg(long, value_name = "FILE")]
        public_key: PathBuf,
    },
    /// Write what a patient is to be told: to whom records were sent, and by whom a view was reported
    Report(ReportArgs),
    /// Erase what identifies persons in your unit's entries about a patient; the log proves what it proved
    Erase(EraseArgs),
}

/// Why the log is read.
#[derive(Debug, Args)]
pub(in crate::ctl) struct Reason {
    /// Why; it is entered in the log
    #[arg(long, env = "HANDFAST_REASON", value_name = "TEXT")]
    pub(in crate::ctl) reason: String,
}

/// A stretch of time.
#[derive(Debug, Default, Args)]
pub(in crate::ctl) struct Between {
    /// Only from this day or moment on: 2027-03-31, or 2027-03-31T10:30:00Z
    #[arg(long, value_parser = moment_arg, value_name = "WHEN")]
    pub(in crate::ctl) since: Option<i64>,
    /// Only before this day or moment
    #[arg(long, value_parser = moment_arg, value_name = "WHEN")]
    pub(in crate::ctl) until: Option<i64>,
}

/// An NHS number that may be left out.
#[derive(Debug, Default, Args)]
#[command(group = ArgGroup::new("patient_if_any").args(["patient", "patient_file"]))]
pub(in crate::ctl) struct PatientIfAny {
    /// The patient's NHS number; others can see it in the list of processes
    #[arg(long, value_name = "NUMBER")]
    pub(in crate::ctl) patient: Option<String>,
    /// A file with the NHS number; - is standard input
    #[arg(long, value_name = "FILE")]
    pub(in crate::ctl) patient_file: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(in crate::ctl) struct SearchArgs {
    #[command(flatten)]
    pub(in crate::ctl) of: PatientIfAny,
    /// Only what concerns this unit [default: your unit]
    #[arg(long, value_name = "ODS")]
    pub(in crate::ctl) unit: Option<OdsCode>,
    /// Only entries of these kinds, with commas between them
    #[arg(long, value_enum, value_delimiter = ',', value_name = "KINDS")]
    pub(in crate::ctl) kind: Vec<KindArg>,
    #[command(flatten)]
    pub(in crate::ctl) between: Between,
    /// Stop after about so many entries, the newest first
    #[arg(long, value_name = "N", default_value_t = 200)]
    pub(in crate::ctl) limit: usize,
    #[command(flatten)]
    pub(in crate::ctl) reason: Reason,
}

#[derive(Debug, Args)]
pub(in crate::ctl) struct ExplainArgs {
    #[command(flatten)]
    pub(in crate::ctl) numbers: Numbers,
    /// The source: the unit that recorded
    #[arg(long, value_name = "ODS")]
    pub(in crate::ctl) from: OdsCode,
    /// The recipient
    #[arg(long, value_name = "ODS")]
    pub(in crate::ctl) to: OdsCode,
    #[command(flatten)]
    pub(in crate::ctl) reason: Reason,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(in crate::ctl) enum ExportFormat {
    /// The whole log, to be checked with 'audit verify'
    Log,
    /// FHIR R4 AuditEvents, one on a line, in the IHE BALP patterns
    Fhir,
}

#[derive(Debug, Args)]
pub(in crate::ctl) struct ExportArgs {
    /// The new file
    #[arg(long, value_name = "FILE")]
    pub(in crate::ctl) out: PathBuf,
    /// What it is to be
    #[arg(long, value_enum, default_value_t = ExportFormat::Log, value_name = "FORM")]
    pub(in crate::ctl) format: ExportFormat,
    #[command(flatten)]
    pub(in crate::ctl) of: PatientIfAny,
    #[command(flatten)]
    pub(in crate::ctl) between: Between,
    /// Why; it is entered in the log. A whole log, which is sealed but for what is its reader's, may go without
    #[arg(
        long,
        env = "HANDFAST_REASON",
        required_if_eq("format", "fhir"),
        value_name = "TEXT"
    )]
    pub(in crate::ctl) reason: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(in crate::ctl) enum ReportFormat {
    /// Plain text
    Text,
    /// A page that stands by itself
    Html,
}

#[derive(Debug, Args)]
pub(in crate::ctl) struct ReportArgs {
    #[command(flatten)]
    pub(in crate::ctl) numbers: Numbers,
    /// How it is written
    #[arg(long, value_enum, default_value_t = ReportFormat::Text, value_name = "FORM")]
    pub(in crate::ctl) format: ReportFormat,
    /// Write it to this new file, which only you may read, instead of showing it
    #[arg(id = "report_out", long = "out", value_name = "FILE")]
    pub(in crate::ctl) out: Option<PathBuf>,
    #[command(flatten)]
    pub(in crate::ctl) between: Between,
    #[command(flatten)]
    pub(in crate::ctl) reason: Reason,
}

#[derive(Debug, Args)]
pub(in crate::ctl) struct EraseArgs {
    #[command(flatten)]
    pub(in crate::ctl) numbers: Numbers,
    /// Only what was entered before this day or moment
    #[arg(long, value_parser = moment_arg, value_name = "WHEN")]
    pub(in crate::ctl) before: i64,
    #[command(flatten)]
    pub(in crate::ctl) reason: Reason,
}

/// A moment with an offset, or the beginning of a day in UTC; milliseconds since 1970-01-01T00:00:00Z.
fn moment_arg(text: &str) -> Result<i64, String> {
    if let Ok(at) = text.parse::<jiff::Timestamp>() {
        return Ok(at.as_millisecond());
    }
    let day: jiff::civil::Date = text
        .parse()
        .map_err(|_| "a day such as 2027-03-31, or a moment such as 2027-03-31T10:30:00Z".to_owned())?;
    let begin = day.to_zoned(jiff::tz::TimeZone::UTC);
    begin
        .map(|begin| begin.timestamp().as_millisecond())
        .map_err(|error| error.to_string())
}
