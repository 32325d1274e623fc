//! Who calls, for the services: the connection's peer, as the store has it now.

use std::{fmt::Display, sync::Arc};

use handfast_proto::ids::{Holder, OdsCode};
use tonic::{Request, Status};

use super::{connection::ConnectionInfo, peer::Peer};
use crate::{
    audit::Refusals,
    sharing::Caller,
    store::{Store, StoreError, UnitState},
    telemetry::LogThrottle,
};

/// Which units may call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Access {
    /// Those that take part.
    TakingPart,
    /// Also suspended ones: they keep their certificate, so that they can take and confirm removals.
    Suspended,
    /// Also suspended and retired ones: they take and confirm removals.
    Removals,
}

/// Finds out who calls, and logs who was refused.
pub struct Identities {
    store: Arc<dyn Store>,
    refusals: Refusals,
    throttle: LogThrottle,
}

impl Identities {
    /// As the store has them. Who is refused is told to `refusals`.
    pub fn new(store: Arc<dyn Store>, refusals: Refusals) -> Self {
        Self {
            store,
            refusals,
            throttle: LogThrottle::default(),
        }
    }

    /// The caller of a request, where they take part. UNAUTHENTICATED without a certificate,
    /// PERMISSION_DENIED for whom the store does not let in, UNAVAILABLE where the store does not answer.
    pub async fn peer<T: Sync>(&self, request: &Request<T>, method: &'static str) -> Result<Caller, Status> {
        let holder = self.holder(request, method)?;
        if let Holder::Unit(ods) = &holder {
            self.check_unit(*ods, method, Access::TakingPart).await?;
        }
        let found = Caller::resolve(&holder, self.store.as_ref()).await;
        if let Some(caller) = found.map_err(|e| cannot_look_up(&e, method))? {
            return Ok(caller);
        }
        let why = "revoked, or of a retired unit, or not known";
        self.note(&holder, self.unit_of(&holder).await, method, why);
        let say = "this credential is not good any more: ask your administrator";
        Err(Status::permission_denied(say))
    }

    /// The unit whose agent calls, under `access`. Refuses as [`Identities::peer`] does, and persons.
    pub async fn unit<T: Sync>(
        &self,
        request: &Request<T>,
        method: &'static str,
        access: Access,
    ) -> Result<OdsCode, Status> {
        match self.holder(request, method)? {
            Holder::Unit(ods) => {
                self.check_unit(ods, method, access).await?;
                Ok(ods)
            }
            person @ Holder::Person(_) => {
                Err(self.refuse_holder(&person, method, "not a unit's agent").await)
            }
        }
    }

    /// Whom the certificate names, for a call that looks at its standing by itself.
    pub fn holder<T>(&self, request: &Request<T>, method: &'static str) -> Result<Holder, Status> {
        let peer = request
            .extensions()
            .get::<ConnectionInfo>()
            .map_or(Peer::Anonymous, |info| info.peer.clone());
        peer.holder().ok_or_else(|| {
            self.log(&peer, method, "no client certificate");
            self.refusals.anonymous();
            Status::unauthenticated("this call needs a client certificate")
        })
    }

    /// A caller may not do what they asked for: takes note of it and makes the answer, which is always the
    /// same, so that it tells nothing else. `unit` is a person's, where it is known.
    pub fn refuse(
        &self,
        holder: &Holder,
        unit: Option<OdsCode>,
        method: &'static str,
        reason: &str,
    ) -> Status {
        self.note(holder, unit, method, reason);
        Status::permission_denied("you may not do this")
    }

    /// The same where no more is known of the caller than their certificate. Whose officers are to see it is looked
    /// up, of those who have left too.
    pub async fn refuse_holder(&self, holder: &Holder, method: &'static str, reason: &str) -> Status {
        self.refuse(holder, self.unit_of(holder).await, method, reason)
    }

    /// The unit of a person. Where it cannot be looked up, the refusal is entered all the same.
    async fn unit_of(&self, holder: &Holder) -> Option<OdsCode> {
        let Holder::Person(id) = holder else { return None };
        self.store.person(id).await.ok().flatten()?.unit
    }

    /// A call of nobody who could be named was refused, and logged where that was.
    pub fn refused_anonymous(&self) {
        self.refusals.anonymous();
    }

    async fn check_unit(&self, ods: OdsCode, method: &'static str, access: Access) -> Result<(), Status> {
        let state = self.store.unit_state(ods).await;
        let state = state.map_err(|e| cannot_look_up(&e, method))?;
        let (reason, message) = match (state, access) {
            (Some(UnitState::Enrolled), _)
            | (Some(UnitState::Suspended), Access::Suspended)
            | (Some(_), Access::Removals) => return Ok(()),
            (Some(UnitState::Suspended), _) => (
                "the unit is suspended",
                "this unit is suspended: it can only take and confirm removals",
            ),
            (Some(UnitState::Retired), _) => (
                "the unit is retired",
                "this unit is retired: it can only take and confirm removals",
            ),
            (None, _) => (
                "the unit is not known",
                "this credential names nobody here: enrol again",
            ),
        };
        self.note(&Holder::Unit(ods), None, method, reason);
        Err(Status::permission_denied(message))
    }

    fn note(&self, holder: &Holder, unit: Option<OdsCode>, method: &'static str, reason: &str) {
        self.log(holder, method, reason);
        self.refusals.named(holder, unit, method, reason);
    }

    fn log(&self, holder: &dyn Display, method: &'static str, reason: &str) {
        if let Some(held_back) = self.throttle.pass() {
            tracing::warn!(%holder, method, reason, held_back, "refused a call");
        }
    }
}

fn cannot_look_up(error: &StoreError, method: &'static str) -> Status {
    tracing::error!(%error, method, "cannot look up a caller");
    Status::unavailable("the daemon cannot look up who you are: try again later")
}
