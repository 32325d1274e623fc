//! Days of the deployment's zone. Pure, but for the time zone database, which is part of the program, so that
//! a day has the same end on every machine.

use jiff::{
    Timestamp,
    civil::{Date, DateTime},
    tz::{TimeZone, TimeZoneDatabase},
};

/// The last year that a day may have: a moment beyond it could not be written any more.
const LAST_YEAR: i16 = 2999;

/// The first year of which anything may have been said.
const FIRST_YEAR: i16 = 1900;

/// What is wrong with a zone, a day or a moment as a person wrote it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DayError {
    /// No such zone.
    #[error("{0:?} is no time zone; the IANA database has names such as Europe/London")]
    Zone(String),
    /// Not a day.
    #[error("{0:?} is no day: write it as 2027-03-31, up to the year {LAST_YEAR}")]
    Day(String),
    /// Neither a day nor a moment.
    #[error("{0:?} is neither a day (2027-03-31) nor a moment (2027-03-31T10:30, 2027-03-31T10:30:00+01:00)")]
    Moment(String),
}

/// Days of one zone.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Days {
    zone: TimeZone,
}

/// A moment, or a day as a whole. Milliseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum When {
    /// A moment.
    At(i64),
    /// From the first moment of a day up to the first of the next.
    Day {
        /// Its first moment.
        from: i64,
        /// The first moment of the next.
        until: i64,
    },
}

impl Days {
    /// Those of a zone by its name in the IANA time zone database.
    pub fn of(zone: &str) -> Result<Self, DayError> {
        let found = TimeZoneDatabase::bundled().get(zone);
        let zone = found.map_err(|_| DayError::Zone(zone.to_owned()))?;
        Ok(Self { zone })
    }

    /// The day that it is.
    pub fn today(&self, now: i64) -> Date {
        let now = Timestamp::from_millisecond(now).unwrap_or(Timestamp::UNIX_EPOCH);
        now.to_zoned(self.zone.clone()).date()
    }

    /// The first moment behind a day: the end of what holds up to and with it.
    pub fn end_of(&self, day: Date) -> Result<i64, DayError> {
        let next = day.tomorrow().map_err(|_| DayError::Day(day.to_string()))?;
        self.start_of(next)
    }

    /// Reads a day.
    pub fn day(text: &str) -> Result<Date, DayError> {
        let wrong = || DayError::Day(text.to_owned());
        // jiff would pass over a time behind the day.
        if text.len() != "2027-03-31".len() {
            return Err(wrong());
        }
        let day: Date = text.parse().map_err(|_| wrong())?;
        if (FIRST_YEAR..=LAST_YEAR).contains(&day.year()) {
            Ok(day)
        } else {
            Err(wrong())
        }
    }

    /// Reads a day, or a moment with an offset or of the zone.
    pub fn when(&self, text: &str) -> Result<When, DayError> {
        if let Ok(day) = Self::day(text) {
            let (from, until) = (self.start_of(day)?, self.end_of(day)?);
            return Ok(When::Day { from, until });
        }
        let wrong = || DayError::Moment(text.to_owned());
        if let Ok(moment) = text.parse::<Timestamp>() {
            return Ok(When::At(moment.as_millisecond()));
        }
        let local: DateTime = text.parse().map_err(|_| wrong())?;
        if !(FIRST_YEAR..=LAST_YEAR).contains(&local.year()) || !text.contains(['T', 't', ' ']) {
            return Err(wrong());
        }
        let zoned = local.to_zoned(self.zone.clone()).map_err(|_| wrong())?;
        Ok(When::At(zoned.timestamp().as_millisecond()))
    }

    /// The first moment of a day; where the zone leaves midnight out, the first that there is.
    fn start_of(&self, day: Date) -> Result<i64, DayError> {
        let start = day.to_zoned(self.zone.clone());
        let start = start.map_err(|_| DayError::Day(day.to_string()))?;
        Ok(start.timestamp().as_millisecond())
    }
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::*;

    fn ms(text: &str) -> i64 {
        text.parse::<Timestamp>().unwrap().as_millisecond()
    }

    #[test]
    fn a_day_ends_where_the_next_begins_in_its_zone() {
        let london = Days::of("Europe/London").unwrap();
        // In winter, on the short day of spring, in summer, on the long day of autumn.
        for (day, end) in [
            (date(2027, 1, 31), "2027-02-01T00:00:00Z"),
            (date(2027, 3, 27), "2027-03-28T00:00:00Z"),
            (date(2027, 3, 28), "2027-03-28T23:00:00Z"),
            (date(2027, 6, 30), "2027-06-30T23:00:00Z"),
            (date(2027, 10, 31), "2027-11-01T00:00:00Z"),
        ] {
            assert_eq!(london.end_of(day).unwrap(), ms(end), "{day}");
            assert_eq!(london.today(ms(end) - 1), day);
            assert_ne!(london.today(ms(end)), day);
        }
        // Here the clocks are put forward at midnight: the day begins at one.
        let cairo = Days::of("Africa/Cairo").unwrap();
        assert_eq!(
            cairo.end_of(date(2024, 4, 25)).unwrap(),
            ms("2024-04-25T22:00:00Z")
        );
    }

    #[test]
    fn days_and_moments_as_people_write_them() {
        let london = Days::of("Europe/London").unwrap();
        let day = london.when("2027-06-30").unwrap();
        let (from, until) = (ms("2027-06-29T23:00:00Z"), ms("2027-06-30T23:00:00Z"));
        assert_eq!(day, When::Day { from, until });
        for text in [
            "2027-06-30T10:30",
            "2027-06-30T10:30:00+01:00",
            "2027-06-30T09:30:00Z",
        ] {
            assert_eq!(
                london.when(text).unwrap(),
                When::At(ms("2027-06-30T09:30:00Z")),
                "{text}"
            );
        }
        for text in [
            "",
            "never",
            "30/06/2027",
            "2027-02-30",
            "20270630",
            "2027-06",
            "10:30",
            "9999-12-31",
        ] {
            assert!(london.when(text).is_err(), "{text}");
            assert!(Days::day(text).is_err(), "{text}");
        }
        assert!(Days::day("2027-06-30T10:30").is_err());
    }

    #[test]
    fn a_zone_is_one_of_the_database() {
        assert!(Days::of("Europe/Leicester").is_err());
        assert!(Days::of("").is_err());
        for zone in ["UTC", "Europe/London", "America/St_Johns"] {
            assert!(Days::of(zone).is_ok(), "{zone}");
        }
    }
}
