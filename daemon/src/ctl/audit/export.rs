//! `audit export`: the log as a file that can be checked, or its entries as FHIR AuditEvents.
//!
//! A file is written whole or not at all: into one beside it, which takes its name at the end.

use std::{
    fs::{self, File},
    io::Write as _,
    path::{Path, PathBuf},
    time::Duration,
};

use handfast_proto::v1::{
    ExportAuditRequest, ExportAuditResponse, ExportForm, PublicKeyRequest, audit_client::AuditClient,
};
use serde_json::json;
use tokio::time::timeout;
use tonic::{Status, Streaming};

use super::{fhir::Writer, run::patient_if_any};
use crate::ctl::{
    args::{ExportArgs, ExportFormat},
    connection::Connection,
    error::{CtlError, Exit},
    files,
    out::Out,
};

const WHAT: &str = "export the audit log";

/// The reason that is entered where a whole log is exported and none is given.
const OF_A_WHOLE_LOG: &str = "an export of the log";

/// How long the daemon may be silent within an export.
const PIECE_TIMEOUT: Duration = Duration::from_secs(60);

pub(super) async fn export(
    args: &ExportArgs,
    connection: &Connection,
    out: &mut Out,
) -> Result<Exit, CtlError> {
    let mut file = NewFile::create(&args.out)?;
    let mut client = AuditClient::new(connection.channel());
    let form = match args.format {
        ExportFormat::Log => ExportForm::Log,
        ExportFormat::Fhir => ExportForm::Entries,
    };
    let request = ExportAuditRequest {
        reason: args.reason.clone().unwrap_or_else(|| OF_A_WHOLE_LOG.to_owned()),
        form: form.into(),
        patient: patient_if_any(&args.of)?,
        from: args.between.since.unwrap_or(0),
        to: args.between.until.unwrap_or(0),
    };
    if args.format == ExportFormat::Log
        && (!request.patient.is_empty() || request.from != 0 || request.to != 0)
    {
        let why = "a log is exported whole, so that it can be checked: --patient, --since and --until go with \
                   --format fhir";
        return Err(CtlError::Usage(why.to_owned()));
    }
    let trust_domain = connection
        .call(WHAT, client.public_key(PublicKeyRequest {}))
        .await?
        .trust_domain;
    let pieces = connection.call(WHAT, client.export(request)).await?;
    let written = match args.format {
        ExportFormat::Log => write_log(pieces, &mut file, connection).await?,
        ExportFormat::Fhir => write_fhir(pieces, &mut file, connection, &trust_domain).await?,
    };
    file.finish()?;
    let path = args.out.display().to_string();
    out.answer(
        || match args.format {
            ExportFormat::Log => {
                format!("The log is in {path} ({written} bytes): check it with 'audit verify'.")
            }
            ExportFormat::Fhir => format!("{written} AuditEvents are in {path}."),
        },
        || match args.format {
            ExportFormat::Log => json!({"file": path, "bytes": written}),
            ExportFormat::Fhir => json!({"file": path, "audit_events": written}),
        },
    )?;
    Ok(Exit::Done)
}

async fn write_log(
    mut pieces: Streaming<ExportAuditResponse>,
    file: &mut NewFile,
    connection: &Connection,
) -> Result<usize, CtlError> {
    let mut bytes = 0;
    while let Some(piece) = next(&mut pieces, connection).await? {
        bytes += piece.data.len();
        file.write(&piece.data)?;
    }
    Ok(bytes)
}

async fn write_fhir(
    mut pieces: Streaming<ExportAuditResponse>,
    file: &mut NewFile,
    connection: &Connection,
    trust_domain: &str,
) -> Result<usize, CtlError> {
    let writer = Writer::new(trust_domain);
    let mut count = 0;
    while let Some(piece) = next(&mut pieces, connection).await? {
        for exported in &piece.entries {
            for event in writer.events(exported) {
                count += 1;
                file.write(format!("{event}\n").as_bytes())?;
            }
        }
    }
    Ok(count)
}

async fn next(
    pieces: &mut Streaming<ExportAuditResponse>,
    connection: &Connection,
) -> Result<Option<ExportAuditResponse>, CtlError> {
    let piece = timeout(PIECE_TIMEOUT, pieces.message()).await;
    let piece = piece.unwrap_or_else(|_| Err(Status::deadline_exceeded("")));
    piece.map_err(|status| connection.error(WHAT, &status))
}

/// A file that only its owner may read, and that is there only once it is whole.
struct NewFile {
    path: PathBuf,
    part: PathBuf,
    file: File,
}

impl NewFile {
    fn create(path: &Path) -> Result<Self, CtlError> {
        if path.exists() {
            let why = format!(
                "{} is there already: choose another name, or remove it first",
                path.display()
            );
            return Err(CtlError::Failed(why));
        }
        let mut part = path.as_os_str().to_owned();
        part.push(format!(".{}.part", std::process::id()));
        let part = PathBuf::from(part);
        // Left by a process of the same number that was killed.
        let _ = fs::remove_file(&part);
        let file = files::create_secret(&part)?;
        Ok(Self {
            path: path.to_owned(),
            part,
            file,
        })
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), CtlError> {
        self.file
            .write_all(bytes)
            .map_err(|error| files::failed("write", &self.part, &error))
    }

    fn finish(&mut self) -> Result<(), CtlError> {
        self.file
            .sync_all()
            .map_err(|error| files::failed("write", &self.part, &error))?;
        fs::rename(&self.part, &self.path).map_err(|error| files::failed("create", &self.path, &error))?;
        files::sync_parent(&self.path)
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        // Where it was finished there is none of that name any more.
        let _ = fs::remove_file(&self.part);
    }
}
