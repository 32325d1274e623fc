//! What a unit says to the daemon itself, in the same stream of seqs as its amendments: a patient's word, an
//! NHS number that moved, a view. Checked on both sides; the daemon reads nothing else of a payload.

use prost::Message as _;

use crate::{
    amendment::Text,
    ids::{IdError, NhsNumber, OdsCode},
    v1::{self, ConsentManner, NumberMovedStatement, PatientWordStatement, PatientWordValue, ViewStatement},
};

/// The media type of an encoded statement, in the batch header.
pub const STATEMENT_TYPE: &str = "application/vnd.handfast.statement";

/// Bytes of one encoded statement.
pub const MAX_STATEMENT_BYTES: usize = 4096;

/// What is wrong with a statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum StatementError {
    /// It cannot be decoded, or is too large.
    #[error("the statement cannot be read")]
    Encoding,
    /// A value is missing or not one of those allowed.
    #[error("the statement's {0} is missing or not allowed")]
    Value(&'static str),
    /// An identifier failed its check.
    #[error("the statement: {0}")]
    Id(#[from] IdError),
}

/// Which side of a unit's sharing a patient's word is about.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum WordSide {
    /// What the unit recorded, towards others.
    ShareOut,
    /// What others recorded, towards the unit.
    ShareIn,
}

impl WordSide {
    /// Both.
    pub const BOTH: [Self; 2] = [Self::ShareOut, Self::ShareIn];

    /// As people and scripts write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ShareOut => "share-out",
            Self::ShareIn => "share-in",
        }
    }

    fn bit(self) -> u32 {
        match self {
            Self::ShareOut => 1,
            Self::ShareIn => 2,
        }
    }
}

/// A patient's word, as it was taken down.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PatientWord {
    /// About which sides; at least one.
    pub sides: Vec<WordSide>,
    /// What was said. Never `Unspecified`.
    pub word: PatientWordValue,
    /// When, milliseconds since 1970-01-01T00:00:00Z.
    pub said_at: i64,
    /// How. Never `Unspecified`.
    pub manner: ConsentManner,
    /// Who took it down; may be empty.
    pub taken_by: Text,
}

/// A person of the unit looked at what was received of a patient.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct View {
    /// Who.
    pub person: Text,
    /// By which permission.
    pub permission: Text,
    /// Why.
    pub reason: Text,
    /// Whose records, where that was said.
    pub source: Option<OdsCode>,
    /// When, milliseconds since 1970-01-01T00:00:00Z.
    pub viewed_at: i64,
}

/// What a unit says to the daemon itself.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Statement {
    /// A patient's own word.
    PatientWord(PatientWord),
    /// A Patient's NHS number was `former`, and is `current`.
    NumberMoved {
        /// What it was.
        former: NhsNumber,
        /// What it is.
        current: NhsNumber,
    },
    /// A view of what was received.
    View(View),
}

impl Statement {
    /// Reads one.
    pub fn decode(raw: &[u8]) -> Result<Self, StatementError> {
        use v1::statement::Statement as Wire;
        if raw.len() > MAX_STATEMENT_BYTES {
            return Err(StatementError::Encoding);
        }
        let read = v1::Statement::decode(raw).map_err(|_| StatementError::Encoding)?;
        match read.statement.ok_or(StatementError::Value("content"))? {
            Wire::PatientWord(word) => word_from_wire(&word).map(Self::PatientWord),
            Wire::NumberMoved(moved) => {
                let former = NhsNumber::from_u64(moved.former)?;
                let current = NhsNumber::from_u64(moved.current)?;
                if former == current {
                    return Err(StatementError::Value("current number"));
                }
                Ok(Self::NumberMoved { former, current })
            }
            Wire::View(view) => view_from_wire(view).map(Self::View),
        }
    }

    /// As it travels.
    pub fn encode(&self) -> Vec<u8> {
        use v1::statement::Statement as Wire;
        let wire = match self {
            Self::PatientWord(word) => Wire::PatientWord(PatientWordStatement {
                sides: word.sides.iter().fold(0, |bits, side| bits | side.bit()),
                word: word.word as i32,
                said_at: word.said_at,
                manner: word.manner as i32,
                taken_by: word.taken_by.as_str().to_owned(),
            }),
            Self::NumberMoved { former, current } => Wire::NumberMoved(NumberMovedStatement {
                former: former.as_u64(),
                current: current.as_u64(),
            }),
            Self::View(view) => Wire::View(ViewStatement {
                person: view.person.as_str().to_owned(),
                permission: view.permission.as_str().to_owned(),
                reason: view.reason.as_str().to_owned(),
                source: view.source.map(|ods| ods.to_string()).unwrap_or_default(),
                viewed_at: view.viewed_at,
            }),
        };
        v1::Statement {
            statement: Some(wire),
        }
        .encode_to_vec()
    }
}

fn word_from_wire(wire: &PatientWordStatement) -> Result<PatientWord, StatementError> {
    let sides = WordSide::BOTH
        .into_iter()
        .filter(|side| wire.sides & side.bit() != 0);
    let sides: Vec<WordSide> = sides.collect();
    if sides.is_empty() || wire.sides > 3 {
        return Err(StatementError::Value("side"));
    }
    if wire.word() == PatientWordValue::Unspecified {
        return Err(StatementError::Value("word"));
    }
    if wire.manner() == ConsentManner::Unspecified {
        return Err(StatementError::Value("manner"));
    }
    Ok(PatientWord {
        sides,
        word: wire.word(),
        said_at: wire.said_at,
        manner: wire.manner(),
        taken_by: text(&wire.taken_by, "taker")?,
    })
}

fn view_from_wire(wire: ViewStatement) -> Result<View, StatementError> {
    let source = if wire.source.is_empty() {
        None
    } else {
        Some(wire.source.parse()?)
    };
    Ok(View {
        person: text(&wire.person, "person")?,
        permission: text(&wire.permission, "permission")?,
        reason: text(&wire.reason, "reason")?,
        source,
        viewed_at: wire.viewed_at,
    })
}

fn text(raw: &str, field: &'static str) -> Result<Text, StatementError> {
    Text::new(raw).ok_or(StatementError::Value(field))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn word() -> Statement {
        Statement::PatientWord(PatientWord {
            sides: WordSide::BOTH.to_vec(),
            word: PatientWordValue::No,
            said_at: 1_700_000_000_000,
            manner: ConsentManner::Spoken,
            taken_by: Text::new("Practice nurse").unwrap(),
        })
    }

    #[test]
    fn a_statement_is_read_as_it_was_written() {
        let moved = Statement::NumberMoved {
            former: NhsNumber::from_u64(9_990_000_018).unwrap(),
            current: NhsNumber::from_u64(9_990_000_026).unwrap(),
        };
        let view = Statement::View(View {
            person: Text::new("ann-1").unwrap(),
            permission: Text::default(),
            reason: Text::default(),
            source: Some("Z00101".parse().unwrap()),
            viewed_at: 5,
        });
        for statement in [word(), moved, view] {
            assert_eq!(Statement::decode(&statement.encode()), Ok(statement));
        }
    }

    #[test]
    fn what_says_nothing_is_refused() {
        assert!(Statement::decode(&[]).is_err());
        let Statement::PatientWord(mut silent) = word() else {
            panic!()
        };
        silent.sides.clear();
        let read = Statement::decode(&Statement::PatientWord(silent).encode());
        assert_eq!(read, Err(StatementError::Value("side")));
        assert!(Statement::decode(&[0; MAX_STATEMENT_BYTES + 1]).is_err());
    }
}
