//! Enrols: key and request are made here, the token is exchanged for a certificate, and the identity is
//! put in place whole.

use std::{
    fs::DirBuilder,
    io,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use handfast_proto::{
    token::EnrolmentToken,
    v1::{EnrolRequest, enrolment_client::EnrolmentClient},
};
use tokio::time::timeout;
use tonic::{Code, Status};

use super::pinned;
use crate::{
    identity::{DaemonUrl, Identity, IdentityError, Issued, NewKey, Staged},
    lifecycle::{LockError, StateLock},
    link::{LinkError, Windows, connect_tls, for_people},
};

/// How long the daemon may take to answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// One small answer.
const WINDOWS: Windows = Windows {
    stream_bytes: 64 * 1024,
    connection_bytes: 64 * 1024,
};

/// What an enrolment needs.
#[derive(Debug)]
pub struct Enrolment {
    /// Where the identity goes. Made if it is not there.
    pub state_dir: PathBuf,
    /// Where the daemon is.
    pub daemon: DaemonUrl,
    /// The one-time token.
    pub token: EnrolmentToken,
    /// Whether an identity that is there may be replaced.
    pub replace: bool,
}

/// Why there is no identity. What was there before is as it was.
#[derive(Debug, thiserror::Error)]
pub enum EnrolError {
    /// The state folder has an identity.
    #[error(
        "{} is enrolled already, as {holder}; to replace that identity, say --replace. The token was not used",
        state_dir.display()
    )]
    Enrolled {
        /// The state folder.
        state_dir: PathBuf,
        /// Who it is.
        holder: String,
    },
    /// The daemon does not take the token.
    #[error("the daemon does not take this token ({0}); it works once, and for a short time")]
    TokenRefused(String),
    /// The daemon cannot do it now.
    #[error("the daemon cannot enrol anybody at the moment ({0}). The token may still be good: try again")]
    TryAgain(String),
    /// There was no connection.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// The key could not be made, or the answer cannot be used.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// An agent runs on the state folder.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// The state folder cannot be made.
    #[error("create the state folder {}: {source}", state_dir.display())]
    StateDir {
        /// The state folder.
        state_dir: PathBuf,
        /// What was answered.
        source: io::Error,
    },
}

/// Enrols. Dropping the future leaves what was there; the token may then be used up.
pub async fn enrol(what: Enrolment) -> Result<Identity, EnrolError> {
    make_state_dir(&what.state_dir)?;
    let _lock = StateLock::take(&what.state_dir)?;
    if Identity::exists(&what.state_dir) && !what.replace {
        return Err(EnrolError::Enrolled {
            holder: Identity::load(&what.state_dir).map_or_else(
                |_| "somebody whose files cannot be used".to_owned(),
                |i| i.profile().holder.clone(),
            ),
            state_dir: what.state_dir,
        });
    }
    let key = NewKey::make()?;
    // Before the call: a token must not be used up for a key that then cannot be kept.
    let staged = Staged::begin(&what.state_dir, &key.key_pem)?;
    let issued = Box::pin(exchange(&what, key.csr_der)).await?;
    if !issued
        .authorities
        .iter()
        .any(|a| pinned::has_fingerprint(a, what.token.ca_fingerprint()))
    {
        let why = "the authority that the token names is not among those to trust".to_owned();
        return Err(IdentityError::Broken(why).into());
    }
    Ok(staged.commit(&issued.profile, &issued.chain, &issued.authorities)?)
}

async fn exchange(what: &Enrolment, csr_der: Vec<u8>) -> Result<Issued, EnrolError> {
    let tls = pinned::client_config(*what.token.ca_fingerprint())
        .map_err(|e| IdentityError::Broken(e.to_string()))?;
    let connection = connect_tls(&what.daemon, Arc::new(tls), WINDOWS).await?;
    let request = EnrolRequest {
        token: what.token.reveal(),
        csr_der: csr_der.into(),
    };
    let answer = timeout(
        ANSWER_TIMEOUT,
        EnrolmentClient::new(connection.channel()).enrol(request),
    )
    .await
    .map_err(|_| EnrolError::TryAgain(format!("no answer within {} s", ANSWER_TIMEOUT.as_secs())))?
    .map_err(|status| refusal(&status))?;
    Ok(Issued::read(answer.into_inner(), &what.daemon)?)
}

fn refusal(status: &Status) -> EnrolError {
    let why = for_people(status.message());
    match status.code() {
        Code::InvalidArgument
        | Code::Unauthenticated
        | Code::PermissionDenied
        | Code::NotFound
        | Code::AlreadyExists
        | Code::FailedPrecondition => EnrolError::TokenRefused(why),
        _ => EnrolError::TryAgain(why),
    }
}

fn make_state_dir(state_dir: &Path) -> Result<(), EnrolError> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(state_dir)
        .map_err(|source| EnrolError::StateDir {
            state_dir: state_dir.to_owned(),
            source,
        })
}

#[cfg(test)]
mod tests;
