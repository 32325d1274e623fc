//! Messages that several of the services over the acts share: halves and their scope, receipts, counts.

use handfast_proto::{
    amendment::Category,
    ids::NhsNumber,
    v1::{self, CategoryList, InForce, PairReceipt, PreviewCategory, PreviewCounts, RevocationReceipt},
};
use tonic::Status;

use crate::{
    consent::{CategorySet, Patients, Side},
    delivery::{self, Receipt},
    sharing::{Counts, DayChange, Days, Notice, NoticeKind, ScopeChange},
    store::{HalfRow, HalfScope, PartialWithdrawals, WithdrawalRow, WithdrawalState},
};

// === Read ===

pub(super) fn side(side: v1::Side) -> Result<Side, Status> {
    match side {
        v1::Side::ShareOut => Ok(Side::ShareOut),
        v1::Side::ShareIn => Ok(Side::ShareIn),
        v1::Side::Unspecified => Err(Status::invalid_argument("side: share-out or share-in")),
    }
}

/// Reads an NHS number. The text itself is not repeated: it would stand in a log.
pub(super) fn patient(text: &str) -> Result<NhsNumber, Status> {
    text.parse()
        .map_err(|e| Status::invalid_argument(format!("patient: {e}")))
}

pub(super) fn patients(texts: &[String]) -> Result<Vec<NhsNumber>, Status> {
    let each = texts.iter().enumerate().map(|(at, text)| {
        let number = text.parse();
        number.map_err(|e| {
            Status::invalid_argument(format!("patients: number {} of {}: {e}", at + 1, texts.len()))
        })
    });
    each.collect()
}

/// Reads an NHS number beyond which a page begins; empty: none.
pub(super) fn after(text: &str) -> Result<Option<NhsNumber>, Status> {
    if text.is_empty() {
        return Ok(None);
    }
    patient(text).map(Some)
}

pub(super) fn scope_change(change: Option<v1::ScopeChange>) -> Result<ScopeChange, Status> {
    let Some(change) = change else {
        return Ok(ScopeChange::default());
    };
    let patients = match change.patients() {
        v1::PatientsScope::Unspecified => None,
        v1::PatientsScope::All => Some(Patients::All),
        v1::PatientsScope::Caseload => Some(Patients::Caseload),
    };
    Ok(ScopeChange {
        categories: change.categories.as_ref().map(categories).transpose()?,
        patients,
        explicit: change.explicit,
        ends_on: day("ends_on", change.ends_on.as_deref())?,
        review_on: day("review_on", change.review_on.as_deref())?,
        reference: change.reference,
        legal_basis: change.legal_basis,
    })
}

fn categories(list: &CategoryList) -> Result<CategorySet, Status> {
    if list.categories.is_empty() {
        return Ok(CategorySet::ALL);
    }
    let known = |raw: &u32| {
        let category = i32::try_from(*raw)
            .ok()
            .and_then(|raw| Category::try_from(raw).ok());
        category.filter(|c| *c != Category::Unspecified)
    };
    let read = list
        .categories
        .iter()
        .try_fold(CategorySet::NONE, |set, raw| Some(set.with(known(raw)?)));
    read.ok_or_else(|| Status::invalid_argument("categories: one of them is not known to this daemon"))
}

fn day(field: &'static str, text: Option<&str>) -> Result<DayChange, Status> {
    match text {
        None => Ok(DayChange::Stays),
        Some("") => Ok(DayChange::Off),
        Some(text) => {
            let day = Days::day(text);
            day.map(DayChange::On)
                .map_err(|e| Status::invalid_argument(format!("{field}: {e}")))
        }
    }
}

// === Written ===

pub(super) fn side_message(side: Side) -> v1::Side {
    match side {
        Side::ShareOut => v1::Side::ShareOut,
        Side::ShareIn => v1::Side::ShareIn,
    }
}

pub(super) fn half(row: HalfRow) -> v1::Half {
    v1::Half {
        on: row.on,
        set_by: row.set_by,
        set_at: row.set_at,
        reason: row.reason,
        scope: Some(scope(row.scope)),
    }
}

fn scope(scope: HalfScope) -> v1::HalfScope {
    let day = |day: Option<jiff::civil::Date>| day.map_or_else(String::new, |day| day.to_string());
    v1::HalfScope {
        categories: category_numbers(scope.categories),
        patients: patients_scope(scope.patients).into(),
        explicit: scope.explicit,
        ends_on: day(scope.ends_on),
        review_on: day(scope.review_on),
        reference: scope.reference,
        legal_basis: scope.legal_basis,
    }
}

pub(super) fn patients_scope(patients: Patients) -> v1::PatientsScope {
    match patients {
        Patients::All => v1::PatientsScope::All,
        Patients::Caseload => v1::PatientsScope::Caseload,
    }
}

/// Every category is an empty list.
fn category_numbers(set: CategorySet) -> Vec<u32> {
    if set == CategorySet::ALL {
        return Vec::new();
    }
    let named = crate::consent::categories().filter(|category| set.contains(*category));
    named.map(|category| category as u32).collect()
}

pub(super) fn notice(notice: &Notice) -> v1::HalfNotice {
    let kind = match notice.kind {
        NoticeKind::ReviewSoon => v1::HalfNoticeKind::ReviewSoon,
        NoticeKind::ReviewOverdue => v1::HalfNoticeKind::ReviewOverdue,
        NoticeKind::EndsSoon => v1::HalfNoticeKind::EndsSoon,
        NoticeKind::Ended => v1::HalfNoticeKind::Ended,
    };
    v1::HalfNotice {
        side: side_message(notice.side).into(),
        kind: kind.into(),
        day: notice.day.to_string(),
    }
}

pub(super) fn withdrawal(row: &WithdrawalRow) -> v1::Withdrawal {
    let state = match row.state {
        WithdrawalState::Pending => v1::WithdrawalState::Pending,
        WithdrawalState::Received => v1::WithdrawalState::Received,
        WithdrawalState::Confirmed => v1::WithdrawalState::Confirmed,
    };
    v1::Withdrawal {
        job: row.job.0,
        ended_grant: row.ended_grant.0,
        state: state.into(),
        removed: row.removed,
        not_removed: row.not_removed,
        since: row.since,
        confirmed_at: row.confirmed_at.unwrap_or(0),
    }
}

pub(super) fn partial(of: &PartialWithdrawals) -> v1::PartialWithdrawals {
    v1::PartialWithdrawals {
        open: of.open,
        not_removed: of.not_removed,
        last: of.last.as_ref().map(withdrawal),
    }
}

/// The withdrawal belongs to the receipt only where it follows from the same grant's end.
pub(super) fn receipt(receipt: &Receipt, newest: Option<WithdrawalRow>) -> RevocationReceipt {
    let (from, to) = receipt.may_have_received.unwrap_or((0, 0));
    let follows = newest.filter(|w| w.ended_grant == receipt.ended);
    RevocationReceipt {
        ended_grant: receipt.ended.0,
        received_through: receipt.received_through,
        may_have_received_from: from,
        may_have_received_to: to,
        connection_cut: receipt.connection_cut,
        withdrawal: follows.as_ref().map(withdrawal),
    }
}

pub(super) fn receipts(receipts: &[delivery::PairReceipt]) -> Vec<PairReceipt> {
    let message = |of: &delivery::PairReceipt| PairReceipt {
        source: of.pair.source.to_string(),
        recipient: of.pair.recipient.to_string(),
        receipt: Some(receipt(&of.receipt, None)),
    };
    receipts.iter().map(message).collect()
}

pub(super) fn in_force(in_force: bool) -> InForce {
    if in_force { InForce::Yes } else { InForce::Pending }
}

pub(super) fn counts(counts: &Counts) -> PreviewCounts {
    let categories = counts.categories.iter().map(|(category, count)| PreviewCategory {
        category: *category as u32,
        patients: count.patients,
        records: count.records,
    });
    PreviewCounts {
        patients: counts.all.patients,
        records: counts.all.records,
        categories: categories.collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_is_read_and_what_is_not_known_is_refused() {
        let list = |categories: &[u32]| v1::ScopeChange {
            categories: Some(CategoryList {
                categories: categories.to_vec(),
            }),
            ..v1::ScopeChange::default()
        };
        let read = |change| scope_change(Some(change)).map(|c| c.categories);
        assert_eq!(read(list(&[])).unwrap(), Some(CategorySet::ALL));
        let two = CategorySet::NONE.with(Category::Problems).with(Category::Other);
        assert_eq!(read(list(&[2, 15])).unwrap(), Some(two));
        assert_eq!(category_numbers(two), [2, 15]);
        for unknown in [0, 16, 31, 32, u32::MAX] {
            assert!(read(list(&[2, unknown])).is_err(), "{unknown}");
        }
        let nothing = scope_change(Some(v1::ScopeChange::default())).unwrap();
        assert!(nothing.is_nothing());
        let never = v1::ScopeChange {
            ends_on: Some(String::new()),
            ..v1::ScopeChange::default()
        };
        assert_eq!(scope_change(Some(never)).unwrap().ends_on, DayChange::Off);
        let bad = v1::ScopeChange {
            review_on: Some("soon".to_owned()),
            ..v1::ScopeChange::default()
        };
        assert!(
            scope_change(Some(bad))
                .unwrap_err()
                .message()
                .starts_with("review_on")
        );
    }

    #[test]
    fn a_number_that_is_none_is_not_repeated() {
        let error = patients(&["9990000018".to_owned(), "9990000019".to_owned()]).unwrap_err();
        assert!(error.message().contains("number 2 of 2") && !error.message().contains("999"));
    }
}
