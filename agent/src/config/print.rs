//! Prints settings as an `agent.toml` that would bring them about, with what each key means.

use std::{
    fmt::{Display, Write as _},
    path::Path,
};

use super::{
    Config, FhirInput, FhirOutput, InputKind, OutputKind,
    model::{
        DEFAULT_FHIR_TIMEOUT_MS, DEFAULT_MAX_PAYLOAD_MIB, DEFAULT_SETTLE_MS, HARD_MAX_PAYLOAD_MIB,
        MAX_FHIR_TIMEOUT_MS, MAX_SETTLE_MS,
    },
};

/// The settings as TOML, with comments. Read again, it gives the same settings.
pub fn print(config: &Config) -> String {
    let mut page = Page(String::new());
    page.say("Settings of handfast-agent that are in force. Paths are relative to this file.");
    page.say("A flag or an environment variable goes before this file: see handfast-agent run --help.");
    page.gap();
    page.say("What the log tells: error, warn, info (default), debug or trace.");
    page.say("Patients' data never stands in it up to info. HANDFAST_AGENT_LOG_LEVEL, --log-level.");
    page.text("log_level", config.log_level.as_str());
    page.gap();
    page.say("How the log looks: text (default) or json. HANDFAST_AGENT_LOG_FORMAT, --log-format.");
    page.text("log_format", config.log_format.as_str());
    page.gap();
    page.say(&format!(
        "The largest resource, in MiB: 1 to {HARD_MAX_PAYLOAD_MIB}, default {DEFAULT_MAX_PAYLOAD_MIB}. The \
         daemon has a bound of its own."
    ));
    page.say("HANDFAST_AGENT_MAX_PAYLOAD_MIB, --max-payload-mib.");
    page.value("max_payload_mib", config.max_payload_mib);
    page.gap();
    page.say("A list of codes whose entries are private: they do not leave this unit, beside what is");
    page.say(
        "labelled R or V in meta.security. Default: none. HANDFAST_AGENT_PRIVATE_CODES, --private-codes.",
    );
    page.path_or(
        "private_codes",
        config.private_codes.as_deref(),
        "private-codes.toml",
    );
    inputs(&mut page, config);
    outputs(&mut page, config);
    page.0
}

fn inputs(page: &mut Page, config: &Config) {
    page.gap();
    page.say("=== Inputs: where this unit's changes come from. Default: none. ===");
    for input in &config.inputs {
        page.gap();
        page.line("[[input]]");
        page.text("name", &input.name);
        page.text("type", input.kind.type_name());
        match &input.kind {
            InputKind::Directory { path, settle } => {
                page.say(
                    "FHIR R4 files (*.ndjson, *.json) dropped here are taken in the order of their names.",
                );
                page.path("path", path);
                page.say(&format!(
                    "A file counts as complete once it is unchanged for this long: 0 to {MAX_SETTLE_MS}, \
                     default {DEFAULT_SETTLE_MS}."
                ));
                page.value("settle_ms", settle.as_millis());
            }
            InputKind::Fhir(FhirInput { listen, allow_remote }) => {
                page.say("A FHIR endpoint for the clinical system: http://LISTEN/fhir/{type}/{id}.");
                page.text("listen", &listen.to_string());
                page.say("Whether it may be reached from other machines: there is no password and no TLS.");
                page.value("allow_remote", allow_remote);
            }
        }
    }
    if config.inputs.is_empty() {
        page.example(&format!(
            "[[input]]\nname = \"input-1\"\ntype = \"directory\"\npath = \"in\"\nsettle_ms = {DEFAULT_SETTLE_MS}\n\n\
             [[input]]\nname = \"input-2\"\ntype = \"fhir\"\nlisten = \"127.0.0.1:8089\"\nallow_remote = false"
        ));
    }
}

fn outputs(page: &mut Page, config: &Config) {
    page.gap();
    page.say("=== Outputs: where what other units share goes to. Default: none. ===");
    for output in &config.outputs {
        page.gap();
        page.line("[[output]]");
        page.text("name", &output.name);
        page.text("type", output.kind.type_name());
        match &output.kind {
            OutputKind::Directory { path } => {
                page.say("Keeps current/<source>/<type>/<id>.json in step and appends to changes.ndjson.");
                page.path("path", path);
            }
            OutputKind::Fhir(fhir) => fhir_output(page, fhir),
        }
    }
    if config.outputs.is_empty() {
        page.example(&format!(
            "[[output]]\nname = \"output-1\"\ntype = \"directory\"\npath = \"out\"\n\n\
             [[output]]\nname = \"output-2\"\ntype = \"fhir\"\nbase_url = \"https://fhir.example/R4\"\n\
             allow_plaintext = false\ncredentials_file = \"fhir.credentials\"\nca_file = \"fhir-ca.pem\"\n\
             timeout_ms = {DEFAULT_FHIR_TIMEOUT_MS}"
        ));
    }
}

fn fhir_output(page: &mut Page, fhir: &FhirOutput) {
    page.say("A FHIR R4 server that is kept in step.");
    page.text("base_url", &fhir.base_url);
    page.say("Whether base_url may be http:// to another machine: records travel unencrypted.");
    page.value("allow_plaintext", fhir.allow_plaintext);
    page.say("Who the agent is there: a file with USER:PASSWORD, a bearer token, or a certificate and its key. Default: nobody.");
    page.path_or(
        "credentials_file",
        fhir.credentials_file.as_deref(),
        "fhir.credentials",
    );
    page.say("The authority of the server's certificate (PEM). Default: those that this machine trusts.");
    page.path_or("ca_file", fhir.ca_file.as_deref(), "fhir-ca.pem");
    page.say(&format!(
        "How long one request may take: 100 to {MAX_FHIR_TIMEOUT_MS}, default {DEFAULT_FHIR_TIMEOUT_MS}."
    ));
    page.value("timeout_ms", fhir.timeout.as_millis());
}

struct Page(String);

impl Page {
    fn line(&mut self, line: &str) {
        self.0.push_str(line);
        self.0.push('\n');
    }

    fn gap(&mut self) {
        self.line("");
    }

    fn say(&mut self, comment: &str) {
        self.line(&format!("# {comment}"));
    }

    fn value(&mut self, key: &str, value: impl Display) {
        // Writing to a String cannot fail.
        let _ = writeln!(self.0, "{key} = {value}");
    }

    fn text(&mut self, key: &str, text: &str) {
        self.value(key, toml::Value::String(text.to_owned()));
    }

    fn path(&mut self, key: &str, path: &Path) {
        self.text(key, &path.to_string_lossy());
    }

    fn path_or(&mut self, key: &str, path: Option<&Path>, example: &str) {
        match path {
            Some(path) => self.path(key, path),
            None => self.line(&format!("#{key} = {example:?}")),
        }
    }

    fn example(&mut self, text: &str) {
        self.gap();
        for line in text.lines() {
            self.line(&if line.is_empty() {
                String::new()
            } else {
                format!("#{line}")
            });
        }
    }
}
