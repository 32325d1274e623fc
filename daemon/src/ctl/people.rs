//! The commands on people.

use handfast_proto::v1::{
    AddPersonRequest, ListPeopleRequest, Person, RevokePersonRequest, Role, SetRoleRequest,
    people_client::PeopleClient,
};
use serde_json::{Value, json};

use super::{
    args::{PersonAdd, PersonCommand},
    connection::Connection,
    error::{CtlError, Exit},
    out::Out,
    secret::TokenSink,
    show::{NOTHING, moment, person_json, table},
    words,
};

pub(super) async fn run(
    command: PersonCommand,
    connection: &Connection,
    out: &mut Out,
) -> Result<Exit, CtlError> {
    let mut client = PeopleClient::new(connection.channel());
    match command {
        PersonCommand::Add(add) => return Box::pin(self::add(add, connection, out)).await,
        PersonCommand::List { unit } => {
            let request = ListPeopleRequest {
                unit: unit.map_or_else(String::new, |ods| ods.to_string()),
            };
            let call = client.list(request);
            let people = connection.call("list people", call).await?.people;
            out.answer(
                || people_table(&people),
                || json!({"people": people.iter().map(person_json).collect::<Vec<Value>>()}),
            )?;
        }
        PersonCommand::Role { id, role } => {
            let request = SetRoleRequest {
                id: id.to_string(),
                role: Role::from(role).into(),
            };
            let what = format!("make {id} {role}");
            let person = connection.call(&what, client.set_role(request)).await?;
            out.answer(
                || format!("{} from now on.", described(&person)),
                || json!({"person": person_json(&person)}),
            )?;
        }
        PersonCommand::Revoke { id, reason } => {
            let request = RevokePersonRequest {
                id: id.to_string(),
                reason,
            };
            let call = client.revoke(request);
            let person = connection.call(&format!("revoke {id}"), call).await?;
            out.answer(
                || {
                    format!(
                        "{} is revoked: every call with that credential is refused.",
                        person.name
                    )
                },
                || json!({"person": person_json(&person)}),
            )?;
        }
    }
    Ok(Exit::Done)
}

async fn add(add: PersonAdd, connection: &Connection, out: &mut Out) -> Result<Exit, CtlError> {
    let mut sink = TokenSink::open(&add.token_out)?;
    let what = match add.unit {
        Some(ods) => format!("add {} {} at unit {ods}", add.role, add.name),
        None => format!("add {} {}", add.role, add.name),
    };
    let request = AddPersonRequest {
        name: add.name,
        unit: add.unit.map_or_else(String::new, |ods| ods.to_string()),
        role: Role::from(add.role).into(),
    };
    let mut client = PeopleClient::new(connection.channel());
    let answer = connection.call(&what, client.add(request)).await?;
    let person = answer.person.unwrap_or_default();
    let handed = sink.take(&person.name, &answer.token.unwrap_or_default())?;
    let text = handed.text.clone();
    out.answer(
        || format!("{}, id {}, was added.\n{text}", described(&person), person.id),
        || handed.json("person", person_json(&person)),
    )?;
    Ok(Exit::Done)
}

/// `Ann Lee, unit-admin of Z00101`.
fn described(person: &Person) -> String {
    let role = words::role(person.role());
    if person.unit.is_empty() {
        format!("{}, {role}", person.name)
    } else {
        format!("{}, {role} of {}", person.name, person.unit)
    }
}

fn people_table(people: &[Person]) -> String {
    let rows = people.iter().map(|p| {
        [
            p.id.clone(),
            p.name.clone(),
            if p.unit.is_empty() { NOTHING } else { &p.unit }.to_owned(),
            words::role(p.role()),
            if p.revoked { "revoked" } else { "active" }.to_owned(),
            moment(p.added_at),
        ]
    });
    let header = ["id", "name", "unit", "role", "state", "added"];
    table(header, rows.collect(), "There is nobody that you may see.")
}
