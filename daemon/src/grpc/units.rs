//! The Units service: translation between its messages and the acts.

use std::sync::Arc;

use handfast_proto::v1::{
    self, ChangeUnitResponse, CreateEnrolmentTokenRequest, ListUnitsRequest, ListUnitsResponse, PairStatus,
    RegisterUnitRequest, RegisterUnitResponse, ResumeUnitRequest, RetireUnitRequest, StatusRequest,
    StatusResponse, SuspendUnitRequest, Token, UnitStatus, WithheldCount,
    units_server::{Units as Service, UnitsServer},
};
use tonic::{Request, Response, Status, async_trait};

use super::{
    answer::{Desk, ods, token},
    identity::Identities,
    sharing_messages::notice,
};
use crate::{
    delivery::UnitInForce,
    sharing::{PairView, StatusBoard, StatusView, UnitView, Units},
    store::{UnitRow, UnitState},
};

/// Bytes of a request: a name and a reason are far smaller.
const MAX_REQUEST_BYTES: usize = 32 * 1024;

/// Serves Register, List, Suspend, Resume, Retire, CreateEnrolmentToken and Status.
pub struct UnitsService {
    units: Units,
    status: StatusBoard,
    desk: Desk,
}

impl UnitsService {
    /// The service, ready for the routes.
    pub fn server(units: Units, status: StatusBoard, identities: Arc<Identities>) -> UnitsServer<Self> {
        let service = Self {
            units,
            status,
            desk: Desk::new(identities),
        };
        UnitsServer::new(service).max_decoding_message_size(MAX_REQUEST_BYTES)
    }
}

#[async_trait]
impl Service for UnitsService {
    async fn register(
        &self,
        request: Request<RegisterUnitRequest>,
    ) -> Result<Response<RegisterUnitResponse>, Status> {
        const METHOD: &str = "Units.Register";
        let caller = self.desk.caller(&request, METHOD).await?;
        let asked = request.into_inner();
        let (unit, kind) = (ods("ods", &asked.ods)?, asked.kind());
        let done = self.units.register(&caller, unit, &asked.name, kind).await;
        let done = done.map(|(row, secret)| RegisterUnitResponse {
            unit: Some(message(row)),
            token: Some(token(&secret)),
        });
        self.desk.answer(&caller, METHOD, done)
    }

    async fn list(&self, request: Request<ListUnitsRequest>) -> Result<Response<ListUnitsResponse>, Status> {
        const METHOD: &str = "Units.List";
        let caller = self.desk.caller(&request, METHOD).await?;
        let units = self.units.list(&caller).await;
        let units = units.map(|rows| ListUnitsResponse {
            units: rows.into_iter().map(message).collect(),
        });
        self.desk.answer(&caller, METHOD, units)
    }

    async fn suspend(
        &self,
        request: Request<SuspendUnitRequest>,
    ) -> Result<Response<ChangeUnitResponse>, Status> {
        const METHOD: &str = "Units.Suspend";
        let caller = self.desk.caller(&request, METHOD).await?;
        let asked = request.into_inner();
        let unit = ods("ods", &asked.ods)?;
        let done = self
            .units
            .suspend(&caller, unit, &asked.reason, asked.withdraw)
            .await;
        self.desk.answer(&caller, METHOD, done.map(changed))
    }

    async fn resume(
        &self,
        request: Request<ResumeUnitRequest>,
    ) -> Result<Response<ChangeUnitResponse>, Status> {
        const METHOD: &str = "Units.Resume";
        let caller = self.desk.caller(&request, METHOD).await?;
        let unit = ods("ods", &request.into_inner().ods)?;
        let done = self.units.resume(&caller, unit).await;
        self.desk.answer(&caller, METHOD, done.map(changed))
    }

    async fn retire(
        &self,
        request: Request<RetireUnitRequest>,
    ) -> Result<Response<ChangeUnitResponse>, Status> {
        const METHOD: &str = "Units.Retire";
        let caller = self.desk.caller(&request, METHOD).await?;
        let asked = request.into_inner();
        let unit = ods("ods", &asked.ods)?;
        let done = self.units.retire(&caller, unit, &asked.reason).await;
        self.desk.answer(&caller, METHOD, done.map(changed))
    }

    async fn create_enrolment_token(
        &self,
        request: Request<CreateEnrolmentTokenRequest>,
    ) -> Result<Response<Token>, Status> {
        const METHOD: &str = "Units.CreateEnrolmentToken";
        let caller = self.desk.caller(&request, METHOD).await?;
        let unit = ods("ods", &request.into_inner().ods)?;
        let made = self.units.create_token(&caller, unit).await;
        self.desk
            .answer(&caller, METHOD, made.map(|secret| token(&secret)))
    }

    async fn status(&self, request: Request<StatusRequest>) -> Result<Response<StatusResponse>, Status> {
        const METHOD: &str = "Units.Status";
        let caller = self.desk.caller(&request, METHOD).await?;
        let view = self.status.status(&caller).await;
        self.desk.answer(&caller, METHOD, view.map(status_message))
    }
}

fn message(row: UnitRow) -> v1::Unit {
    let state = match row.state {
        UnitState::Enrolled => v1::UnitState::Enrolled,
        UnitState::Suspended => v1::UnitState::Suspended,
        UnitState::Retired => v1::UnitState::Retired,
    };
    v1::Unit {
        ods: row.ods.to_string(),
        name: row.name,
        kind: row.kind.into(),
        state: state.into(),
        registered_at: row.registered_at,
        agent_enrolled: row.agent_enrolled,
        has_administrator: row.has_administrator,
    }
}

fn changed(change: UnitInForce) -> ChangeUnitResponse {
    ChangeUnitResponse {
        unit: Some(message(change.outcome.unit)),
        in_force: change.in_force,
    }
}

fn status_message(view: StatusView) -> StatusResponse {
    StatusResponse {
        trust_domain: view.trust_domain,
        test: view.test,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        units: view.units.iter().map(unit_status).collect(),
        pairs: view.pairs.iter().map(pair_status).collect(),
    }
}

fn unit_status(unit: &UnitView) -> UnitStatus {
    UnitStatus {
        ods: unit.ods.to_string(),
        publishing: unit.publishing,
        subscribed: unit.subscribed,
        head_seq: unit.head,
    }
}

fn pair_status(pair: &PairView) -> PairStatus {
    let withheld = pair.withheld.iter().map(|(reason, count)| WithheldCount {
        reason: reason.as_str().to_owned(),
        count: *count,
    });
    PairStatus {
        source: pair.pair.source.to_string(),
        recipient: pair.pair.recipient.to_string(),
        grant: pair.grant.map_or(0, |grant| grant.0),
        cursor: pair.cursor,
        head_seq: pair.head,
        forwarded: pair.forwarded,
        withheld: withheld.collect(),
        dead_letters: pair.dead_letters,
        stale: pair.stale,
        notices: pair.notices.iter().map(notice).collect(),
    }
}
