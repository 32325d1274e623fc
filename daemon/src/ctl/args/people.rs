//! The commands on people, and on one's own credential.

use std::path::PathBuf;

use clap::{ArgGroup, Args, Subcommand};
use handfast_proto::ids::{OdsCode, PersonId};

use super::units::TokenOut;
use crate::ctl::words::RoleArg;

#[derive(Debug, Subcommand)]
pub(in crate::ctl) enum PersonCommand {
    /// Add a person with a role, and make their one-time token
    Add(PersonAdd),
    /// List the people that you may see
    List {
        /// Only those of this unit
        #[arg(long, value_name = "ODS")]
        unit: Option<OdsCode>,
    },
    /// Give a person another role at their unit
    Role {
        /// The person's id, as 'person list' shows it
        id: PersonId,
        /// The new role
        #[arg(value_enum)]
        role: RoleArg,
    },
    /// Revoke a person for good: their certificates are refused, their connections closed
    Revoke {
        /// The person's id, as 'person list' shows it
        id: PersonId,
        /// Why, for the record
        #[arg(long, default_value = "", hide_default_value = true)]
        reason: String,
    },
}

#[derive(Debug, Args)]
pub(in crate::ctl) struct PersonAdd {
    /// Their unit's ODS code; none for an operator
    #[arg(long, value_name = "ODS")]
    pub(in crate::ctl) unit: Option<OdsCode>,
    /// Their role
    #[arg(long, value_enum)]
    pub(in crate::ctl) role: RoleArg,
    /// Their name
    #[arg(long)]
    pub(in crate::ctl) name: String,
    #[command(flatten)]
    pub(in crate::ctl) token_out: TokenOut,
}

#[derive(Debug, Args)]
#[command(group = ArgGroup::new("secret").required(true).args(["token", "token_file"]))]
pub(in crate::ctl) struct EnrolArgs {
    /// The token as it was printed; other users of this machine can see it in the list of processes
    #[arg(long)]
    pub(in crate::ctl) token: Option<String>,
    /// A file that holds the token; - is standard input
    #[arg(long, value_name = "FILE")]
    pub(in crate::ctl) token_file: Option<PathBuf>,
}
