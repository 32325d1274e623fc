//! The commands on patients: what they said, and who is on whose caseload.

use std::path::PathBuf;

use clap::{ArgGroup, Args, Subcommand};
use handfast_proto::ids::OdsCode;

use crate::ctl::terms::{MannerArg, WordArg};

/// How NHS numbers are given.
const NUMBERS_HELP: &str = "\
NHS numbers: other users of this machine can see a command's arguments in the list of processes, and
a shell keeps them in its history. Give them by --patient-file instead, one on a line (lines that are
empty or begin with # are passed over), or on standard input:

  … --patient-file patients.txt
  … --patient-file - < patients.txt";

#[derive(Debug, Subcommand)]
pub(in crate::ctl) enum PatientCommand {
    /// What patients said about sharing, unit by unit
    #[command(subcommand)]
    Consent(ConsentCommand),
}

#[derive(Debug, Subcommand)]
pub(in crate::ctl) enum ConsentCommand {
    /// Record what patients said at your unit
    ///
    /// A no always stops: to share-out, what your unit recorded of the patient leaves it no more; to share-in,
    /// nothing of the patient reaches it any more. What was sent is withdrawn, and the answer says when that is
    /// in force. A yes matters where a yes is asked for (see 'policy show', and --explicit of a half); 'ended'
    /// takes what was said before away. Of two words the one that was said later counts, whenever each is
    /// recorded. For clinicians, administrators and privacy officers of the unit.
    #[command(after_long_help = NUMBERS_HELP)]
    Set(ConsentSet),
    /// Show what a patient said at your unit, in force and before
    #[command(after_long_help = NUMBERS_HELP)]
    Show {
        /// Your unit's ODS code [default: your unit]
        #[arg(long, value_name = "ODS")]
        unit: Option<OdsCode>,
        #[command(flatten)]
        numbers: Numbers,
    },
    /// List every word in force at your unit
    ///
    /// For administrators, privacy officers and auditors of the unit.
    List {
        /// Your unit's ODS code [default: your unit]
        #[arg(long, value_name = "ODS")]
        unit: Option<OdsCode>,
    },
}

/// NHS numbers, in one of two ways.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("numbers").required(true).args(["patient", "patient_file"]))]
pub(in crate::ctl) struct Numbers {
    /// The patient's NHS number; others can see it in the list of processes
    #[arg(long, value_name = "NUMBER")]
    pub(in crate::ctl) patient: Option<String>,
    /// A file with NHS numbers, one on a line; - is standard input
    #[arg(long, visible_alias = "file", value_name = "FILE")]
    pub(in crate::ctl) patient_file: Option<PathBuf>,
}

#[derive(Debug, Args)]
#[command(group = ArgGroup::new("words").required(true).multiple(true).args(["share_out", "share_in", "both"]))]
pub(in crate::ctl) struct ConsentSet {
    /// Your unit's ODS code [default: your unit]
    #[arg(long, value_name = "ODS", conflicts_with = "all_units")]
    pub(in crate::ctl) unit: Option<OdsCode>,
    /// At every unit that takes part, for a patient who objects everywhere: a no alone, by a privacy officer. A
    /// unit that is registered later is to be told then
    #[arg(long)]
    pub(in crate::ctl) all_units: bool,
    #[command(flatten)]
    pub(in crate::ctl) numbers: Numbers,
    /// About what the unit recorded, towards others
    #[arg(long, value_enum, value_name = "WORD")]
    pub(in crate::ctl) share_out: Option<WordArg>,
    /// About what others recorded, towards the unit
    #[arg(long, value_enum, value_name = "WORD")]
    pub(in crate::ctl) share_in: Option<WordArg>,
    /// The same about both
    #[arg(long, value_enum, value_name = "WORD", conflicts_with_all = ["share_out", "share_in"])]
    pub(in crate::ctl) both: Option<WordArg>,
    /// When it was said: a day, or a moment as 2027-03-31T10:30, in the deployment's time zone [default: now].
    /// Of a day a no counts from its end, anything else from its beginning
    #[arg(long, value_name = "DATE", default_value = "", hide_default_value = true)]
    pub(in crate::ctl) said_on: String,
    /// How it was said
    #[arg(long, value_enum, default_value_t = MannerArg::Spoken, value_name = "HOW")]
    pub(in crate::ctl) manner: MannerArg,
    /// Who took it down, where that was not you
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    pub(in crate::ctl) taken_by: String,
    /// How long to wait for it to be in force
    #[arg(long, value_name = "SECONDS", default_value_t = 2, value_parser = clap::value_parser!(u64).range(0..=600))]
    pub(in crate::ctl) wait: u64,
}

// === Caseloads ===

#[derive(Debug, Subcommand)]
pub(in crate::ctl) enum CaseloadCommand {
    /// Put patients on your unit's caseload by name
    ///
    /// Patients of whom your unit recorded something itself are on it already. An addition is a relationship that
    /// you claim for yourself: your privacy officers are alerted, with the reason, and a person and a unit add
    /// only so many within an hour. For clinicians, administrators and privacy officers of the unit.
    #[command(after_long_help = NUMBERS_HELP)]
    Add {
        #[command(flatten)]
        change: CaseloadChange,
        /// Why the patient is your unit's; your privacy officers read it
        #[arg(long)]
        reason: String,
    },
    /// Take patients off your unit's caseload, as far as they are on it by name
    #[command(after_long_help = NUMBERS_HELP)]
    Remove {
        #[command(flatten)]
        change: CaseloadChange,
        /// Why, for the record
        #[arg(long, default_value = "", hide_default_value = true)]
        reason: String,
    },
    /// List who is on your unit's caseload by name
    ///
    /// For administrators, privacy officers and auditors of the unit.
    List {
        /// Your unit's ODS code [default: your unit]
        #[arg(long, value_name = "ODS")]
        unit: Option<OdsCode>,
    },
}

#[derive(Debug, Args)]
pub(in crate::ctl) struct CaseloadChange {
    /// Your unit's ODS code [default: your unit]
    #[arg(long, value_name = "ODS")]
    pub(in crate::ctl) unit: Option<OdsCode>,
    #[command(flatten)]
    pub(in crate::ctl) numbers: Numbers,
}
