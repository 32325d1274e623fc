//! What settings are taken, and what is said about those that are not.

use std::{fs, path::Path};

use tempfile::TempDir;

use super::super::print;
use super::*;

struct Place {
    dir: TempDir,
}

impl Place {
    fn new() -> Self {
        let dir = TempDir::new().unwrap();
        for name in ["in", "in/deep", "in2", "out", "state"] {
            fs::create_dir(dir.path().join(name)).unwrap();
        }
        fs::write(
            dir.path().join("codes.toml"),
            "[[private]]\nsystem = \"http://snomed.info/sct\"\ncodes = [\"1\"]\n",
        )
        .unwrap();
        Self { dir }
    }

    fn load(&self, text: &str) -> Result<Config, ConfigError> {
        self.load_with(text, &Overrides::default())
    }

    fn load_with(&self, text: &str, overrides: &Overrides) -> Result<Config, ConfigError> {
        let file = self.dir.path().join("agent.toml");
        fs::write(&file, text).unwrap();
        load(Some(&file), overrides, Some(&self.dir.path().join("state")))
    }

    /// Line, column, key and text of every fault.
    fn faults(&self, text: &str) -> Vec<(usize, usize, String, String)> {
        match self.load(text) {
            Err(ConfigError::Faults(faults)) => faults
                .into_iter()
                .map(|f| {
                    assert!(f.file.ends_with("agent.toml"), "{}", f.file);
                    (f.line.unwrap(), f.column.unwrap(), f.key, f.problem)
                })
                .collect(),
            other => panic!("{other:?}"),
        }
    }

    #[track_caller]
    fn one_fault(&self, text: &str, line: usize, column: usize, key: &str, contains: &str) {
        let faults = self.faults(text);
        let [(l, c, k, problem)] = faults.as_slice() else {
            panic!("{faults:?}");
        };
        assert_eq!((*l, *c, k.as_str()), (line, column, key), "{problem}");
        assert!(problem.contains(contains), "{problem}");
    }
}

#[test]
fn without_a_file_there_are_defaults_and_no_connector() {
    let config = load(None, &Overrides::default(), None).unwrap();
    assert_eq!(config, Config::default());
    assert!(config.inputs.is_empty() && config.outputs.is_empty());
}

#[test]
fn every_setting_is_read() {
    let place = Place::new();
    let config = place
        .load(
            "log_level = \"debug\"\nlog_format = \"json\"\nmax_payload_mib = 5\nprivate_codes = \"codes.toml\"\n\
             [[input]]\ntype = \"directory\"\nname = \"drop\"\npath = \"in\"\nsettle_ms = 5\n\
             [[input]]\ntype = \"fhir\"\nlisten = \"0.0.0.0:8089\"\nallow_remote = true\n\
             [[output]]\ntype = \"directory\"\npath = \"out\"\n\
             [[output]]\ntype = \"fhir\"\nbase_url = \"http://localhost:1/R4/\"\n\
             credentials_file = \"codes.toml\"\nca_file = \"codes.toml\"\ntimeout_ms = 200\n",
        )
        .unwrap();
    assert_eq!(config.max_payload_bytes(), 5 * 1024 * 1024);
    assert_eq!(config.inputs[0].name, "drop");
    assert_eq!(config.inputs[1].name, "input-2");
    let OutputKind::Fhir(fhir) = &config.outputs[1].kind else {
        panic!("{config:?}");
    };
    assert_eq!(fhir.base_url, "http://localhost:1/R4");
    assert!(config.private_codes.as_ref().unwrap().is_absolute());
    assert_eq!(config.codes.len(), 1);
}

#[test]
fn what_is_printed_brings_about_the_same() {
    let place = Place::new();
    let config = place
        .load(
            "private_codes = \"codes.toml\"\n[[input]]\ntype = \"directory\"\npath = \"in\"\n\
             [[input]]\ntype = \"fhir\"\nlisten = \"127.0.0.1:8089\"\n\
             [[output]]\ntype = \"directory\"\npath = \"out\"\n\
             [[output]]\ntype = \"fhir\"\nbase_url = \"https://fhir.example/R4\"\n",
        )
        .unwrap();
    assert_eq!(place.load(&print(&config)).unwrap(), config);
    let defaults = Config::default();
    let printed = print(&defaults);
    assert_eq!(place.load(&printed).unwrap(), defaults);
    // With its examples uncommented it is still settings, of files that are not there.
    let examples: String = printed
        .lines()
        .map(|l| match l.strip_prefix('#') {
            Some(rest) if !rest.starts_with(' ') => format!("{rest}\n"),
            _ => format!("{l}\n"),
        })
        .collect();
    let faults = place.faults(&examples);
    assert!(
        faults.iter().all(|f| f.3.contains("cannot be read")),
        "{faults:?}"
    );
}

#[test]
fn what_is_not_toml_names_its_place() {
    let place = Place::new();
    place.one_fault(
        "log_level = \"info\"\nlog_format = text\n",
        2,
        14,
        "log_format",
        "",
    );
    place.one_fault("[[input]\n", 1, 9, "", "");
}

#[test]
fn a_key_that_nobody_knows_is_named_with_what_is_known() {
    let place = Place::new();
    let text = "[[input]]\ntype = \"directory\"\npath = \"in\"\n\n[[input]]\ntype = \"directory\"\n  pth = \"in2\"\n";
    place.one_fault(
        text,
        7,
        3,
        "pth in [[input]] number 2",
        "expected one of `type`, `name`, `path`",
    );
    place.one_fault("max_payload = 3\n", 1, 1, "max_payload", "`max_payload_mib`");
}

#[test]
fn a_value_of_the_wrong_kind_says_what_is_expected() {
    let place = Place::new();
    place.one_fault(
        "max_payload_mib = \"5\"\n",
        1,
        19,
        "max_payload_mib",
        "invalid type: string \"5\", expected a whole number",
    );
    place.one_fault(
        "max_payload_mib = 65\n",
        1,
        19,
        "max_payload_mib",
        "from 1 to 64, found 65",
    );
    place.one_fault(
        "log_level = \"loud\"\n",
        1,
        13,
        "log_level",
        "\"error\", \"warn\", \"info\"",
    );
    place.one_fault(
        "[[input]]\ntype = \"ftp\"\n",
        2,
        8,
        "type in [[input]] number 1",
        "expected \"directory\" or \"fhir\", found \"ftp\"",
    );
    place.one_fault(
        "[[input]]\ntype = \"fhir\"\nlisten = \"localhost\"\n",
        3,
        10,
        "listen in [[input]] number 1",
        "expected IP:PORT",
    );
    place.one_fault(
        "[[output]]\ntype = \"fhir\"\nbase_url = \"fhir.example\"\n",
        3,
        12,
        "base_url in [[output]] number 1",
        "expected https://",
    );
}

#[test]
fn what_is_missing_or_has_no_meaning_is_named() {
    let place = Place::new();
    place.one_fault(
        "[[input]]\npath = \"in\"\n",
        1,
        1,
        "[[input]] number 1",
        "'type' is missing",
    );
    place.one_fault(
        "\n[[output]]\ntype = \"fhir\"\n",
        2,
        1,
        "[[output]] number 1",
        "'base_url' is missing",
    );
    place.one_fault(
        "[[output]]\ntype = \"directory\"\npath = \"out\"\nca_file = \"codes.toml\"\n",
        4,
        11,
        "ca_file in [[output]] number 1",
        "no meaning where type = \"directory\"",
    );
}

#[test]
fn folders_must_be_there_and_apart() {
    let place = Place::new();
    let dir = |name: &str, path: &str| format!("[[{name}]]\ntype = \"directory\"\npath = \"{path}\"\n");
    place.one_fault(
        &dir("input", "gone"),
        3,
        8,
        "path in [[input]] number 1",
        "create it",
    );
    place.one_fault(
        &dir("input", "codes.toml"),
        3,
        8,
        "path in [[input]] number 1",
        "not a folder",
    );
    let second = "path in [[input]] number 2";
    let twice = dir("input", "in") + &dir("input", "in2/../in");
    place.one_fault(&twice, 6, 8, second, "[[input]] number 1 takes files from");
    place.one_fault(
        &(dir("input", "in") + &dir("input", "in/deep")),
        6,
        8,
        second,
        "keep them apart",
    );
    place.one_fault(
        &(dir("input", "in") + &dir("output", "in/deep")),
        6,
        8,
        "path in [[output]] number 1",
        "keep them apart",
    );
    place.one_fault(
        &(dir("output", "out") + &dir("output", "out")),
        6,
        8,
        "path in [[output]] number 2",
        "writes to",
    );
    place.one_fault(
        &dir("input", "state"),
        3,
        8,
        "path in [[input]] number 1",
        "state folder",
    );
    place.one_fault(
        &dir("output", "."),
        3,
        8,
        "path in [[output]] number 1",
        "state folder",
    );
}

#[test]
fn names_and_addresses_must_differ() {
    let place = Place::new();
    let fhir = |more: &str| format!("[[input]]\ntype = \"fhir\"\nlisten = \"127.0.0.1:8089\"\n{more}");
    place.one_fault(
        &(fhir("") + &fhir("")),
        6,
        10,
        "listen in [[input]] number 2",
        "listens on 127.0.0.1:8089 already",
    );
    place.one_fault(
        &fhir("name = \"A b\"\n"),
        4,
        8,
        "name in [[input]] number 1",
        "small letters",
    );
    place.one_fault(
        &(fhir("name = \"x\"\n") + "[[output]]\ntype = \"directory\"\npath = \"out\"\nname = \"x\"\n"),
        8,
        8,
        "name in [[output]] number 1",
        "names must differ",
    );
}

#[test]
fn nothing_is_open_to_the_network_by_mistake() {
    let place = Place::new();
    place.one_fault(
        "[[input]]\ntype = \"fhir\"\nlisten = \"0.0.0.0:8089\"\n",
        3,
        10,
        "listen in [[input]] number 1",
        "allow_remote = true",
    );
    place.one_fault(
        "[[output]]\ntype = \"fhir\"\nbase_url = \"http://fhir.example/R4\"\n",
        3,
        12,
        "base_url in [[output]] number 1",
        "allow_plaintext = true",
    );
    place.one_fault(
        "[[output]]\ntype = \"fhir\"\nbase_url = \"https://u:p@fhir.example\"\n",
        3,
        12,
        "base_url in [[output]] number 1",
        "credentials_file",
    );
}

#[test]
fn all_faults_come_at_once_in_the_order_of_the_file() {
    let place = Place::new();
    let faults = place.faults(
        "max_payload_mib = 0\n[[input]]\ntype = \"x\"\n[[output]]\ntype = \"directory\"\npath = \"gone\"\n",
    );
    let lines: Vec<usize> = faults.iter().map(|f| f.0).collect();
    assert_eq!(lines, [1, 3, 6]);
}

#[test]
fn flags_go_before_the_file_and_are_checked_too() {
    let place = Place::new();
    let flags = Overrides {
        max_payload_mib: Some(7),
        ..Overrides::default()
    };
    assert_eq!(
        place
            .load_with("max_payload_mib = 5\n", &flags)
            .unwrap()
            .max_payload_mib,
        7
    );
    let flags = Overrides {
        max_payload_mib: Some(0),
        private_codes: Some("/nowhere/codes".into()),
        ..Overrides::default()
    };
    let text = place.load_with("", &flags).unwrap_err().to_string();
    assert!(
        text.starts_with("--max-payload-mib: expected a whole number from 1 to 64, found 0\n"),
        "{text}"
    );
    assert!(
        text.contains("--private-codes: the file /nowhere/codes cannot be read"),
        "{text}"
    );
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let error = load(
        Some(Path::new("/nowhere/agent.toml")),
        &Overrides::default(),
        None,
    )
    .unwrap_err();
    assert!(error.to_string().contains("/nowhere/agent.toml"), "{error}");
}

#[test]
fn a_list_of_private_codes_that_cannot_be_used_is_named() {
    let place = Place::new();
    fs::write(place.dir.path().join("bad.toml"), "[[private]]\ncodes = []\n").unwrap();
    place.one_fault(
        "private_codes = \"bad.toml\"\n",
        1,
        17,
        "private_codes",
        "bad.toml: the list of private codes",
    );
}
