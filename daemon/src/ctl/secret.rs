//! Tokens on their way in and out, without showing them where they need not be seen.

use std::{
    fs::{self, File},
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use handfast_proto::{token::EnrolmentToken, v1::Token};
use serde_json::{Map, Value, json};

use super::{
    args::{EnrolArgs, TokenOut},
    error::CtlError,
    files,
    show::{moment, moment_json},
};

/// Reads the token that is to be exchanged.
pub(super) fn read_token(args: &EnrolArgs) -> Result<EnrolmentToken, CtlError> {
    let (text, from) = match (&args.token, &args.token_file) {
        (Some(text), _) => (text.clone(), "--token".to_owned()),
        (None, Some(path)) if path == Path::new("-") => {
            let text = files::read_bounded(io::stdin().lock());
            let text =
                text.map_err(|e| CtlError::Failed(format!("read the token from standard input: {e}")))?;
            (text, "standard input".to_owned())
        }
        (None, Some(path)) => (files::read(path)?, path.display().to_string()),
        (None, None) => return Err(CtlError::Usage("give --token or --token-file".to_owned())),
    };
    text.parse()
        .map_err(|e| CtlError::Usage(format!("the token in {from}: {e}")))
}

/// Where a new token goes: to the screen with the answer, or into a file that was made before the token
/// was, so that no token is lost because it cannot be written.
pub(super) struct TokenSink {
    file: Option<(PathBuf, File)>,
    used: bool,
}

impl TokenSink {
    /// Makes the file, if there is to be one.
    pub(super) fn open(to: &TokenOut) -> Result<Self, CtlError> {
        let file = match &to.file {
            Some(path) => Some((path.clone(), files::create_secret(path)?)),
            None => None,
        };
        Ok(Self { file, used: false })
    }

    /// The file, if there is one.
    pub(super) fn path(&self) -> Option<&Path> {
        self.file.as_ref().map(|(path, _)| path.as_path())
    }

    /// Writes a line into the file, if there is one; durable when this returns.
    pub(super) fn write(&mut self, line: &str) -> Result<(), CtlError> {
        self.used = true;
        let Some((path, file)) = &mut self.file else {
            return Ok(());
        };
        let written = writeln!(file, "{line}").and_then(|()| file.sync_data());
        written.map_err(|e| files::failed("write", path, &e))
    }

    /// Takes a token: what to tell a person, and what a program.
    pub(super) fn take(&mut self, whose: &str, token: &Token) -> Result<Handed, CtlError> {
        self.write(&token.token)?;
        let until = moment(token.expires_at);
        let mut json = Map::new();
        let text = match self.path() {
            Some(path) => {
                json.insert("token_file".to_owned(), json!(path.display().to_string()));
                format!(
                    "{whose} enrols with the token in {}, once, until {until}.",
                    path.display()
                )
            }
            None => {
                json.insert("token".to_owned(), json!(token.token));
                format!(
                    "{whose} enrols with this token, once, until {until}:\n\n{}",
                    token.token
                )
            }
        };
        json.insert("expires_at".to_owned(), moment_json(token.expires_at));
        Ok(Handed { text, json })
    }
}

impl Drop for TokenSink {
    fn drop(&mut self) {
        if let Some((path, _)) = self.file.as_ref().filter(|_| !self.used) {
            // An empty file would only stand in the way of the next try.
            let _ = fs::remove_file(path);
        }
    }
}

/// A token handed over.
pub(super) struct Handed {
    pub(super) text: String,
    json: Map<String, Value>,
}

impl Handed {
    /// For a program, with what the token is for.
    pub(super) fn json(mut self, key: &str, what: Value) -> Value {
        self.json.insert(key.to_owned(), what);
        Value::Object(self.json)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn token() -> Token {
        Token {
            token: "hf1_secret".to_owned(),
            expires_at: 1_795_392_000_000,
        }
    }

    #[test]
    fn a_token_in_a_file_is_not_shown() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        let to = TokenOut {
            file: Some(path.clone()),
        };
        let mut sink = TokenSink::open(&to).unwrap();
        let handed = sink.take("The agent", &token()).unwrap();
        assert!(!handed.text.contains("secret"));
        assert!(!handed.json("unit", Value::Null).to_string().contains("secret"));
        drop(sink);
        assert_eq!(fs::read_to_string(&path).unwrap(), "hf1_secret\n");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let again = TokenSink::open(&to).map(|_| ()).unwrap_err();
        assert_eq!(again.exit().code(), 1, "a file that is there is not overwritten");
    }

    #[test]
    fn a_file_without_a_token_goes_away() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        drop(
            TokenSink::open(&TokenOut {
                file: Some(path.clone()),
            })
            .unwrap(),
        );
        assert!(!path.exists());
    }

    #[test]
    fn a_token_on_the_screen_stands_under_token() {
        let mut sink = TokenSink::open(&TokenOut { file: None }).unwrap();
        let handed = sink.take("The agent", &token()).unwrap();
        assert!(handed.text.ends_with("\n\nhf1_secret"));
        let json = handed.json("unit", json!({"ods": "Z00101"}));
        assert_eq!(
            json.to_string(),
            r#"{"token":"hf1_secret","expires_at":"2026-11-23T00:00:00Z","unit":{"ods":"Z00101"}}"#
        );
    }

    #[test]
    fn a_token_that_is_not_whole_is_a_usage_error_and_not_repeated() {
        let args = EnrolArgs {
            token: Some("hf1_abc".to_owned()),
            token_file: None,
        };
        let error = read_token(&args).unwrap_err();
        assert_eq!(error.exit().code(), 2);
        assert!(!error.to_string().contains("hf1_abc"));
    }
}
