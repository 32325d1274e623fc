//! What is to be done about halves that are on: a review that is due, an end that comes. Pure.

use jiff::{Span, civil::Date};

use crate::{
    consent::Side,
    store::{AgreementRow, HalfRow},
};

/// From how many days before its day on a notice is given.
const DAYS_BEFORE: i64 = 30;

/// What is to be done.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NoticeKind {
    /// It is to be reviewed within [`DAYS_BEFORE`] days.
    ReviewSoon,
    /// The day by which it was to be reviewed is over.
    ReviewOverdue,
    /// It ends within [`DAYS_BEFORE`] days.
    EndsSoon,
    /// Its last day is over: it counts as off.
    Ended,
}

/// A half that is on needs somebody's attention.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Notice {
    /// Which half.
    pub side: Side,
    /// What is to be done.
    pub kind: NoticeKind,
    /// The day that it is about.
    pub day: Date,
}

/// What is to be done about the halves of an agreement. `today` is a day of the deployment's zone, `now`
/// milliseconds since 1970-01-01T00:00:00Z.
pub(super) fn notices(row: &AgreementRow, today: Date, now: i64) -> Vec<Notice> {
    let halves = [(Side::ShareOut, &row.share_out), (Side::ShareIn, &row.share_in)];
    let on = halves.into_iter().filter(|(_, half)| half.on);
    on.flat_map(|(side, half)| of_half(half, today, now).map(move |(kind, day)| Notice { side, kind, day }))
        .collect()
}

fn of_half(half: &HalfRow, today: Date, now: i64) -> impl Iterator<Item = (NoticeKind, Date)> + use<> {
    let scope = &half.scope;
    let over = scope.ends_at.is_some_and(|end| end <= now);
    let end = scope.ends_on.and_then(|day| match over {
        true => Some((NoticeKind::Ended, day)),
        false => is_near(day, today).then_some((NoticeKind::EndsSoon, day)),
    });
    let review = scope
        .review_on
        .filter(|_| !over)
        .and_then(|day| match day < today {
            true => Some((NoticeKind::ReviewOverdue, day)),
            false => is_near(day, today).then_some((NoticeKind::ReviewSoon, day)),
        });
    end.into_iter().chain(review)
}

fn is_near(day: Date, today: Date) -> bool {
    let from = day
        .checked_sub(Span::new().days(DAYS_BEFORE))
        .unwrap_or(Date::MIN);
    today >= from
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::*;
    use crate::{
        consent::Pair,
        store::{HalfScope, PartialWithdrawals},
    };

    fn row(ends_on: Option<Date>, ends_at: Option<i64>, review_on: Option<Date>) -> AgreementRow {
        let share_out = HalfRow {
            on: true,
            scope: HalfScope {
                ends_on,
                ends_at,
                review_on,
                ..HalfScope::EVERYTHING
            },
            ..HalfRow::default()
        };
        AgreementRow {
            pair: Pair {
                source: "Z00101".parse().unwrap(),
                recipient: "Z00202".parse().unwrap(),
            },
            share_in: HalfRow {
                on: false,
                ..share_out.clone()
            },
            share_out,
            grant: None,
            ended_at_seq: 0,
            withdrawal: None,
            partial: PartialWithdrawals::default(),
        }
    }

    #[test]
    fn a_review_warns_thirty_days_before_its_day_and_ever_after() {
        let review = Some(date(2027, 3, 31));
        let said = |today| notices(&row(None, None, review), today, 0).pop().map(|n| n.kind);
        assert_eq!(said(date(2027, 2, 28)), None);
        assert_eq!(said(date(2027, 3, 1)), Some(NoticeKind::ReviewSoon));
        assert_eq!(said(date(2027, 3, 31)), Some(NoticeKind::ReviewSoon));
        assert_eq!(said(date(2027, 4, 1)), Some(NoticeKind::ReviewOverdue));
        assert_eq!(said(date(2028, 4, 1)), Some(NoticeKind::ReviewOverdue));
    }

    #[test]
    fn an_end_is_told_before_and_after_and_takes_the_place_of_a_review() {
        let (end, review) = (Some(date(2027, 3, 31)), Some(date(2027, 3, 1)));
        let said = |now, today| {
            let of = notices(&row(end, Some(1_000), review), today, now);
            of.into_iter().map(|n| (n.side, n.kind)).collect::<Vec<_>>()
        };
        use NoticeKind::{Ended, EndsSoon, ReviewOverdue};
        let out = Side::ShareOut;
        assert_eq!(
            said(999, date(2027, 3, 31)),
            [(out, EndsSoon), (out, ReviewOverdue)]
        );
        assert_eq!(
            said(1_000, date(2027, 4, 1)),
            [(out, Ended)],
            "and the half that is off says nothing"
        );
    }
}
