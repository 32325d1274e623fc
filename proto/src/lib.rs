//! Handfast's contract: the generated gRPC code, and what daemon and agent share with no I/O.

pub mod amendment;
pub mod audit;
pub mod chain;
pub mod codec;
pub mod emergency;
pub mod ids;
pub mod limits;
pub mod merkle;
pub mod statement;
pub mod token;

/// The generated messages, clients and servers of `handfast.v1`.
#[expect(
    missing_docs,
    unused_qualifications,
    clippy::all,
    clippy::allow_attributes,
    clippy::too_many_lines,
    reason = "generated; the .proto files carry the documentation"
)]
pub mod v1 {
    tonic::include_proto!("handfast.v1");

    /// The encoded file descriptors of `handfast.v1`, for gRPC reflection.
    pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/handfast.v1.bin"));
}
