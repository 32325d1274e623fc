//! The configuration: what can be set, its bounds and defaults, and where a setting comes from.

mod alerts;
mod bounded;
mod limits;
mod print;
mod settings;

pub use alerts::{AlertFlags, AlertSettings, EscalateSeconds, NotAWebhook, WebhookUrl};
pub use bounded::{Bounded, OutOfBounds};
pub use limits::{LimitFlags, LimitText, Limits};
pub use settings::{
    CertificateSeconds, Config, ConfigError, ConfigFile, LogFormat, LogSettings, ServeFlags, TokenSeconds,
};
