//! An agent's outbox for the suite, and the projector's part over what it published.

use std::sync::Arc;

use bytes::Bytes;
use handfast_proto::{
    amendment::{Amendment, Batch, BatchBuilder, Form, Op, Text},
    chain::Chain,
    ids::{OdsCode, StoreId},
    limits::MAX_BATCH_BODY_BYTES,
};

use super::kit::{T0, ods, store_id, subject};
use crate::store::{Head, LogBatch, LogRow, RecordVersion, Store};

/// An agent's outbox that makes batches, each following the one before.
#[derive(Clone)]
pub(crate) struct Outbox {
    source: OdsCode,
    store: StoreId,
    next: u64,
    chain: Chain,
}

impl Outbox {
    pub(crate) fn new(source: &str) -> Self {
        let store = store_id(7);
        Self {
            source: ods(source),
            store,
            next: 1,
            chain: Chain::start(store),
        }
    }

    /// The same stream from another outbox.
    pub(crate) fn reinstalled(&self, name: u8) -> Self {
        Self {
            store: store_id(name),
            ..self.clone()
        }
    }

    /// The same outbox, going on from a head.
    pub(crate) fn beginning_at(self, head: &Head) -> Self {
        Self {
            next: head.seq + 1,
            chain: head.chain.unwrap_or(self.chain),
            ..self
        }
    }

    /// A batch of so many amendments with payloads of so many bytes.
    pub(crate) fn batch(&mut self, amendments: u64, payload_bytes: usize) -> Arc<LogBatch> {
        let seqs = self.next..self.next + amendments;
        let amendments: Vec<_> = seqs.map(|seq| amendment(seq, payload_bytes)).collect();
        self.batch_of(&amendments)
    }

    /// A batch of these amendments; one that is too large for a batch is alone.
    pub(crate) fn batch_of(&mut self, amendments: &[Amendment]) -> Arc<LogBatch> {
        let (first, before) = (self.next, self.chain);
        for amendment in amendments {
            self.chain = self.chain.extend(self.next, amendment);
            self.next += 1;
        }
        let batch = match amendments {
            [large] if large.payload.len() > MAX_BATCH_BODY_BYTES => {
                let header = BatchBuilder::header_in_pieces(first, large);
                Batch::parse(header, large.payload.clone(), Form::PublishedInPieces)
            }
            _ => {
                let mut builder = BatchBuilder::new(first);
                amendments.iter().for_each(|amendment| builder.push(amendment));
                let encoded = builder.finish();
                Batch::parse(encoded.header, encoded.body, Form::Published)
            }
        };
        Arc::new(LogBatch {
            source: self.source,
            store: self.store,
            batch: Arc::new(batch.unwrap()),
            chain_before: Some(before),
            chain_after: self.chain,
        })
    }
}

/// A new record of the kit's patient; its payload never begins with a zero.
pub(crate) fn amendment(seq: u64, payload_bytes: usize) -> Amendment {
    let byte = u8::try_from(seq % 250 + 1).unwrap();
    Amendment {
        op: Op::Create,
        record: format!("Observation/{seq}").parse().unwrap(),
        subject: Some(subject()),
        former: None,
        author: Text::new("a clinician").unwrap(),
        recorded_at: T0,
        content_type: Text::new("application/fhir+json").unwrap(),
        payload: Bytes::from(vec![byte; payload_bytes]),
    }
}

/// A batch as the log has it, read and checked.
pub(crate) fn parsed(row: &LogRow) -> Batch {
    let form = if row.body.len() > MAX_BATCH_BODY_BYTES {
        Form::PublishedInPieces
    } else {
        Form::Published
    };
    Batch::parse(row.header.clone(), row.body.clone(), form).unwrap()
}

/// Brings the projection of a source up to the head of its log, as the projector does.
pub(crate) async fn project_all(store: &impl Store, source: &str) {
    let through = store.projected_through(ods(source)).await.unwrap();
    let rows = store.read_log(ods(source), through, usize::MAX).await.unwrap();
    let batches: Vec<Batch> = rows.iter().map(parsed).collect();
    let records = batches
        .iter()
        .flat_map(Batch::entries)
        .filter(|e| e.seq > through && e.op != Op::Statement);
    let versions: Vec<RecordVersion> = records
        .map(|e| RecordVersion {
            record: e.record.clone(),
            seq: e.seq,
            subject: e.subject,
            retracted: e.op == Op::Retract,
        })
        .collect();
    let head = rows.last().map_or(through, |row| row.last_seq);
    store.project(ods(source), &versions, head).await.unwrap();
}
