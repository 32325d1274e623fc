//! The Enrolment service: translation between its messages and the acts.

use std::sync::Arc;

use handfast_proto::{
    ids::Holder,
    v1::{
        EnrolRequest, EnrolResponse, RenewRequest, enrol_response,
        enrolment_server::{Enrolment as Service, EnrolmentServer},
    },
};
use rustls_pki_types::CertificateDer;
use tonic::{Request, Response, Status, async_trait};

use super::{connection::ConnectionInfo, identity::Identities};
use crate::{
    enrolment::{EnrolError, Enrolled, Enrolment},
    store::StoreError,
    telemetry::LogThrottle,
};

/// Bytes of a request: a token and a signing request are far smaller.
const MAX_REQUEST_BYTES: usize = 32 * 1024;

/// Serves Enrol and Renew.
pub struct EnrolmentService {
    acts: Enrolment,
    identities: Arc<Identities>,
    refusals: LogThrottle,
}

impl EnrolmentService {
    /// The service, ready for the routes.
    pub fn server(acts: Enrolment, identities: Arc<Identities>) -> EnrolmentServer<Self> {
        let service = Self {
            acts,
            identities,
            refusals: LogThrottle::default(),
        };
        EnrolmentServer::new(service).max_decoding_message_size(MAX_REQUEST_BYTES)
    }
}

#[async_trait]
impl Service for EnrolmentService {
    async fn enrol(&self, request: Request<EnrolRequest>) -> Result<Response<EnrolResponse>, Status> {
        let remote = request
            .extensions()
            .get::<ConnectionInfo>()
            .map(|info| info.remote);
        let EnrolRequest { token, csr_der } = request.into_inner();
        match self.acts.enrol(&token, &csr_der).await {
            Ok(enrolled) => {
                tracing::info!(holder = %enrolled.holder, "enrolled");
                Ok(Response::new(message(enrolled)))
            }
            Err(e) => {
                self.identities.refused_anonymous();
                if let Some(held_back) = self.refusals.pass() {
                    tracing::warn!(?remote, method = "Enrolment.Enrol", reason = %e, held_back, "refused a call");
                }
                Err(status(&e))
            }
        }
    }

    async fn renew(&self, request: Request<RenewRequest>) -> Result<Response<EnrolResponse>, Status> {
        const METHOD: &str = "Enrolment.Renew";
        let holder = self.identities.holder(&request, METHOD)?;
        match self.acts.renew(&holder, &request.into_inner().csr_der).await {
            Ok(enrolled) => {
                tracing::info!(%holder, "renewed a certificate");
                Ok(Response::new(message(enrolled)))
            }
            Err(EnrolError::HolderRefused) => {
                let refused = self
                    .identities
                    .refuse_holder(&holder, METHOD, "the holder has left");
                Err(refused.await)
            }
            Err(e) => {
                tracing::warn!(%holder, method = METHOD, reason = %e, "could not renew");
                Err(status(&e))
            }
        }
    }
}

fn message(enrolled: Enrolled) -> EnrolResponse {
    let ders = |list: Vec<CertificateDer<'static>>| list.into_iter().map(|der| der.to_vec().into()).collect();
    EnrolResponse {
        chain_der: ders(enrolled.chain),
        ca_der: ders(enrolled.authorities),
        trust_domain: enrolled.trust_domain,
        holder: Some(match enrolled.holder {
            Holder::Unit(ods) => enrol_response::Holder::Unit(ods.to_string()),
            Holder::Person(id) => enrol_response::Holder::Person(id.to_string()),
        }),
        not_before: enrolled.validity.not_before / 1000,
        not_after: enrolled.validity.not_after / 1000,
    }
}

fn status(error: &EnrolError) -> Status {
    let text = error.to_string();
    match error {
        EnrolError::TokenRefused | EnrolError::HolderRefused => Status::permission_denied(text),
        EnrolError::Csr(_) => Status::invalid_argument(text),
        EnrolError::Store(StoreError::Full) => Status::resource_exhausted(text),
        EnrolError::Store(_) | EnrolError::BrokenOff => {
            Status::unavailable("the daemon's store does not answer: try again later")
        }
        EnrolError::Issue(_) | EnrolError::NotEntered(_) => {
            Status::internal("the daemon could not sign: its log says why")
        }
    }
}
