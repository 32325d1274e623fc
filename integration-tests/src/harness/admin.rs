//! A unit's administrator, through `Agreements` itself: quicker than a process per call, and with the whole
//! receipt.

use std::time::Duration;

use anyhow::Context as _;
use handfast_proto::{
    ids::NhsNumber,
    v1::{
        Agreement, ConsentManner, InForce, ListAgreementsRequest, PatientWordValue,
        RecordPatientConsentRequest, RecordPatientConsentResponse, RevocationReceipt, SetAgreementRequest,
        Side, agreements_client::AgreementsClient, patient_consents_client::PatientConsentsClient,
    },
};
use tonic::Status;

use super::{
    identity::Identity,
    tls::{Windows, connect},
};

/// How long "pending" may last, and a daemon may be away, before a test gives up.
const SETTLE: Duration = Duration::from_secs(60);

/// What a call that set a half led to.
#[derive(Debug, Clone)]
pub struct Turned {
    /// The agreement afterwards.
    pub agreement: Agreement,
    /// Where a grant ended.
    pub receipt: Option<RevocationReceipt>,
    /// How often it said "pending" or broke off before it was in force.
    pub asked_again: u32,
}

/// Someone who may set the halves of a unit.
#[derive(Debug, Clone)]
pub struct Admin {
    url: String,
    identity: Identity,
}

impl Admin {
    /// With a person's certificate.
    pub fn new(url: &str, identity: Identity) -> Self {
        Self {
            url: url.to_owned(),
            identity,
        }
    }

    /// One call, whatever it answers. A connection of its own: the daemon may be killed meanwhile.
    pub async fn set_once(
        &self,
        side: Side,
        source: &str,
        recipient: &str,
        on: bool,
    ) -> anyhow::Result<(InForce, Turned)> {
        let channel = connect(&self.url, &self.identity, Windows::default()).await?;
        let request = SetAgreementRequest {
            source: source.to_owned(),
            recipient: recipient.to_owned(),
            side: side.into(),
            on,
            reason: "a test".to_owned(),
            scope: None,
        };
        let answer = AgreementsClient::new(channel).set(request).await?.into_inner();
        let in_force = answer.in_force();
        let turned = Turned {
            agreement: answer.agreement.context("an answer without its agreement")?,
            receipt: answer.receipt,
            asked_again: 0,
        };
        Ok((in_force, turned))
    }

    /// Asks until it is in force, across pending answers and a daemon that is away.
    pub async fn set(&self, side: Side, source: &str, recipient: &str, on: bool) -> anyhow::Result<Turned> {
        let end = tokio::time::Instant::now() + SETTLE;
        let mut asked_again = 0;
        let mut receipt = None;
        loop {
            let answer = self.set_once(side, source, recipient, on).await;
            let why = match answer {
                Ok((InForce::Yes, turned)) => {
                    return Ok(Turned {
                        receipt: turned.receipt.or(receipt),
                        asked_again,
                        ..turned
                    });
                }
                Ok((_, turned)) => {
                    receipt = turned.receipt.or(receipt);
                    "pending".to_owned()
                }
                Err(e) if refused(&e) => return Err(e),
                Err(e) => format!("{e:#}"),
            };
            asked_again += 1;
            if tokio::time::Instant::now() >= end {
                anyhow::bail!("{side:?} of {source} → {recipient} is not in force within {SETTLE:?}: {why}");
            }
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
    }

    /// Records a patient's no on one side of the unit: one call, whatever it answers.
    pub async fn say_no(
        &self,
        side: Side,
        patient: NhsNumber,
    ) -> anyhow::Result<RecordPatientConsentResponse> {
        let channel = connect(&self.url, &self.identity, Windows::default()).await?;
        let word = |of: Side| {
            if of == side {
                PatientWordValue::No
            } else {
                PatientWordValue::Unspecified
            }
        };
        let request = RecordPatientConsentRequest {
            patients: vec![patient.reveal()],
            share_out: word(Side::ShareOut).into(),
            share_in: word(Side::ShareIn).into(),
            manner: ConsentManner::Spoken.into(),
            ..RecordPatientConsentRequest::default()
        };
        Ok(PatientConsentsClient::new(channel)
            .record(request)
            .await?
            .into_inner())
    }

    /// The agreements that this person may see.
    pub async fn list(&self) -> anyhow::Result<Vec<Agreement>> {
        let channel = connect(&self.url, &self.identity, Windows::default()).await?;
        let request = ListAgreementsRequest { unit: String::new() };
        Ok(AgreementsClient::new(channel)
            .list(request)
            .await?
            .into_inner()
            .agreements)
    }
}

/// Whether the daemon answered, and said no.
fn refused(e: &anyhow::Error) -> bool {
    use tonic::Code;
    e.downcast_ref::<Status>().is_some_and(|s| {
        matches!(
            s.code(),
            Code::PermissionDenied | Code::InvalidArgument | Code::NotFound | Code::Unauthenticated
        )
    })
}
