//! Makes one-time enrolment tokens. The daemon keeps only the hash of a token; the text is given out once.

use std::sync::Arc;

use handfast_proto::{ids::Holder, token::EnrolmentToken};

use super::ActError;
use crate::{random::Random, store::NewToken};

/// How long a token is good for unless configured otherwise, in milliseconds: three days, so that it
/// survives a weekend in an envelope.
pub const DEFAULT_TOKEN_LIFETIME_MS: i64 = 3 * 24 * 60 * 60 * 1000;

/// Letters of the random end of a person's id: 32 to the power of this many are enough to never meet twice
/// in one unit, and still short enough to be read out.
const ID_RANDOM_CHARS: usize = 8;

/// Without letters that look like digits (Crockford's base 32).
const ID_ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// A token just made. To be shown once and logged never; `Debug` does not show it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Secret {
    /// The token.
    pub token: EnrolmentToken,
    /// The first moment at which it no longer holds, milliseconds since 1970-01-01T00:00:00Z.
    pub expires_at: i64,
}

/// Makes tokens of one deployment.
#[derive(Clone)]
pub struct TokenMint {
    ca_fingerprint: [u8; 32],
    lifetime_ms: i64,
    random: Arc<dyn Random>,
}

impl TokenMint {
    /// Tokens that carry this fingerprint (SHA-256 of the authority's certificate, DER) and are good for
    /// `lifetime_ms`.
    pub fn new(ca_fingerprint: [u8; 32], lifetime_ms: i64, random: Arc<dyn Random>) -> Self {
        Self {
            ca_fingerprint,
            lifetime_ms,
            random,
        }
    }

    /// A token for `holder`, and what is to be kept of it.
    pub(super) fn mint(
        &self,
        holder: Holder,
        made_by: String,
        now: i64,
    ) -> Result<(NewToken, Secret), ActError> {
        let mut secret = [0; 32];
        self.fill(&mut secret)?;
        let token = EnrolmentToken::new(self.ca_fingerprint, secret);
        let expires_at = now.saturating_add(self.lifetime_ms);
        let kept = NewToken {
            holder,
            hash: token.secret_hash(),
            expires_at,
            made_by,
        };
        Ok((kept, Secret { token, expires_at }))
    }

    /// The random end of a person's id.
    pub(super) fn id_suffix(&self) -> Result<String, ActError> {
        let mut raw = [0; ID_RANDOM_CHARS];
        self.fill(&mut raw)?;
        let letter = |b: &u8| char::from(ID_ALPHABET[usize::from(b % 32)]);
        Ok(raw.iter().map(letter).collect())
    }

    fn fill(&self, out: &mut [u8]) -> Result<(), ActError> {
        let filled = self.random.fill(out);
        filled.map_err(|e| ActError::Failed(format!("make a secret: {e}")))
    }
}
