//! A one-time enrolment token: the fingerprint of the deployment's certificate authority, so that a first
//! contact cannot be intercepted, and a secret.
//!
//! Text form: `hf1_` and base64url, without padding, of the fingerprint (SHA-256 of the authority's
//! certificate, DER), the secret, and four bytes of SHA-256 over both that find typing errors.

use std::{fmt, str::FromStr};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use sha2::{Digest as _, Sha256};

const PREFIX: &str = "hf1_";

/// What is wrong with a token's text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this is not a whole enrolment token: it begins with hf1_ and must be copied without a change")]
pub struct TokenError;

/// A one-time enrolment token. `Debug` does not show the secret.
#[derive(Clone, PartialEq, Eq)]
pub struct EnrolmentToken {
    ca_fingerprint: [u8; 32],
    secret: [u8; 32],
}

impl EnrolmentToken {
    /// A token for a deployment whose authority has this fingerprint.
    pub fn new(ca_fingerprint: [u8; 32], secret: [u8; 32]) -> Self {
        Self {
            ca_fingerprint,
            secret,
        }
    }

    /// SHA-256 of the authority's certificate (DER).
    pub fn ca_fingerprint(&self) -> &[u8; 32] {
        &self.ca_fingerprint
    }

    /// What the daemon keeps of the token: SHA-256 of its secret.
    pub fn secret_hash(&self) -> [u8; 32] {
        Sha256::digest(self.secret).into()
    }

    /// The token's text. A secret: print it once, log it never.
    pub fn reveal(&self) -> String {
        let mut raw = Vec::with_capacity(68);
        raw.extend_from_slice(&self.ca_fingerprint);
        raw.extend_from_slice(&self.secret);
        raw.extend_from_slice(&check(&self.ca_fingerprint, &self.secret));
        format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(raw))
    }
}

fn check(ca_fingerprint: &[u8; 32], secret: &[u8; 32]) -> [u8; 4] {
    let digest = Sha256::new()
        .chain_update(ca_fingerprint)
        .chain_update(secret)
        .finalize();
    [digest[0], digest[1], digest[2], digest[3]]
}

impl FromStr for EnrolmentToken {
    type Err = TokenError;

    fn from_str(text: &str) -> Result<Self, TokenError> {
        let coded = text.trim().strip_prefix(PREFIX).ok_or(TokenError)?;
        let raw: [u8; 68] = URL_SAFE_NO_PAD
            .decode(coded)
            .map_err(|_| TokenError)?
            .try_into()
            .map_err(|_| TokenError)?;
        let (mut ca_fingerprint, mut secret) = ([0; 32], [0; 32]);
        ca_fingerprint.copy_from_slice(&raw[..32]);
        secret.copy_from_slice(&raw[32..64]);
        if check(&ca_fingerprint, &secret) != raw[64..] {
            return Err(TokenError);
        }
        Ok(Self {
            ca_fingerprint,
            secret,
        })
    }
}

impl fmt::Debug for EnrolmentToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EnrolmentToken(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_survives_its_text_and_a_changed_one_does_not() {
        let token = EnrolmentToken::new([7; 32], [9; 32]);
        let text = token.reveal();
        assert_eq!(text.parse::<EnrolmentToken>().unwrap(), token);
        assert_eq!(format!(" {text}\n").parse::<EnrolmentToken>().unwrap(), token);
        assert!(text[..text.len() - 1].parse::<EnrolmentToken>().is_err());
        let other = text.replacen("BwcH", "BwdH", 1);
        assert_ne!(other, text);
        assert!(other.parse::<EnrolmentToken>().is_err());
        assert_eq!(format!("{token:?}"), "EnrolmentToken(…)");
    }
}
