//! The commands on sharing agreements.

use clap::{Args, Subcommand};
use handfast_proto::ids::OdsCode;

use crate::ctl::{
    terms::{CategoryArg, PatientsArg, SideArg, YesNo, end_day, review_day},
    words::Switch,
};

/// What follows the help of the two halves.
const SCOPE_HELP: &str = "\
A half may be narrowed, and an amendment goes only where both halves let it through. What is left
out stays as it was, so that turning a half on again never widens it:

  … on --categories problems,allergies,medications    only these
  … on --patients caseload                             only patients whom the recipient itself knows
  … on --ends-on 2027-03-31                            off by itself after that day
  … on --categories all --patients all --ends-on never everything again

Narrowing ends what falls out of the half like turning it off does: it is withdrawn, and the answer
says when that is in force. 'agreement preview' counts what a change would begin and end.";

#[derive(Debug, Subcommand)]
pub(in crate::ctl) enum AgreementCommand {
    /// Turn the source's half on or off, or narrow it
    ///
    /// What a unit recorded goes to another only while both hands are joined: the source shares out to the
    /// recipient, and the recipient shares in from the source. Each half is set by an administrator of its own
    /// unit; either ends it alone. Turning one on says first how many patients it would send who are not on the
    /// recipient's caseload; turning one off returns once nothing of it leaves any more, with a receipt.
    #[command(after_long_help = SCOPE_HELP)]
    ShareOut(SetHalf),
    /// Turn the recipient's half on or off, or narrow it
    ///
    /// What a unit recorded goes to another only while both hands are joined: the source shares out to the
    /// recipient, and the recipient shares in from the source. Each half is set by an administrator of its own
    /// unit; either ends it alone. Turning one off returns once nothing of it leaves any more, with a receipt,
    /// and what was received is withdrawn.
    #[command(after_long_help = SCOPE_HELP)]
    ShareIn(SetHalf),
    /// Count what turning or narrowing a half would begin and end, without doing it
    ///
    /// Numbers alone, by category, and only of what you could learn anyway: a source is not told what patients
    /// said at the recipient, a recipient nothing of a source that does not share out to it. What is not
    /// counted is said.
    Preview(PreviewHalf),
    /// List the agreements that you may see, with their scope, and what is to be done about them
    List {
        /// Only those with this unit on either side
        #[arg(long, value_name = "ODS")]
        unit: Option<OdsCode>,
        /// Stay, and show them again whenever they change
        #[arg(long)]
        watch: bool,
    },
}

/// Which half, and how it is to be.
#[derive(Debug, Args)]
pub(in crate::ctl) struct Half {
    /// The source: the unit that records
    #[arg(long, value_name = "ODS")]
    pub(in crate::ctl) from: OdsCode,
    /// The recipient: the unit that would receive
    #[arg(long, value_name = "ODS")]
    pub(in crate::ctl) to: OdsCode,
    /// Whether the half is to be on or off
    #[arg(value_enum)]
    pub(in crate::ctl) state: Switch,
    #[command(flatten)]
    pub(in crate::ctl) scope: ScopeFlags,
}

/// How a half is narrowed. What is not given stays.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Scope (what is left out stays as it was)")]
pub(in crate::ctl) struct ScopeFlags {
    /// Only these categories, with commas between them, or all
    #[arg(long, value_enum, value_delimiter = ',', value_name = "CATEGORIES")]
    pub(in crate::ctl) categories: Vec<CategoryArg>,
    /// Whose records: everyone's, or only those of patients on the recipient's caseload
    #[arg(long, value_enum, value_name = "WHOSE")]
    pub(in crate::ctl) patients: Option<PatientsArg>,
    /// Whether to ask for the patient's own yes on this side, whatever the policy of the deployment
    #[arg(long, value_enum, value_name = "YES|NO")]
    pub(in crate::ctl) explicit: Option<YesNo>,
    /// The last day on which the half holds, in the deployment's time zone, or never
    #[arg(long, value_parser = end_day, value_name = "DATE|never")]
    pub(in crate::ctl) ends_on: Option<String>,
    /// The day by which to look at it again, or none; from 30 days before on it is said, and nothing ends by it
    #[arg(long, value_parser = review_day, value_name = "DATE|none")]
    pub(in crate::ctl) review_on: Option<String>,
    /// The reference of the data-sharing agreement; an empty text takes it away
    #[arg(long, value_name = "TEXT")]
    pub(in crate::ctl) reference: Option<String>,
    /// The legal basis; an empty text takes it away
    #[arg(long, value_name = "TEXT")]
    pub(in crate::ctl) legal_basis: Option<String>,
}

#[derive(Debug, Args)]
pub(in crate::ctl) struct SetHalf {
    #[command(flatten)]
    pub(in crate::ctl) half: Half,
    /// Why, for the record
    #[arg(long, default_value = "", hide_default_value = true)]
    pub(in crate::ctl) reason: String,
    /// How long to wait for a revocation to be in force and its withdrawal to be confirmed
    #[arg(long, value_name = "SECONDS", default_value_t = 2, value_parser = clap::value_parser!(u64).range(0..=600))]
    pub(in crate::ctl) wait: u64,
}

#[derive(Debug, Args)]
pub(in crate::ctl) struct PreviewHalf {
    /// Whose half
    #[arg(value_enum)]
    pub(in crate::ctl) side: SideArg,
    #[command(flatten)]
    pub(in crate::ctl) half: Half,
}
