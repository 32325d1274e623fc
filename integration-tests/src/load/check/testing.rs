//! A source and a recipient with sequences made by hand, for the checker's tests.

use std::sync::Arc;

use bytes::Bytes;
use handfast_proto::{
    amendment::{Amendment, Batch, BatchBuilder, Category, Confidentiality, Cut, Form, Op, Subject, Text},
    ids::RecordId,
    v1::{CatchUp, ReconcileScope, RevocationReceipt, Withdraw},
};

use super::{Checker, Claim, Findings, Known, Sent};
use crate::harness::nhs_number;

pub(super) const SOURCE: &str = "Z00001";
pub(super) const GRANT: u64 = 3;
/// The recipient's place, and the source's.
pub(super) const ME: u32 = 1;
pub(super) const FROM: u32 = 0;

/// A source, a recipient with an agreement, and a unit without.
pub(super) struct Scene {
    pub(super) known: Arc<Known>,
    pub(super) checker: Checker,
    pub(super) sent: Vec<Amendment>,
}

fn read(payload: &[u8]) -> Option<Claim> {
    let text = std::str::from_utf8(payload).ok()?;
    let mut numbers = text.split(' ').map(str::parse::<u32>);
    let mut next = || numbers.next()?.ok();
    Some(Claim {
        source: next()?,
        seq: u64::from(next()?),
        record: next()?,
    })
}

impl Scene {
    /// With grant [`GRANT`] in force, and caught up to nothing.
    pub(super) fn joined() -> Self {
        let units = ["Z00001", "Z00002", "Z00003"].map(str::to_owned).to_vec();
        let numbers = (0..100).map(|k| nhs_number(k).unwrap().as_u64()).collect();
        let known = Arc::new(Known::new(units, &[(FROM, ME)], numbers, read));
        let checker = Checker::new(Arc::clone(&known), &[(FROM, ME)], |_| true).unwrap();
        let scene = Self {
            known,
            checker,
            sent: Vec::new(),
        };
        scene.with(super::Recipient::connecting);
        scene.grant(GRANT, 0);
        scene
    }

    pub(super) fn with<T>(&self, run: impl FnOnce(&mut super::Recipient) -> T) -> T {
        run(&mut self.checker.recipient(ME).unwrap().lock())
    }

    /// A grant begins, and its catch-up with nothing in it is complete.
    pub(super) fn grant(&self, grant: u64, upto: u64) {
        self.known.consents.turning_on((FROM, ME));
        self.known.consents.turned_on((FROM, ME), grant);
        self.edge(grant, grant, false, 0, ReconcileScope::Everything, 0);
        self.edge(grant, grant, true, upto, ReconcileScope::Everything, 0);
    }

    pub(super) fn edge(
        &self,
        grant: u64,
        job: u64,
        complete: bool,
        upto: u64,
        scope: ReconcileScope,
        patient: u64,
    ) {
        let edge = CatchUp {
            job,
            source: SOURCE.to_owned(),
            grant,
            complete,
            upto_seq: upto,
            scope: scope.into(),
            patient,
        };
        self.with(|me| me.edge(&edge));
    }

    /// The source sends another: record `record`, patient the same.
    pub(super) fn sends(&mut self, op: Op, record: u32, private: bool) {
        let seq = self.sent.len() + 1;
        let name: RecordId = format!("Observation/{record}").parse().unwrap();
        let header_only = private || op == Op::Retract;
        let confidentiality = if private {
            Confidentiality::PRIVATE
        } else {
            Confidentiality::NORMAL
        };
        let sent = Sent {
            record,
            patient: record,
            op,
            private,
            due_us: self.known.now_us(),
        };
        self.known.logs[0]
            .push(sent, super::hash(name.as_bytes()))
            .unwrap();
        self.sent.push(Amendment {
            op,
            record: name,
            subject: Some(Subject {
                patient: nhs_number(u64::from(record)).unwrap(),
                category: Category::Observations,
                confidentiality,
            }),
            former: None,
            author: Text::default(),
            recorded_at: 1,
            content_type: Text::default(),
            payload: if header_only {
                Bytes::new()
            } else {
                format!("{FROM} {seq} {record}").into_bytes().into()
            },
        });
    }

    pub(super) fn sends_some(&mut self, records: u32) {
        (0..records).for_each(|record| self.sends(Op::Create, record, false));
    }

    /// Some of what was sent, from `first` on, as the daemon would cut it.
    pub(super) fn message(&self, seqs: &[usize]) -> Batch {
        let mut builder = BatchBuilder::new(1);
        self.sent.iter().for_each(|amendment| builder.push(amendment));
        let all = builder.finish();
        let all = Batch::parse(all.header, all.body, Form::Published).unwrap();
        let cuts: Vec<Cut> = (1..=all.len())
            .map(|seq| match (seqs.contains(&seq), self.sent[seq - 1].op) {
                (false, _) => Cut::Drop,
                (true, Op::Retract) => Cut::Retract,
                (true, _) => Cut::Keep,
            })
            .collect();
        let some = all.cut(&cuts).unwrap();
        Batch::parse(some.header, some.body, Form::Delivered).unwrap()
    }

    pub(super) fn live(&self, seqs: &[usize]) {
        self.under(GRANT, 0, seqs);
    }

    pub(super) fn under(&self, grant: u64, job: u64, seqs: &[usize]) {
        let batch = self.message(seqs);
        self.with(|me| me.deliver(SOURCE, grant, job, &batch));
    }

    pub(super) fn off(&self, grant: u64, may_have_received_to: u64) {
        let receipt = RevocationReceipt {
            ended_grant: grant,
            may_have_received_to,
            ..RevocationReceipt::default()
        };
        self.known.consents.turned_off((FROM, ME), &receipt);
    }

    pub(super) fn withdraw(&self, ended_grant: u64) -> u64 {
        let withdraw = Withdraw {
            job: 77,
            source: SOURCE.to_owned(),
            ended_grant,
            patient: 0,
        };
        self.with(|me| me.withdraw(&withdraw))
    }

    /// Leaks, lost, duplicated, out of order, forged.
    pub(super) fn found(&self) -> [u64; 5] {
        counts(&self.checker.findings())
    }

    pub(super) fn concludes(&self) -> [u64; 5] {
        counts(&self.checker.conclude())
    }
}

fn counts(f: &Findings) -> [u64; 5] {
    [f.leaks, f.lost, f.duplicated, f.out_of_order, f.forged]
}
