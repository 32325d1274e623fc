//! Signed tree heads, and the key that signs them: Ed25519 (RFC 8032).
//!
//! What is signed is never ambiguous. Every message of the audit key begins with a label of its kind and the
//! deployment's trust domain, so that no signature can be shown as one of another kind or deployment:
//!
//! ```text
//! label                "handfast tree head 1", without an end mark; of fixed length for each kind
//! trust domain         its length as two bytes, big-endian, then its bytes
//! size                 8 bytes, big-endian
//! root                 32 bytes
//! signed at            8 bytes, big-endian, two's complement: milliseconds since 1970-01-01T00:00:00Z
//! ```
//!
//! Of a log as a file, "handfast audit log 1", the trust domain as above, and the file's SHA-256 are signed.

use std::fmt;

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use sha2::{Digest as _, Sha256};

use super::hash::TreeHash;
use crate::v1::SignedTreeHead;

/// Bytes of a key's id.
pub const KEY_ID_BYTES: usize = 32;

const SIGNATURE_BYTES: usize = 64;
const KEY_BYTES: usize = 32;
const HEAD_LABEL: &[u8] = b"handfast tree head 1";
const EXPORT_LABEL: &[u8] = b"handfast audit log 1";

/// What a public key in SPKI form begins with (RFC 8410 section 4); the key's 32 bytes follow.
const SPKI_BEGIN: [u8; 12] = [
    0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00,
];
const PEM_BEGIN: &str = "-----BEGIN PUBLIC KEY-----";
const PEM_END: &str = "-----END PUBLIC KEY-----";

/// SHA-256 of a public key's 32 bytes.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct KeyId([u8; KEY_ID_BYTES]);

impl KeyId {
    /// As it travels. `None` if it is not 32 bytes.
    pub fn from_slice(raw: &[u8]) -> Option<Self> {
        raw.try_into().ok().map(Self)
    }

    /// As it travels.
    pub fn as_bytes(&self) -> &[u8; KEY_ID_BYTES] {
        &self.0
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|b| write!(f, "{b:02x}"))
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// How the log stood at a moment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TreeHead {
    /// Entries under it.
    pub size: u64,
    /// The tree's hash.
    pub root: TreeHash,
    /// When it was signed, milliseconds since 1970-01-01T00:00:00Z.
    pub signed_at: i64,
}

impl TreeHead {
    /// What is signed of it.
    fn message(&self, trust_domain: &str) -> Vec<u8> {
        let mut out = begin(HEAD_LABEL, trust_domain);
        out.extend_from_slice(&self.size.to_be_bytes());
        out.extend_from_slice(self.root.as_bytes());
        out.extend_from_slice(&self.signed_at.to_be_bytes());
        out
    }
}

fn begin(label: &[u8], trust_domain: &str) -> Vec<u8> {
    // A trust domain is at most 128 bytes; a longer text is signed for no deployment.
    let len = u16::try_from(trust_domain.len()).unwrap_or(u16::MAX);
    let mut out = label.to_vec();
    out.extend_from_slice(&len.to_be_bytes());
    out.extend_from_slice(trust_domain.as_bytes());
    out
}

fn export_message(trust_domain: &str, digest: &[u8; 32]) -> Vec<u8> {
    let mut out = begin(EXPORT_LABEL, trust_domain);
    out.extend_from_slice(digest);
    out
}

/// What is wrong with a head.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HeadError {
    /// A part of it is not of its length.
    #[error("the tree head is not whole: its root and key id are 32 bytes each, its signature 64")]
    Form,
    /// It names another key.
    #[error("the tree head was signed with another key")]
    OtherKey,
    /// The signature is wrong.
    #[error("the tree head's signature is wrong")]
    Signature,
}

/// A head and its signature, which may be wrong until [`PublicKey::verify`] has said otherwise.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SignedHead {
    /// How the log stood.
    pub head: TreeHead,
    /// Of the encoding above.
    pub signature: [u8; SIGNATURE_BYTES],
    /// Which key signed.
    pub key: KeyId,
}

impl SignedHead {
    /// Reads one as it travels, but for the proof beside it.
    pub fn from_wire(wire: &SignedTreeHead) -> Result<Self, HeadError> {
        Ok(Self {
            head: TreeHead {
                size: wire.size,
                root: TreeHash::from_slice(&wire.root).ok_or(HeadError::Form)?,
                signed_at: wire.signed_at,
            },
            signature: wire.signature.as_ref().try_into().map_err(|_| HeadError::Form)?,
            key: KeyId::from_slice(&wire.key_id).ok_or(HeadError::Form)?,
        })
    }

    /// As it travels, with the key that signed it and a proof of consistency from an older size (0 and empty:
    /// without one).
    pub fn to_wire(
        &self,
        public: &PublicKey,
        consistent_from: u64,
        consistency: &[TreeHash],
    ) -> SignedTreeHead {
        let proof = consistency.iter().map(|hash| hash.as_bytes().to_vec().into());
        SignedTreeHead {
            size: self.head.size,
            root: self.head.root.as_bytes().to_vec().into(),
            signed_at: self.head.signed_at,
            signature: self.signature.to_vec().into(),
            key_id: self.key.as_bytes().to_vec().into(),
            consistent_from,
            consistency: proof.collect(),
            public_key: public.as_bytes().to_vec().into(),
        }
    }
}

/// What is wrong with a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Not a public key as [`PublicKey::to_pem`] writes it.
    #[error("this is not an Ed25519 public key in PEM, as handfastctl audit public-key writes it")]
    Public,
    /// Not a seed.
    #[error("the audit log's key is not a seed of 32 bytes")]
    Seed,
}

/// The public half of the audit log's key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PublicKey([u8; KEY_BYTES]);

impl PublicKey {
    /// From its bytes. `None` if they are not 32.
    pub fn from_slice(raw: &[u8]) -> Option<Self> {
        raw.try_into().ok().map(Self)
    }

    /// Its bytes.
    pub fn as_bytes(&self) -> &[u8; KEY_BYTES] {
        &self.0
    }

    /// Its id.
    pub fn id(&self) -> KeyId {
        KeyId(Sha256::digest(self.0).into())
    }

    /// As a file: SPKI in PEM (RFC 8410, RFC 7468), as every tool reads it.
    pub fn to_pem(&self) -> String {
        let mut der = SPKI_BEGIN.to_vec();
        der.extend_from_slice(&self.0);
        format!("{PEM_BEGIN}\n{}\n{PEM_END}\n", STANDARD.encode(der))
    }

    /// Reads such a file.
    pub fn from_pem(text: &str) -> Result<Self, KeyError> {
        let inner = text
            .trim()
            .strip_prefix(PEM_BEGIN)
            .and_then(|t| t.strip_suffix(PEM_END));
        let coded: String = inner.ok_or(KeyError::Public)?.split_whitespace().collect();
        let der = STANDARD.decode(coded).map_err(|_| KeyError::Public)?;
        let key = der.strip_prefix(&SPKI_BEGIN).ok_or(KeyError::Public)?;
        Self::from_slice(key).ok_or(KeyError::Public)
    }

    /// Checks a head of a deployment.
    pub fn verify(&self, trust_domain: &str, signed: &SignedHead) -> Result<(), HeadError> {
        if signed.key != self.id() {
            return Err(HeadError::OtherKey);
        }
        let holds = self.verify_message(&signed.head.message(trust_domain), &signed.signature);
        holds.then_some(()).ok_or(HeadError::Signature)
    }

    /// Checks the signature under a log as a file.
    pub fn verify_export(&self, trust_domain: &str, digest: &[u8; 32], signature: &[u8]) -> bool {
        self.verify_message(&export_message(trust_domain, digest), signature)
    }

    fn verify_message(&self, message: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&ED25519, &self.0)
            .verify(message, signature)
            .is_ok()
    }
}

/// The audit log's key. `Debug` shows only its public half.
pub struct SigningKey {
    pair: Ed25519KeyPair,
    public: PublicKey,
}

impl SigningKey {
    /// From its seed (RFC 8032 section 5.1.5: the private key, 32 random bytes).
    pub fn from_seed(seed: &[u8]) -> Result<Self, KeyError> {
        let pair = Ed25519KeyPair::from_seed_unchecked(seed).map_err(|_| KeyError::Seed)?;
        let public = PublicKey::from_slice(pair.public_key().as_ref()).ok_or(KeyError::Seed)?;
        Ok(Self { pair, public })
    }

    /// The public half.
    pub fn public(&self) -> PublicKey {
        self.public
    }

    /// Signs a head of a deployment.
    pub fn sign(&self, trust_domain: &str, head: TreeHead) -> SignedHead {
        let mut signature = [0; SIGNATURE_BYTES];
        signature.copy_from_slice(self.pair.sign(&head.message(trust_domain)).as_ref());
        SignedHead {
            head,
            signature,
            key: self.public.id(),
        }
    }

    /// Signs a log as a file, by the SHA-256 of what stands before the signature.
    pub fn sign_export(&self, trust_domain: &str, digest: &[u8; 32]) -> [u8; SIGNATURE_BYTES] {
        let mut signature = [0; SIGNATURE_BYTES];
        signature.copy_from_slice(self.pair.sign(&export_message(trust_domain, digest)).as_ref());
        signature
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({})", self.public.id())
    }
}
