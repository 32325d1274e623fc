//! What was handed to the transport and not yet acknowledged.

use std::collections::VecDeque;

use handfast_proto::{
    limits::MAX_PIECE_BYTES,
    v1::{PublishBatch, PublishPiece, PublishRequest, publish_request::Message},
};

use crate::store::outbox::Outgoing;

/// Bytes that may be unacknowledged. One batch may always be, however large.
const MAX_UNACKNOWLEDGED_BYTES: usize = 4 * 1024 * 1024;

/// Below this room nothing is read from the outbox, which would read the same rows again and again.
const MIN_ROOM_BYTES: usize = 512 * 1024;

/// Batches between the outbox and the daemon's acknowledgement, in seq order.
#[derive(Debug)]
pub(super) struct Window {
    /// The last seq taken from the outbox.
    sent: u64,
    /// The last seq acknowledged.
    acked: u64,
    unacknowledged: VecDeque<(u64, usize)>,
    bytes: usize,
    /// Messages that the transport has not taken yet.
    messages: VecDeque<PublishRequest>,
}

impl Window {
    /// Begins after the daemon's head.
    pub(super) fn after(head: u64) -> Self {
        Self {
            sent: head,
            acked: head,
            unacknowledged: VecDeque::new(),
            bytes: 0,
            messages: VecDeque::new(),
        }
    }

    pub(super) fn sent(&self) -> u64 {
        self.sent
    }

    /// Bytes to read from the outbox now; `None`: what is here must go first.
    pub(super) fn room(&self) -> Option<usize> {
        let room = MAX_UNACKNOWLEDGED_BYTES.saturating_sub(self.bytes);
        let open = self.unacknowledged.is_empty() || room >= MIN_ROOM_BYTES;
        (self.messages.is_empty() && open).then_some(room)
    }

    /// Takes the batches that fit. The others are read again.
    pub(super) fn fill(&mut self, rows: Vec<Outgoing>) {
        for row in rows {
            let weight = row.weight();
            let fits = self.bytes + weight <= MAX_UNACKNOWLEDGED_BYTES || self.unacknowledged.is_empty();
            if !fits || row.first_seq != self.sent + 1 {
                break;
            }
            self.sent = row.last_seq;
            self.bytes += weight;
            self.unacknowledged.push_back((row.last_seq, weight));
            push_messages(&mut self.messages, row);
        }
    }

    pub(super) fn has_messages(&self) -> bool {
        !self.messages.is_empty()
    }

    pub(super) fn next_message(&mut self) -> Option<PublishRequest> {
        self.messages.pop_front()
    }

    /// Everything up to `seq` is the daemon's. False: it was never sent.
    pub(super) fn acknowledge(&mut self, seq: u64) -> bool {
        if seq > self.sent {
            return false;
        }
        self.acked = self.acked.max(seq);
        while let Some((last, weight)) = self.unacknowledged.front().copied() {
            if last > seq {
                break;
            }
            self.bytes -= weight;
            self.unacknowledged.pop_front();
        }
        true
    }

    pub(super) fn acked(&self) -> u64 {
        self.acked
    }
}

fn push_messages(messages: &mut VecDeque<PublishRequest>, row: Outgoing) {
    let chain = |chain: handfast_proto::chain::Chain| chain.as_bytes().to_vec().into();
    if !row.in_pieces() {
        messages.push_back(request(Message::Batch(PublishBatch {
            chain_before: chain(row.chain_before),
            chain_after: chain(row.chain_after),
            header: row.header,
            body: row.body,
        })));
        return;
    }
    let mut rest = row.body.clone();
    let mut offset = 0;
    while !rest.is_empty() {
        let data = rest.split_to(rest.len().min(MAX_PIECE_BYTES));
        let len = data.len() as u64;
        let mut piece = PublishPiece {
            offset,
            data,
            ..PublishPiece::default()
        };
        if offset == 0 {
            piece.header = row.header.clone();
            piece.chain_before = chain(row.chain_before);
            piece.chain_after = chain(row.chain_after);
        }
        offset += len;
        messages.push_back(request(Message::Piece(piece)));
    }
}

fn request(message: Message) -> PublishRequest {
    PublishRequest {
        message: Some(message),
    }
}
