//! Registers many units from a CSV file. The whole file is checked before the first one is registered;
//! each token is written as soon as it is there, so that none is lost where the rest fails.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
};

use handfast_proto::{
    ids::OdsCode,
    v1::{RegisterUnitRequest, RegisterUnitResponse, UnitKind, units_client::UnitsClient},
};
use serde_json::{Value, json};

use super::{
    args::TokenOut,
    connection::Connection,
    error::{CtlError, Exit},
    files,
    out::Out,
    secret::TokenSink,
    show::{moment, moment_json},
    words,
};

/// The columns, in any order.
const COLUMNS: [&str; 3] = ["ods", "name", "kind"];

/// Units in one file.
const MAX_UNITS: usize = 10_000;

/// Faults of a file shown at once.
const MAX_FAULTS_SHOWN: usize = 20;

/// A line of the file.
#[derive(Debug, PartialEq, Eq)]
struct Row {
    ods: OdsCode,
    name: String,
    kind: UnitKind,
}

/// Registers every unit of a file. A unit that cannot be is told and passed over, so that the same file
/// can be given again; where the daemon refuses the caller or is gone, the rest is left.
pub(super) async fn import(
    file: &Path,
    token_out: &TokenOut,
    connection: &Connection,
    out: &mut Out,
) -> Result<Exit, CtlError> {
    let rows = read(file)?;
    let sink = TokenSink::open(token_out)?;
    let mut import = Import {
        path: sink.path().map(Path::to_owned),
        sink,
        done: Vec::new(),
        failed: Vec::new(),
    };
    let total = rows.len();
    import.header(out)?;
    let mut stopped = None;
    for (at, row) in rows.iter().enumerate() {
        match register(row, connection).await {
            Ok(answer) => {
                import.registered(row.ods, &answer, out)?;
                out.note(&format!("{} of {total}: unit {} is registered", at + 1, row.ods));
            }
            Err(error @ (CtlError::Failed(_) | CtlError::Usage(_))) => {
                out.note(&format!("{} of {total}: {error}", at + 1));
                import.failed.push((row.ods, error.to_string()));
            }
            Err(error) => {
                out.note(&format!("{} of {total}: {error}. The rest is left", at + 1));
                stopped = Some(error);
                break;
            }
        }
    }
    import.summary(total, out)?;
    Ok(match stopped {
        Some(error) => error.exit(),
        None if import.failed.is_empty() => Exit::Done,
        None => Exit::Failed,
    })
}

async fn register(row: &Row, connection: &Connection) -> Result<RegisterUnitResponse, CtlError> {
    let request = RegisterUnitRequest {
        ods: row.ods.to_string(),
        name: row.name.clone(),
        kind: row.kind.into(),
    };
    let mut client = UnitsClient::new(connection.channel());
    let call = client.register(request);
    connection.call(&format!("add unit {}", row.ods), call).await
}

struct Import {
    sink: TokenSink,
    path: Option<PathBuf>,
    done: Vec<Value>,
    failed: Vec<(OdsCode, String)>,
}

impl Import {
    /// CSV begins with its header: in the file, or on the screen.
    fn header(&mut self, out: &mut Out) -> Result<(), CtlError> {
        match (out.is_json(), &self.path) {
            (true, _) => Ok(()),
            (false, Some(_)) => self.sink.write("ods,token,expires_at"),
            (false, None) => out.line("ods,token,expires_at"),
        }
    }

    fn registered(
        &mut self,
        ods: OdsCode,
        answer: &RegisterUnitResponse,
        out: &mut Out,
    ) -> Result<(), CtlError> {
        let token = answer.token.clone().unwrap_or_default();
        let json = json!({
            "ods": ods.to_string(),
            "token": token.token,
            "expires_at": moment_json(token.expires_at),
        });
        let csv = format!("{ods},{},{}", token.token, moment(token.expires_at));
        match (out.is_json(), &self.path) {
            (true, Some(_)) => {
                self.done.push(json!({"ods": ods.to_string()}));
                self.sink.write(&json.to_string())
            }
            (true, None) => {
                self.done.push(json);
                Ok(())
            }
            (false, Some(_)) => {
                self.done.push(Value::Null);
                self.sink.write(&csv)
            }
            (false, None) => {
                self.done.push(Value::Null);
                out.line(&csv)
            }
        }
    }

    fn summary(&self, total: usize, out: &mut Out) -> Result<(), CtlError> {
        if out.is_json() {
            let failed = self.failed.iter();
            let failed = failed.map(|(ods, why)| json!({"ods": ods.to_string(), "error": why}));
            let summary = json!({
                "units": self.done,
                "failed": failed.collect::<Vec<_>>(),
                "token_file": self.path.as_ref().map(|p| p.display().to_string()),
            });
            return out.line(&format!("{summary:#}"));
        }
        out.note(&format!("{} of {total} units are registered.", self.done.len()));
        if let Some(path) = &self.path {
            out.note(&format!("Their tokens are in {}.", path.display()));
        }
        Ok(())
    }
}

// === The file ===

fn read(file: &Path) -> Result<Vec<Row>, CtlError> {
    let text = files::read(file)?;
    parse(&text).map_err(|faults| {
        let shown = faults.len().min(MAX_FAULTS_SHOWN);
        let mut lines = faults.get(..shown).unwrap_or_default().join("\n  ");
        if faults.len() > shown {
            lines.push_str(&format!("\n  and {} more", faults.len() - shown));
        }
        CtlError::Usage(format!("{}: nothing was registered:\n  {lines}", file.display()))
    })
}

/// Every row, or every fault with its line.
fn parse(text: &str) -> Result<Vec<Row>, Vec<String>> {
    // Spreadsheets put it there.
    let text = text.trim_start_matches('\u{feff}');
    let mut reader = csv::ReaderBuilder::new()
        .trim(csv::Trim::All)
        .from_reader(text.as_bytes());
    let header = reader
        .headers()
        .map_err(|e| vec![format!("line 1: {e}")])?
        .clone();
    let place = |column: &str| header.iter().position(|h| h == column);
    let [Some(ods), Some(name), Some(kind)] = COLUMNS.map(place) else {
        let found: Vec<&str> = header.iter().collect();
        return Err(vec![format!(
            "line 1: expected the header {}, found {}",
            COLUMNS.join(","),
            found.join(",")
        )]);
    };
    let (mut rows, mut faults) = (Vec::new(), Vec::new());
    let mut seen: HashMap<OdsCode, u64> = HashMap::new();
    for record in reader.records() {
        let record = match record {
            Ok(record) => record,
            Err(error) => {
                faults.push(fault_of(&error));
                continue;
            }
        };
        let line = record.position().map_or(0, csv::Position::line);
        let field = |at: usize| record.get(at).unwrap_or_default();
        match row(field(ods), field(name), field(kind)) {
            Ok(row) => match seen.insert(row.ods, line) {
                Some(first) => faults.push(format!("line {line}: {} stands on line {first} too", row.ods)),
                None => rows.push(row),
            },
            Err(why) => faults.push(format!("line {line}: {why}")),
        }
        if rows.len() > MAX_UNITS {
            return Err(vec![format!("more than {MAX_UNITS} units: divide the file")]);
        }
    }
    if rows.is_empty() && faults.is_empty() {
        faults.push("no unit stands in it".to_owned());
    }
    if faults.is_empty() { Ok(rows) } else { Err(faults) }
}

fn row(ods: &str, name: &str, kind: &str) -> Result<Row, String> {
    let ods = ods.parse().map_err(|e| format!("ods {ods:?}: {e}"))?;
    if name.is_empty() {
        return Err("name: must be given".to_owned());
    }
    Ok(Row {
        ods,
        name: name.to_owned(),
        kind: words::parse_kind(kind)?,
    })
}

fn fault_of(error: &csv::Error) -> String {
    match (error.position(), error.kind()) {
        (
            Some(at),
            csv::ErrorKind::UnequalLengths {
                expected_len, len, ..
            },
        ) => {
            format!("line {}: {len} fields, expected {expected_len}", at.line())
        }
        (Some(at), _) => format!("line {}: {error}", at.line()),
        (None, _) => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_good_file_is_read() {
        let text =
            "\u{feff}name, ods ,kind\r\n\"Oadby Lane Surgery, Oadby\",Z00101,gp\r\nWard,Z00303,acute\n";
        let rows = parse(text).unwrap();
        assert_eq!(rows.len(), 2);
        assert_eq!(rows[0].name, "Oadby Lane Surgery, Oadby");
        assert_eq!(rows[1].kind, UnitKind::Acute);
    }

    #[test]
    fn every_fault_is_told_with_its_line() {
        let text = "ods,name,kind\nZ00101,A,gp\nz1,B,gp\nZ00102,C\nZ00101,D,gp\nZ00103,,gp\nZ00104,E,shop\n";
        let faults = parse(text).unwrap_err();
        assert_eq!(faults.len(), 5);
        for (fault, want) in faults.iter().zip([
            "line 3: ods",
            "line 4: 2 fields",
            "line 5: Z00101",
            "line 6: name",
            "line 7: \"shop\"",
        ]) {
            assert!(fault.starts_with(want), "{fault}");
        }
    }

    #[test]
    fn a_file_of_something_else_is_refused() {
        assert!(
            parse("code,title\nZ00101,A\n").unwrap_err()[0].contains("expected the header ods,name,kind")
        );
        assert_eq!(parse("ods,name,kind\n").unwrap_err(), ["no unit stands in it"]);
        assert!(parse("").is_err());
    }
}
