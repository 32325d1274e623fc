//! The scope of a half: from flags, for people and for programs; and what is to be done about halves.

use handfast_proto::v1::{CategoryList, HalfNotice, HalfNoticeKind, HalfScope, PatientsScope, ScopeChange};
use serde_json::{Value, json};

use super::{
    args::ScopeFlags,
    error::CtlError,
    terms::{self, YesNo},
};

/// What the flags change; `None` where none was given.
pub(super) fn change(flags: &ScopeFlags) -> Result<Option<ScopeChange>, CtlError> {
    let numbers: Vec<Option<u32>> = flags
        .categories
        .iter()
        .map(|c| terms::category_number(*c))
        .collect();
    if numbers.contains(&None) && numbers.len() > 1 {
        let why = "--categories: give all, or some of them, not both";
        return Err(CtlError::Usage(why.to_owned()));
    }
    let categories = (!numbers.is_empty()).then(|| CategoryList {
        categories: numbers.into_iter().flatten().collect(),
    });
    let patients = flags
        .patients
        .map_or(PatientsScope::Unspecified, PatientsScope::from);
    let change = ScopeChange {
        categories,
        patients: patients.into(),
        explicit: flags.explicit.map(|explicit| explicit == YesNo::Yes),
        ends_on: flags.ends_on.clone(),
        review_on: flags.review_on.clone(),
        reference: flags.reference.clone(),
        legal_basis: flags.legal_basis.clone(),
    };
    Ok((change != ScopeChange::default()).then_some(change))
}

/// How a half is narrowed, a line each; nothing where it is not.
pub(super) fn lines(scope: &HalfScope) -> Vec<String> {
    let mut lines = Vec::new();
    if !scope.categories.is_empty() {
        let names: Vec<String> = scope.categories.iter().map(|c| terms::category(*c)).collect();
        lines.extend(names.chunks(3).map(|some| some.join(", ")));
    }
    if scope.patients() == PatientsScope::Caseload {
        lines.push("caseload only".to_owned());
    }
    if scope.explicit {
        lines.push("asks for a yes".to_owned());
    }
    for (word, text) in [
        ("until", &scope.ends_on),
        ("review by", &scope.review_on),
        ("ref.", &scope.reference),
        ("basis:", &scope.legal_basis),
    ] {
        if !text.is_empty() {
            lines.push(format!("{word} {text}"));
        }
    }
    lines
}

/// For a program. Every category is null.
pub(super) fn scope_json(scope: Option<&HalfScope>) -> Value {
    let nothing = HalfScope::default();
    let scope = scope.unwrap_or(&nothing);
    let names: Vec<String> = scope.categories.iter().map(|c| terms::category(*c)).collect();
    let text = |text: &str| if text.is_empty() { Value::Null } else { json!(text) };
    json!({
        "categories": if names.is_empty() { Value::Null } else { json!(names) },
        "patients": terms::patients(scope.patients()),
        "explicit": scope.explicit,
        "ends_on": text(&scope.ends_on),
        "review_on": text(&scope.review_on),
        "reference": text(&scope.reference),
        "legal_basis": text(&scope.legal_basis),
    })
}

/// What is to be done about a half, for a person.
pub(super) fn notice(notice: &HalfNotice) -> String {
    let (side, day) = (terms::side(notice.side()), &notice.day);
    match notice.kind() {
        HalfNoticeKind::ReviewSoon => format!("{side} is to be reviewed by {day}"),
        HalfNoticeKind::ReviewOverdue => format!("{side} was to be reviewed by {day}: OVERDUE"),
        HalfNoticeKind::EndsSoon => format!("{side} ends after {day}"),
        HalfNoticeKind::Ended => format!("{side} ended after {day}"),
        HalfNoticeKind::Unspecified => format!("{side}: something is to be done by {day}"),
    }
}

/// For a program.
pub(super) fn notices_json(notices: &[HalfNotice]) -> Value {
    let each = notices
        .iter()
        .map(|n| json!({"side": terms::side(n.side()), "kind": terms::notice(n.kind()), "day": n.day}));
    each.collect()
}

#[cfg(test)]
mod tests {
    use handfast_proto::v1::Side;

    use super::{super::terms::CategoryArg, *};

    #[test]
    fn only_what_is_given_changes() {
        assert_eq!(change(&ScopeFlags::default()).unwrap(), None);
        let all = ScopeFlags {
            categories: vec![CategoryArg::All],
            ..ScopeFlags::default()
        };
        let all = change(&all).unwrap().unwrap();
        assert_eq!(all.categories, Some(CategoryList::default()));
        assert_eq!((all.explicit, all.ends_on, all.patients), (None, None, 0));
        let some = ScopeFlags {
            categories: vec![CategoryArg::Problems, CategoryArg::CarePlans],
            ends_on: Some(String::new()),
            ..ScopeFlags::default()
        };
        let some = change(&some).unwrap().unwrap();
        assert_eq!(some.categories.unwrap().categories, [2, 11]);
        assert_eq!(some.ends_on.as_deref(), Some(""));
        let both = ScopeFlags {
            categories: vec![CategoryArg::All, CategoryArg::Problems],
            ..ScopeFlags::default()
        };
        assert_eq!(change(&both).unwrap_err().exit().code(), 2);
    }

    #[test]
    fn a_scope_a_person_can_read() {
        let scope = HalfScope {
            categories: vec![2, 3, 4, 11],
            patients: PatientsScope::Caseload.into(),
            explicit: true,
            ends_on: "2027-03-31".to_owned(),
            reference: "DSA-12".to_owned(),
            ..HalfScope::default()
        };
        let want = [
            "problems, allergies, medications",
            "care-plans",
            "caseload only",
            "asks for a yes",
            "until 2027-03-31",
            "ref. DSA-12",
        ];
        assert_eq!(lines(&scope), want);
        assert_eq!(scope_json(Some(&scope))["categories"][3], "care-plans");
        assert_eq!(scope_json(Some(&scope))["review_on"], Value::Null);
        let everything = HalfScope {
            patients: PatientsScope::All.into(),
            ..HalfScope::default()
        };
        assert!(lines(&everything).is_empty());
        assert_eq!(scope_json(Some(&everything))["patients"], "all");
    }

    #[test]
    fn what_is_to_be_done_is_said_in_words() {
        let due = HalfNotice {
            side: Side::ShareIn.into(),
            kind: HalfNoticeKind::ReviewOverdue.into(),
            day: "2026-12-01".to_owned(),
        };
        assert_eq!(notice(&due), "share-in was to be reviewed by 2026-12-01: OVERDUE");
        assert_eq!(notices_json(&[due])[0]["kind"], "review_overdue");
    }
}
