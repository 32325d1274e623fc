//! The commands on emergency access and alerts as people type them.

use clap::{ArgGroup, Args, Subcommand, ValueEnum};
use handfast_proto::{
    emergency::MAX_ACCESS_SECONDS,
    ids::OdsCode,
    v1::{ScrAlertReason, ScrAlertType},
};

use super::patients::Numbers;

const REQUEST_HELP: &str = "\
What happens:
  The records that the sources share out, and that the patient has not refused to share there, arrive at your
  unit at once, for a limited time. Then they are removed again. Private entries never come. Privacy officers
  of your unit and of each source are alerted, see who asked, for whom and why, and review it.

Type and reason (of the Summary Care Record):
  access        public-interest, statute, court-order, emergency
  self-claimed  public-interest, statute, court-order, emergency, other

Example:
  handfastctl emergency request --patient-file - --from Z00101 --note 'Unconscious on arrival' < number";

#[derive(Debug, Subcommand)]
pub(in crate::ctl) enum EmergencyCommand {
    /// Open one patient's records of other units to yours, at once and for a limited time
    Request(RequestArgs),
    /// List emergency accesses: a clinician's own, or those that concern a privacy officer's unit
    List(ListArgs),
    /// Say whether an access was justified (privacy officers; nobody reviews their own)
    Review(ReviewArgs),
    /// End an access before its time
    End {
        /// The access's number, as 'emergency list' shows it
        id: u64,
        /// Only as far as this source goes
        #[arg(long, value_name = "ODS")]
        source: Option<OdsCode>,
    },
}

#[derive(Debug, Args)]
#[command(after_help = REQUEST_HELP)]
pub(in crate::ctl) struct RequestArgs {
    #[command(flatten)]
    pub(in crate::ctl) patient: Numbers,
    /// A unit whose records are needed; may be given more than once [default: all that share out to yours]
    #[arg(long, value_name = "ODS", value_delimiter = ',')]
    pub(in crate::ctl) from: Vec<OdsCode>,
    /// The alert type
    #[arg(long = "type", value_enum, default_value_t = TypeArg::Access)]
    pub(in crate::ctl) alert_type: TypeArg,
    /// The alert reason
    #[arg(long, value_enum, default_value_t = ReasonArg::Emergency)]
    pub(in crate::ctl) reason: ReasonArg,
    /// Why, in your own words: the privacy officers read it
    #[arg(long)]
    pub(in crate::ctl) note: String,
    /// How long: 90s, 30m, 4h; at most 24h
    #[arg(long = "for", value_name = "TIME", default_value = "4h", value_parser = seconds)]
    pub(in crate::ctl) seconds: u32,
}

#[derive(Debug, Clone, Args)]
pub(in crate::ctl) struct ListArgs {
    /// Only what is not over or not reviewed
    #[arg(long)]
    pub(in crate::ctl) open: bool,
    /// Only those numbered below this one, to see what is further back
    #[arg(long, value_name = "NUMBER", default_value_t = 0, hide_default_value = true)]
    pub(in crate::ctl) before: u64,
    /// Stay, and show them again whenever they change
    #[arg(long)]
    pub(in crate::ctl) watch: bool,
}

#[derive(Debug, Args)]
#[command(group = ArgGroup::new("finding").required(true).args(["justified", "not_justified"]))]
pub(in crate::ctl) struct ReviewArgs {
    /// The number, as 'list' shows it
    pub(in crate::ctl) id: u64,
    /// It was justified
    #[arg(long)]
    pub(in crate::ctl) justified: bool,
    /// It was not justified
    #[arg(long)]
    pub(in crate::ctl) not_justified: bool,
    /// Why
    #[arg(long)]
    pub(in crate::ctl) note: String,
}

#[derive(Debug, Subcommand)]
pub(in crate::ctl) enum AlertsCommand {
    /// List the alerts that you may see
    List(AlertListArgs),
    /// Stay, and show the alerts whenever they change
    Watch(AlertListArgs),
    /// Close an alert, or add to its review (nobody reviews what they did themselves)
    Review(ReviewArgs),
}

#[derive(Debug, Clone, Args)]
pub(in crate::ctl) struct AlertListArgs {
    /// Only those that are not reviewed
    #[arg(long)]
    pub(in crate::ctl) open: bool,
    /// Only those numbered below this one, to see what is further back
    #[arg(long, value_name = "NUMBER", default_value_t = 0, hide_default_value = true)]
    pub(in crate::ctl) before: u64,
}

/// An alert type of the Summary Care Record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(in crate::ctl) enum TypeArg {
    /// A relationship with the patient that you claim for yourself
    SelfClaimed,
    /// Access without the patient's agreement
    Access,
}

/// An alert reason of the Summary Care Record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(in crate::ctl) enum ReasonArg {
    PublicInterest,
    Statute,
    CourtOrder,
    Emergency,
    /// Only with self-claimed
    Other,
}

impl From<TypeArg> for ScrAlertType {
    fn from(arg: TypeArg) -> Self {
        match arg {
            TypeArg::SelfClaimed => Self::SelfClaimed,
            TypeArg::Access => Self::Access,
        }
    }
}

impl ReasonArg {
    /// As the contract numbers it; the type tells which of the two emergencies it is.
    pub(in crate::ctl) fn with(self, alert_type: TypeArg) -> ScrAlertReason {
        match (self, alert_type) {
            (Self::PublicInterest, _) => ScrAlertReason::PublicInterest,
            (Self::Statute, _) => ScrAlertReason::Statute,
            (Self::CourtOrder, _) => ScrAlertReason::CourtOrder,
            (Self::Emergency, TypeArg::SelfClaimed) => ScrAlertReason::SelfClaimedEmergency,
            (Self::Emergency, TypeArg::Access) => ScrAlertReason::AccessEmergency,
            (Self::Other, _) => ScrAlertReason::Other,
        }
    }
}

/// Reads `90s`, `30m`, `4h`.
fn seconds(text: &str) -> Result<u32, String> {
    let unit = match text.chars().last() {
        Some('s') => Some(1),
        Some('m') => Some(60),
        Some('h') => Some(3600),
        _ => None,
    };
    let number = text
        .get(..text.len().saturating_sub(1))
        .and_then(|n| n.parse::<u32>().ok());
    let seconds = number
        .zip(unit)
        .and_then(|(number, unit)| number.checked_mul(unit));
    seconds
        .filter(|seconds| (1..=MAX_ACCESS_SECONDS).contains(seconds))
        .ok_or_else(|| "a number with s, m or h behind it, from 1s to 24h".to_owned())
}

#[cfg(test)]
mod tests {
    use handfast_proto::emergency::Ground;

    use super::*;

    #[test]
    fn a_time_is_seconds_minutes_or_hours() {
        for (text, want) in [
            ("1s", 1),
            ("90s", 90),
            ("30m", 1800),
            ("4h", 14_400),
            ("24h", 86_400),
        ] {
            assert_eq!(seconds(text), Ok(want), "{text}");
        }
        for bad in [
            "",
            "h",
            "4",
            "0s",
            "25h",
            "1441m",
            "-1h",
            "4 h",
            "4d",
            "99999999h",
            "é",
        ] {
            assert!(seconds(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn every_pair_that_can_be_typed_is_a_ground_or_refused_by_it() {
        let mut grounds = 0;
        for alert_type in [TypeArg::SelfClaimed, TypeArg::Access] {
            for reason in ReasonArg::value_variants() {
                grounds += usize::from(Ground::new(alert_type.into(), reason.with(alert_type)).is_ok());
            }
        }
        assert_eq!(grounds, 9);
    }
}
