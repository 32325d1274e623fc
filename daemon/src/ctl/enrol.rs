//! Exchanges a token for a credential. The key is made here and never leaves; the daemon must show the
//! authority whose fingerprint the token carries before anything is sent to it.

use std::path::Path;

use handfast_proto::{
    ids::{Holder, OdsCode, PersonId},
    token::EnrolmentToken,
    v1::{EnrolRequest, EnrolResponse, enrol_response::Holder as Named, enrolment_client::EnrolmentClient},
};
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256};
use rustls_pki_types::CertificateDer;
use serde_json::json;
use tonic::Code;

use super::{
    connection::Connection,
    error::{CtlError, Exit},
    out::Out,
    profile::{Settings, Staged, request},
    show::{moment, moment_json},
    tls,
    url::DaemonUrl,
};

const WHAT: &str = "enrol";

/// Enrols into a new profile.
pub(super) async fn enrol(
    out: &mut Out,
    url: &DaemonUrl,
    dir: &Path,
    token: &EnrolmentToken,
) -> Result<Exit, CtlError> {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)
        .map_err(|e| CtlError::Failed(format!("make a key: {e}")))?;
    let staged = Staged::begin(dir, &key)?;
    let config =
        tls::pinned(*token.ca_fingerprint()).map_err(|e| CtlError::Failed(format!("prepare TLS: {e}")))?;
    let connection = Connection::open(url, config).await?;
    let request = EnrolRequest {
        token: token.reveal(),
        csr_der: request(&key)?.into(),
    };
    let mut client = EnrolmentClient::new(connection.channel());
    let answer = connection.try_call(client.enrol(request)).await;
    let answer = answer.map_err(|status| match status.code() {
        Code::PermissionDenied | Code::Unauthenticated | Code::NotFound | Code::FailedPrecondition => {
            CtlError::Refused(format!("{WHAT}: {}", status.message()))
        }
        _ => connection.error(WHAT, &status),
    })?;
    let answer = Answer::read(answer)?;
    if !answer
        .authorities
        .iter()
        .any(|ca| tls::fingerprint(ca) == *token.ca_fingerprint())
    {
        return Err(CtlError::Failed(format!(
            "{WHAT}: the daemon at {url} answered with another authority than the token's; nothing was kept. \
             Ask for a new token, and tell the operator"
        )));
    }
    let holder = answer.holder.to_uri(&answer.trust_domain);
    let settings = Settings {
        daemon: Some(url.to_string()),
        trust_domain: answer.trust_domain,
        holder: holder.clone(),
    };
    staged.commit(&settings, &answer.chain, &answer.authorities)?;
    out.answer(
        || {
            format!(
                "Enrolled as {} until {}; handfastctl renews it in time where it is used.\nThe credential is in {}.",
                answer.holder,
                moment(answer.not_after),
                dir.display()
            )
        },
        || {
            json!({
                "holder": holder,
                "profile": dir.display().to_string(),
                "daemon": url.to_string(),
                "not_after": moment_json(answer.not_after),
            })
        },
    )?;
    Ok(Exit::Done)
}

/// A certificate as the daemon hands it out.
pub(super) struct Answer {
    pub(super) chain: Vec<CertificateDer<'static>>,
    pub(super) authorities: Vec<CertificateDer<'static>>,
    pub(super) trust_domain: String,
    pub(super) holder: Holder,
    /// Milliseconds since 1970-01-01T00:00:00Z.
    pub(super) not_after: i64,
}

impl Answer {
    /// Checks what the daemon said.
    pub(super) fn read(answer: EnrolResponse) -> Result<Self, CtlError> {
        let wrong = |e: &dyn std::fmt::Display| {
            CtlError::Failed(format!(
                "the daemon's answer makes no sense ({e}); its version is another one"
            ))
        };
        let holder = match answer.holder {
            Some(Named::Unit(ods)) => Holder::Unit(ods.parse::<OdsCode>().map_err(|e| wrong(&e))?),
            Some(Named::Person(id)) => Holder::Person(id.parse::<PersonId>().map_err(|e| wrong(&e))?),
            None => return Err(wrong(&"it names nobody")),
        };
        let owned = |all: Vec<bytes::Bytes>| all.into_iter().map(|der| der.to_vec().into()).collect();
        Ok(Self {
            chain: owned(answer.chain_der),
            authorities: owned(answer.ca_der),
            trust_domain: answer.trust_domain,
            holder,
            not_after: answer.not_after.saturating_mul(1000),
        })
    }
}
