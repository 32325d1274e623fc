//! Every act against every kind of caller: who may, who may not, and that a refusal changes nothing and
//! does not tell whether what was asked about exists (I1).

use handfast_proto::{
    ids::OdsCode,
    v1::{ConsentManner, PatientWordValue},
};

use super::{
    ActError, AddPerson, Agreements, Caller, Caseload, PatientConsents, People, PolicyDesk, SaidWords,
    ScopeChange, SetHalf, StatusBoard, Units,
    testing::{World, ods, pair, patient, pid},
};
use crate::{
    consent::{Policy, Side},
    store::{Role, UnitKind},
};

/// Each kind of caller.
const CALLERS: [&str; 9] = [
    "op", "Z00101", "Z00202", "ann", "bob", "cat", "cleo", "pam", "aud",
];

/// An act on what is there, or (`absent`) on what is not. `n` makes the names of new things unique.
#[derive(Clone, Copy, Debug)]
pub(super) enum Act {
    Register,
    ListUnits,
    Suspend,
    Resume,
    Retire,
    /// For the agent of a unit with an administrator; of one without.
    TokenStaffed,
    TokenUnstaffed,
    AddOperator,
    AddAtStaffed,
    AddAtUnstaffed,
    ListAllPeople,
    ListPeople,
    SetRole,
    RevokeOperator,
    RevokeClinician,
    /// Halves of Z00101 → Z00202.
    ShareOut,
    ShareIn,
    PreviewShareOut,
    PreviewShareIn,
    ListAgreements,
    Status,
    /// Words and the caseload of Z00101.
    RecordWord,
    RecordEverywhere,
    GetWords,
    ListWords,
    Claim,
    Unclaim,
    ListClaims,
    PreviewPolicy,
    SetPolicy,
}

/// Who may, of [`CALLERS`].
pub(super) const TABLE: [(Act, &[&str]); 30] = [
    (Act::Register, &["op"]),
    (Act::ListUnits, &CALLERS),
    (Act::Suspend, &["op"]),
    (Act::Resume, &["op"]),
    (Act::Retire, &["op"]),
    (Act::TokenStaffed, &["ann"]),
    (Act::TokenUnstaffed, &["op"]),
    (Act::AddOperator, &["op"]),
    (Act::AddAtStaffed, &["ann"]),
    (Act::AddAtUnstaffed, &["op"]),
    (
        Act::ListAllPeople,
        &["op", "ann", "bob", "cat", "cleo", "pam", "aud"],
    ),
    (Act::ListPeople, &["op", "ann", "cleo", "pam", "aud"]),
    (Act::SetRole, &["ann"]),
    (Act::RevokeOperator, &["op"]),
    (Act::RevokeClinician, &["op", "ann"]),
    (Act::ShareOut, &["ann"]),
    (Act::ShareIn, &["bob"]),
    (Act::PreviewShareOut, &["ann"]),
    (Act::PreviewShareIn, &["bob"]),
    (Act::ListAgreements, &CALLERS),
    (Act::Status, &CALLERS),
    (Act::RecordWord, &["ann", "cleo", "pam"]),
    (Act::RecordEverywhere, &["pam"]),
    (Act::GetWords, &["ann", "cleo", "pam", "aud"]),
    (Act::ListWords, &["ann", "pam", "aud"]),
    (Act::Claim, &["ann", "cleo", "pam"]),
    (Act::Unclaim, &["ann", "cleo", "pam"]),
    (Act::ListClaims, &["ann", "pam", "aud"]),
    (Act::PreviewPolicy, &["op"]),
    (Act::SetPolicy, &["op"]),
];

/// The acts that name something which may be absent.
const NAMING: [Act; 16] = [
    Act::Suspend,
    Act::Resume,
    Act::Retire,
    Act::TokenStaffed,
    Act::AddAtStaffed,
    Act::ListPeople,
    Act::SetRole,
    Act::RevokeClinician,
    Act::ShareOut,
    Act::PreviewShareOut,
    Act::RecordWord,
    Act::GetWords,
    Act::ListWords,
    Act::Claim,
    Act::Unclaim,
    Act::ListClaims,
];

struct Acting<'a> {
    world: &'a World,
    units: Units,
    people: People,
    agreements: Agreements,
    status: StatusBoard,
    consents: PatientConsents,
    caseload: Caseload,
    policy: PolicyDesk,
}

impl<'a> Acting<'a> {
    fn new(world: &'a World) -> Self {
        Self {
            units: Units::new(world.ctx.clone()),
            people: People::new(world.ctx.clone()),
            agreements: Agreements::new(world.ctx.clone()),
            status: StatusBoard::new(world.ctx.clone()),
            consents: PatientConsents::new(world.ctx.clone()),
            caseload: Caseload::new(world.ctx.clone()),
            policy: PolicyDesk::new(world.ctx.clone()),
            world,
        }
    }

    /// Makes what the act is to be done to, where it can be done only once.
    async fn prepare(&self, act: Act, n: usize) {
        let id = format!("extra-{n}");
        match act {
            Act::Retire => drop(self.world.unit(&format!("Z8{n:04}")).await),
            Act::RevokeOperator => drop(self.world.person(&id, None, Role::Operator).await),
            Act::RevokeClinician | Act::SetRole => {
                drop(self.world.person(&id, Some("Z00101"), Role::Clinician).await);
            }
            _ => {}
        }
    }

    async fn act(&self, act: Act, caller: &Caller, n: usize, absent: bool) -> Result<(), ActError> {
        let unit = |there: &str| ods(if absent { "Z99999" } else { there });
        let extra = pid(&if absent {
            "nobody".to_owned()
        } else {
            format!("extra-{n}")
        });
        let retiring = format!("Z8{n:04}");
        match act {
            Act::Register => {
                let new = ods(&format!("Z9{n:04}"));
                self.units
                    .register(caller, new, "New", UnitKind::Gp)
                    .await
                    .map(drop)
            }
            Act::ListUnits => self.units.list(caller).await.map(drop),
            Act::Suspend => self
                .units
                .suspend(caller, unit("Z00202"), "why", true)
                .await
                .map(drop),
            Act::Resume => self.units.resume(caller, unit("Z00202")).await.map(drop),
            Act::Retire => self.units.retire(caller, unit(&retiring), "why").await.map(drop),
            Act::TokenStaffed => self.units.create_token(caller, unit("Z00101")).await.map(drop),
            Act::TokenUnstaffed => self.units.create_token(caller, unit("Z00303")).await.map(drop),
            Act::AddOperator => self.add(caller, None, Role::Operator).await,
            Act::AddAtStaffed => self.add(caller, Some(unit("Z00101")), Role::Clinician).await,
            Act::AddAtUnstaffed => self.add(caller, Some(unit("Z00303")), Role::Clinician).await,
            Act::ListAllPeople => self.people.list(caller, None).await.map(drop),
            Act::ListPeople => self.people.list(caller, Some(unit("Z00101"))).await.map(drop),
            Act::SetRole => self.people.set_role(caller, extra, Role::Auditor).await.map(drop),
            Act::RevokeOperator | Act::RevokeClinician => {
                self.people.revoke(caller, extra, "why").await.map(drop)
            }
            Act::ShareOut => self.set(caller, Side::ShareOut, absent).await,
            Act::ShareIn => self.set(caller, Side::ShareIn, absent).await,
            Act::ListAgreements => self.agreements.list(caller, None).await.map(drop),
            Act::Status => self.status.status(caller).await.map(drop),
            _ => self.act_on_patients(act, caller, unit("Z00101"), absent).await,
        }
    }

    async fn act_on_patients(
        &self,
        act: Act,
        caller: &Caller,
        unit: OdsCode,
        absent: bool,
    ) -> Result<(), ActError> {
        let (consents, caseload) = (&self.consents, &self.caseload);
        let (unit, all) = (Some(unit), [patient(0)]);
        match act {
            Act::PreviewShareOut | Act::PreviewShareIn => {
                let side = if matches!(act, Act::PreviewShareOut) {
                    Side::ShareOut
                } else {
                    Side::ShareIn
                };
                self.agreements
                    .preview(caller, half(side, absent))
                    .await
                    .map(drop)
            }
            Act::RecordWord => consents.record(caller, unit, said()).await.map(drop),
            Act::RecordEverywhere => consents.record_everywhere(caller, said()).await.map(drop),
            Act::GetWords => consents.get(caller, unit, patient(0)).await.map(drop),
            Act::ListWords => consents.list(caller, unit, None, 10).await.map(drop),
            Act::Claim => caseload.add(caller, unit, &all, "why").await.map(drop),
            Act::Unclaim => caseload.remove(caller, unit, &all, "why").await.map(drop),
            Act::ListClaims => caseload.list(caller, unit, None, 10).await.map(drop),
            Act::PreviewPolicy => self
                .policy
                .preview(caller, Policy::Explicit, None)
                .await
                .map(drop),
            Act::SetPolicy => self.policy.set(caller, Policy::Explicit, "why").await.map(drop),
            other => panic!("{other:?} is no act on patients"),
        }
    }

    async fn add(&self, caller: &Caller, unit: Option<OdsCode>, role: Role) -> Result<(), ActError> {
        let person = AddPerson {
            name: "New".to_owned(),
            unit,
            role,
        };
        self.people.add(caller, person).await.map(drop)
    }

    async fn set(&self, caller: &Caller, side: Side, absent: bool) -> Result<(), ActError> {
        self.agreements.set(caller, half(side, absent)).await.map(drop)
    }
}

fn half(side: Side, absent: bool) -> SetHalf {
    SetHalf {
        pair: if absent {
            pair("Z99998", "Z99999")
        } else {
            pair("Z00101", "Z00202")
        },
        side,
        on: true,
        reason: String::new(),
        scope: ScopeChange::default(),
    }
}

fn said() -> SaidWords {
    SaidWords {
        patients: vec![patient(0)],
        share_out: Some(PatientWordValue::No),
        share_in: None,
        said_on: String::new(),
        manner: ConsentManner::Spoken,
        taken_by: String::new(),
    }
}

fn refused(outcome: &Result<(), ActError>) -> bool {
    matches!(outcome, Err(ActError::Denied | ActError::Refused(_)))
}

#[tokio::test]
async fn i1_each_act_is_for_those_who_may_and_a_refusal_changes_nothing() {
    let world = World::new().await;
    let acting = Acting::new(&world);
    let mut n = 0;
    for (act, who_may) in TABLE {
        for who in CALLERS {
            n += 1;
            acting.prepare(act, n).await;
            let caller = world.caller(who).await;
            let before = world.snapshot().await;
            let outcome = acting.act(act, &caller, n, false).await;
            if who_may.contains(&who) {
                assert!(outcome.is_ok(), "{act:?} by {who}: {outcome:?}");
            } else {
                assert!(refused(&outcome), "{act:?} by {who}: {outcome:?}");
                assert_eq!(world.snapshot().await, before, "{act:?} by {who}");
            }
        }
    }
}

#[tokio::test]
async fn i1_a_refusal_is_the_same_whether_or_not_the_thing_exists() {
    let world = World::new().await;
    let acting = Acting::new(&world);
    for (n, act) in NAMING.into_iter().enumerate() {
        acting.prepare(act, n).await;
        for who in CALLERS.into_iter().filter(|who| *who != "op") {
            let caller = world.caller(who).await;
            let absent = acting.act(act, &caller, n, true).await;
            assert!(
                matches!(absent, Err(ActError::Denied)),
                "{act:?} by {who}: {absent:?}"
            );
            let there = acting.act(act, &caller, n, false).await;
            if there.is_err() {
                assert!(
                    matches!(there, Err(ActError::Denied)),
                    "{act:?} by {who}: {there:?}"
                );
            }
        }
        let operator = world.caller("op").await;
        let told = acting.act(act, &operator, n, true).await;
        // The operator sees every unit and person, so may be told; halves and patients are not the operator's.
        let want = match act {
            Act::ListPeople => told.is_ok(),
            Act::ShareOut
            | Act::PreviewShareOut
            | Act::RecordWord
            | Act::GetWords
            | Act::ListWords
            | Act::Claim
            | Act::Unclaim
            | Act::ListClaims => matches!(told, Err(ActError::Denied)),
            _ => matches!(told, Err(ActError::Missing(_))),
        };
        assert!(want, "{act:?} by op: {told:?}");
    }
}

#[tokio::test]
async fn the_operator_turns_halves_only_where_the_deployment_was_made_so() {
    let world = World::made(|deployment| deployment.operator_sets_halves = true).await;
    let acting = Acting::new(&world);
    let operator = world.caller("op").await;
    assert!(acting.act(Act::ShareOut, &operator, 0, false).await.is_ok());
    let none = acting.act(Act::ShareOut, &operator, 0, true).await;
    assert!(matches!(none, Err(ActError::Missing(_))), "{none:?}");
    let foreign = acting
        .act(Act::ShareOut, &world.caller("bob").await, 0, false)
        .await;
    assert!(matches!(foreign, Err(ActError::Denied)));
}
