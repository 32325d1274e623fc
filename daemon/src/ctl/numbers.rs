//! NHS numbers on their way in: one as an argument, or many from a file or standard input, so that none needs to
//! show in the list of processes. A number that is wrong is named by its line, and never repeated.

use std::{
    collections::HashMap,
    io,
    path::{Path, PathBuf},
};

use handfast_proto::ids::NhsNumber;

use super::{args::Numbers, error::CtlError, files};

/// NHS numbers in one file.
const MAX_NUMBERS: usize = 50_000;

/// Faults of a file shown at once.
const MAX_FAULTS_SHOWN: usize = 20;

/// NHS numbers that the daemon takes in one call.
pub(super) const NUMBERS_A_CALL: usize = 100;

/// The NHS numbers that were given: at least one, each once.
pub(super) fn read(given: &Numbers) -> Result<Vec<NhsNumber>, CtlError> {
    match (&given.patient, &given.patient_file) {
        (Some(text), _) => {
            let number = text.parse();
            number
                .map(|number| vec![number])
                .map_err(|e| CtlError::Usage(format!("--patient: {e}")))
        }
        (None, Some(path)) => {
            let (text, from) = text_of(path)?;
            parse(&text).map_err(|faults| CtlError::Usage(shown(&from, &faults)))
        }
        (None, None) => Err(CtlError::Usage("give --patient or --patient-file".to_owned())),
    }
}

/// The one NHS number that was given.
pub(super) fn read_one(given: &Numbers) -> Result<NhsNumber, CtlError> {
    match read(given)?.as_slice() {
        [one] => Ok(*one),
        all => Err(CtlError::Usage(format!("give one NHS number, not {}", all.len()))),
    }
}

/// As the daemon takes them.
pub(super) fn texts(numbers: &[NhsNumber]) -> Vec<String> {
    numbers.iter().map(|number| number.reveal()).collect()
}

fn text_of(path: &PathBuf) -> Result<(String, String), CtlError> {
    if path != Path::new("-") {
        return Ok((files::read(path)?, path.display().to_string()));
    }
    let text = files::read_bounded(io::stdin().lock());
    let text = text.map_err(|e| CtlError::Failed(format!("read NHS numbers from standard input: {e}")))?;
    Ok((text, "standard input".to_owned()))
}

/// Every number, or every fault with its line.
fn parse(text: &str) -> Result<Vec<NhsNumber>, Vec<String>> {
    let (mut numbers, mut faults) = (Vec::new(), Vec::new());
    let mut seen: HashMap<NhsNumber, usize> = HashMap::new();
    // Spreadsheets put it there.
    let text = text.trim_start_matches('\u{feff}');
    let lines = text.lines().enumerate().map(|(at, line)| (at + 1, line.trim()));
    for (line, text) in lines.filter(|(_, text)| !text.is_empty() && !text.starts_with('#')) {
        match text.parse::<NhsNumber>() {
            Ok(number) => match seen.insert(number, line) {
                Some(first) => faults.push(format!("line {line}: the same as line {first}")),
                None => numbers.push(number),
            },
            Err(error) => faults.push(format!("line {line}: {error}")),
        }
    }
    if numbers.len() > MAX_NUMBERS {
        return Err(vec![format!("more than {MAX_NUMBERS} numbers: divide the file")]);
    }
    if numbers.is_empty() && faults.is_empty() {
        faults.push("no NHS number stands in it".to_owned());
    }
    if faults.is_empty() {
        Ok(numbers)
    } else {
        Err(faults)
    }
}

fn shown(from: &str, faults: &[String]) -> String {
    let some = faults.len().min(MAX_FAULTS_SHOWN);
    let mut lines = faults.get(..some).unwrap_or_default().join("\n  ");
    if faults.len() > some {
        lines.push_str(&format!("\n  and {} more", faults.len() - some));
    }
    format!("{from}: nothing was done:\n  {lines}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_numbers_is_read_as_people_write_them() {
        let numbers = parse("\u{feff}# the ward\r\n999 000 0018\r\n\r\n9990000026\n").unwrap();
        assert_eq!(texts(&numbers), ["9990000018", "9990000026"]);
    }

    #[test]
    fn every_fault_is_told_with_its_line_and_no_number_is_repeated() {
        let faults = parse("9990000018\n9990000019\n999\n9990000018\n").unwrap_err();
        assert_eq!(faults.len(), 3);
        for (fault, want) in faults
            .iter()
            .zip(["line 2: ", "line 3: ", "line 4: the same as line 1"])
        {
            assert!(fault.starts_with(want) && !fault.contains("999"), "{fault}");
        }
        assert!(parse("# nobody\n").is_err());
        let text = shown("f", &vec!["line 1: no".to_owned(); 30]);
        assert!(text.ends_with("and 10 more"), "{text}");
    }

    #[test]
    fn a_wrong_argument_is_not_repeated() {
        let given = Numbers {
            patient: Some("9990000019".to_owned()),
            patient_file: None,
        };
        let error = read(&given).unwrap_err();
        assert_eq!(error.exit().code(), 2);
        assert!(!error.to_string().contains("9990000019"));
    }
}
