//! Bounds that both sides of the contract keep. Each name carries its unit.

/// Amendments in one batch.
pub const MAX_BATCH_AMENDMENTS: usize = 64;

/// Bytes of payload in one batch; a larger amendment travels in pieces.
pub const MAX_BATCH_BODY_BYTES: usize = 128 * 1024;

/// Bytes of payload in one piece of a larger amendment.
pub const MAX_PIECE_BYTES: usize = 128 * 1024;

/// Bytes of an encoded batch header.
pub const MAX_BATCH_HEADER_BYTES: usize = 64 * 1024;

/// Seqs that a publishing store may ask about in one comparison.
pub const MAX_COMPARE_POINTS: usize = 1024;

/// Bytes of one gRPC message of the Sync streams, decoded: a batch with its header and framing.
pub const MAX_SYNC_MESSAGE_BYTES: usize = 256 * 1024;

/// Bytes of one gRPC message of the other services, decoded.
pub const MAX_UNARY_MESSAGE_BYTES: usize = 4 * 1024 * 1024;

/// Bytes of one amendment's payload, unless configured otherwise.
pub const DEFAULT_MAX_PAYLOAD_BYTES: usize = 16 * 1024 * 1024;

/// Bytes of one amendment's payload that no configuration may exceed.
pub const HARD_MAX_PAYLOAD_BYTES: usize = 64 * 1024 * 1024;

/// Bytes that a recipient may let the daemon hand over before they are durable; a larger wish is capped.
pub const MAX_CREDIT_BYTES: u64 = 1024 * 1024;

/// The number of what stands on a Subscribe stream beside the session's own messages, and takes no receipt.
pub const BESIDE_THE_SESSION: u64 = 0;

/// Characters of an author, a content type, a reason or a name.
pub const MAX_TEXT_CHARS: usize = 200;
