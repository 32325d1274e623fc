//! Reads `agent.toml` and turns it into settings in force. Every fault is found in one go, and nothing is
//! in force while there is one.

mod keys;

use std::{collections::BTreeSet, fs, io, path::Path, time::Duration};

use toml::Spanned;

use keys::Table;

use super::{
    Config, ConfigError, Fault, FhirInput, FhirOutput, Input, InputKind, Output, OutputKind, Overrides,
    fault::Source,
    model::{
        DEFAULT_FHIR_TIMEOUT_MS, DEFAULT_SETTLE_MS, HARD_MAX_PAYLOAD_MIB, MAX_CONNECTORS,
        MAX_FHIR_TIMEOUT_MS, MAX_SETTLE_MS,
    },
    paths,
    raw::{Raw, RawInput, RawOutput},
};

/// Bytes of a settings file; no honest one comes near.
const MAX_FILE_BYTES: u64 = 1024 * 1024;

/// The settings in force: those of `file`, with `overrides` before them, or the defaults. Paths in the
/// file are relative to the file. `state_dir`, where it is known, must be kept apart from every
/// connector's folder.
pub fn load(
    file: Option<&Path>,
    overrides: &Overrides,
    state_dir: Option<&Path>,
) -> Result<Config, ConfigError> {
    let (name, text) = match file {
        Some(path) => (path.display().to_string(), read(path)?),
        None => (String::new(), String::new()),
    };
    let source = Source {
        file: &name,
        text: &text,
    };
    let raw: Raw = toml::from_str(&text).map_err(|e| ConfigError::Faults(vec![source.toml_fault(&e)]))?;
    let base = file.and_then(Path::parent).unwrap_or(Path::new(""));
    let mut check = Check {
        source,
        base,
        faults: Vec::new(),
        names: BTreeSet::new(),
    };
    let mut config = check.top(&raw);
    check.connectors(&raw, &mut config);
    check.apart(&raw, &config, state_dir);
    check.overrides(overrides, &mut config);
    if check.faults.is_empty() {
        Ok(config)
    } else {
        check.faults.sort_by_key(|f| (f.line, f.column));
        Err(ConfigError::Faults(check.faults))
    }
}

fn read(path: &Path) -> Result<String, ConfigError> {
    let bounded = || {
        if fs::metadata(path)?.len() > MAX_FILE_BYTES {
            return Err(io::Error::other("it is larger than 1 MiB"));
        }
        fs::read_to_string(path)
    };
    bounded().map_err(|source| ConfigError::Unreadable {
        path: path.to_owned(),
        source,
    })
}

struct Check<'a> {
    source: Source<'a>,
    base: &'a Path,
    faults: Vec<Fault>,
    names: BTreeSet<String>,
}

impl Check<'_> {
    fn top(&mut self, raw: &Raw) -> Config {
        let mut config = Config::default();
        if let Some(level) = self.one_of("log_level", raw.log_level.as_ref()) {
            config.log_level = level;
        }
        if let Some(format) = self.one_of("log_format", raw.log_format.as_ref()) {
            config.log_format = format;
        }
        let most = HARD_MAX_PAYLOAD_MIB as u64;
        if let Some(mib) = self.number("max_payload_mib", None, raw.max_payload_mib.as_ref(), 1, most) {
            config.max_payload_mib = usize::try_from(mib).unwrap_or(HARD_MAX_PAYLOAD_MIB);
        }
        if let Some(place) = &raw.private_codes {
            match paths::private_codes(&self.base.join(place.get_ref())) {
                Ok((path, codes)) => (config.private_codes, config.codes) = (Some(path), codes),
                Err(problem) => self.at(None, "private_codes", place, problem),
            }
        }
        config
    }

    fn connectors(&mut self, raw: &Raw, config: &mut Config) {
        for (header, spans) in [
            ("input", raw.input.iter().map(Spanned::span).collect::<Vec<_>>()),
            ("output", raw.output.iter().map(Spanned::span).collect()),
        ] {
            if let Some(span) = spans.get(MAX_CONNECTORS) {
                let problem = format!("expected at most {MAX_CONNECTORS} of these");
                self.faults
                    .push(self.source.fault(span, format!("[[{header}]]"), problem));
                return;
            }
        }
        for (i, input) in raw.input.iter().enumerate() {
            let table = Table::new("input", i, input.span());
            if let Some(input) = self.input(&table, input.get_ref(), i) {
                config.inputs.push(input);
            }
        }
        for (i, output) in raw.output.iter().enumerate() {
            let table = Table::new("output", i, output.span());
            if let Some(output) = self.output(&table, output.get_ref(), i) {
                config.outputs.push(output);
            }
        }
    }

    fn input(&mut self, table: &Table, raw: &RawInput, index: usize) -> Option<Input> {
        let name = self.name(table, raw.name.as_ref(), format!("input-{}", index + 1));
        let kind = match self
            .required(table, "type", raw.r#type.as_ref())?
            .get_ref()
            .as_str()
        {
            "directory" => {
                self.unused(table, "directory", "listen", raw.listen.as_ref());
                self.unused(table, "directory", "allow_remote", raw.allow_remote.as_ref());
                let settle = self.number("settle_ms", Some(table), raw.settle_ms.as_ref(), 0, MAX_SETTLE_MS);
                InputKind::Directory {
                    path: self.folder(table, raw.path.as_ref())?,
                    settle: Duration::from_millis(settle.unwrap_or(DEFAULT_SETTLE_MS)),
                }
            }
            "fhir" => {
                self.unused(table, "fhir", "path", raw.path.as_ref());
                self.unused(table, "fhir", "settle_ms", raw.settle_ms.as_ref());
                let allow_remote = raw.allow_remote.as_ref().is_some_and(|r| *r.get_ref());
                InputKind::Fhir(FhirInput {
                    listen: self.listen(table, raw.listen.as_ref(), allow_remote)?,
                    allow_remote,
                })
            }
            _ => return self.wrong_type(table, raw.r#type.as_ref()),
        };
        Some(Input { name, kind })
    }

    fn output(&mut self, table: &Table, raw: &RawOutput, index: usize) -> Option<Output> {
        let name = self.name(table, raw.name.as_ref(), format!("output-{}", index + 1));
        let kind = match self
            .required(table, "type", raw.r#type.as_ref())?
            .get_ref()
            .as_str()
        {
            "directory" => {
                self.unused(table, "directory", "base_url", raw.base_url.as_ref());
                self.unused(
                    table,
                    "directory",
                    "allow_plaintext",
                    raw.allow_plaintext.as_ref(),
                );
                self.unused(
                    table,
                    "directory",
                    "credentials_file",
                    raw.credentials_file.as_ref(),
                );
                self.unused(table, "directory", "ca_file", raw.ca_file.as_ref());
                self.unused(table, "directory", "timeout_ms", raw.timeout_ms.as_ref());
                OutputKind::Directory {
                    path: self.folder(table, raw.path.as_ref())?,
                }
            }
            "fhir" => {
                self.unused(table, "fhir", "path", raw.path.as_ref());
                let allow_plaintext = raw.allow_plaintext.as_ref().is_some_and(|a| *a.get_ref());
                let timeout = raw.timeout_ms.as_ref();
                let timeout = self.number("timeout_ms", Some(table), timeout, 100, MAX_FHIR_TIMEOUT_MS);
                let credentials_file = raw.credentials_file.as_ref();
                OutputKind::Fhir(FhirOutput {
                    credentials_file: self.file("credentials_file", table, credentials_file),
                    ca_file: self.file("ca_file", table, raw.ca_file.as_ref()),
                    timeout: Duration::from_millis(timeout.unwrap_or(DEFAULT_FHIR_TIMEOUT_MS)),
                    base_url: self.base_url(table, raw.base_url.as_ref(), allow_plaintext)?,
                    allow_plaintext,
                })
            }
            _ => return self.wrong_type(table, raw.r#type.as_ref()),
        };
        Some(Output { name, kind })
    }

    // === Connectors beside one another ===

    fn apart(&mut self, raw: &Raw, config: &Config, state_dir: Option<&Path>) {
        // Where a table had a fault of its own, the two lists no longer correspond.
        if !self.faults.is_empty() {
            return;
        }
        let mut taken = paths::Taken::new(state_dir);
        for (i, (input, raw)) in config.inputs.iter().zip(&raw.input).enumerate() {
            let table = Table::new("input", i, raw.span());
            let raw = raw.get_ref();
            match &input.kind {
                InputKind::Directory { path, .. } => {
                    self.clash(&table, "path", raw.path.as_ref(), taken.input(path, &table.title));
                }
                InputKind::Fhir(fhir) => {
                    let clash = taken.listen(fhir.listen, &table.title);
                    self.clash(&table, "listen", raw.listen.as_ref(), clash);
                }
            }
        }
        for (i, (output, raw)) in config.outputs.iter().zip(&raw.output).enumerate() {
            let table = Table::new("output", i, raw.span());
            let raw = raw.get_ref();
            match &output.kind {
                OutputKind::Directory { path } => {
                    self.clash(
                        &table,
                        "path",
                        raw.path.as_ref(),
                        taken.output(path, &table.title),
                    );
                }
                OutputKind::Fhir(fhir) => {
                    let clash = taken.server(&fhir.base_url, &table.title);
                    self.clash(&table, "base_url", raw.base_url.as_ref(), clash);
                }
            }
        }
    }

    fn clash<T>(&mut self, table: &Table, key: &str, place: Option<&Spanned<T>>, clash: Result<(), String>) {
        if let (Err(problem), Some(place)) = (clash, place) {
            self.at(Some(table), key, place, problem);
        }
    }

    // === Flags and environment ===

    fn overrides(&mut self, overrides: &Overrides, config: &mut Config) {
        let mut flag = |name: &str, problem: String| {
            self.faults.push(Fault {
                file: format!("--{name}"),
                line: None,
                column: None,
                key: String::new(),
                problem,
            });
        };
        if let Some(mib) = overrides.max_payload_mib {
            match usize::try_from(mib) {
                Ok(mib) if (1..=HARD_MAX_PAYLOAD_MIB).contains(&mib) => config.max_payload_mib = mib,
                _ => flag(
                    "max-payload-mib",
                    format!("expected a whole number from 1 to {HARD_MAX_PAYLOAD_MIB}, found {mib}"),
                ),
            }
        }
        if let Some(path) = &overrides.private_codes {
            match paths::private_codes(path) {
                Ok((path, codes)) => (config.private_codes, config.codes) = (Some(path), codes),
                Err(problem) => flag("private-codes", problem),
            }
        }
        config.log_level = overrides.log_level.unwrap_or(config.log_level);
        config.log_format = overrides.log_format.unwrap_or(config.log_format);
    }
}

#[cfg(test)]
mod tests;
