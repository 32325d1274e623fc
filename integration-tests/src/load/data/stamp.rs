//! The stamp that every payload carries, and how a payload is checked by it.
//!
//! It is the value of an identifier of the resource: source, seq, record and version in hexadecimal digits,
//! and a digest of all other bytes of the payload. It tells an accident, or one planted by `--sabotage`, from
//! what was sent; whoever wants to deceive could compute it.

use std::hash::{BuildHasher as _, Hasher as _};

use foldhash::quality::FixedState;

/// What stands in front of a stamp.
const MARK: &[u8] = b"\"urn:handfast:load\",\"value\":\"";
/// Hexadecimal digits of source, seq, record and version, and all of them before the digest's.
const SOURCE: usize = 4;
const SEQ: usize = 12;
const RECORD: usize = 8;
const VERSION: usize = 8;
const STAMPED: usize = SOURCE + SEQ + RECORD + VERSION;
/// Hexadecimal digits of the digest.
const DIGEST: usize = 16;
/// Bytes of a stamp.
pub(super) const STAMP: usize = STAMPED + DIGEST;
/// The digest's key.
const KEY: u64 = 0x6861_6e64_6661_7374;
const HEX: &[u8; 16] = b"0123456789abcdef";

/// What a payload says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Stamp {
    /// The source, as given to its [`super::Stream`]; at most 65,535.
    pub source: u32,
    /// Its place in that source's stream, from 1; below 2^48.
    pub seq: u64,
    /// Which of the source's records, from 0.
    pub record: u32,
    /// Which version of the record, from 0; it rises with every amendment of it, a retraction too.
    pub version: u32,
}

/// A payload that is not as a source made it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Forged {
    /// There is none, or it is not in hexadecimal digits.
    #[error("the payload carries no stamp")]
    NoStamp,
    /// The bytes are not those that were stamped.
    #[error("the payload's digest does not fit its bytes")]
    Digest,
}

/// The stamp of a payload, checked against every byte of it.
pub fn read(payload: &[u8]) -> Result<Stamp, Forged> {
    let at = find(payload).ok_or(Forged::NoStamp)?;
    let (stamp, digest) = parse(payload, at).ok_or(Forged::NoStamp)?;
    if digest == digest_around(payload, at + STAMPED) {
        Ok(stamp)
    } else {
        Err(Forged::Digest)
    }
}

/// The stamp of a resource that an agent wrote anew for its clinical system: only what it says.
pub fn unchecked(payload: &[u8]) -> Option<Stamp> {
    parse(payload, find(payload)?).map(|(stamp, _)| stamp)
}

/// Writes a stamp over the bytes at a place, and the digest of all others.
#[inline]
pub(super) fn write(payload: &mut [u8], at: usize, stamp: Stamp) {
    let fields = [
        (u64::from(stamp.source), SOURCE),
        (stamp.seq, SEQ),
        (u64::from(stamp.record), RECORD),
        (u64::from(stamp.version), VERSION),
    ];
    let mut begin = at;
    for (value, digits) in fields {
        hex(&mut payload[begin..begin + digits], value);
        begin += digits;
    }
    let digest = digest_around(payload, begin);
    hex(&mut payload[begin..begin + DIGEST], digest);
}

/// A number in as many hexadecimal digits as there is room for.
#[inline]
pub(super) fn hex(out: &mut [u8], value: u64) {
    let mut rest = value;
    for digit in out.iter_mut().rev() {
        *digit = HEX[(rest & 0xf) as usize];
        rest >>= 4;
    }
}

/// Of every byte but the digest itself.
#[inline]
fn digest_around(payload: &[u8], at: usize) -> u64 {
    let mut hasher = FixedState::with_seed(KEY).build_hasher();
    hasher.write(&payload[..at]);
    hasher.write(&payload[at + DIGEST..]);
    hasher.finish()
}

/// Where the stamp begins.
fn find(payload: &[u8]) -> Option<usize> {
    // The second byte first: comparing the whole at every place costs more than the digest.
    let here = |w: &[u8]| w[1] == MARK[1] && w == MARK;
    let mark = payload.windows(MARK.len()).position(here)?;
    let at = mark + MARK.len();
    (payload.len() >= at + STAMP).then_some(at)
}

fn parse(payload: &[u8], at: usize) -> Option<(Stamp, u64)> {
    let text = std::str::from_utf8(payload.get(at..at + STAMP)?).ok()?;
    // From_str_radix takes a sign, and capital letters, which no stamp has.
    if !text.bytes().all(|b| HEX.contains(&b)) {
        return None;
    }
    let number = |from: usize, digits: usize| u64::from_str_radix(&text[from..from + digits], 16).ok();
    let short = |from: usize, digits: usize| number(from, digits).and_then(|n| u32::try_from(n).ok());
    let stamp = Stamp {
        source: short(0, SOURCE)?,
        seq: number(SOURCE, SEQ)?,
        record: short(SOURCE + SEQ, RECORD)?,
        version: short(SOURCE + SEQ + RECORD, VERSION)?,
    };
    Some((stamp, number(STAMPED, DIGEST)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAMPED_AS: Stamp = Stamp {
        source: 0xabc,
        seq: 0x1234_5678_9abc,
        record: 77,
        version: u32::MAX,
    };

    fn payload(len: usize) -> Vec<u8> {
        let mut payload = b"{\"identifier\":[{\"system\":\"urn:handfast:load\",\"value\":\"".to_vec();
        let at = payload.len();
        payload.resize(at + STAMP, b'0');
        payload.extend_from_slice(b"\"}],\"x\":\"");
        payload.resize(len - 2, b'y');
        payload.extend_from_slice(b"\"}");
        write(&mut payload, at, STAMPED_AS);
        payload
    }

    #[test]
    fn what_was_written_is_read() {
        for len in [150, 1024, 40_000] {
            assert_eq!(read(&payload(len)), Ok(STAMPED_AS));
            assert_eq!(unchecked(&payload(len)), Some(STAMPED_AS));
        }
        assert_eq!(read(b""), Err(Forged::NoStamp));
        assert_eq!(read(b"{\"identifier\":[]}"), Err(Forged::NoStamp));
    }

    #[test]
    fn a_change_of_any_bit_is_found() {
        let whole = payload(1024);
        for bit in 0..whole.len() * 8 {
            let mut forged = whole.clone();
            forged[bit / 8] ^= 1 << (bit % 8);
            assert!(read(&forged).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn bytes_cut_off_added_or_changed_about_are_found() {
        let whole = payload(1024);
        for len in 0..whole.len() {
            assert!(read(&whole[..len]).is_err(), "cut at {len}");
        }
        let mut longer = whole.clone();
        longer.push(b' ');
        assert_eq!(read(&longer), Err(Forged::Digest));
        let mut about = whole;
        about.swap(2, 3);
        assert_eq!(read(&about), Err(Forged::Digest));
    }
}
