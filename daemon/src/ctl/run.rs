//! From the parsed command line to the command's end.

use std::io::Write;

use clap::CommandFactory as _;

use super::{
    agreements, alerts,
    args::{AgreementCommand, AuditCommand, Cli, Command, Global},
    audit, caseload,
    connection::Connection,
    consents, emergency,
    enrol::enrol,
    error::{CtlError, Exit},
    out::Out,
    people, policy, preview,
    profile::Profile,
    renew::{renew, renew_if_due},
    secret::read_token,
    show::moment,
    status, units,
    url::DaemonUrl,
};
use handfast_proto::v1::Side;

/// A connection with a profile's credential.
pub(super) struct Session {
    pub(super) profile: Profile,
    pub(super) connection: Connection,
}

/// Runs one command to its end. Answers go to `answers`, messages to `notes`. `now` is milliseconds since
/// 1970-01-01T00:00:00Z.
pub async fn run(cli: Cli, now: i64, answers: Box<dyn Write + Send>, notes: Box<dyn Write + Send>) -> Exit {
    let mut out = Out::new(cli.global.output, answers, notes);
    match Box::pin(dispatch(cli, now, &mut out)).await {
        Ok(exit) => exit,
        Err(error) => {
            if error != CtlError::ReaderGone {
                out.note(&format!("handfastctl: {error}"));
            }
            error.exit()
        }
    }
}

async fn dispatch(cli: Cli, now: i64, out: &mut Out) -> Result<Exit, CtlError> {
    let global = cli.global;
    match cli.command {
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "handfastctl", &mut script);
            out.line(&String::from_utf8_lossy(&script))?;
            Ok(Exit::Done)
        }
        Command::Enrol(args) => {
            let dir = global
                .profile
                .as_deref()
                .ok_or_else(|| usage("say where the credential is to be kept: --profile DIR"))?;
            let url = global
                .daemon
                .as_deref()
                .ok_or_else(|| usage("say where the daemon is: --daemon https://HOST:PORT"))?;
            let url: DaemonUrl = url.parse()?;
            Box::pin(enrol(out, &url, dir, &read_token(&args)?)).await
        }
        Command::Audit(AuditCommand::Verify { log, public_key }) => {
            audit::verify_offline(&log, &public_key, out)
        }
        Command::Renew => {
            let session = connect(&global, now, out).await?;
            renew(out, &session.connection, &session.profile).await
        }
        command => {
            let session = connect(&global, now, out).await?;
            renew_if_due(out, &session.connection, &session.profile, now).await;
            ask(command, &session.connection, out).await
        }
    }
}

async fn ask(command: Command, connection: &Connection, out: &mut Out) -> Result<Exit, CtlError> {
    match command {
        Command::Unit(command) => Box::pin(units::run(command, connection, out)).await,
        Command::Person(command) => people::run(command, connection, out).await,
        Command::Agreement(AgreementCommand::ShareOut(set)) => {
            agreements::set(Side::ShareOut, &set, connection, out).await
        }
        Command::Agreement(AgreementCommand::ShareIn(set)) => {
            agreements::set(Side::ShareIn, &set, connection, out).await
        }
        Command::Agreement(AgreementCommand::List { unit, watch: false }) => {
            agreements::list(unit, connection, out).await
        }
        Command::Agreement(AgreementCommand::List { unit, watch: true }) => {
            agreements::watch(unit, connection, out).await
        }
        Command::Agreement(AgreementCommand::Preview(half)) => preview::run(&half, connection, out).await,
        Command::Patient(command) => Box::pin(consents::run(command, connection, out)).await,
        Command::Caseload(command) => Box::pin(caseload::run(command, connection, out)).await,
        Command::Policy(command) => Box::pin(policy::run(command, connection, out)).await,
        Command::Emergency(command) => Box::pin(emergency::run(command, connection, out)).await,
        Command::Alerts(command) => alerts::run(command, connection, out).await,
        Command::Audit(command) => Box::pin(audit::run(command, connection, out)).await,
        Command::Status => status::status(connection, out).await,
        Command::Enrol(_) | Command::Renew | Command::Completions { .. } => Ok(Exit::Done),
    }
}

async fn connect(global: &Global, now: i64, out: &mut Out) -> Result<Session, CtlError> {
    let dir = global
        .profile
        .as_deref()
        .ok_or_else(|| usage("say which credential to use: --profile DIR, or HANDFAST_PROFILE"))?;
    let profile = Profile::load(dir)?;
    let url = profile.daemon(global.daemon.as_deref())?;
    if profile.is_open_to_others() {
        out.note(&format!(
            "note: others on this machine can read the key in {0}: chmod 600 {0}/key.pem",
            dir.display()
        ));
    }
    if profile.has_expired(now) {
        return Err(CtlError::Refused(format!(
            "the credential in {} ended on {}: ask for a new token and enrol into another folder (the \
             operator: 'handfastd operator renew' on the daemon's machine)",
            dir.display(),
            moment(profile.not_after)
        )));
    }
    let connection = Connection::open(&url, profile.tls()?).await?;
    Ok(Session { profile, connection })
}

fn usage(what: &str) -> CtlError {
    CtlError::Usage(what.to_owned())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use clap::Parser as _;
    use parking_lot::Mutex;

    use super::*;

    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl Kept {
        fn text(&self) -> String {
            String::from_utf8(self.0.lock().clone()).unwrap()
        }
    }

    impl Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    async fn run_line(line: &[&str]) -> (Exit, String, String) {
        let cli = Cli::try_parse_from(std::iter::once(&"handfastctl").chain(line)).unwrap();
        let (answers, notes) = (Kept::default(), Kept::default());
        let exit = run(cli, 0, Box::new(answers.clone()), Box::new(notes.clone())).await;
        (exit, answers.text(), notes.text())
    }

    #[tokio::test]
    async fn completions_know_the_commands() {
        let (exit, answers, notes) = run_line(&["completions", "bash"]).await;
        assert_eq!((exit, notes.as_str()), (Exit::Done, ""));
        assert!(answers.contains("share-out") && answers.contains("--token-file"));
    }

    #[tokio::test]
    async fn what_is_missing_is_named() {
        let (exit, answers, notes) = run_line(&["enrol", "--token", "hf1_x", "--daemon", "https://d"]).await;
        assert_eq!((exit, answers.as_str()), (Exit::Usage, ""));
        assert!(notes.contains("--profile DIR"), "{notes}");
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().to_string_lossy().into_owned();
        let (exit, _, notes) = run_line(&["--profile", &path, "status"]).await;
        assert_eq!(exit, Exit::Failed);
        assert!(notes.contains("holds no credential"), "{notes}");
    }

    #[tokio::test]
    async fn nobody_there_is_unreachable_and_leaves_nothing_behind() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("https://{}", listener.local_addr().unwrap());
        drop(listener);
        let token = handfast_proto::token::EnrolmentToken::new([1; 32], [2; 32]).reveal();
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("p").to_string_lossy().into_owned();
        let line = ["enrol", "--token", &token, "--daemon", &url, "--profile", &path];
        let (exit, _, notes) = run_line(&line).await;
        assert_eq!(exit, Exit::Unreachable, "{notes}");
        assert!(notes.contains("connection refused"), "{notes}");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}
