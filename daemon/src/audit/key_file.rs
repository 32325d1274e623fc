//! The audit log's key as a file: PKCS#8 in PEM (RFC 8410 section 7, RFC 5958), as every tool reads it.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use handfast_proto::merkle::{KeyError, SigningKey};
use zeroize::Zeroizing;

use crate::random::Random;

const SEED_BYTES: usize = 32;

/// What the private key of Ed25519 begins with in PKCS#8; its 32 bytes follow.
const PKCS8_BEGIN: [u8; 16] = [
    0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20,
];
const PEM_BEGIN: &str = "-----BEGIN PRIVATE KEY-----";
const PEM_END: &str = "-----END PRIVATE KEY-----";

/// A new key, as a file.
pub fn new_audit_key(random: &dyn Random) -> std::io::Result<Zeroizing<String>> {
    let mut seed = Zeroizing::new([0; SEED_BYTES]);
    random.fill(seed.as_mut_slice())?;
    let der = Zeroizing::new([PKCS8_BEGIN.as_slice(), seed.as_slice()].concat());
    let coded = Zeroizing::new(STANDARD.encode(der.as_slice()));
    Ok(Zeroizing::new(format!(
        "{PEM_BEGIN}\n{}\n{PEM_END}\n",
        coded.as_str()
    )))
}

/// Reads a key from its file.
pub fn read_audit_key(pem: &str) -> Result<SigningKey, KeyError> {
    let inner = pem
        .trim()
        .strip_prefix(PEM_BEGIN)
        .and_then(|text| text.strip_suffix(PEM_END));
    let coded = inner.ok_or(KeyError::Seed)?.trim();
    let der = Zeroizing::new(STANDARD.decode(coded).map_err(|_| KeyError::Seed)?);
    SigningKey::from_seed(der.strip_prefix(&PKCS8_BEGIN).ok_or(KeyError::Seed)?)
}
