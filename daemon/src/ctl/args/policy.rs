//! The commands on the policy.

use clap::Subcommand;

use crate::ctl::terms::PolicyArg;

#[derive(Debug, Subcommand)]
pub(in crate::ctl) enum PolicyCommand {
    /// Show what is asked of a patient before anything is shared
    Show,
    /// Count what another policy would begin and end, pair by pair, without setting it
    ///
    /// Numbers alone. Reads an index over every source's current records, so it takes a while where there are
    /// many. For the operator.
    Preview {
        /// The policy
        #[arg(value_enum)]
        policy: PolicyArg,
    },
    /// Set it, for the whole deployment
    ///
    /// A dissent stops under either. Under 'explicit' nothing of a patient flows who has not said yes to share-out
    /// at the source and to share-in at the recipient: what was sent of others is withdrawn. See 'policy preview'
    /// first. For the operator.
    Set {
        /// The policy
        #[arg(value_enum)]
        policy: PolicyArg,
        /// Why, for the record
        #[arg(long)]
        reason: String,
        /// How long to wait for it to be in force
        #[arg(long, value_name = "SECONDS", default_value_t = 2, value_parser = clap::value_parser!(u64).range(0..=600))]
        wait: u64,
    },
}
