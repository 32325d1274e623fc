//! One template: a FHIR resource whose changing fields have fixed widths and places, so that a resource is made
//! by a copy and a few digits, with no JSON read or written.
//!
//! In a template's strings `{id}`, `{stamp}`, `{nhs}`, `{date}` and `{time}` stand for what is put there, a
//! string `#lo-hi` for a number from `lo` to `hi` (both of the same width), and `{text}`, after all others, for
//! free text of any length; `{base64}` instead is a file's bytes.

use anyhow::{Context as _, bail, ensure};
use bytes::Bytes;
use handfast_proto::ids::NhsNumber;

use super::{
    filler::Filler,
    stamp::{self, STAMP, Stamp},
};
use crate::load::plan::{mix, scaled};

/// Bytes of an id: a letter and the record in hexadecimal digits.
pub(super) const ID: usize = 9;
const NHS: usize = 10;
const DATE: &str = "2020-01-01";
const TIME: &str = "08:00";
/// Dates lie in so many years up to and with 2025.
const YEARS: u32 = 15;
const FIRST_YEAR: u32 = 2011;

/// What a place of a template holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Field {
    Id,
    Nhs,
    Date,
    Time,
    /// The least number, how many there are, digits with a point, and how many of them behind the point.
    Number {
        least: u32,
        count: u32,
        width: usize,
        point: usize,
    },
}

/// A template, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Template {
    head: Vec<u8>,
    tail: Vec<u8>,
    stamp_at: usize,
    fields: Vec<(usize, Field)>,
    filler: Filler,
}

/// What is put into a template.
#[derive(Debug, Clone, Copy)]
pub(super) struct Values {
    pub(super) stamp: Stamp,
    pub(super) nhs: NhsNumber,
    /// Random, and the same for every version of a record.
    pub(super) of_record: u64,
    /// Random, and another for each version.
    pub(super) of_version: u64,
}

impl Template {
    /// Reads a resource written as above, without white space.
    pub(super) fn parse(text: &str) -> anyhow::Result<Self> {
        let mut out = Self {
            head: Vec::new(),
            tail: Vec::new(),
            stamp_at: 0,
            fields: Vec::new(),
            filler: Filler::Prose,
        };
        let mut rest = text;
        while let Some(at) = next_mark(rest) {
            out.head.extend_from_slice(&rest.as_bytes()[..at]);
            rest = &rest[at..];
            match out.take(rest)? {
                Some(length) => rest = &rest[length..],
                None => {
                    let (_, tail) = rest.split_once('}').context("the end of {text}")?;
                    ensure!(next_mark(tail).is_none(), "{{text}} is not the last field");
                    out.tail = tail.as_bytes().to_vec();
                    ensure!(out.stamp_at > 0, "there is no {{stamp}}");
                    return Ok(out);
                }
            }
        }
        bail!("there is no {{text}}")
    }

    /// Takes the mark that a text begins with. Returns its length, or `None` for the free text.
    fn take(&mut self, text: &str) -> anyhow::Result<Option<usize>> {
        let at = self.head.len();
        if let Some(number) = text.strip_prefix("\"#") {
            let (range, _) = number.split_once('"').context("the end of a number")?;
            let (field, dummy) = number_field(range)?;
            self.head.extend_from_slice(dummy.as_bytes());
            self.fields.push((at, field));
            return Ok(Some(range.len() + 3));
        }
        let (mark, _) = text.split_once('}').context("the end of a field")?;
        let (field, dummy) = match mark {
            "{id" => (Field::Id, "0".repeat(ID)),
            "{nhs" => (Field::Nhs, "0".repeat(NHS)),
            "{date" => (Field::Date, DATE.to_owned()),
            "{time" => (Field::Time, TIME.to_owned()),
            "{stamp" => {
                self.stamp_at = at;
                self.head.resize(at + STAMP, b'0');
                return Ok(Some(mark.len() + 1));
            }
            "{text" => return Ok(None),
            "{base64" => {
                self.filler = Filler::Base64;
                return Ok(None);
            }
            other => bail!("{other}}} is no field of a template"),
        };
        self.head.extend_from_slice(dummy.as_bytes());
        self.fields.push((at, field));
        Ok(Some(mark.len() + 1))
    }

    /// What its free text is made of.
    pub(super) fn filler(&self) -> Filler {
        self.filler
    }

    /// Bytes of the smallest resource: FHIR allows no empty string.
    pub(super) fn least(&self) -> usize {
        self.filled(1)
    }

    /// Bytes of a resource that is to have `wanted`.
    fn filled(&self, wanted: usize) -> usize {
        let fixed = self.head.len() + self.tail.len();
        let free = wanted.saturating_sub(fixed).max(1);
        match self.filler {
            Filler::Prose => fixed + free,
            Filler::Base64 => fixed + free.next_multiple_of(4),
        }
    }

    /// A resource of a size, or of the least where that is less.
    #[inline]
    pub(super) fn make(&self, values: &Values, bytes: usize) -> Bytes {
        self.make_behind(b"{", values, bytes)
    }

    /// The same with more at its beginning, from its opening bracket on.
    pub(super) fn make_behind(&self, first: &[u8], values: &Values, bytes: usize) -> Bytes {
        let total = self.filled(bytes);
        let free = total - self.head.len() - self.tail.len();
        let more = first.len() - 1;
        let mut out = Vec::with_capacity(total + more);
        out.extend_from_slice(first);
        out.extend_from_slice(&self.head[1..]);
        let begin = (values.of_version >> 40) as u32;
        self.filler.fill(&mut out, free, begin);
        out.extend_from_slice(&self.tail);
        for (place, (at, field)) in self.fields.iter().enumerate() {
            field.write(&mut out[at + more..], values, place as u64);
        }
        stamp::write(&mut out, self.stamp_at + more, values.stamp);
        Bytes::from(out)
    }
}

impl Field {
    #[inline]
    fn write(self, out: &mut [u8], values: &Values, place: u64) {
        let of_record = mix(values.of_record.wrapping_add(place));
        match self {
            Self::Id => write_id(&mut out[..ID], values.stamp.record),
            Self::Nhs => digits(&mut out[..NHS], values.nhs.as_u64()),
            Self::Date => {
                digits(&mut out[..4], u64::from(FIRST_YEAR + scaled(of_record, YEARS)));
                digits(&mut out[5..7], u64::from(1 + scaled(of_record << 8, 12)));
                digits(&mut out[8..10], u64::from(1 + scaled(of_record << 16, 28)));
            }
            Self::Time => {
                digits(&mut out[..2], u64::from(8 + scaled(of_record, 11)));
                digits(&mut out[3..5], u64::from(scaled(of_record << 8, 60)));
            }
            Self::Number {
                least,
                count,
                width,
                point,
            } => {
                let random = mix(values.of_version.wrapping_add(place));
                let number = u64::from(least + scaled(random, count));
                if point == 0 {
                    digits(&mut out[..width], number);
                } else {
                    let scale = 10_u64.pow(point as u32);
                    digits(&mut out[..width - point - 1], number / scale);
                    digits(&mut out[width - point..width], number % scale);
                }
            }
        }
    }
}

/// The id of a record: as it stands in a resource and in its name.
#[inline]
pub(super) fn write_id(out: &mut [u8], record: u32) {
    out[0] = b'r';
    stamp::hex(&mut out[1..ID], u64::from(record));
}

#[inline]
fn digits(out: &mut [u8], value: u64) {
    let mut rest = value;
    for digit in out.iter_mut().rev() {
        *digit = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
}

/// Where the next mark begins. A brace of JSON's own is never followed by a small letter.
fn next_mark(text: &str) -> Option<usize> {
    let raw = text.as_bytes();
    (0..raw.len().saturating_sub(1)).find(|at| match raw[*at] {
        b'{' => raw[at + 1].is_ascii_lowercase(),
        b'"' => raw[at + 1] == b'#',
        _ => false,
    })
}

fn number_field(range: &str) -> anyhow::Result<(Field, String)> {
    let (low, high) = range.split_once('-').context("a number is #lo-hi")?;
    ensure!(low.len() == high.len(), "#{range}: both ends have the same width");
    let point = low.split_once('.').map_or(0, |(_, behind)| behind.len());
    let plain = |end: &str| end.replace('.', "").parse::<u32>().context("a number is #lo-hi");
    let (least, most) = (plain(low)?, plain(high)?);
    ensure!(least < most, "#{range}: the second end is the larger");
    ensure!(
        !low.starts_with('0') || low.starts_with("0.") || low.len() == 1,
        "#{range}: JSON has no leading zeros"
    );
    let field = Field::Number {
        least,
        count: most - least + 1,
        width: low.len(),
        point,
    };
    Ok((field, low.to_owned()))
}
