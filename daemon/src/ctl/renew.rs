//! Renews a profile's certificate, when asked and by itself. The key stays, so that key and chain always
//! fit whatever moment the machine stops at.

use handfast_proto::v1::{RenewRequest, enrolment_client::EnrolmentClient};
use serde_json::json;

use super::{
    connection::Connection,
    enrol::Answer,
    error::{CtlError, Exit},
    out::Out,
    profile::Profile,
    show::{moment, moment_json},
};

/// Renews now.
pub(super) async fn renew(
    out: &mut Out,
    connection: &Connection,
    profile: &Profile,
) -> Result<Exit, CtlError> {
    let not_after = exchange(connection, profile).await?;
    out.answer(
        || {
            format!(
                "The credential in {} is good until {}.",
                profile.dir().display(),
                moment(not_after)
            )
        },
        || json!({"holder": profile.settings.holder, "not_after": moment_json(not_after)}),
    )?;
    Ok(Exit::Done)
}

/// Renews where two thirds of the certificate's life are over. A failure is a note and nothing more: the
/// certificate still holds.
pub(super) async fn renew_if_due(out: &mut Out, connection: &Connection, profile: &Profile, now: i64) {
    if !profile.is_due(now) {
        return;
    }
    if let Err(error) = exchange(connection, profile).await {
        out.note(&format!(
            "note: this credential ends on {} and could not be renewed: {error}",
            moment(profile.not_after)
        ));
    }
}

async fn exchange(connection: &Connection, profile: &Profile) -> Result<i64, CtlError> {
    let request = RenewRequest {
        csr_der: profile.request()?.into(),
    };
    let mut client = EnrolmentClient::new(connection.channel());
    let answer = connection.call("renew", client.renew(request)).await?;
    let answer = Answer::read(answer)?;
    if answer.holder.to_uri(&answer.trust_domain) != profile.settings.holder {
        return Err(CtlError::Failed(
            "renew: the daemon answered with a certificate of another holder; nothing was kept".to_owned(),
        ));
    }
    profile.renewed(&answer.chain, &answer.authorities)?;
    Ok(answer.not_after)
}
