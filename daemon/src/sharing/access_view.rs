//! What each caller is shown of an emergency access. Pure.
//!
//! Invariants (I1): a source's people see that source alone; who of another unit reviewed or ended it is that
//! unit's own affair, that it was done is not; the clinician sees how a review stands, not what it says.

use handfast_proto::ids::OdsCode;

use super::Caller;
use crate::store::{AccessRow, AccessesOf, Role, SourceRow};

/// Whose accesses a caller may list; `None`: nobody's.
pub(super) fn listed_for(caller: &Caller) -> Option<AccessesOf> {
    match caller {
        Caller::Person {
            id,
            role: Role::Clinician,
            unit: Some(_),
        } => Some(AccessesOf::Person(id.clone())),
        Caller::Person {
            role: Role::PrivacyOfficer,
            unit: Some(own),
            ..
        } => Some(AccessesOf::Unit(*own)),
        _ => None,
    }
}

/// As far as a caller acts for an access: for all of it, or for one source.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Reach {
    /// As the recipient.
    Whole,
    /// As a source.
    Source(OdsCode),
}

impl Reach {
    /// Whether it reaches a source.
    pub(super) fn covers(self, source: OdsCode) -> bool {
        match self {
            Self::Whole => true,
            Self::Source(own) => own == source,
        }
    }
}

/// Which part of an access a caller sees; `None`: nothing of it.
pub(super) fn reach(caller: &Caller, row: &AccessRow) -> Option<Reach> {
    let Caller::Person {
        id,
        unit: Some(own),
        role,
    } = caller
    else {
        return None;
    };
    let recipient = row.access.recipient == *own;
    match role {
        Role::Clinician => (*id == row.access.person && recipient).then_some(Reach::Whole),
        Role::PrivacyOfficer if recipient => Some(Reach::Whole),
        Role::PrivacyOfficer => row.access.sources.contains(own).then_some(Reach::Source(*own)),
        _ => None,
    }
}

/// An access as a caller sees it; `None`: nothing of it.
pub(super) fn as_seen_by(caller: &Caller, mut row: AccessRow) -> Option<AccessRow> {
    let reach = reach(caller, &row)?;
    let own = caller.unit()?;
    let clinician = matches!(
        caller,
        Caller::Person {
            role: Role::Clinician,
            ..
        }
    );
    row.sources.retain(|source| reach.covers(source.source));
    row.access.sources.retain(|source| reach.covers(*source));
    for source in &mut row.sources {
        hide(source, own, clinician);
    }
    Some(row)
}

fn hide(source: &mut SourceRow, own: OdsCode, clinician: bool) {
    if let Some((by, unit)) = &mut source.ended_by
        && *unit != own
    {
        *by = format!("a privacy officer of {unit}");
    }
    if clinician {
        source.reviews.clear();
    }
}
