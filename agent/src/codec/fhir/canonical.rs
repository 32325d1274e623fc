//! The digest by which a repeat is told from a change: over the JSON's meaning, not its spelling, and
//! without the root's `meta.versionId` and `meta.lastUpdated` (a `meta` that is empty without them counts
//! as absent).
//!
//! Members of an object are taken in the order of their names, white space and escapes do not matter.
//! Numbers keep their spelling, because FHIR decimals do (FHIR R4, "Data types": decimal). It runs before
//! anything else parses the text, so it bounds depth and number of values and refuses an object with a
//! member twice: parsers disagree on which one holds, and a privacy label must not depend on that.

use std::ops::Range;

use sha2::{Digest as _, Sha256};

use super::Fault;

/// Levels of nesting. Below serde_json's own bound, so that this message is the one people see.
const MAX_DEPTH: usize = 100;

/// JSON values in one resource: bounds the memory of what is parsed from it.
pub(super) const MAX_VALUES: usize = 1_000_000;

/// The digest of a resource's text.
pub(super) fn digest(text: &str) -> Result<[u8; 32], Fault> {
    scan(text, false)
}

/// The digest of a payload as it is compared with others; `None` where it is no such JSON.
pub fn content_digest(payload: &[u8]) -> Option<[u8; 32]> {
    scan(std::str::from_utf8(payload).ok()?, false).ok()
}

/// The same without what tells one copy from another: the root's `id` and `meta.source`.
pub fn copy_digest(payload: &[u8]) -> Option<[u8; 32]> {
    scan(std::str::from_utf8(payload).ok()?, true).ok()
}

fn scan(text: &str, of_copy: bool) -> Result<[u8; 32], Fault> {
    let mut scanner = Scanner {
        text: text.as_bytes(),
        of_copy,
        at: 0,
        values: 0,
        out: Vec::with_capacity(text.len() + text.len() / 4),
    };
    scanner.value(0, Place::Root)?;
    scanner.space();
    if scanner.at != scanner.text.len() {
        return Err(Fault::NotJson { at: scanner.at });
    }
    Ok(Sha256::digest(&scanner.out).into())
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Root,
    RootMeta,
    Other,
}

struct Member {
    key: Range<usize>,
    end: usize,
}

struct Scanner<'a> {
    text: &'a [u8],
    of_copy: bool,
    at: usize,
    values: usize,
    /// Each value in an unambiguous form of its own: a letter, a length where one is needed, the content.
    out: Vec<u8>,
}

impl Scanner<'_> {
    fn value(&mut self, depth: usize, place: Place) -> Result<(), Fault> {
        self.values += 1;
        if self.values > MAX_VALUES {
            return Err(Fault::TooManyValues { bound: MAX_VALUES });
        }
        if depth > MAX_DEPTH {
            return Err(Fault::TooDeep { bound: MAX_DEPTH });
        }
        self.space();
        match self.peek()? {
            b'{' => self.object(depth, place),
            b'[' => self.array(depth),
            b'"' => self.string(),
            b't' => self.literal(b"true", b't'),
            b'f' => self.literal(b"false", b'f'),
            b'n' => self.literal(b"null", b'z'),
            b'-' | b'0'..=b'9' => self.number(),
            _ => Err(Fault::NotJson { at: self.at }),
        }
    }

    fn object(&mut self, depth: usize, place: Place) -> Result<(), Fault> {
        self.at += 1;
        self.out.push(b'{');
        let start = self.out.len();
        let mut members: Vec<Member> = Vec::new();
        let mut dropped: Vec<Vec<u8>> = Vec::new();
        self.space();
        if self.peek()? == b'}' {
            self.at += 1;
            self.out.push(b'}');
            return Ok(());
        }
        loop {
            self.space();
            let from = self.out.len();
            self.string()?;
            let key = from..self.out.len();
            self.space();
            self.expect(b':')?;
            let name = self.name(&key).to_vec();
            let inner = match (place, name.as_slice()) {
                (Place::Root, b"meta") => Place::RootMeta,
                _ => Place::Other,
            };
            self.value(depth + 1, inner)?;
            if self.is_dropped(place, &name, key.end) {
                self.out.truncate(from);
                if dropped.contains(&name) {
                    return Err(Fault::DuplicateMember { at: self.at });
                }
                dropped.push(name);
            } else {
                let end = self.out.len();
                members.push(Member { key, end });
            }
            self.space();
            match self.next()? {
                b',' => {}
                b'}' => break,
                _ => return Err(Fault::NotJson { at: self.at - 1 }),
            }
        }
        // A `meta` that is dropped beside one that is kept would hide a label from whoever reads the other.
        if members
            .iter()
            .any(|m| dropped.iter().any(|d| d == self.name(&m.key)))
        {
            return Err(Fault::DuplicateMember { at: self.at });
        }
        self.sort(start, &mut members)?;
        self.out.push(b'}');
        Ok(())
    }

    fn is_dropped(&self, place: Place, name: &[u8], value_from: usize) -> bool {
        match place {
            Place::Root if self.of_copy && name == b"id" => true,
            Place::Root => name == b"meta" && self.out.get(value_from..) == Some(b"{}"),
            Place::RootMeta if self.of_copy && name == b"source" => true,
            Place::RootMeta => name == b"versionId" || name == b"lastUpdated",
            Place::Other => false,
        }
    }

    fn sort(&mut self, start: usize, members: &mut [Member]) -> Result<(), Fault> {
        let before: Vec<usize> = members.iter().map(|m| m.key.start).collect();
        members.sort_by(|a, b| self.name(&a.key).cmp(self.name(&b.key)));
        let twice = members
            .windows(2)
            .any(|pair| matches!(pair, [a, b] if self.name(&a.key) == self.name(&b.key)));
        if twice {
            return Err(Fault::DuplicateMember { at: self.at });
        }
        if members.iter().map(|m| m.key.start).eq(before) {
            return Ok(());
        }
        let mut sorted = Vec::with_capacity(self.out.len() - start);
        for member in members {
            sorted.extend_from_slice(self.out.get(member.key.start..member.end).unwrap_or_default());
        }
        self.out.truncate(start);
        self.out.append(&mut sorted);
        Ok(())
    }

    /// The name of a member, behind its letter and length.
    fn name(&self, key: &Range<usize>) -> &[u8] {
        self.out.get(key.start + 9..key.end).unwrap_or_default()
    }

    fn array(&mut self, depth: usize) -> Result<(), Fault> {
        self.at += 1;
        self.out.push(b'[');
        self.space();
        if self.peek()? == b']' {
            self.at += 1;
            self.out.push(b']');
            return Ok(());
        }
        loop {
            self.value(depth + 1, Place::Other)?;
            self.space();
            match self.next()? {
                b',' => {}
                b']' => break,
                _ => return Err(Fault::NotJson { at: self.at - 1 }),
            }
        }
        self.out.push(b']');
        Ok(())
    }

    fn string(&mut self) -> Result<(), Fault> {
        self.expect(b'"')?;
        self.out.push(b's');
        let length_at = self.out.len();
        self.out.extend_from_slice(&[0; 8]);
        loop {
            let rest = self.text.get(self.at..).unwrap_or_default();
            let plain = rest
                .iter()
                .position(|b| matches!(b, b'"' | b'\\' | 0..=0x1f))
                .ok_or(Fault::Truncated)?;
            self.out.extend_from_slice(rest.get(..plain).unwrap_or_default());
            self.at += plain;
            match self.next()? {
                b'"' => break,
                b'\\' => self.escape()?,
                _ => return Err(Fault::NotJson { at: self.at - 1 }),
            }
        }
        let length = (self.out.len() - length_at - 8) as u64;
        if let Some(place) = self.out.get_mut(length_at..length_at + 8) {
            place.copy_from_slice(&length.to_be_bytes());
        }
        Ok(())
    }

    fn escape(&mut self) -> Result<(), Fault> {
        let at = self.at;
        let plain = match self.next()? {
            c @ (b'"' | b'\\' | b'/') => c,
            b'b' => 8,
            b'f' => 12,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'u' => {
                let c = self.unicode().ok_or(Fault::NotJson { at })?;
                let mut utf8 = [0; 4];
                self.out.extend_from_slice(c.encode_utf8(&mut utf8).as_bytes());
                return Ok(());
            }
            _ => return Err(Fault::NotJson { at }),
        };
        self.out.push(plain);
        Ok(())
    }

    fn unicode(&mut self) -> Option<char> {
        let first = self.hex4()?;
        if !(0xd800..0xdc00).contains(&first) {
            return char::from_u32(first);
        }
        let second = (self.text.get(self.at..self.at + 2)? == b"\\u").then(|| {
            self.at += 2;
            self.hex4()
        })??;
        let low = second.checked_sub(0xdc00).filter(|low| *low < 0x400)?;
        char::from_u32(0x10000 + ((first - 0xd800) << 10) + low)
    }

    fn hex4(&mut self) -> Option<u32> {
        let digits = std::str::from_utf8(self.text.get(self.at..self.at + 4)?).ok()?;
        if !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
            return None;
        }
        self.at += 4;
        u32::from_str_radix(digits, 16).ok()
    }

    fn number(&mut self) -> Result<(), Fault> {
        let rest = self.text.get(self.at..).unwrap_or_default();
        let len = rest
            .iter()
            .position(|b| !matches!(b, b'-' | b'+' | b'.' | b'e' | b'E' | b'0'..=b'9'))
            .unwrap_or(rest.len());
        self.out.push(b'n');
        self.out.extend_from_slice(&(len as u64).to_be_bytes());
        self.out.extend_from_slice(rest.get(..len).unwrap_or_default());
        self.at += len;
        Ok(())
    }

    fn literal(&mut self, word: &[u8], letter: u8) -> Result<(), Fault> {
        let found = self.text.get(self.at..).unwrap_or_default();
        if !found.starts_with(word) {
            let cut = word.starts_with(found);
            return Err(if cut {
                Fault::Truncated
            } else {
                Fault::NotJson { at: self.at }
            });
        }
        self.at += word.len();
        self.out.push(letter);
        Ok(())
    }

    fn space(&mut self) {
        while matches!(self.text.get(self.at), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn peek(&self) -> Result<u8, Fault> {
        self.text.get(self.at).copied().ok_or(Fault::Truncated)
    }

    fn next(&mut self) -> Result<u8, Fault> {
        let byte = self.peek()?;
        self.at += 1;
        Ok(byte)
    }

    fn expect(&mut self, byte: u8) -> Result<(), Fault> {
        if self.next()? == byte {
            Ok(())
        } else {
            Err(Fault::NotJson { at: self.at - 1 })
        }
    }
}
