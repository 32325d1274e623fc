//! The acts: a certificate for a one-time token, and a new one before the old expires.
//!
//! Invariants: a token is used up in the transaction that records the certificate issued on it, so one
//! token never leads to two; the holder's name comes from the token or the caller's certificate, never from
//! the request.

use std::sync::Arc;

use handfast_proto::{
    ids::{Holder, OdsCode},
    token::EnrolmentToken,
};
use rustls_pki_types::CertificateDer;

use super::{
    authority::Authority,
    csr::{CsrError, public_key},
    leaf::{IssueError, Issued, Validity},
};
use crate::{
    audit::{Actor, NotEntered, Scribe, events},
    clock::Clock,
    random::Random,
    store::{Certificate, Store, StoreError, UnitState, With},
};

/// Why no certificate was given.
#[derive(Debug, thiserror::Error)]
pub enum EnrolError {
    /// The token is not good, or not of this deployment, or its holder has left.
    #[error(
        "the enrolment token was used before, has expired, or is not one of this deployment: ask for a new one"
    )]
    TokenRefused,
    /// The holder may have no certificate any more.
    #[error("this holder gets no new certificate: it was retired or revoked")]
    HolderRefused,
    /// The request is not good.
    #[error(transparent)]
    Csr(#[from] CsrError),
    /// The store did not take it.
    #[error(transparent)]
    Store(StoreError),
    /// Nothing was signed.
    #[error(transparent)]
    Issue(#[from] IssueError),
    /// It could not be entered in the audit log.
    #[error(transparent)]
    NotEntered(#[from] NotEntered),
    /// The act broke off; whether the token was used is not known.
    #[error("the enrolment broke off: ask for a new token if this one is refused")]
    BrokenOff,
}

impl From<StoreError> for EnrolError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::TokenRefused => Self::TokenRefused,
            other => Self::Store(other),
        }
    }
}

/// What a holder gets.
#[derive(Clone, Debug)]
pub struct Enrolled {
    /// Whom the certificate names.
    pub holder: Holder,
    /// The holder's certificate first, then the authority's.
    pub chain: Vec<CertificateDer<'static>>,
    /// The authorities to trust.
    pub authorities: Vec<CertificateDer<'static>>,
    /// The SPIFFE trust domain.
    pub trust_domain: String,
    /// How long the certificate holds.
    pub validity: Validity,
}

/// Gives certificates.
#[derive(Clone)]
pub struct Enrolment {
    store: Arc<dyn Store>,
    authority: Arc<Authority>,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
    scribe: Scribe,
    lifetime_ms: i64,
}

/// A holder who may have a certificate.
struct Standing {
    /// The unit of a person.
    unit: Option<OdsCode>,
}

impl Enrolment {
    /// Certificates of `authority` that hold for `lifetime_ms`.
    pub fn new(
        store: Arc<dyn Store>,
        authority: Arc<Authority>,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
        scribe: Scribe,
        lifetime_ms: i64,
    ) -> Self {
        Self {
            store,
            authority,
            clock,
            random,
            scribe,
            lifetime_ms,
        }
    }

    /// Exchanges a token and a request (PKCS#10, DER) for a certificate. Runs to its end even where the
    /// caller stops waiting.
    pub async fn enrol(&self, token: &str, csr_der: &[u8]) -> Result<Enrolled, EnrolError> {
        let token: EnrolmentToken = token.parse().map_err(|_| EnrolError::TokenRefused)?;
        if token.ca_fingerprint() != self.authority.fingerprint() {
            return Err(EnrolError::TokenRefused);
        }
        let hash = token.secret_hash();
        let issued_for = self.store.find_token(&hash, self.clock.now_ms()).await?;
        let standing = self.standing(&issued_for.holder).await?;
        let standing = standing.ok_or(EnrolError::TokenRefused)?;
        let (issued, certificate) = self.issue(&issued_for.holder, csr_der)?;
        let (store, now) = (Arc::clone(&self.store), self.clock.now_ms());
        let with = self.entered(&certificate, standing, false, now)?;
        let commit = tokio::spawn(async move { store.consume_token(&hash, &certificate, now, &with).await });
        commit.await.map_err(|_| EnrolError::BrokenOff)??;
        Ok(self.enrolled(issued_for.holder, issued))
    }

    /// A new certificate for a holder who has one. Runs to its end even where the caller stops waiting.
    pub async fn renew(&self, holder: &Holder, csr_der: &[u8]) -> Result<Enrolled, EnrolError> {
        let standing = self.standing(holder).await?.ok_or(EnrolError::HolderRefused)?;
        let (issued, certificate) = self.issue(holder, csr_der)?;
        let (store, now) = (Arc::clone(&self.store), self.clock.now_ms());
        let with = self.entered(&certificate, standing, true, now)?;
        let commit = tokio::spawn(async move { store.add_certificate(&certificate, now, &with).await });
        commit.await.map_err(|_| EnrolError::BrokenOff)??;
        Ok(self.enrolled(holder.clone(), issued))
    }

    /// Whether a holder may have a certificate, and the unit of a person. A suspended unit keeps its
    /// certificates, so that it can take and confirm removals; a retired one gets none.
    async fn standing(&self, holder: &Holder) -> Result<Option<Standing>, EnrolError> {
        match holder {
            Holder::Unit(ods) => {
                let state = self.store.unit_state(*ods).await?;
                let takes_part = state.is_some_and(|state| state != UnitState::Retired);
                Ok(takes_part.then_some(Standing { unit: None }))
            }
            Holder::Person(id) => {
                let person = self.store.person(id).await?.filter(|p| !p.revoked);
                Ok(person.map(|p| Standing { unit: p.unit }))
            }
        }
    }

    /// What goes beside a certificate into its transaction.
    fn entered(
        &self,
        certificate: &Certificate,
        standing: Standing,
        renewal: bool,
        now: i64,
    ) -> Result<With, EnrolError> {
        let event = events::Enrolled {
            certificate,
            unit: standing.unit,
            renewal,
        };
        let who = Actor::Holder(certificate.holder.clone());
        Ok(With::audit(vec![self.scribe.entry(now, &who, &event)?]))
    }

    fn issue(&self, holder: &Holder, csr_der: &[u8]) -> Result<(Issued, Certificate), EnrolError> {
        let key = public_key(csr_der)?;
        let now = self.clock.now_ms();
        let issued =
            self.authority
                .issue_holder(holder, &key, now, self.lifetime_ms, self.random.as_ref())?;
        let certificate = Certificate {
            holder: holder.clone(),
            serial: issued.serial.clone(),
            not_after: issued.validity.not_after,
        };
        Ok((issued, certificate))
    }

    fn enrolled(&self, holder: Holder, issued: Issued) -> Enrolled {
        Enrolled {
            holder,
            chain: issued.chain,
            authorities: vec![self.authority.certificate().clone()],
            trust_domain: self.authority.trust_domain().to_owned(),
            validity: issued.validity,
        }
    }
}
