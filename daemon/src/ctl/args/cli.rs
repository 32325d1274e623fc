//! The command line as people type it. Global options are taken before and after the command.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

use super::{
    agreements::AgreementCommand,
    audit::AuditCommand,
    emergency::{AlertsCommand, EmergencyCommand},
    patients::{CaseloadCommand, PatientCommand},
    people::{EnrolArgs, PersonCommand},
    policy::PolicyCommand,
    units::UnitCommand,
};

const EXIT_CODES: &str = "\
Exit codes:
  0  done
  1  it failed; the message says why
  2  the command, or a value in it, makes no sense
  3  refused: this credential may not do that, or is not taken any more
  4  the daemon cannot be reached, or is not the one this credential belongs to
  5  pending: a change is committed, but it could not be established in time that nothing
     of what it ended is on its way any more; run the same command again";

/// Administers a Handfast deployment.
#[derive(Debug, Parser)]
#[command(name = "handfastctl", version, about = "Administers a Handfast deployment", after_help = EXIT_CODES)]
pub struct Cli {
    #[command(flatten)]
    pub(in crate::ctl) global: Global,
    #[command(subcommand)]
    pub(in crate::ctl) command: Command,
}

/// Who asks whom, and how the answer looks.
#[derive(Debug, Args)]
#[command(next_help_heading = "Common options")]
pub(in crate::ctl) struct Global {
    /// The folder with the credential to use
    #[arg(long, global = true, env = "HANDFAST_PROFILE", value_name = "DIR")]
    pub(in crate::ctl) profile: Option<PathBuf>,
    /// The daemon, https://HOST:PORT [default: the profile's]
    #[arg(long, global = true, env = "HANDFAST_DAEMON", value_name = "URL")]
    pub(in crate::ctl) daemon: Option<String>,
    /// How answers are written
    #[arg(long, global = true, value_enum, default_value_t = Output::Table, value_name = "FORM")]
    pub(in crate::ctl) output: Output,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(in crate::ctl) enum Output {
    /// For people
    Table,
    /// For programs
    Json,
}

#[derive(Debug, Subcommand)]
pub(in crate::ctl) enum Command {
    /// Units: the organisations and services that take part
    #[command(subcommand)]
    Unit(UnitCommand),
    /// People: who administers units, and in which role
    #[command(subcommand)]
    Person(PersonCommand),
    /// Sharing agreements: two halves for each ordered pair of units
    #[command(subcommand)]
    Agreement(AgreementCommand),
    /// Patients: what they said about sharing
    #[command(subcommand)]
    Patient(PatientCommand),
    /// Caseloads: patients of your unit beside those that it recorded something about
    #[command(subcommand)]
    Caseload(CaseloadCommand),
    /// The policy: what is asked of a patient before anything is shared
    #[command(subcommand)]
    Policy(PolicyCommand),
    /// Emergency access: one patient's records of other units, for a limited time, in sight of privacy officers
    #[command(subcommand)]
    Emergency(EmergencyCommand),
    /// Alerts to privacy officers, and their reviews
    #[command(subcommand)]
    Alerts(AlertsCommand),
    /// The audit log: searching, explaining, exporting and checking it
    #[command(subcommand)]
    Audit(AuditCommand),
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
            "agreement share-out --from Z00101 --to Z00202 on --categories surgery",
            "agreement share-out --from Z00101 --to Z00202 on --ends-on tomorrow",
            "agreement share-out --from Z00101 --to Z00202 on --ends-on none",
            "agreement share-out --from Z00101 --to Z00202 on --patients some",
            "agreement preview --from Z00101 --to Z00202 on",
            "patient consent set --unit Z00101 --patient 9990000018",
            "patient consent set --unit Z00101 --share-out no",
            "patient consent set --patient 9990000018 --both no --share-in no",
            "patient consent set --patient 9990000018 --patient-file f --both no",
            "patient consent set --unit Z00101 --all-units --patient 9990000018 --both no",
            "patient consent show",
            "caseload add --patient 9990000018",
            "policy set explicit",
            "policy preview strict",
            "audit export --out f --format fhir",
            "enrol --daemon https://d --profile p",
            "emergency request --note N",
            "emergency request --patient 9990000018",
            "emergency request --patient 9990000018 --patient-file f --note N",
            "emergency request --patient 9990000018 --note N --for 25h",
            "emergency request --patient 9990000018 --note N --reason hunch",
            "emergency review 5 --note N",
            "emergency review 5 --justified --not-justified --note N",
            "alerts review 5 --justified",
            "enrol --daemon https://d --profile p --token t --token-file f",
            "audit explain --patient 9990000018 --from Z00101 --reason R",
            "audit search --patient 9990000018 --patient-file f --reason R",
            "audit verify f",
            "audit erase --patient 9990000018 --reason R",
            "audit report --reason R",
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
            "agreement share-out --from Z00101 --to Z00202 on --categories problems,care-plans --patients caseload \
             --explicit yes --ends-on 2027-03-31 --review-on 2027-01-01 --reference DSA-12 --legal-basis 6(1)(e)",
            "agreement share-in --from Z00101 --to Z00202 on --categories all --ends-on never --review-on none",
            "agreement preview share-in --from Z00101 --to Z00202 off",
            "agreement preview share-out --from Z00101 --to Z00202 on --patients all",
            "patient consent set --unit Z00101 --patient 9990000018 --share-out no",
            "patient consent set --patient-file - --both yes --said-on 2026-11-01 --manner by-proxy --taken-by Ann",
            "patient consent set --patient-file f --share-out no --share-in ended --wait 0",
            "patient consent set --all-units --patient-file - --both no",
            "patient consent show --patient 9990000018",
            "patient consent list --unit Z00101",
            "caseload add --unit Z00101 --patient 9990000018 --reason admitted",
            "caseload add --file ward.txt --reason admitted",
            "caseload remove --patient-file ward.txt",
            "caseload list",
            "policy show",
            "policy preview explicit",
            "policy set unless-dissented --reason decided",
            "unit suspend Z00101 --withdraw",
            "emergency request --patient-file - --note N",
            "emergency request --patient 9990000018 --from Z00101,Z00202 --type self-claimed --reason other --note N --for 30m",
            "emergency list --open --watch",
            "emergency review 5 --not-justified --note N",
            "emergency end 5 --source Z00101",
            "alerts list --open --before 7",
            "alerts watch",
            "alerts review 5 --justified --note N",
            "audit public-key --out f",
            "audit tree-head",
            "audit tree-head --since 5 --root 00",
            "audit search --patient 9990000018 --reason R",
            "audit search --kind half-set,disclosed --since 2027-03-31 --until 2027-04-01T00:00:00Z --reason R",
            "audit explain --patient-file - --from Z00101 --to Z00202 --reason R",
            "audit export --out f",
            "audit export --out f --reason R",
            "audit export --out f --format fhir --patient-file - --reason R",
            "audit verify f --public-key k",
            "audit report --patient 9990000018 --format html --out f --reason R",
            "audit erase --patient 9990000018 --before 2027-03-31 --reason R",
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
