//! Emergency accesses as a daemon opens and ends them for clinicians: each is kept before it is opened, has a grant of
//! its own or a share in a colleague's, and ends by itself. Asked again after a crash, it goes on where that was.

use handfast_proto::{
    emergency::Ground,
    ids::{OdsCode, PersonId},
    v1::{ScrAlertReason, ScrAlertType},
};

use super::oracle::Opened;
use crate::{
    consent::GrantId,
    delivery::{Delivery, Revoker as _},
    store::{
        AccessQuery, AccessRow, AccessesOf, EndAccess, NewAccess, OpenEmergency, OpenedSource, StoreError,
        With,
    },
};

/// Accesses of one unit that a walk asks for, at most.
const MAX_ACCESSES: u32 = 1_000;

/// How often it is tried to open what was over, or open already, a moment ago.
const MAX_TRIES: usize = 4;

/// The clinician of a unit who asks.
pub(in crate::delivery) fn clinician(unit: OdsCode) -> PersonId {
    format!("clinician-{}", unit.as_str().to_lowercase())
        .parse()
        .unwrap()
}

/// The access, where it was kept.
async fn kept(delivery: &Delivery, opened: &Opened) -> Result<Option<AccessRow>, StoreError> {
    let query = AccessQuery {
        of: AccessesOf::Unit(opened.pair.recipient),
        open_at: None,
        before: None,
        limit: MAX_ACCESSES,
    };
    let all = delivery.inner.store.accesses(&query).await?;
    let note = opened.access.to_string();
    Ok(all.into_iter().find(|row| row.access.note == note))
}

/// Opens it, as far as its source shares out.
pub(super) async fn open(delivery: &Delivery, opened: &Opened, now: i64) -> Result<(), StoreError> {
    let id = match kept(delivery, opened).await? {
        Some(row) if row.sources[0].grant.is_some() => return Ok(()),
        Some(row) => row.id,
        None => {
            let access = NewAccess {
                recipient: opened.pair.recipient,
                person: clinician(opened.pair.recipient),
                patient: opened.patient,
                sources: vec![opened.pair.source],
                ground: Ground::new(ScrAlertType::Access, ScrAlertReason::AccessEmergency).unwrap(),
                note: opened.access.to_string(),
                at: now,
                until: opened.until,
            };
            delivery.inner.store.add_access(&access, &With::nothing()).await?
        }
    };
    for _ in 0..MAX_TRIES {
        let grant = match grant_for(delivery, opened, now).await {
            Ok(grant) => grant,
            Err(StoreError::Conflict(_)) => continue,
            Err(error) => return Err(error),
        };
        let source = opened.pair.source;
        match delivery
            .carry_access(id, vec![OpenedSource { source, grant }], Vec::new())
            .await
        {
            Err(StoreError::Conflict(_)) => {}
            done => return done,
        }
    }
    Ok(())
}

/// The grant of the same records that is open, or a new one.
async fn grant_for(delivery: &Delivery, opened: &Opened, now: i64) -> Result<GrantId, StoreError> {
    let book = delivery.book();
    let mut all = book.of_pair(opened.pair).iter();
    let open = all.find(|(_, e)| e.patient == opened.patient && e.window.in_force(now));
    if let Some((grant, _)) = open {
        return Ok(*grant);
    }
    let open = OpenEmergency {
        recipient: opened.pair.recipient,
        patient: opened.patient,
        sources: vec![opened.pair.source],
        at: now,
        until: opened.until,
    };
    Ok(delivery.open_emergency(open, Vec::new()).await?[0].grant)
}

/// Ends it before its time: whether that is in force, and the grant that ended with it. One that carries a colleague's
/// goes on.
pub(super) async fn end(
    delivery: &Delivery,
    opened: &Opened,
    now: i64,
) -> Result<(bool, Option<GrantId>), StoreError> {
    let row = kept(delivery, opened).await?.expect("what is open was kept");
    let end = EndAccess {
        id: row.id,
        sources: vec![opened.pair.source],
        by: "walk".to_owned(),
        unit: opened.pair.recipient,
        at: now,
    };
    let answer = delivery.end_access(end, Vec::new()).await?;
    let book = delivery.book();
    let goes_on = |grant: &GrantId| book.of_pair(opened.pair).iter().any(|(open, _)| open == grant);
    let grant = row.sources[0].grant.filter(|grant| !goes_on(grant));
    Ok((answer.in_force, grant))
}
