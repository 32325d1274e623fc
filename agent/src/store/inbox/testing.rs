//! What the tests of the inbox, the outputs and the link share: batches as a daemon sends them.

use std::{path::Path, sync::Arc};

use bytes::Bytes;
use handfast_proto::{
    amendment::{Batch, Form, Op},
    ids::{NhsNumber, OdsCode},
    v1::BatchHeader,
};
use prost::Message as _;

use super::{Grant, Group, Inbox, InboxLimits, Incoming, Message, OutputSpec, Scope};
use crate::clock::ManualClock;

/// 2026-11-23T10:00:00Z.
pub(crate) const NOON: i64 = 1_795_428_000_000;

/// A synthetic NHS number.
pub(crate) const PATIENT: u64 = 9_990_000_018;

/// Another one.
pub(crate) const OTHER_PATIENT: u64 = 9_990_000_026;

/// One amendment: seq, op, record, payload.
pub(crate) type Line<'a> = (u64, Op, &'a str, &'a str);

pub(crate) fn ods(code: &str) -> OdsCode {
    code.parse().unwrap()
}

pub(crate) fn nhs(number: u64) -> NhsNumber {
    NhsNumber::from_u64(number).unwrap()
}

/// Header and body of a batch of one patient's records.
pub(crate) fn encoded(lines: &[Line<'_>]) -> (Bytes, Bytes) {
    encoded_of(PATIENT, lines)
}

fn encoded_of(patient: u64, lines: &[Line<'_>]) -> (Bytes, Bytes) {
    let mut header = BatchHeader {
        first_seq: lines[0].0,
        authors: vec![String::new()],
        content_types: vec!["application/fhir+json".to_owned()],
        ..BatchHeader::default()
    };
    let mut body = Vec::new();
    for (seq, op, record, payload) in lines {
        let bare = matches!(op, Op::Retract | Op::Remove);
        header.seq.push(*seq);
        header.op.push(*op as u32);
        header.record.push(Bytes::copy_from_slice(record.as_bytes()));
        header.patient.push(if bare { 0 } else { patient });
        header.category.push(if bare { 0 } else { 6 });
        header.confidentiality.push(0);
        header.recorded_at.push(NOON);
        header.payload_len.push(u32::try_from(payload.len()).unwrap());
        header.author.push(0);
        header.content_type.push(0);
        body.extend_from_slice(payload.as_bytes());
    }
    (header.encode_to_vec().into(), body.into())
}

pub(crate) fn live(source: &str, grant: u64, lines: &[Line<'_>]) -> Incoming {
    in_job(source, grant, 0, lines)
}

pub(crate) fn in_job(source: &str, grant: u64, job: u64, lines: &[Line<'_>]) -> Incoming {
    of_patient(PATIENT, source, grant, job, lines)
}

/// A delivery of a patient's records; job 0 = live.
pub(crate) fn of_patient(patient: u64, source: &str, grant: u64, job: u64, lines: &[Line<'_>]) -> Incoming {
    let (header, body) = encoded_of(patient, lines);
    Incoming::Deliver {
        source: ods(source),
        grant,
        job,
        batch: Box::new(Batch::parse(header, body, Form::Delivered).unwrap()),
    }
}

pub(crate) fn begins(source: &str, grant: u64, job: u64) -> Incoming {
    job_begins(source, grant, job, Scope::Everything)
}

pub(crate) fn complete(source: &str, grant: u64, job: u64, upto_seq: u64) -> Incoming {
    job_complete(source, grant, job, Scope::Everything, upto_seq)
}

pub(crate) fn job_begins(source: &str, grant: u64, job: u64, scope: Scope) -> Incoming {
    Incoming::JobBegins {
        source: ods(source),
        grant,
        job,
        scope,
    }
}

pub(crate) fn job_complete(source: &str, grant: u64, job: u64, scope: Scope, upto_seq: u64) -> Incoming {
    Incoming::JobComplete {
        source: ods(source),
        grant,
        job,
        scope,
        upto_seq,
    }
}

pub(crate) fn fenced(source: &str, grant: u64) -> Incoming {
    Incoming::Fenced {
        source: ods(source),
        grant,
    }
}

pub(crate) fn withdraw(source: &str, job: u64, ended_grant: u64) -> Incoming {
    withdraw_of(None, source, job, ended_grant)
}

pub(crate) fn withdraw_of(patient: Option<u64>, source: &str, job: u64, ended_grant: u64) -> Incoming {
    Incoming::Withdraw {
        job,
        source: ods(source),
        ended_grant,
        patient: patient.map(nhs),
    }
}

/// An agreement's grant of everything.
pub(crate) fn grant(source: &str, number: u64) -> Grant {
    Grant {
        source: ods(source),
        number,
        patient: None,
        categories: Vec::new(),
        stale: false,
        not_everyone: false,
    }
}

/// An emergency's grant.
pub(crate) fn emergency(source: &str, number: u64, patient: u64) -> Grant {
    Grant {
        patient: Some(nhs(patient)),
        ..grant(source, number)
    }
}

pub(crate) fn welcome(anew: bool, grants: &[(&str, u64)]) -> Incoming {
    Incoming::Welcome {
        anew,
        grants: grants.iter().map(|(s, g)| grant(s, *g)).collect(),
    }
}

pub(crate) fn group(session: u64, first: u64, contents: Vec<Incoming>) -> Group {
    let messages: Vec<_> = (first..)
        .zip(contents)
        .map(|(number, content)| Message { number, content })
        .collect();
    Group {
        session,
        durable: first + messages.len() as u64 - 1,
        messages,
    }
}

pub(crate) async fn open(folder: &Path) -> Inbox {
    let clock = Arc::new(ManualClock::at(NOON));
    Inbox::open(&folder.join("inbox.db"), clock, InboxLimits::default())
        .await
        .unwrap()
}

/// An inbox with one output, named `out`.
pub(crate) async fn open_with_output(folder: &Path, kind: &str) -> Inbox {
    let inbox = open(folder).await;
    let spec = OutputSpec {
        name: "out".to_owned(),
        kind: kind.to_owned(),
    };
    inbox.set_outputs(&[spec]).await.unwrap();
    inbox
}
