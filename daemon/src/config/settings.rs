//! The settings of `handfastd serve`: from the command line, else the environment, else the file, else the
//! default. A setting that is not known, or out of its bounds, stops the start.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use clap::{Args, ValueEnum};
use serde::{
    Deserialize, Deserializer, Serialize,
    de::{self, Unexpected},
};

use super::{
    alerts::{AlertFlags, AlertSettings},
    bounded::Bounded,
    limits::{LimitFlags, Limits},
};

/// Where the deployment is unless told otherwise.
const DEFAULT_STATE_DIR: &str = "/var/lib/handfastd";

/// Where the daemon listens unless told otherwise: on its own machine only.
const DEFAULT_LISTEN: &str = "127.0.0.1:7443";

/// Seconds that a holder's certificate holds: 30 days.
const DEFAULT_CERTIFICATE_SECONDS: u64 = 30 * 24 * 3600;

/// Seconds that an enrolment token holds: three days, so that it survives a weekend in an envelope.
const DEFAULT_TOKEN_SECONDS: u64 = 3 * 24 * 3600;

/// Bytes of a configuration file.
const MAX_FILE_BYTES: u64 = 1024 * 1024;

/// Seconds that a certificate holds: one minute to 90 days.
pub type CertificateSeconds = Bounded<60, 7_776_000>;

/// Seconds that a token holds: one second to 30 days.
pub type TokenSeconds = Bounded<1, 2_592_000>;

/// What is wrong with the configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("the configuration file {} cannot be read: {reason}", path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        reason: String,
    },
    /// The file is not as it should be.
    #[error("the configuration file {} is not valid: {reason}", path.display())]
    Invalid {
        /// Which file.
        path: PathBuf,
        /// Key, line, and what was expected.
        reason: String,
    },
    /// Settings do not go together.
    #[error("the configuration is not valid: {0}")]
    Together(String),
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum LogFormat {
    /// One line of text each.
    #[default]
    Text,
    /// One JSON object each.
    Json,
}

/// The log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LogSettings {
    /// A level (error, warn, info, debug, trace), or directives such as `info,handfast_daemon::grpc=debug`.
    pub level: String,
    /// How lines look.
    pub format: LogFormat,
}

impl Default for LogSettings {
    fn default() -> Self {
        Self {
            level: "info".to_owned(),
            format: LogFormat::Text,
        }
    }
}

/// What a configuration file may hold.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ConfigFile {
    /// See [`Config::state_dir`].
    pub state_dir: Option<PathBuf>,
    /// See [`Config::listen`].
    #[serde(deserialize_with = "address")]
    pub listen: Option<SocketAddr>,
    /// See [`Config::dns`].
    pub dns: Vec<String>,
    /// See [`Config::certificate_seconds`].
    pub certificate_seconds: Option<CertificateSeconds>,
    /// See [`Config::token_seconds`].
    pub token_seconds: Option<TokenSeconds>,
    /// The log.
    pub log: LogSettings,
    /// What becomes of alerts.
    pub alerts: AlertSettings,
    /// The limits.
    pub limits: Limits,
}

/// The settings as flags and environment variables.
#[derive(Debug, Clone, Default, Args)]
pub struct ServeFlags {
    /// A configuration file (TOML). `--print-config` shows what it may hold.
    #[arg(long, env = "HANDFAST_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The folder that `handfastd init` made [default: /var/lib/handfastd].
    #[arg(long, env = "HANDFAST_STATE_DIR", value_name = "DIR")]
    pub state_dir: Option<PathBuf>,
    /// Where to listen, such as 0.0.0.0:7443; port 0 takes any free one. What was taken is written to
    /// DIR/listening [default: 127.0.0.1:7443].
    #[arg(long, env = "HANDFAST_LISTEN", value_name = "ADDR")]
    pub listen: Option<SocketAddr>,
    /// One more DNS name or IP address by which agents reach this daemon, beside those given at init.
    #[arg(long, env = "HANDFAST_DNS", value_name = "NAME", value_delimiter = ',')]
    pub dns: Vec<String>,
    /// Seconds that the certificates of agents and persons hold [default: 30 days].
    #[arg(long, env = "HANDFAST_CERTIFICATE_SECONDS", value_name = "N")]
    pub certificate_seconds: Option<CertificateSeconds>,
    /// Seconds that an enrolment token holds [default: three days].
    #[arg(long, env = "HANDFAST_TOKEN_SECONDS", value_name = "N")]
    pub token_seconds: Option<TokenSeconds>,
    /// How much to log: error, warn, info, debug or trace, or directives for parts [default: info].
    #[arg(long, env = "HANDFAST_LOG", value_name = "LEVEL")]
    pub log_level: Option<String>,
    /// How log lines look [default: text].
    #[arg(long, env = "HANDFAST_LOG_FORMAT", value_name = "FORMAT")]
    pub log_format: Option<LogFormat>,
    /// What becomes of alerts.
    #[command(flatten)]
    pub alerts: AlertFlags,
    /// The limits.
    #[command(flatten)]
    pub limits: LimitFlags,
}

/// What is in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// The folder that `handfastd init` made.
    pub state_dir: PathBuf,
    /// Where to listen.
    pub listen: SocketAddr,
    /// DNS names and addresses for the daemon's certificate, beside those given at init.
    pub dns: Vec<String>,
    /// Seconds that a holder's certificate holds.
    pub certificate_seconds: CertificateSeconds,
    /// Seconds that an enrolment token holds.
    pub token_seconds: TokenSeconds,
    /// The log.
    pub log: LogSettings,
    /// What becomes of alerts.
    pub alerts: AlertSettings,
    /// The limits.
    pub limits: Limits,
}

impl Config {
    /// Puts the parts together.
    pub fn load(flags: ServeFlags) -> Result<Self, ConfigError> {
        let file = match &flags.config {
            Some(path) => ConfigFile::read(path)?,
            None => ConfigFile::default(),
        };
        let config = Self::combine(flags, file);
        config.alerts.check().map_err(ConfigError::Together)?;
        config.limits.check().map_err(ConfigError::Together)?;
        Ok(config)
    }

    fn combine(flags: ServeFlags, file: ConfigFile) -> Self {
        let mut limits = file.limits;
        flags.limits.apply(&mut limits);
        let mut alerts = file.alerts;
        flags.alerts.apply(&mut alerts);
        let state_dir = flags.state_dir.or(file.state_dir);
        let certificate_seconds = flags.certificate_seconds.or(file.certificate_seconds);
        let token_seconds = flags.token_seconds.or(file.token_seconds);
        Self {
            state_dir: state_dir.unwrap_or_else(|| DEFAULT_STATE_DIR.into()),
            listen: flags.listen.or(file.listen).unwrap_or_else(default_listen),
            dns: if flags.dns.is_empty() { file.dns } else { flags.dns },
            certificate_seconds: certificate_seconds
                .unwrap_or(const { CertificateSeconds::new(DEFAULT_CERTIFICATE_SECONDS) }),
            token_seconds: token_seconds.unwrap_or(const { TokenSeconds::new(DEFAULT_TOKEN_SECONDS) }),
            log: LogSettings {
                level: flags.log_level.unwrap_or(file.log.level),
                format: flags.log_format.unwrap_or(file.log.format),
            },
            alerts,
            limits,
        }
    }
}

impl ConfigFile {
    /// Reads a file.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let unread = |reason: String| ConfigError::Read {
            path: path.to_owned(),
            reason,
        };
        let length = fs::metadata(path).map_err(|e| unread(e.to_string()))?.len();
        if length > MAX_FILE_BYTES {
            return Err(unread("it is over 1 MiB".to_owned()));
        }
        let text = fs::read_to_string(path).map_err(|e| unread(e.to_string()))?;
        // toml's message shows the line with the key in it, and what was expected.
        toml::from_str(&text).map_err(|e| ConfigError::Invalid {
            path: path.to_owned(),
            reason: e.to_string().trim_end().to_owned(),
        })
    }
}

/// An address, or what was expected: what the standard library says of one leaves that out.
fn address<'de, D: Deserializer<'de>>(from: D) -> Result<Option<SocketAddr>, D::Error> {
    let text = String::deserialize(from)?;
    let expected = "IP:PORT such as \"0.0.0.0:7443\"";
    text.parse()
        .map(Some)
        .map_err(|_| de::Error::invalid_value(Unexpected::Str(&text), &expected))
}

fn default_listen() -> SocketAddr {
    DEFAULT_LISTEN
        .parse()
        .unwrap_or_else(|_| SocketAddr::from(([127, 0, 0, 1], 7443)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<ConfigFile, ConfigError> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("handfastd.toml");
        fs::write(&path, text).unwrap();
        ConfigFile::read(&path)
    }

    #[test]
    fn an_invalid_file_names_key_line_and_what_was_expected() {
        let message = |text: &str| read(text).unwrap_err().to_string();
        let unknown = message("listen = \"127.0.0.1:1\"\nlisten_on = 3\n");
        assert!(
            unknown.contains("line 2") && unknown.contains("listen_on"),
            "{unknown}"
        );
        assert!(unknown.contains("expected one of"), "{unknown}");
        let bounds = message("[limits]\n\ndrain_ms = 0\n");
        assert!(
            bounds.contains("line 3") && bounds.contains("drain_ms"),
            "{bounds}"
        );
        assert!(bounds.contains("a whole number from 1 to 60000"), "{bounds}");
        let kind = message("[limits]\nmax_connections = \"many\"\n");
        assert!(
            kind.contains("line 2") && kind.contains("a whole number from"),
            "{kind}"
        );
        let address = message("listen = \"here\"\n");
        assert!(
            address.contains("line 1") && address.contains("listen") && address.contains("expected IP:PORT"),
            "{address}"
        );
    }

    #[test]
    fn flags_win_over_the_file_and_the_file_over_the_default() {
        let file = read("state_dir = \"/a\"\nlisten = \"127.0.0.1:5\"\n[log]\nlevel = \"debug\"\n").unwrap();
        let flags = ServeFlags {
            state_dir: Some("/b".into()),
            ..ServeFlags::default()
        };
        let config = Config::combine(flags, file);
        assert_eq!(config.state_dir, PathBuf::from("/b"));
        assert_eq!(config.listen.port(), 5);
        assert_eq!(config.log.level, "debug");
        assert_eq!(config.certificate_seconds.get(), DEFAULT_CERTIFICATE_SECONDS);
        let nothing = Config::combine(ServeFlags::default(), ConfigFile::default());
        assert_eq!(nothing.state_dir, PathBuf::from(DEFAULT_STATE_DIR));
    }

    #[test]
    fn what_is_printed_can_be_read_again() {
        let flags = ServeFlags {
            state_dir: Some("/var/lib/hand\"fast".into()),
            dns: vec!["daemon.example".to_owned()],
            alerts: AlertFlags {
                alert_webhook_url: Some("https://hooks.example/x".parse().unwrap()),
                alert_mail_to: vec!["officer@care.example".to_owned()],
                ..AlertFlags::default()
            },
            ..ServeFlags::default()
        };
        let config = Config::combine(flags, ConfigFile::default());
        let again = read(&config.to_string()).unwrap();
        assert_eq!(Config::combine(ServeFlags::default(), again), config);
    }
}
