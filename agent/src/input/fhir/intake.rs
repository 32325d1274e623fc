//! What the handlers share: the outbox, the codec, and a bound on the bytes that are in memory at once.

use std::sync::Arc;

use axum::body::{Body, Bytes};
use http::{HeaderMap, StatusCode};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{
    answer::Told,
    request::{body, check_media_type, expected_bytes},
};
use crate::{
    codec::fhir::{Document, Fault},
    input::InputContext,
};

/// Bytes of all bodies that are read or waiting for a commit.
const MAX_BODIES_KIB: u32 = 192 * 1024;

/// Bytes of a Bundle. It may hold many resources.
const MAX_BUNDLE_BYTES: usize = 64 * 1024 * 1024;

/// White space that a body may have beside its resource, in bytes.
const BODY_SLACK_BYTES: usize = 4096;

/// A larger body is read on a thread for blocking work.
const LARGE_BYTES: usize = 64 * 1024;

/// Shared by all requests.
#[derive(Clone)]
pub(super) struct Intake {
    pub(super) ctx: InputContext,
    memory: Arc<Semaphore>,
}

/// A body in memory, and its share of the bound.
pub(super) struct Held {
    pub(super) bytes: Bytes,
    _share: OwnedSemaphorePermit,
}

impl Intake {
    pub(super) fn new(ctx: InputContext) -> Self {
        Self {
            ctx,
            memory: Arc::new(Semaphore::new(MAX_BODIES_KIB as usize)),
        }
    }

    /// Bytes of a body with one resource.
    pub(super) fn resource_bound(&self) -> usize {
        self.ctx.codec.max_payload_bytes() + BODY_SLACK_BYTES
    }

    /// Bytes of a body with a Bundle.
    pub(super) fn bundle_bound(&self) -> usize {
        MAX_BUNDLE_BYTES.max(self.resource_bound())
    }

    /// Reads a body of FHIR JSON once there is memory for it.
    pub(super) async fn receive(&self, headers: &HeaderMap, raw: Body, bound: usize) -> Result<Held, Told> {
        check_media_type(headers)?;
        let kib = expected_bytes(headers, bound).div_ceil(1024).max(1);
        let share = u32::try_from(kib).unwrap_or(MAX_BODIES_KIB).min(MAX_BODIES_KIB);
        let memory = Arc::clone(&self.memory).acquire_many_owned(share).await;
        let share = memory.map_err(|_| {
            Told::error(
                StatusCode::SERVICE_UNAVAILABLE,
                "transient",
                "the agent is stopping",
            )
        })?;
        let bytes = body(raw, headers, bound).await?;
        Ok(Held { bytes, _share: share })
    }

    /// Reads FHIR out of a body, without holding up other requests where it is large.
    pub(super) async fn parse(&self, bytes: &Bytes) -> Result<Document, Fault> {
        if bytes.len() <= LARGE_BYTES {
            return self.ctx.codec.document(bytes);
        }
        let (codec, bytes) = (Arc::clone(&self.ctx.codec), bytes.clone());
        let parsed = tokio::task::spawn_blocking(move || codec.document(&bytes)).await;
        parsed.unwrap_or(Err(Fault::NotAResource))
    }

    /// Counts what was refused before it came to the outbox.
    pub(super) fn refused(&self, count: u64) {
        self.ctx.outbox.count_rejected(count);
        self.ctx.board.count("rejected", count);
    }
}
