//! The command line of `handfastd`.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

use crate::{
    config::ServeFlags,
    consent::{Patients, Policy},
};

/// Where this is for.
const DEFAULT_ZONE: &str = "Europe/London";

/// The daemon of Handfast: it forwards each amendment of a patient's record to another care unit only where
/// both units agreed.
///
/// A new deployment takes three steps:
///
///   handfastd init --state-dir DIR --trust-domain care.example --dns handfast.care.example
///   handfastd serve --state-dir DIR --listen 0.0.0.0:7443
///   handfastctl --profile DIR/operator --daemon <https://handfast.care.example:7443> unit add Z00101 …
#[derive(Debug, Parser)]
#[command(name = "handfastd", version, verbatim_doc_comment)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What `handfastd` does.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Makes a deployment: its database, its certificate authority, and the operator's credential.
    ///
    /// DIR must be new or empty; a deployment that is there is never touched. Everything in DIR is readable
    /// by its owner only. DIR/ca/key.pem is the deployment's root secret: back it up where nobody else can
    /// read it.
    Init(Init),
    /// Looks after the operator's credential.
    #[command(subcommand)]
    Operator(Operator),
    /// Looks after the audit log where it is kept.
    #[command(subcommand)]
    Audit(Audit),
    /// Runs the daemon until SIGTERM or SIGINT.
    ///
    /// Each setting is a flag, an environment variable or a key of the configuration file, and counts in
    /// this order. Once connections are taken the address stands in DIR/listening and on stdout, and systemd
    /// is told.
    Serve(Box<Serve>),
    /// Prints shell completions.
    Completions {
        /// For which shell.
        shell: Shell,
    },
}

/// See [`Command::Init`].
#[derive(Debug, Args)]
pub struct Init {
    /// Where to make it.
    #[arg(long, env = "HANDFAST_STATE_DIR", value_name = "DIR")]
    pub state_dir: PathBuf,
    /// The SPIFFE trust domain, which stands in every certificate and can never change: small letters,
    /// digits, '.', '-' and '_', such as care.example.
    #[arg(long, value_name = "NAME")]
    pub trust_domain: String,
    /// A DNS name or IP address by which agents reach the daemon; may be given more than once. localhost,
    /// 127.0.0.1 and ::1 always work.
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    pub dns: Vec<String>,
    /// Marks the deployment as one for synthetic data only; the load generator insists on it.
    #[arg(long)]
    pub test: bool,
    /// Lets the operator set any unit's half of a sharing agreement. Without it only a unit's own
    /// administrators do.
    #[arg(long)]
    pub operator_sets_halves: bool,
    /// The time zone whose days count, as the IANA database names it: a half that ends on a day ends with
    /// that day here. Can never change.
    #[arg(long, value_name = "NAME", default_value = DEFAULT_ZONE)]
    pub zone: String,
    /// What is asked of a patient before anything is shared; `handfastctl policy set` changes it later.
    #[arg(long, value_enum, default_value_t = PolicyChoice::UnlessDissented)]
    pub policy: PolicyChoice,
    /// Whose records a half lets through that is set for the first time and does not say.
    #[arg(long, value_enum, default_value_t = PatientsChoice::All, value_name = "WHOSE")]
    pub default_patients: PatientsChoice,
}

/// What is asked of a patient.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum PolicyChoice {
    /// Shared unless the patient has said no.
    UnlessDissented,
    /// Shared only where the patient has said yes, at the source and at the recipient.
    Explicit,
}

impl From<PolicyChoice> for Policy {
    fn from(choice: PolicyChoice) -> Self {
        match choice {
            PolicyChoice::UnlessDissented => Self::UnlessDissented,
            PolicyChoice::Explicit => Self::Explicit,
        }
    }
}

/// Whose records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum PatientsChoice {
    /// Everyone's.
    All,
    /// Those of patients on the recipient's caseload.
    Caseload,
}

impl From<PatientsChoice> for Patients {
    fn from(choice: PatientsChoice) -> Self {
        match choice {
            PatientsChoice::All => Self::All,
            PatientsChoice::Caseload => Self::Caseload,
        }
    }
}

/// See [`Command::Operator`].
#[derive(Debug, Subcommand)]
pub enum Operator {
    /// Issues the operator's credential anew, into DIR/operator.
    ///
    /// The way back for an operator whose credential expired, was lost or was revoked. Needs only the right
    /// to read and write DIR; works while the daemon serves too.
    Renew {
        /// The folder that `handfastd init` made.
        #[arg(long, env = "HANDFAST_STATE_DIR", value_name = "DIR")]
        state_dir: PathBuf,
    },
}

/// See [`Command::Audit`].
#[derive(Debug, Subcommand)]
pub enum Audit {
    /// Checks the whole log in the database: every value of every entry, every signed head, every kept hash.
    ///
    /// Says which entry is the first that is not as it was entered, and ends with code 1. The daemon does the
    /// same by itself after each start, and says at error level what it finds. Works while the daemon serves
    /// too. A log that was rewritten whole, with the deployment's own key, only shows against what was kept
    /// elsewhere: by the agents, which do so by themselves, and by 'handfastctl audit tree-head'.
    Check {
        /// The folder that `handfastd init` made.
        #[arg(long, env = "HANDFAST_STATE_DIR", value_name = "DIR")]
        state_dir: PathBuf,
        /// The public key, as 'handfastctl audit public-key' wrote it [default: the deployment's own].
        #[arg(long, value_name = "FILE")]
        public_key: Option<PathBuf>,
    },
}

/// See [`Command::Serve`].
#[derive(Debug, Args)]
pub struct Serve {
    /// Shows the settings in force, with their meaning, as a configuration file, and ends.
    #[arg(long)]
    pub print_config: bool,
    /// The settings.
    #[command(flatten)]
    pub flags: ServeFlags,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn flags_with_bad_values_say_what_was_expected() {
        let refused = Cli::try_parse_from(["handfastd", "serve", "--drain-ms", "0"]).unwrap_err();
        let text = refused.to_string();
        assert!(
            text.contains("--drain-ms") && text.contains("a whole number from 1 to 60000"),
            "{text}"
        );
    }
}
