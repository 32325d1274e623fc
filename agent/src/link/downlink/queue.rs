//! What has arrived and is not committed yet: bounded in bytes and in messages. The daemon keeps within
//! the credit it was given, so the reader waits here only if the daemon does not.

use std::sync::Arc;

use handfast_proto::limits::MAX_CREDIT_BYTES;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use super::translate::Arrival;

/// Messages in the queue.
const MAX_MESSAGES: usize = 4096;

/// A permit stands for this many bytes.
const BYTES_PER_PERMIT: usize = 1024;

/// Kibibytes in the queue: twice the credit. One message may take all of it.
#[expect(clippy::cast_possible_truncation, reason = "the credit is a megabyte")]
const MAX_PERMITS: usize = 2 * MAX_CREDIT_BYTES as usize / BYTES_PER_PERMIT;

/// The reader's end.
pub(super) struct Filling {
    sender: mpsc::Sender<(Arrival, OwnedSemaphorePermit)>,
    room: Arc<Semaphore>,
}

/// The applier's end.
pub(super) struct Emptying {
    receiver: mpsc::Receiver<(Arrival, OwnedSemaphorePermit)>,
}

/// What was taken together. Its room is free again when it is dropped.
pub(super) struct Taken {
    pub(super) arrivals: Vec<Arrival>,
    _room: Vec<OwnedSemaphorePermit>,
}

/// A queue.
pub(super) fn queue() -> (Filling, Emptying) {
    let (sender, receiver) = mpsc::channel(MAX_MESSAGES);
    let room = Arc::new(Semaphore::new(MAX_PERMITS));
    (Filling { sender, room }, Emptying { receiver })
}

impl Filling {
    /// Puts a message in, waiting for room. False where nobody takes any more.
    pub(super) async fn put(&self, arrival: Arrival) -> bool {
        let permits = arrival.weight.div_ceil(BYTES_PER_PERMIT).clamp(1, MAX_PERMITS);
        let permits = u32::try_from(permits).unwrap_or(u32::MAX);
        let Ok(room) = self.room.clone().acquire_many_owned(permits).await else {
            return false;
        };
        self.sender.send((arrival, room)).await.is_ok()
    }
}

impl Emptying {
    /// Takes everything that is there, waiting for the first. `None` once the reader is gone and all is
    /// taken.
    pub(super) async fn take(&mut self) -> Option<Taken> {
        let mut both = Vec::new();
        if self.receiver.recv_many(&mut both, MAX_MESSAGES).await == 0 {
            return None;
        }
        let (arrivals, room) = both.into_iter().unzip();
        Some(Taken {
            arrivals,
            _room: room,
        })
    }
}
