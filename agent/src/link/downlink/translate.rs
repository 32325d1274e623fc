//! Reads the daemon's messages: checks their order and their content, and puts pieces together. What
//! breaks the protocol ends the connection; it is never passed over.

use handfast_proto::{
    amendment::{Batch, BatchError, Category, Form},
    ids::{NhsNumber, OdsCode},
    limits::BESIDE_THE_SESSION,
    v1::{
        CatchUp, Deliver, GrantInForce, ReconcileScope, SignedTreeHead, SubscribeResponse, SubscribeWelcome,
        subscribe_response::Message as Content,
    },
};

use super::assemble::Assembler;
use crate::store::inbox::{Grant, Incoming, Message, Scope};

/// How the daemon broke the protocol. Names no content.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum ProtocolError {
    /// Messages are numbered 1, 2, 3 …
    #[error("message {got} came where {expected} was due")]
    Number { expected: u64, got: u64 },
    #[error("message {0} is of a kind that this agent does not know; it may be older than the daemon")]
    Unknown(u64),
    #[error("the stream does not begin with a welcome, or has a second one")]
    Welcome,
    #[error("a source's ODS code is not valid")]
    Source,
    #[error("a patient's number is missing or not valid")]
    Patient,
    #[error(
        "a grant's category or a job's scope is of a kind that this agent does not know; it may be older than the daemon"
    )]
    Kind,
    #[error("a batch: {0}")]
    Batch(#[from] BatchError),
    #[error("a piece of an amendment: {0}")]
    Piece(&'static str),
    #[error("message {number} belongs to grant {grant} of {source_unit}, which has ended")]
    EndedGrant {
        number: u64,
        source_unit: OdsCode,
        grant: u64,
    },
}

/// A message that was read.
pub(super) struct Arrival {
    pub(super) message: Message,
    /// Up to here the stream is durable once the message is committed.
    pub(super) durable: u64,
    /// Bytes that it takes in memory, about.
    pub(super) weight: usize,
    /// A head of the audit log, which came beside the session's messages.
    pub(super) head: Option<Box<SignedTreeHead>>,
}

/// Reads one session's messages.
#[derive(Default)]
pub(super) struct Translator {
    last: u64,
    assembler: Assembler,
}

impl Translator {
    /// The welcome, which is the first message.
    pub(super) fn welcome(&mut self, response: SubscribeResponse) -> Result<SubscribeWelcome, ProtocolError> {
        self.count(response.number)?;
        match response.message {
            Some(Content::Welcome(welcome)) => Ok(welcome),
            _ => Err(ProtocolError::Welcome),
        }
    }

    /// What a welcome that was accepted says.
    pub(super) fn grants(welcome: &SubscribeWelcome) -> Result<Vec<Grant>, ProtocolError> {
        welcome.grants.iter().map(grant).collect()
    }

    /// Any later message.
    pub(super) fn read(&mut self, response: SubscribeResponse) -> Result<Arrival, ProtocolError> {
        let number = response.number;
        if number == BESIDE_THE_SESSION {
            return self.beside(response.message);
        }
        self.count(number)?;
        let mut weight = 0;
        let content = match response.message {
            None | Some(Content::TreeHead(_)) => return Err(ProtocolError::Unknown(number)),
            Some(Content::Welcome(_)) => return Err(ProtocolError::Welcome),
            Some(Content::Deliver(deliver)) => {
                let (content, bytes) = delivered(deliver)?;
                weight = bytes;
                content
            }
            Some(Content::Piece(piece)) => {
                let from = source(&piece.source)?;
                match self.assembler.piece(number, from, &piece)? {
                    None => Incoming::Nothing,
                    Some(batch) => {
                        weight = batch.weight();
                        Incoming::Deliver {
                            source: from,
                            grant: piece.grant,
                            job: piece.job,
                            batch: Box::new(batch),
                        }
                    }
                }
            }
            Some(Content::Fenced(fenced)) => {
                let from = source(&fenced.source)?;
                self.assembler.abandon(from, fenced.grant);
                Incoming::Fenced {
                    source: from,
                    grant: fenced.grant,
                }
            }
            Some(Content::Withdraw(withdraw)) => {
                let from = source(&withdraw.source)?;
                self.assembler.abandon(from, withdraw.ended_grant);
                Incoming::Withdraw {
                    job: withdraw.job,
                    source: from,
                    ended_grant: withdraw.ended_grant,
                    patient: patient(withdraw.patient)?,
                }
            }
            Some(Content::GrantStands(stands)) => {
                Incoming::Stands(grant(&stands.grant.ok_or(ProtocolError::Unknown(number))?)?)
            }
            Some(Content::CatchUp(edge)) => job_edge(&edge)?,
        };
        Ok(Arrival {
            message: Message { number, content },
            durable: self.durable(),
            weight,
            head: None,
        })
    }

    /// What stands beside the session's messages: heads of the audit log.
    fn beside(&self, message: Option<Content>) -> Result<Arrival, ProtocolError> {
        let Some(Content::TreeHead(head)) = message else {
            return Err(ProtocolError::Unknown(BESIDE_THE_SESSION));
        };
        Ok(Arrival {
            message: Message {
                number: self.last,
                content: Incoming::Nothing,
            },
            durable: self.durable(),
            weight: 0,
            head: Some(Box::new(head)),
        })
    }

    /// Up to where the stream is durable once the last message that was read is committed.
    fn durable(&self) -> u64 {
        let unfinished = self.assembler.floor();
        unfinished.map_or(self.last, |first| first.saturating_sub(1))
    }

    fn count(&mut self, got: u64) -> Result<(), ProtocolError> {
        let expected = self.last + 1;
        if got != expected {
            return Err(ProtocolError::Number { expected, got });
        }
        self.last = got;
        Ok(())
    }
}

fn delivered(deliver: Deliver) -> Result<(Incoming, usize), ProtocolError> {
    let batch = Batch::parse(deliver.header, deliver.body, Form::Delivered)?;
    let weight = batch.weight();
    let content = Incoming::Deliver {
        source: source(&deliver.source)?,
        grant: deliver.grant,
        job: deliver.job,
        batch: Box::new(batch),
    };
    Ok((content, weight))
}

fn job_edge(edge: &CatchUp) -> Result<Incoming, ProtocolError> {
    let (source, grant, job) = (source(&edge.source)?, edge.grant, edge.job);
    let scope = match ReconcileScope::try_from(edge.scope).map_err(|_| ProtocolError::Kind)? {
        ReconcileScope::Everything => Scope::Everything,
        ReconcileScope::Patient => Scope::Patient(patient(edge.patient)?.ok_or(ProtocolError::Patient)?),
        ReconcileScope::Changes => Scope::Changes,
    };
    Ok(if edge.complete {
        Incoming::JobComplete {
            source,
            grant,
            job,
            scope,
            upto_seq: edge.upto_seq,
        }
    } else {
        Incoming::JobBegins {
            source,
            grant,
            job,
            scope,
        }
    })
}

fn grant(wire: &GrantInForce) -> Result<Grant, ProtocolError> {
    let category = |raw: &u32| {
        let category = i32::try_from(*raw).ok().and_then(|c| Category::try_from(c).ok());
        category.ok_or(ProtocolError::Kind)
    };
    Ok(Grant {
        source: source(&wire.source)?,
        number: wire.grant,
        patient: patient(wire.patient)?,
        // One that is not known must not be left out: an empty list means every category.
        categories: wire.categories.iter().map(category).collect::<Result<_, _>>()?,
        stale: wire.stale,
        not_everyone: wire.not_everyone,
    })
}

/// 0 = none.
fn patient(raw: u64) -> Result<Option<NhsNumber>, ProtocolError> {
    if raw == 0 {
        return Ok(None);
    }
    NhsNumber::from_u64(raw)
        .map(Some)
        .map_err(|_| ProtocolError::Patient)
}

fn source(text: &str) -> Result<OdsCode, ProtocolError> {
    text.parse().map_err(|_| ProtocolError::Source)
}
