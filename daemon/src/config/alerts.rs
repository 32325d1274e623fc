//! What becomes of alerts: when one that nobody reviews is escalated, and where alerts are handed off to.

use std::{
    fmt,
    net::IpAddr,
    path::{Path, PathBuf},
    str::FromStr,
};

use clap::Args;
use http::Uri;
use serde::{Deserialize, Serialize};

use super::bounded::Bounded;

/// Seconds until an alert that nobody reviewed is escalated: three days.
const DEFAULT_ESCALATE_SECONDS: u64 = 72 * 3600;

/// Seconds until an alert is escalated: one second to a year.
pub type EscalateSeconds = Bounded<1, 31_536_000>;

/// Where a webhook is: `https`, or `http` on this machine itself, where a relay may listen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct WebhookUrl(Uri);

/// It is not where a webhook may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "expected https://HOST[:PORT]/PATH (http:// only to 127.0.0.1, ::1 or localhost), without a user name"
)]
pub struct NotAWebhook;

impl WebhookUrl {
    /// The address.
    pub fn uri(&self) -> &Uri {
        &self.0
    }

    /// Whether it is reached by TLS.
    pub fn is_secure(&self) -> bool {
        self.0.scheme_str() == Some("https")
    }
}

impl FromStr for WebhookUrl {
    type Err = NotAWebhook;

    fn from_str(text: &str) -> Result<Self, NotAWebhook> {
        let uri: Uri = text.parse().map_err(|_| NotAWebhook)?;
        let host = uri.host().ok_or(NotAWebhook)?;
        let named = uri
            .authority()
            .is_some_and(|authority| !authority.as_str().contains('@'));
        let secure = uri.scheme_str() == Some("https");
        let local = uri.scheme_str() == Some("http") && is_loopback(host);
        if named && (secure || local) {
            Ok(Self(uri))
        } else {
            Err(NotAWebhook)
        }
    }
}

fn is_loopback(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || bare.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

impl TryFrom<String> for WebhookUrl {
    type Error = NotAWebhook;

    fn try_from(text: String) -> Result<Self, NotAWebhook> {
        text.parse()
    }
}

impl From<WebhookUrl> for String {
    fn from(url: WebhookUrl) -> Self {
        url.to_string()
    }
}

impl fmt::Display for WebhookUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What becomes of alerts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AlertSettings {
    /// Seconds until an alert that nobody reviewed is escalated.
    pub escalate_after_seconds: EscalateSeconds,
    /// Where each alert is posted to.
    pub webhook_url: Option<WebhookUrl>,
    /// The secret with which posts are signed.
    pub webhook_secret_file: Option<PathBuf>,
    /// The authority of the webhook's certificate (PEM), where it is not one that the machine trusts.
    pub webhook_ca_file: Option<PathBuf>,
    /// A folder into which a message is put for each alert.
    pub mail_drop_dir: Option<PathBuf>,
    /// From whom the messages are.
    pub mail_from: Option<String>,
    /// To whom they are.
    pub mail_to: Vec<String>,
}

impl Default for AlertSettings {
    fn default() -> Self {
        Self {
            escalate_after_seconds: const { EscalateSeconds::new(DEFAULT_ESCALATE_SECONDS) },
            webhook_url: None,
            webhook_secret_file: None,
            webhook_ca_file: None,
            mail_drop_dir: None,
            mail_from: None,
            mail_to: Vec::new(),
        }
    }
}

/// The same as flags and environment variables; what is not given is left as it is.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Alerts to privacy officers")]
pub struct AlertFlags {
    /// Seconds until an alert that nobody reviewed is shown to auditors and the operator too, without
    /// anything that identifies a person [default: three days].
    #[arg(long, env = "HANDFAST_ALERT_ESCALATE_AFTER_SECONDS", value_name = "N")]
    pub alert_escalate_after_seconds: Option<EscalateSeconds>,
    /// Post each alert to this address, as JSON without anything that identifies a person.
    #[arg(long, env = "HANDFAST_ALERT_WEBHOOK_URL", value_name = "URL")]
    pub alert_webhook_url: Option<WebhookUrl>,
    /// A file with the secret (16 characters or more) with which posts are signed: the header
    /// handfast-signature is t=MILLISECONDS,v1=HEX, HEX being HMAC-SHA-256 over MILLISECONDS, a dot and the
    /// body.
    #[arg(long, env = "HANDFAST_ALERT_WEBHOOK_SECRET_FILE", value_name = "FILE")]
    pub alert_webhook_secret_file: Option<PathBuf>,
    /// The authority of the webhook's certificate (PEM), where it is not one that this machine trusts.
    #[arg(long, env = "HANDFAST_ALERT_WEBHOOK_CA_FILE", value_name = "FILE")]
    pub alert_webhook_ca_file: Option<PathBuf>,
    /// Put a message (RFC 5322) for each alert into this folder, from where a mail system takes it, such as
    /// `sendmail -t < FILE`.
    #[arg(long, env = "HANDFAST_ALERT_MAIL_DROP_DIR", value_name = "DIR")]
    pub alert_mail_drop_dir: Option<PathBuf>,
    /// From whom the messages are.
    #[arg(long, env = "HANDFAST_ALERT_MAIL_FROM", value_name = "ADDRESS")]
    pub alert_mail_from: Option<String>,
    /// To whom the messages are; may be given more than once.
    #[arg(
        long,
        env = "HANDFAST_ALERT_MAIL_TO",
        value_name = "ADDRESS",
        value_delimiter = ','
    )]
    pub alert_mail_to: Vec<String>,
}

impl AlertFlags {
    /// Puts what was given over what is there.
    pub fn apply(self, settings: &mut AlertSettings) {
        if let Some(given) = self.alert_escalate_after_seconds {
            settings.escalate_after_seconds = given;
        }
        if !self.alert_mail_to.is_empty() {
            settings.mail_to = self.alert_mail_to;
        }
        put(&mut settings.webhook_url, self.alert_webhook_url);
        put(&mut settings.webhook_secret_file, self.alert_webhook_secret_file);
        put(&mut settings.webhook_ca_file, self.alert_webhook_ca_file);
        put(&mut settings.mail_drop_dir, self.alert_mail_drop_dir);
        put(&mut settings.mail_from, self.alert_mail_from);
    }
}

fn put<T>(place: &mut Option<T>, given: Option<T>) {
    if given.is_some() {
        *place = given;
    }
}

impl AlertSettings {
    /// What does not go together; the text names the keys.
    pub fn check(&self) -> Result<(), String> {
        match (&self.webhook_url, &self.webhook_secret_file) {
            (Some(_), None) => {
                return Err(
                    "alerts.webhook_url needs alerts.webhook_secret_file: posts are signed".to_owned(),
                );
            }
            (None, Some(_)) => {
                return Err("alerts.webhook_secret_file needs alerts.webhook_url".to_owned());
            }
            _ => {}
        }
        if self.mail_drop_dir.is_none() {
            return Ok(());
        }
        let addresses = self.mail_from.iter().chain(&self.mail_to);
        if self.mail_from.is_none() || self.mail_to.is_empty() || !addresses.clone().all(|a| is_address(a)) {
            return Err(
                "alerts.mail_drop_dir needs alerts.mail_from and alerts.mail_to, each NAME@DOMAIN".to_owned(),
            );
        }
        Ok(())
    }

    /// Every setting with its meaning, as a section of a configuration file; what is not set is commented out.
    pub(super) fn print(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |value: &str| toml::Value::String(value.to_owned()).to_string();
        let path = |path: &Path| text(&path.to_string_lossy());
        writeln!(f, "\n[alerts]")?;
        writeln!(f, "# Seconds until an alert that nobody reviewed is escalated.")?;
        writeln!(f, "escalate_after_seconds = {}", self.escalate_after_seconds)?;
        writeln!(
            f,
            "# Where each alert is posted to: https, or http on this machine itself."
        )?;
        set(
            f,
            "webhook_url",
            self.webhook_url.as_ref().map(|url| text(&url.to_string())),
        )?;
        writeln!(f, "# The secret with which posts are signed.")?;
        set(
            f,
            "webhook_secret_file",
            self.webhook_secret_file.as_deref().map(path),
        )?;
        writeln!(
            f,
            "# The authority of the webhook's certificate, where this machine does not trust it."
        )?;
        set(f, "webhook_ca_file", self.webhook_ca_file.as_deref().map(path))?;
        writeln!(
            f,
            "# A folder into which a message is put for each alert, for a mail system to take."
        )?;
        set(f, "mail_drop_dir", self.mail_drop_dir.as_deref().map(path))?;
        writeln!(f, "# From whom and to whom the messages are.")?;
        set(f, "mail_from", self.mail_from.as_deref().map(text))?;
        let to: Vec<String> = self.mail_to.iter().map(|address| text(address)).collect();
        writeln!(f, "mail_to = [{}]", to.join(", "))
    }
}

fn set(f: &mut fmt::Formatter<'_>, key: &str, value: Option<String>) -> fmt::Result {
    match value {
        Some(value) => writeln!(f, "{key} = {value}"),
        None => writeln!(f, "# {key} ="),
    }
}

/// Enough to keep a header in order; whether it exists only the mail system knows.
fn is_address(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_graphic() && !matches!(c, '<' | '>' | ',' | ';' | '"');
    let parts = text.split_once('@');
    parts.is_some_and(|(name, domain)| !name.is_empty() && !domain.is_empty()) && text.chars().all(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_webhook_is_reached_by_tls_or_on_this_machine() {
        for good in [
            "https://hooks.example/handfast",
            "https://hooks.example:8443/",
            "http://127.0.0.1:9000/x",
            "http://[::1]:9000/",
            "http://localhost/x",
        ] {
            assert!(good.parse::<WebhookUrl>().is_ok(), "{good}");
        }
        for bad in [
            "http://hooks.example/x",
            "http://127.0.0.1.example/",
            "https://user@hooks.example/",
            "http://127.0.0.1@hooks.example/",
            "ftp://127.0.0.1/",
            "/path",
            "",
        ] {
            assert!(bad.parse::<WebhookUrl>().is_err(), "{bad}");
        }
    }

    #[test]
    fn what_does_not_go_together_is_named() {
        let read = |text: &str| toml::from_str::<AlertSettings>(text).unwrap().check();
        assert_eq!(read(""), Ok(()));
        let unsigned = read("webhook_url = \"https://h.example/\"").unwrap_err();
        assert!(unsigned.contains("webhook_secret_file"), "{unsigned}");
        for mail in [
            "",
            "mail_from = \"a@b\"",
            "mail_from = \"a@b\"\nmail_to = [\"x\\ny@z\"]",
        ] {
            let refused = read(&format!("mail_drop_dir = \"/d\"\n{mail}")).unwrap_err();
            assert!(refused.contains("mail_to"), "{refused}");
        }
        assert_eq!(
            read("mail_drop_dir = \"/d\"\nmail_from = \"a@b\"\nmail_to = [\"c@d\"]"),
            Ok(())
        );
        let refused = toml::from_str::<AlertSettings>("webhook_url = \"http://h.example/\"").unwrap_err();
        assert!(refused.to_string().contains("https://HOST"), "{refused}");
    }
}
