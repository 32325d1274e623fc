//! The People service: translation between its messages and the acts.

use std::sync::Arc;

use handfast_proto::v1::{
    self, AddPersonRequest, AddPersonResponse, ListPeopleRequest, ListPeopleResponse, RevokePersonRequest,
    SetRoleRequest,
    people_server::{People as Service, PeopleServer},
};
use tonic::{Request, Response, Status, async_trait};

use super::{
    answer::{Desk, ods_if_any, person, token},
    identity::Identities,
};
use crate::{
    sharing::{AddPerson, People},
    store::PersonRow,
};

/// Bytes of a request: a name and a reason are far smaller.
const MAX_REQUEST_BYTES: usize = 32 * 1024;

/// Serves Add, List, SetRole and Revoke.
pub struct PeopleService {
    people: People,
    desk: Desk,
}

impl PeopleService {
    /// The service, ready for the routes.
    pub fn server(people: People, identities: Arc<Identities>) -> PeopleServer<Self> {
        let service = Self {
            people,
            desk: Desk::new(identities),
        };
        PeopleServer::new(service).max_decoding_message_size(MAX_REQUEST_BYTES)
    }
}

#[async_trait]
impl Service for PeopleService {
    async fn add(&self, request: Request<AddPersonRequest>) -> Result<Response<AddPersonResponse>, Status> {
        const METHOD: &str = "People.Add";
        let caller = self.desk.caller(&request, METHOD).await?;
        let asked = request.into_inner();
        let (unit, role) = (ods_if_any("unit", &asked.unit)?, asked.role());
        let new = AddPerson {
            name: asked.name,
            unit,
            role,
        };
        let added = self.people.add(&caller, new).await;
        let added = added.map(|(row, secret)| AddPersonResponse {
            person: Some(message(row)),
            token: Some(token(&secret)),
        });
        self.desk.answer(&caller, METHOD, added)
    }

    async fn list(
        &self,
        request: Request<ListPeopleRequest>,
    ) -> Result<Response<ListPeopleResponse>, Status> {
        const METHOD: &str = "People.List";
        let caller = self.desk.caller(&request, METHOD).await?;
        let unit = ods_if_any("unit", &request.into_inner().unit)?;
        let people = self.people.list(&caller, unit).await;
        let people = people.map(|rows| ListPeopleResponse {
            people: rows.into_iter().map(message).collect(),
        });
        self.desk.answer(&caller, METHOD, people)
    }

    async fn set_role(&self, request: Request<SetRoleRequest>) -> Result<Response<v1::Person>, Status> {
        const METHOD: &str = "People.SetRole";
        let caller = self.desk.caller(&request, METHOD).await?;
        let asked = request.into_inner();
        let (id, role) = (person(&asked.id)?, asked.role());
        let row = self.people.set_role(&caller, id, role).await;
        self.desk.answer(&caller, METHOD, row.map(message))
    }

    async fn revoke(&self, request: Request<RevokePersonRequest>) -> Result<Response<v1::Person>, Status> {
        const METHOD: &str = "People.Revoke";
        let caller = self.desk.caller(&request, METHOD).await?;
        let asked = request.into_inner();
        let id = person(&asked.id)?;
        let row = self.people.revoke(&caller, id, &asked.reason).await;
        self.desk.answer(&caller, METHOD, row.map(message))
    }
}

fn message(row: PersonRow) -> v1::Person {
    v1::Person {
        id: row.id.to_string(),
        name: row.name,
        unit: row.unit.map_or_else(String::new, |ods| ods.to_string()),
        role: row.role.into(),
        revoked: row.revoked,
        added_at: row.added_at,
    }
}
