//! The command line as people type it. Global options are taken before and after the command.

use std::path::PathBuf;

use clap::{ArgGroup, Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use handfast_proto::ids::{OdsCode, PersonId};

use super::words::{KindArg, RoleArg, Switch};

const EXIT_CODES: &str = "\
Exit codes:
  0  done
  1  it failed; the message says why
  2  the command, or a value in it, makes no sense
  3  refused: this credential may not do that, or is not taken any more
  4  the daemon cannot be reached, or is not the one this credential belongs to
  5  pending: a revocation is committed, but it could not be established in time that
     nothing of it is on its way any more; run the same command again";

/// Administers a Handfast deployment.
#[derive(Debug, Parser)]
#[command(name = "handfastctl", version, about = "Administers a Handfast deployment", after_help = EXIT_CODES)]
pub struct Cli {
    #[command(flatten)]
    pub(super) global: Global,
    #[command(subcommand)]
    pub(super) command: Command,
}

/// Who asks whom, and how the answer looks.
#[derive(Debug, Args)]
#[command(next_help_heading = "Common options")]
pub(super) struct Global {
    /// The folder with the credential to use
    #[arg(long, global = true, env = "HANDFAST_PROFILE", value_name = "DIR")]
    pub(super) profile: Option<PathBuf>,
    /// The daemon, https://HOST:PORT [default: the profile's]
    #[arg(long, global = true, env = "HANDFAST_DAEMON", value_name = "URL")]
    pub(super) daemon: Option<String>,
    /// How answers are written
    #[arg(long, global = true, value_enum, default_value_t = Output::Table, value_name = "FORM")]
    pub(super) output: Output,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Output {
    /// For people
    Table,
    /// For programs
    Json,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Units: the organisations and services that take part
    #[command(subcommand)]
    Unit(UnitCommand),
    /// People: who administers units, and in which role
    #[command(subcommand)]
    Person(PersonCommand),
    /// Sharing agreements: two halves for each ordered pair of units
    #[command(subcommand)]
    Agreement(AgreementCommand),
    /// Exchange a token for a credential; the key is made here and stays here
    Enrol(EnrolArgs),
    /// Renew this profile's certificate (it also renews itself once two thirds of its life are over)
    Renew,
    /// How units are connected, and what was forwarded and withheld since the daemon started
    Status,
    /// Print shell completions
    Completions {
        /// For which shell
        shell: Shell,
    },
}

// === Units ===

#[derive(Debug, Subcommand)]
pub(super) enum UnitCommand {
    /// Register a unit, or many from a file, and make a one-time token for each one's agent
    Add(UnitAdd),
    /// List every unit
    List,
    /// Stop forwarding from and to a unit for the time being
    Suspend {
        /// ODS code
        ods: OdsCode,
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
pub(super) struct UnitAdd {
    /// ODS code
    #[arg(requires = "name", requires = "kind")]
    pub(super) ods: Option<OdsCode>,
    /// The unit's name
    #[arg(long, conflicts_with = "file")]
    pub(super) name: Option<String>,
    /// What kind of unit it is
    #[arg(long, value_enum, conflicts_with = "file")]
    pub(super) kind: Option<KindArg>,
    /// A CSV file with the header ods,name,kind and a line for each unit
    #[arg(long, value_name = "UNITS.csv")]
    pub(super) file: Option<PathBuf>,
    #[command(flatten)]
    pub(super) token_out: TokenOut,
}

/// Where a new token goes.
#[derive(Debug, Args)]
pub(super) struct TokenOut {
    /// Write the token to this new file, which only you may read, instead of showing it
    #[arg(id = "token_out", long = "token-out", value_name = "FILE")]
    pub(super) file: Option<PathBuf>,
}

// === People ===

#[derive(Debug, Subcommand)]
pub(super) enum PersonCommand {
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
pub(super) struct PersonAdd {
    /// Their unit's ODS code; none for an operator
    #[arg(long, value_name = "ODS")]
    pub(super) unit: Option<OdsCode>,
    /// Their role
    #[arg(long, value_enum)]
    pub(super) role: RoleArg,
    /// Their name
    #[arg(long)]
    pub(super) name: String,
    #[command(flatten)]
    pub(super) token_out: TokenOut,
}

// === Agreements ===

#[derive(Debug, Subcommand)]
pub(super) enum AgreementCommand {
    /// Turn the source's half on or off
    ShareOut(SetHalf),
    /// Turn the recipient's half on or off
    ShareIn(SetHalf),
    /// List the agreements that you may see
    List {
        /// Only those with this unit on either side
        #[arg(long, value_name = "ODS")]
        unit: Option<OdsCode>,
        /// Stay, and show them again whenever they change
        #[arg(long)]
        watch: bool,
    },
}

#[derive(Debug, Args)]
pub(super) struct SetHalf {
    /// The source: the unit that records
    #[arg(long, value_name = "ODS")]
    pub(super) from: OdsCode,
    /// The recipient: the unit that would receive
    #[arg(long, value_name = "ODS")]
    pub(super) to: OdsCode,
    /// Whether the half is to be on or off
    #[arg(value_enum)]
    pub(super) state: Switch,
    /// Why, for the record
    #[arg(long, default_value = "", hide_default_value = true)]
    pub(super) reason: String,
    /// How long to wait for a revocation to be in force and its withdrawal to be confirmed
    #[arg(long, value_name = "SECONDS", default_value_t = 2, value_parser = clap::value_parser!(u64).range(0..=600))]
    pub(super) wait: u64,
}

// === Enrolment ===

#[derive(Debug, Args)]
#[command(group = ArgGroup::new("secret").required(true).args(["token", "token_file"]))]
pub(super) struct EnrolArgs {
    /// The token as it was printed; other users of this machine can see it in the list of processes
    #[arg(long)]
    pub(super) token: Option<String>,
    /// A file that holds the token; - is standard input
    #[arg(long, value_name = "FILE")]
    pub(super) token_file: Option<PathBuf>,
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory as _, error::ErrorKind};

    use super::*;

    fn parse(line: &str) -> Result<Cli, clap::Error> {
        Cli::try_parse_from(std::iter::once("handfastctl").chain(line.split_whitespace()))
    }

    #[test]
    fn the_definition_holds() {
        Cli::command().debug_assert();
    }

    #[test]
    fn global_options_stand_before_and_after() {
        for line in [
            "--profile p --daemon https://d --output json unit add Z00101 --name N --kind gp",
            "unit add Z00101 --name N --kind gp --profile p --daemon https://d --output json",
            "--profile p unit --output json add Z00101 --kind gp --daemon https://d --name N",
        ] {
            let cli = parse(line).unwrap();
            assert_eq!(cli.global.profile, Some(PathBuf::from("p")), "{line}");
            assert_eq!(cli.global.daemon.as_deref(), Some("https://d"), "{line}");
            assert_eq!(cli.global.output, Output::Json, "{line}");
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for line in [
            "unit add",
            "unit add Z00101",
            "unit add Z00101 --name N",
            "unit add Z00101 --name N --kind gp --file x.csv",
            "unit add --file x.csv --name N",
            "unit add z00101 --name N --kind gp",
            "unit add Z00101 --name N --kind surgery",
            "unit retire Z00101",
            "person add --unit Z00101 --role admin --name N",
            "person role Ann clinician",
            "agreement share-out --from Z00101 --to Z00202",
            "agreement share-out --from Z00101 --to Z00202 maybe",
            "agreement share-in --from Z00101 --to Z00202 off --wait 601",
            "enrol --daemon https://d --profile p",
            "enrol --daemon https://d --profile p --token t --token-file f",
        ] {
            let error = parse(line).unwrap_err();
            assert_eq!(error.exit_code(), 2, "{line}: {error}");
        }
    }

    #[test]
    fn every_form_that_scripts_use_is_taken() {
        for line in [
            "unit add --file units.csv --token-out tokens.csv",
            "unit list",
            "unit suspend Z00101 --reason moved",
            "unit suspend Z00101",
            "unit resume Z00101",
            "unit token Z00101 --token-out f",
            "unit retire Z00101 --reason closed",
            "person add --unit Z00101 --role unit-admin --name Ann",
            "person add --role operator --name Ann",
            "person list --unit Z00101",
            "person role ann-1 privacy-officer",
            "person revoke ann-1 --reason left",
            "enrol --daemon https://d --token t --profile p",
            "enrol --daemon https://d --token-file - --profile p",
            "agreement share-out --from Z00101 --to Z00202 on",
            "agreement share-in --from Z00101 --to Z00202 off --reason ended --wait 5",
            "agreement list --unit Z00101 --watch",
            "status",
            "renew",
            "completions bash",
        ] {
            parse(line).unwrap();
        }
        assert_eq!(parse("--help").unwrap_err().kind(), ErrorKind::DisplayHelp);
        assert!(parse("--help").unwrap_err().to_string().contains("5  pending"));
    }
}
