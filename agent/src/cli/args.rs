//! What can be said on the command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

use crate::{
    config::{LogFormat, LogLevel},
    identity::DaemonUrl,
};

const ABOUT: &str =
    "Stands beside a unit's clinical system: shares what it records, takes in what others share";

const LONG_ABOUT: &str = "\
Stands beside a unit's clinical system: turns each change into an amendment and streams it to the Handfast \
daemon, which forwards it to another unit only where the sharing agreement's both halves are on; and takes in \
what other units share with this one.

What the clinical system was told is taken is on this agent's disk. The agent may be killed at any moment: \
nothing is lost and nothing comes twice.";

const AFTER_HELP: &str = "\
First steps:
  1. Get a token for the unit:   handfastctl unit add Z00101 --name 'A practice' --kind gp
  2. Enrol with it:              handfast-agent enrol --state-dir /var/lib/handfast-agent \\
                                   --daemon https://handfast.example:7443 --token-file token
  3. Write agent.toml:           handfast-agent run --print-config > agent.toml
  4. Run:                        handfast-agent run --state-dir /var/lib/handfast-agent --config agent.toml
  5. Look:                       handfast-agent status --state-dir /var/lib/handfast-agent

It ends with:
  0   done, or ended as asked
  1   something failed while it ran; the message says what
  2   the command line is not understood
  69  the daemon cannot be reached, or not now: try again
  75  another agent is running on the state folder
  77  not trusted, or the token is not taken
  78  the settings, or the lack of an identity, need a person";

/// The command line of `handfast-agent`.
#[derive(Debug, Parser)]
#[command(
    name = "handfast-agent",
    version,
    about = ABOUT,
    long_about = LONG_ABOUT,
    after_help = AFTER_HELP,
    disable_help_subcommand = true
)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Exchange a one-time token for this agent's identity
    Enrol(EnrolArgs),
    /// Run the agent
    Run(RunArgs),
    /// Show how the agent stands, whether it runs or not
    Status(StatusArgs),
    /// See and settle what an output could not write
    #[command(subcommand)]
    DeadLetters(DeadLettersCommand),
    /// Print completions for a shell
    Completions {
        /// Which shell.
        shell: Shell,
    },
}

/// Where the agent keeps what it must not lose.
#[derive(Debug, Args)]
pub struct StateDir {
    /// The folder with the agent's identity, outbox and inbox; one agent each
    #[arg(long, value_name = "DIR", env = "HANDFAST_AGENT_STATE_DIR")]
    pub state_dir: PathBuf,
}

/// `enrol`.
#[derive(Debug, Args)]
#[command(
    long_about = "Exchange a one-time token for this agent's identity.\n\nThe key is made here and never leaves \
                  this machine. The token carries the fingerprint of the daemon's authority, so that nobody \
                  in between can pass for the daemon; if the fingerprint does not fit, the token is not sent.",
    after_help = "Examples:\n  handfast-agent enrol --state-dir state --daemon https://handfast.example:7443 \
                  --token-file token\n  handfastctl unit token Z00101 --output json | jq -r .token | \\\n    \
                  handfast-agent enrol --state-dir state --daemon https://localhost:7443 --token-file -"
)]
pub struct EnrolArgs {
    /// The state folder.
    #[command(flatten)]
    pub state: StateDir,
    /// The daemon: https://HOST[:PORT], by a name that its certificate carries
    #[arg(long, value_name = "URL", env = "HANDFAST_AGENT_DAEMON")]
    pub daemon: DaemonUrl,
    /// The token. It shows in the list of processes: --token-file keeps it out
    #[arg(
        long,
        value_name = "TOKEN",
        required_unless_present = "token_file",
        conflicts_with = "token_file"
    )]
    pub token: Option<String>,
    /// A file with the token; '-' reads it from standard input
    #[arg(long, value_name = "FILE", env = "HANDFAST_AGENT_TOKEN_FILE")]
    pub token_file: Option<PathBuf>,
    /// Replace the identity that is there; outbox and inbox stay
    #[arg(long)]
    pub replace: bool,
}

/// `run`.
#[derive(Debug, Args)]
#[command(
    long_about = "Run the agent until SIGTERM or SIGINT.\n\nWithout --config it has no input and no output: it \
                  connects, and keeps in its inbox what others share. A flag goes before its environment \
                  variable, which goes before agent.toml.",
    after_help = "Examples:\n  handfast-agent run --print-config > agent.toml\n  handfast-agent run --state-dir \
                  state --config agent.toml"
)]
pub struct RunArgs {
    /// The folder with the agent's identity, outbox and inbox; one agent each
    #[arg(
        long,
        value_name = "DIR",
        env = "HANDFAST_AGENT_STATE_DIR",
        required_unless_present = "print_config"
    )]
    pub state_dir: Option<PathBuf>,
    /// agent.toml
    #[arg(long, value_name = "FILE", env = "HANDFAST_AGENT_CONFIG")]
    pub config: Option<PathBuf>,
    /// Check the settings, print those in force as TOML with comments, and end
    #[arg(long)]
    pub print_config: bool,
    /// What the log (standard error) tells; patients' data never stands in it up to info
    #[arg(long, value_name = "LEVEL", env = "HANDFAST_AGENT_LOG_LEVEL")]
    pub log_level: Option<LogLevel>,
    /// How the log looks
    #[arg(long, value_name = "FORMAT", env = "HANDFAST_AGENT_LOG_FORMAT")]
    pub log_format: Option<LogFormat>,
    /// The largest resource, in MiB
    #[arg(long, value_name = "MIB", env = "HANDFAST_AGENT_MAX_PAYLOAD_MIB")]
    pub max_payload_mib: Option<u32>,
    /// A list of codes whose entries do not leave this unit
    #[arg(long, value_name = "FILE", env = "HANDFAST_AGENT_PRIVATE_CODES")]
    pub private_codes: Option<PathBuf>,
}

/// How an answer looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum OutputFormat {
    /// For people.
    #[default]
    Table,
    /// For programs: keys in snake_case.
    Json,
}

/// `--output`.
#[derive(Debug, Args)]
pub struct Format {
    /// How the answer looks
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t)]
    pub output: OutputFormat,
}

/// `status`.
#[derive(Debug, Args)]
#[command(
    long_about = "Show how the agent stands: its two streams to the daemon, its certificate, what waits, what it \
                  holds of each source, and what needs a person.\n\nReads what the agent last wrote about itself; \
                  says how old that is, and whether the agent runs.",
    after_help = "The daemon's audit log: the agent keeps its newest signed head and checks that each later one continues \
                  it. Where one does not, records flow on, and ALARM is shown until a person has looked into it \
                  with the deployment's auditors and clears it with --clear-alarm. The next head is then taken as \
                  the first.\n\n\
                  Examples:\n  handfast-agent status --state-dir state --output json | jq .agent.outbox.waiting\n  \
                  handfast-agent status --state-dir state --clear-alarm"
)]
pub struct StatusArgs {
    /// The state folder.
    #[command(flatten)]
    pub state: StateDir,
    /// How the answer looks.
    #[command(flatten)]
    pub format: Format,
    /// Clear the alarm about the daemon's audit log, once it was looked into
    #[arg(long)]
    pub clear_alarm: bool,
}

/// `dead-letters`.
#[derive(Debug, Subcommand)]
#[command(
    long_about = "See and settle what an output could not write.\n\nWhat a FHIR server refuses for good is set \
                  aside here with its reason, and the rest goes on. The source's unit sees its count too. A letter \
                  goes away by itself when a newer version of its record is written, or the record is removed."
)]
pub enum DeadLettersCommand {
    /// List the letters that are open
    List {
        /// The state folder.
        #[command(flatten)]
        state: StateDir,
        /// Those resolved and discarded too
        #[arg(long)]
        all: bool,
        /// How the answer looks.
        #[command(flatten)]
        format: Format,
    },
    /// Show one letter
    Show {
        /// The state folder.
        #[command(flatten)]
        state: StateDir,
        /// Its number, as list shows it
        id: i64,
        /// How the answer looks.
        #[command(flatten)]
        format: Format,
    },
    /// Try letters again, with the version still held
    Retry {
        /// The state folder.
        #[command(flatten)]
        state: StateDir,
        /// Their numbers, as list shows them
        #[arg(required_unless_present = "all")]
        ids: Vec<i64>,
        /// All that are open
        #[arg(long, conflicts_with = "ids")]
        all: bool,
    },
    /// Set a letter aside for good; the output goes without this version
    Discard {
        /// The state folder.
        #[command(flatten)]
        state: StateDir,
        /// Its number, as list shows it
        id: i64,
        /// Why; without clinical content, for whoever asks later
        #[arg(long)]
        reason: String,
    },
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    fn parse(line: &str) -> Result<Cli, clap::Error> {
        Cli::try_parse_from(line.split_whitespace())
    }

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_token_comes_in_exactly_one_way() {
        let enrol = "handfast-agent enrol --state-dir s --daemon https://localhost";
        assert!(parse(enrol).is_err());
        assert!(parse(&format!("{enrol} --token t --token-file f")).is_err());
        assert!(parse(&format!("{enrol} --token t")).is_ok());
        assert!(parse(&format!("{enrol} --token-file -")).is_ok());
    }

    #[test]
    fn settings_can_be_printed_before_there_is_a_state_folder() {
        assert!(parse("handfast-agent run --print-config").is_ok());
        assert!(parse("handfast-agent run").is_err());
        assert!(parse("handfast-agent dead-letters retry --state-dir s").is_err());
        assert!(parse("handfast-agent dead-letters retry --state-dir s --all").is_ok());
        assert!(parse("handfast-agent dead-letters retry --state-dir s 1 2").is_ok());
    }
}
