//! Which command does what.

use std::path::Path;

use handfast_proto::v1::{EraseAuditRequest, audit_client::AuditClient};
use serde_json::json;

use super::{explain::explain, export::export, head, report::report, search::search, verify::verify};
use crate::ctl::{
    args::{AuditCommand, EraseArgs, Numbers, PatientIfAny},
    connection::Connection,
    error::{CtlError, Exit},
    numbers,
    out::Out,
};

/// Runs a command that asks the daemon.
pub(in crate::ctl) async fn run(
    command: AuditCommand,
    connection: &Connection,
    out: &mut Out,
) -> Result<Exit, CtlError> {
    match command {
        AuditCommand::PublicKey { out: path } => head::public_key(&path, connection, out).await,
        AuditCommand::TreeHead { since, root } => {
            head::tree_head(since, root.as_deref(), connection, out).await
        }
        AuditCommand::Search(args) => Box::pin(search(&args, connection, out)).await,
        AuditCommand::Explain(args) => Box::pin(explain(&args, connection, out)).await,
        AuditCommand::Export(args) => Box::pin(export(&args, connection, out)).await,
        AuditCommand::Report(args) => Box::pin(report(&args, connection, out)).await,
        AuditCommand::Erase(args) => erase(&args, connection, out).await,
        AuditCommand::Verify { log, public_key } => verify(&log, &public_key, out),
    }
}

/// Checks an exported log.
pub(in crate::ctl) fn verify_offline(log: &Path, public_key: &Path, out: &mut Out) -> Result<Exit, CtlError> {
    verify(log, public_key, out)
}

async fn erase(args: &EraseArgs, connection: &Connection, out: &mut Out) -> Result<Exit, CtlError> {
    let mut client = AuditClient::new(connection.channel());
    let request = EraseAuditRequest {
        reason: args.reason.reason.clone(),
        patient: numbers::read_one(&args.numbers)?.reveal(),
        before: args.before,
    };
    let what = "erase personal values from the audit log";
    let entries = connection.call(what, client.erase(request)).await?.entries;
    out.answer(
        || format!("Erased what identifies persons in {entries} entries. The log proves what it proved."),
        || json!({"entries": entries}),
    )?;
    Ok(Exit::Done)
}

/// The NHS number that was given, all digits; empty where none was.
pub(super) fn patient_if_any(given: &PatientIfAny) -> Result<String, CtlError> {
    if given.patient.is_none() && given.patient_file.is_none() {
        return Ok(String::new());
    }
    let numbers = Numbers {
        patient: given.patient.clone(),
        patient_file: given.patient_file.clone(),
    };
    Ok(numbers::read_one(&numbers)?.reveal())
}
