//! Where a list that is read in parts goes on: `e<index>` among entries, `h<seq>:<source>` among what was handed
//! over of a source's stream.

use std::{fmt, str::FromStr};

use handfast_proto::ids::OdsCode;

use crate::sharing::ActError;

/// Where to go on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Place {
    /// With the entries below this index.
    Entries(u64),
    /// With what was handed over of this source beyond this seq.
    Handed(OdsCode, u64),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Entries(before) => write!(f, "e{before}"),
            Self::Handed(source, after) => write!(f, "h{after}:{source}"),
        }
    }
}

impl FromStr for Place {
    type Err = ActError;

    fn from_str(text: &str) -> Result<Self, ActError> {
        let place = if text.is_empty() {
            Some(Self::Entries(u64::MAX))
        } else if let Some(before) = text.strip_prefix('e') {
            before.parse().ok().map(Self::Entries)
        } else {
            let parts = text.strip_prefix('h').and_then(|rest| rest.split_once(':'));
            parts.and_then(|(after, source)| Some(Self::Handed(source.parse().ok()?, after.parse().ok()?)))
        };
        place.ok_or_else(|| ActError::invalid("after", "give the text that the answer before gave"))
    }
}
