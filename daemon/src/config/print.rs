//! Shows what is in force as a configuration file with comments (`serve --print-config`).

use std::fmt;

use super::settings::{Config, LogFormat};

impl fmt::Display for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |value: &str| toml::Value::String(value.to_owned()).to_string();
        writeln!(f, "# The folder that `handfastd init` made.")?;
        writeln!(f, "state_dir = {}\n", text(&self.state_dir.to_string_lossy()))?;
        writeln!(f, "# Where to listen; port 0 takes any free one.")?;
        writeln!(f, "listen = {}\n", text(&self.listen.to_string()))?;
        writeln!(
            f,
            "# DNS names and addresses for the daemon's certificate, beside those given at init."
        )?;
        let names: Vec<String> = self.dns.iter().map(|name| text(name)).collect();
        writeln!(f, "dns = [{}]\n", names.join(", "))?;
        writeln!(f, "# Seconds that the certificates of agents and persons hold.")?;
        writeln!(f, "certificate_seconds = {}\n", self.certificate_seconds)?;
        writeln!(f, "# Seconds that an enrolment token holds.")?;
        writeln!(f, "token_seconds = {}\n", self.token_seconds)?;
        writeln!(f, "[log]")?;
        writeln!(
            f,
            "# error, warn, info, debug or trace, or directives such as info,handfast_daemon::grpc=debug."
        )?;
        writeln!(f, "level = {}", text(&self.log.level))?;
        writeln!(f, "# text or json.")?;
        let format = match self.log.format {
            LogFormat::Text => "text",
            LogFormat::Json => "json",
        };
        writeln!(f, "format = {}\n", text(format))?;
        writeln!(f, "[limits]")?;
        for (limit, value) in self.limits.list() {
            writeln!(f, "# {}", limit.meaning)?;
            writeln!(f, "{} = {value}", limit.key)?;
        }
        self.alerts.print(f)
    }
}
