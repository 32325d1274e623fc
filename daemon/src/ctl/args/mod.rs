//! The command line, a file for each thing that commands are about.

mod agreements;
mod audit;
mod cli;
mod emergency;
mod patients;
mod people;
mod policy;
mod units;

pub(super) use agreements::{AgreementCommand, PreviewHalf, ScopeFlags, SetHalf};
pub(super) use audit::{
    AuditCommand, EraseArgs, ExplainArgs, ExportArgs, ExportFormat, PatientIfAny, ReportArgs, ReportFormat,
    SearchArgs,
};
pub use cli::Cli;
pub(super) use cli::{Command, Global, Output};
pub(super) use emergency::{
    AlertListArgs, AlertsCommand, EmergencyCommand, ListArgs, RequestArgs, ReviewArgs,
};
pub(super) use patients::{
    CaseloadChange, CaseloadCommand, ConsentCommand, ConsentSet, Numbers, PatientCommand,
};
pub(super) use people::{EnrolArgs, PersonAdd, PersonCommand};
pub(super) use policy::PolicyCommand;
pub(super) use units::{TokenOut, UnitAdd, UnitCommand};
