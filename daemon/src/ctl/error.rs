//! How a command ends: its exit code, and a message that says what happened, to what, and what to do.

use std::process::ExitCode;

use tonic::{Code, Status};

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Done.
    Done,
    /// It failed.
    Failed,
    /// The command, or a value in it, makes no sense.
    Usage,
    /// Not with this credential.
    Refused,
    /// No daemon, or not the right one.
    Unreachable,
    /// A revocation that could not be established in time.
    Pending,
}

impl Exit {
    /// As `--help` lists them.
    pub fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::Refused => 3,
            Self::Unreachable => 4,
            Self::Pending => 5,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

/// Why a command ended without its answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum CtlError {
    #[error("{0}")]
    Failed(String),
    #[error("{0}")]
    Usage(String),
    #[error("{0}")]
    Refused(String),
    #[error("{0}")]
    Unreachable(String),
    /// Whoever read the answers has seen enough.
    #[error("nobody reads the answer any more")]
    ReaderGone,
}

impl CtlError {
    /// The exit code.
    pub(super) fn exit(&self) -> Exit {
        match self {
            Self::Failed(_) => Exit::Failed,
            Self::Usage(_) => Exit::Usage,
            Self::Refused(_) => Exit::Refused,
            Self::Unreachable(_) => Exit::Unreachable,
            Self::ReaderGone => Exit::Done,
        }
    }

    /// What the daemon at `daemon` answered, or that it did not, while doing `what`.
    pub(super) fn of_call(what: &str, daemon: &str, status: &Status) -> Self {
        let said = status.message().trim_end_matches('.');
        let from_daemon = std::error::Error::source(status).is_none();
        match status.code() {
            Code::PermissionDenied => Self::Refused(format!(
                "{what}: {said}. Check that --profile is a credential with the right role"
            )),
            Code::Unauthenticated => Self::Refused(format!(
                "{what}: the daemon does not take this credential: {said}. Ask for a new token and enrol again"
            )),
            Code::InvalidArgument => Self::Usage(format!("{what}: {said}")),
            Code::Unimplemented => Self::Failed(format!(
                "{what}: the daemon at {daemon} does not know this call; its version is another one"
            )),
            Code::DeadlineExceeded | Code::Cancelled => Self::Unreachable(format!(
                "{what}: no answer from {daemon} in time. It may have been carried out; asking again is safe"
            )),
            Code::Unavailable if from_daemon && !said.is_empty() => {
                Self::Failed(format!("{what}: the daemon cannot do this now: {said}"))
            }
            Code::Unavailable | Code::Unknown if !from_daemon => Self::Unreachable(format!(
                "{what}: the connection to {daemon} broke before the answer. It may have been carried out; \
                 asking again is safe"
            )),
            _ => Self::Failed(format!("{what}: {said}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exit_of(status: &Status) -> u8 {
        CtlError::of_call("add unit Z00101", "https://d:1", status)
            .exit()
            .code()
    }

    #[test]
    fn each_answer_has_its_exit_code() {
        assert_eq!(exit_of(&Status::permission_denied("you may not do this")), 3);
        assert_eq!(exit_of(&Status::unauthenticated("revoked")), 3);
        assert_eq!(exit_of(&Status::invalid_argument("name: must be given")), 2);
        assert_eq!(exit_of(&Status::not_found("there is no such unit")), 1);
        assert_eq!(exit_of(&Status::already_exists("this unit is there already")), 1);
        assert_eq!(exit_of(&Status::failed_precondition("the unit is retired")), 1);
        assert_eq!(exit_of(&Status::internal("the daemon failed")), 1);
        assert_eq!(exit_of(&Status::unavailable("the daemon's disk is full")), 1);
        assert_eq!(exit_of(&Status::deadline_exceeded("")), 4);
        let mut broken = Status::unavailable("tcp connect error");
        broken.set_source(std::sync::Arc::new(std::io::Error::other("reset")));
        assert_eq!(exit_of(&broken), 4);
    }

    #[test]
    fn a_message_says_what_happened_to_what_and_what_to_do() {
        let status = Status::permission_denied("you may not do this");
        let error = CtlError::of_call("turn share-out of Z00101 → Z00202 on", "https://d:1", &status);
        assert_eq!(
            error.to_string(),
            "turn share-out of Z00101 → Z00202 on: you may not do this. Check that --profile is a \
             credential with the right role"
        );
    }
}
