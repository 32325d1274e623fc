//! The commands on units.

use std::path::PathBuf;

use clap::{ArgGroup, Args, Subcommand};
use handfast_proto::ids::OdsCode;

use crate::ctl::words::KindArg;

#[derive(Debug, Subcommand)]
pub(in crate::ctl) enum UnitCommand {
    /// Register a unit, or many from a file, and make a one-time token for each one's agent
    Add(UnitAdd),
    /// List every unit
    List,
    /// Stop forwarding from and to a unit for the time being
    ///
    /// What others hold of it stays with them, frozen, and is marked stale, in 'status', in 'agreement list' and
    /// towards their clinicians. The unit's own agent may connect only to take and confirm removals.
    Suspend {
        /// ODS code
        ods: OdsCode,
        /// Withdraw what others hold of it, too. Its halves stay as they are: once it takes part again, what
        /// they let through comes back
        #[arg(long)]
        withdraw: bool,
        /// Why, for the record
        #[arg(long, default_value = "", hide_default_value = true)]
        reason: String,
    },
    /// End a unit's suspension
    Resume {
        /// ODS code
        ods: OdsCode,
    },
    /// Make a new one-time token for a unit's agent; earlier unused ones are void
    Token {
        /// ODS code
        ods: OdsCode,
        #[command(flatten)]
        token_out: TokenOut,
    },
    /// Retire a unit for good: its halves go off, its certificates are refused
    Retire {
        /// ODS code
        ods: OdsCode,
        /// Why, for the record
        #[arg(long)]
        reason: String,
    },
}

#[derive(Debug, Args)]
#[command(group = ArgGroup::new("what").required(true).args(["ods", "file"]))]
pub(in crate::ctl) struct UnitAdd {
    /// ODS code
    #[arg(requires = "name", requires = "kind")]
    pub(in crate::ctl) ods: Option<OdsCode>,
    /// The unit's name
    #[arg(long, conflicts_with = "file")]
    pub(in crate::ctl) name: Option<String>,
    /// What kind of unit it is
    #[arg(long, value_enum, conflicts_with = "file")]
    pub(in crate::ctl) kind: Option<KindArg>,
    /// A CSV file with the header ods,name,kind and a line for each unit
    #[arg(long, value_name = "UNITS.csv")]
    pub(in crate::ctl) file: Option<PathBuf>,
    #[command(flatten)]
    pub(in crate::ctl) token_out: TokenOut,
}

/// Where a new token goes.
#[derive(Debug, Args)]
pub(in crate::ctl) struct TokenOut {
    /// Write the token to this new file, which only you may read, instead of showing it
    #[arg(id = "token_out", long = "token-out", value_name = "FILE")]
    pub(in crate::ctl) file: Option<PathBuf>,
}
