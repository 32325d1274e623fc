//! The commands on units.

use handfast_proto::{
    ids::OdsCode,
    v1::{
        ChangeUnitResponse, CreateEnrolmentTokenRequest, ListUnitsRequest, RegisterUnitRequest,
        ResumeUnitRequest, RetireUnitRequest, SuspendUnitRequest, Unit, UnitKind, units_client::UnitsClient,
    },
};
use serde_json::{Value, json};

use super::{
    args::{UnitAdd, UnitCommand},
    connection::Connection,
    error::{CtlError, Exit},
    import,
    out::Out,
    secret::TokenSink,
    show::{moment, table, unit_json, yes},
    words,
};

pub(super) async fn run(
    command: UnitCommand,
    connection: &Connection,
    out: &mut Out,
) -> Result<Exit, CtlError> {
    let mut client = UnitsClient::new(connection.channel());
    match command {
        UnitCommand::Add(UnitAdd {
            file: Some(file),
            token_out,
            ..
        }) => import::import(&file, &token_out, connection, out).await,
        UnitCommand::Add(add) => register(add, connection, out).await,
        UnitCommand::List => {
            let call = client.list(ListUnitsRequest {});
            let units = connection.call("list units", call).await?.units;
            out.answer(
                || units_table(&units),
                || json!({"units": units.iter().map(unit_json).collect::<Vec<Value>>()}),
            )?;
            Ok(Exit::Done)
        }
        UnitCommand::Suspend {
            ods,
            withdraw,
            reason,
        } => {
            let request = SuspendUnitRequest {
                ods: ods.to_string(),
                reason,
                withdraw,
            };
            let call = client.suspend(request);
            let changed = connection.call(&format!("suspend unit {ods}"), call).await?;
            let what = if withdraw {
                "nothing is forwarded from it or to it, and what others hold of it is being withdrawn"
            } else {
                "nothing is forwarded from it or to it; what others hold of it stays, and is marked stale"
            };
            changed_unit(ods, &changed, what, out)
        }
        UnitCommand::Resume { ods } => {
            let call = client.resume(ResumeUnitRequest { ods: ods.to_string() });
            let changed = connection.call(&format!("resume unit {ods}"), call).await?;
            changed_unit(ods, &changed, "its agreements are in force again", out)
        }
        UnitCommand::Retire { ods, reason } => {
            let request = RetireUnitRequest {
                ods: ods.to_string(),
                reason,
            };
            let call = client.retire(request);
            let changed = connection.call(&format!("retire unit {ods}"), call).await?;
            let what = "its halves are off, and its certificates are refused from now on";
            changed_unit(ods, &changed, what, out)
        }
        UnitCommand::Token { ods, token_out } => {
            let mut sink = TokenSink::open(&token_out)?;
            let call = client.create_enrolment_token(CreateEnrolmentTokenRequest { ods: ods.to_string() });
            let what = format!("make a token for unit {ods}");
            let token = connection.call(&what, call).await?;
            let handed = sink.take(&format!("The agent of unit {ods}"), &token)?;
            let text = handed.text.clone();
            out.answer(|| text, || handed.json("ods", json!(ods.to_string())))?;
            Ok(Exit::Done)
        }
    }
}

async fn register(add: UnitAdd, connection: &Connection, out: &mut Out) -> Result<Exit, CtlError> {
    let (Some(ods), Some(name), Some(kind)) = (add.ods, add.name, add.kind) else {
        return Err(CtlError::Usage(
            "give ODS, --name and --kind, or --file".to_owned(),
        ));
    };
    let mut sink = TokenSink::open(&add.token_out)?;
    let request = RegisterUnitRequest {
        ods: ods.to_string(),
        name,
        kind: UnitKind::from(kind).into(),
    };
    let mut client = UnitsClient::new(connection.channel());
    let call = client.register(request);
    let answer = connection.call(&format!("add unit {ods}"), call).await?;
    let unit = answer.unit.unwrap_or_default();
    let handed = sink.take("Its agent", &answer.token.unwrap_or_default())?;
    let text = handed.text.clone();
    out.answer(
        || {
            format!(
                "Unit {ods} ({}, {}) is registered.\n{text}",
                unit.name,
                words::kind(unit.kind())
            )
        },
        || handed.json("unit", unit_json(&unit)),
    )?;
    Ok(Exit::Done)
}

fn changed_unit(
    ods: OdsCode,
    changed: &ChangeUnitResponse,
    meaning: &str,
    out: &mut Out,
) -> Result<Exit, CtlError> {
    let unit = changed.unit.clone().unwrap_or_default();
    let state = words::unit_state(unit.state());
    out.answer(
        || {
            if changed.in_force {
                format!("Unit {ods} is {state}: {meaning}.")
            } else {
                format!(
                    "PENDING: unit {ods} is {state} and that is committed, but it could not be established \
                     in time that nothing is on its way any more. Run the same command again."
                )
            }
        },
        || json!({"unit": unit_json(&unit), "in_force": if changed.in_force { "yes" } else { "pending" }}),
    )?;
    Ok(if changed.in_force {
        Exit::Done
    } else {
        Exit::Pending
    })
}

fn units_table(units: &[Unit]) -> String {
    let rows = units.iter().map(|u| {
        [
            u.ods.clone(),
            u.name.clone(),
            words::kind(u.kind()),
            words::unit_state(u.state()).to_owned(),
            yes(u.agent_enrolled),
            yes(u.has_administrator),
            moment(u.registered_at),
        ]
    });
    let header = [
        "unit",
        "name",
        "kind",
        "state",
        "agent enrolled",
        "administrator",
        "registered",
    ];
    let when_empty = "No unit is registered yet: handfastctl unit add ODS --name NAME --kind KIND";
    table(header, rows.collect(), when_empty)
}
