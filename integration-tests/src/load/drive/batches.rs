//! Turns a source's stream of amendments into what travels: batches, and pieces of what is too large for one.
//! Each amendment is written down for the checker before it is handed out.

use std::{sync::Arc, time::Duration};

use handfast_proto::{
    amendment::{Amendment, BatchBuilder, Category},
    limits::{MAX_BATCH_BODY_BYTES, MAX_PIECE_BYTES},
    v1::{PublishBatch, PublishPiece, PublishRequest, publish_request::Message},
};

use super::super::{
    check::{Known, Sent, hash},
    data::{Meta, Stream},
    plan::Schedule,
};
use crate::bench::flood::chain;

/// When amendments are due.
pub(super) enum Pace {
    /// As fast as they are taken: an amendment is due when it is made.
    Closed,
    /// At times that nothing changes, from the start of the load.
    Open {
        schedule: Schedule,
        next: Option<Duration>,
        start: Duration,
    },
}

impl Pace {
    /// By a schedule that starts at `start` of the run's clock; without one, closed.
    pub(super) fn new(schedule: Option<Schedule>, start: Duration) -> Self {
        match schedule {
            None => Self::Closed,
            Some(mut schedule) => Self::Open {
                next: schedule.next(),
                schedule,
                start,
            },
        }
    }

    /// When the next is due; `None`: now, or never.
    pub(super) fn next(&self) -> Option<Duration> {
        match self {
            Self::Closed => None,
            Self::Open { next, start, .. } => next.map(|next| *start + next),
        }
    }

    /// Whether all that were due were taken.
    pub(super) fn is_over(&self) -> bool {
        matches!(self, Self::Open { next: None, .. })
    }

    /// Takes the next that is due by now.
    fn take(&mut self, now: Duration) -> Option<Duration> {
        match self {
            Self::Closed => Some(now),
            Self::Open {
                schedule,
                next,
                start,
            } => {
                let due = *start + (*next)?;
                if due > now {
                    return None;
                }
                *next = schedule.next();
                Some(due)
            }
        }
    }
}

/// What is sent together and acknowledged together.
#[derive(Debug, Clone)]
pub(super) struct Outgoing {
    pub(super) last_seq: u64,
    pub(super) requests: Vec<PublishRequest>,
    pub(super) bytes: usize,
}

/// One source's amendments, numbered.
pub(super) struct Batches {
    known: Arc<Known>,
    source: u32,
    stream: Stream,
    pace: Pace,
    seq: u64,
    /// Made and due, and not in a batch yet.
    waiting: Option<(Meta, Amendment, Duration)>,
}

impl Batches {
    pub(super) fn new(known: Arc<Known>, source: u32, stream: Stream, pace: Pace) -> Self {
        Self {
            known,
            source,
            stream,
            pace,
            seq: 0,
            waiting: None,
        }
    }

    pub(super) fn pace(&self) -> &Pace {
        &self.pace
    }

    /// Whether something could be sent now.
    pub(super) fn is_due(&self) -> bool {
        let due = || match self.pace {
            Pace::Closed => true,
            Pace::Open { .. } => self
                .pace
                .next()
                .is_some_and(|due| due <= self.known.begun().elapsed()),
        };
        self.waiting.is_some() || due()
    }

    /// The last seq that was made.
    pub(super) fn last(&self) -> u64 {
        self.seq
    }

    /// The next batch of what is due, or one amendment in pieces; `None` where nothing is.
    pub(super) fn next(&mut self) -> anyhow::Result<Option<Outgoing>> {
        let now = self.known.begun().elapsed();
        let first = self.seq + 1;
        let mut builder = BatchBuilder::new(first);
        loop {
            if self.waiting.is_none() {
                let Some(due) = self.pace.take(now) else { break };
                let (meta, amendment) = self.stream.next()?;
                self.waiting = Some((meta, amendment, due));
            }
            let Some((meta, amendment, due)) = &self.waiting else {
                break;
            };
            let is_large = amendment.payload.len() > MAX_BATCH_BODY_BYTES;
            if !builder.is_empty() && (is_large || !builder.fits(amendment)) {
                break;
            }
            // In a closed loop an amendment that waited for its batch is due when that is made.
            let due = if matches!(self.pace, Pace::Closed) {
                now
            } else {
                *due
            };
            self.note(meta, hash(amendment.record.as_bytes()), due)?;
            self.seq += 1;
            if is_large {
                let pieces = in_pieces(self.seq, amendment);
                self.waiting = None;
                return Ok(Some(pieces));
            }
            builder.push(amendment);
            self.waiting = None;
        }
        if builder.is_empty() {
            return Ok(None);
        }
        let encoded = builder.finish();
        let bytes = encoded.body.len();
        let batch = PublishBatch {
            header: encoded.header,
            body: encoded.body,
            chain_before: chain(first - 1),
            chain_after: chain(self.seq),
        };
        Ok(Some(Outgoing {
            last_seq: self.seq,
            requests: vec![request(Message::Batch(batch))],
            bytes,
        }))
    }

    /// Resources that are due, as the source's clinical system writes them: at most so many.
    pub(super) fn resources(&mut self, most: usize) -> anyhow::Result<Vec<String>> {
        let now = self.known.begun().elapsed();
        let mut lines = Vec::new();
        while lines.len() < most {
            let Some(due) = self.pace.take(now) else { break };
            let (meta, resource) = self.stream.next_resource();
            // What is left out is noted as what must not come, and is not held against anyone.
            let is_patient = meta.category == Category::Demographics;
            let private = meta.private || is_patient;
            // Nobody sees under which name an agent sends it.
            self.note(&Meta { private, ..meta }, 0, due)?;
            self.seq += 1;
            if !is_patient {
                lines.push(String::from_utf8(resource.to_vec())?);
            }
        }
        Ok(lines)
    }

    #[expect(clippy::cast_possible_truncation, reason = "the log counts modulo 2^32")]
    fn note(&self, meta: &Meta, name: u32, due: Duration) -> anyhow::Result<()> {
        let sent = Sent {
            record: meta.record,
            patient: meta.patient,
            op: meta.op,
            private: meta.private,
            due_us: due.as_micros() as u32,
        };
        match self.known.log(self.source) {
            Some(log) => log.push(sent, name),
            None => anyhow::bail!("source {} has no log", self.source),
        }
    }
}

fn in_pieces(seq: u64, amendment: &Amendment) -> Outgoing {
    let mut requests = Vec::new();
    let mut offset = 0;
    for part in amendment.payload.chunks(MAX_PIECE_BYTES) {
        let mut piece = PublishPiece {
            offset: offset as u64,
            data: amendment.payload.slice(offset..offset + part.len()),
            ..PublishPiece::default()
        };
        if offset == 0 {
            piece.header = BatchBuilder::header_in_pieces(seq, amendment);
            piece.chain_before = chain(seq - 1);
            piece.chain_after = chain(seq);
        }
        offset += part.len();
        requests.push(request(Message::Piece(piece)));
    }
    Outgoing {
        last_seq: seq,
        requests,
        bytes: amendment.payload.len(),
    }
}

fn request(message: Message) -> PublishRequest {
    PublishRequest {
        message: Some(message),
    }
}
