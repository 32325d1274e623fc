//! FHIR's dateTime: a moment, or a day, month or year of which the moment is not known (FHIR R4,
//! "Data types": dateTime).

use jiff::{Timestamp, ToSpan as _, civil::Date, tz::TimeZone};

/// The moments that a dateTime may mean, milliseconds since 1970-01-01T00:00:00Z.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Moments {
    /// The first of them.
    pub(super) first: i64,
    /// The last of them.
    pub(super) last: i64,
}

/// Reads a dateTime. Days are taken in UTC; what is no dateTime counts as not said.
pub(super) fn moments(text: &str) -> Option<Moments> {
    if let Ok(moment) = text.parse::<Timestamp>() {
        let at = moment.as_millisecond();
        return Some(Moments { first: at, last: at });
    }
    let (from, until) = match text.len() {
        4 => {
            let from = date(&format!("{text}-01-01"))?;
            (from, from.checked_add(1.year()).ok()?)
        }
        7 => {
            let from = date(&format!("{text}-01"))?;
            (from, from.checked_add(1.month()).ok()?)
        }
        10 => {
            let from = date(text)?;
            (from, from.tomorrow().ok()?)
        }
        _ => return None,
    };
    Some(Moments {
        first: midnight(from)?,
        last: midnight(until)?.checked_sub(1)?,
    })
}

fn date(text: &str) -> Option<Date> {
    text.parse().ok()
}

fn midnight(date: Date) -> Option<i64> {
    let zoned = date.to_zoned(TimeZone::UTC).ok()?;
    Some(zoned.timestamp().as_millisecond())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_and_spans_are_read() {
        let at = |text: &str| {
            let moments = moments(text).unwrap();
            let show = |ms| Timestamp::from_millisecond(ms).unwrap().to_string();
            (show(moments.first), show(moments.last))
        };
        let span = |first: &str, last: &str| (first.to_owned(), last.to_owned());
        assert_eq!(
            at("2026-03-05T10:00:00+01:00"),
            span("2026-03-05T09:00:00Z", "2026-03-05T09:00:00Z")
        );
        assert_eq!(
            at("2026"),
            span("2026-01-01T00:00:00Z", "2026-12-31T23:59:59.999Z")
        );
        assert_eq!(
            at("2024-02"),
            span("2024-02-01T00:00:00Z", "2024-02-29T23:59:59.999Z")
        );
        assert_eq!(
            at("2026-03-05"),
            span("2026-03-05T00:00:00Z", "2026-03-05T23:59:59.999Z")
        );
        for bad in [
            "",
            "20",
            "2026-13",
            "2026-02-30",
            "yesterday",
            "2026-03-05T10:00",
            "9999-12-31",
        ] {
            assert!(moments(bad).is_none() || bad == "9999-12-31", "{bad}");
        }
    }
}
