//! A log as a file: how it is written. See `audit_log.proto` for the frames, and [`super::Verifier`] for what
//! reads it.
//!
//! Invariant: every byte is under the tree's heads or under the signature at the end, which covers all of them.

use prost::Message as _;
use sha2::{Digest as _, Sha256};

use crate::{
    merkle::{SignedHead, SigningKey},
    v1::{ExportBegin, ExportEnd, ExportEntry, ExportFrame, ExportHead, export_frame::Frame},
};

/// What a file begins with.
pub const EXPORT_MAGIC: &[u8] = b"handfast audit export 1\n";

/// Bytes of one frame: a leaf, and what stands beside it.
pub const MAX_FRAME_BYTES: usize = 128 * 1024;

/// Writes a file, piece by piece.
pub struct ExportWriter {
    trust_domain: String,
    written: Sha256,
}

impl ExportWriter {
    /// Begins a file; its first bytes.
    pub fn begin(begin: ExportBegin) -> (Self, Vec<u8>) {
        let mut writer = Self {
            trust_domain: begin.trust_domain.clone(),
            written: Sha256::new(),
        };
        let mut out = EXPORT_MAGIC.to_vec();
        out.extend(encode(Frame::Begin(begin)));
        writer.written.update(&out);
        (writer, out)
    }

    /// The next entry.
    pub fn entry(&mut self, entry: ExportEntry) -> Vec<u8> {
        self.frame(Frame::Entry(entry))
    }

    /// A head over all entries before it.
    pub fn head(&mut self, signed: &SignedHead) -> Vec<u8> {
        self.frame(Frame::Head(ExportHead {
            root: signed.head.root.as_bytes().to_vec().into(),
            signed_at: signed.head.signed_at,
            signature: signed.signature.to_vec().into(),
        }))
    }

    /// Ends the file.
    pub fn end(self, key: &SigningKey) -> Vec<u8> {
        let digest: [u8; 32] = self.written.finalize().into();
        let signature = key.sign_export(&self.trust_domain, &digest);
        encode(Frame::End(ExportEnd {
            signature: signature.to_vec().into(),
        }))
    }

    fn frame(&mut self, frame: Frame) -> Vec<u8> {
        let out = encode(frame);
        self.written.update(&out);
        out
    }
}

fn encode(frame: Frame) -> Vec<u8> {
    let frame = ExportFrame { frame: Some(frame) };
    // A frame is bounded by its leaf, and that is far below 4 GiB.
    let len = u32::try_from(frame.encoded_len()).unwrap_or(u32::MAX);
    let mut out = len.to_be_bytes().to_vec();
    out.extend(frame.encode_to_vec());
    out
}
