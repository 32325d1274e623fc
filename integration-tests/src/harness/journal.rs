//! What a recipient saw, message by message, and what must be true of it.
//!
//! An arrival is written down before its receipt is sent, so that whatever a revocation counts as received
//! is in the journal when the revocation's call returns.

use std::collections::{BTreeMap, HashSet};

use handfast_proto::{
    amendment::{Batch, Form},
    v1::{SubscribeResponse, subscribe_response::Message},
};

/// One message from the daemon, or a connection's end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arrival {
    /// Which connection of this recipient, from 1.
    pub connection: u32,
    /// The message's number; 0 for a connection's end.
    pub number: u64,
    /// What it was.
    pub what: What,
}

/// The messages of a subscription, without payloads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// The first message.
    Welcome {
        /// Session number.
        session: u64,
        /// Whether the store was accepted.
        accepted: bool,
        /// Whether the store is new to the daemon.
        anew: bool,
        /// Sources and grants in force.
        grants: Vec<(String, u64)>,
    },
    /// Amendments, or one complete amendment's first piece.
    Deliver {
        /// Who recorded them.
        source: String,
        /// Under which grant.
        grant: u64,
        /// 0, or the catch-up.
        job: u64,
        /// Their seqs.
        seqs: Vec<u64>,
    },
    /// A later piece of a large amendment.
    Piece {
        /// Who recorded it.
        source: String,
        /// Under which grant.
        grant: u64,
        /// Where it begins.
        offset: u64,
        /// Its bytes.
        len: usize,
    },
    /// The fence.
    Fenced {
        /// Source.
        source: String,
        /// The ended grant.
        grant: u64,
    },
    /// Remove what is held.
    Withdraw {
        /// The job.
        job: u64,
        /// Source.
        source: String,
        /// The ended grant.
        ended_grant: u64,
    },
    /// A catch-up's edge.
    CatchUp {
        /// The job.
        job: u64,
        /// Source.
        source: String,
        /// Grant.
        grant: u64,
        /// Whether it is the end.
        complete: bool,
        /// Where the live feed goes on.
        upto_seq: u64,
    },
    /// How a grant stands, or a head of the audit log.
    Note,
    /// The connection ended, and how.
    Ended(String),
    /// The message breaks the contract, and how.
    Broken(String),
}

impl What {
    /// Reads a message.
    pub fn of(message: SubscribeResponse) -> Self {
        match message.message {
            Some(Message::Welcome(w)) => Self::Welcome {
                session: w.session,
                accepted: w.accepted,
                anew: w.anew,
                grants: w.grants.into_iter().map(|g| (g.source, g.grant)).collect(),
            },
            Some(Message::Deliver(d)) => match Batch::parse(d.header, d.body, Form::Delivered) {
                Ok(batch) => Self::deliver(d.source, d.grant, d.job, &batch),
                Err(e) => Self::Broken(e.to_string()),
            },
            Some(Message::Piece(p)) if p.header.is_empty() => Self::Piece {
                source: p.source,
                grant: p.grant,
                offset: p.offset,
                len: p.data.len(),
            },
            Some(Message::Piece(p)) => match first_piece(&p.header) {
                Some(seq) => Self::Deliver {
                    source: p.source,
                    grant: p.grant,
                    job: p.job,
                    seqs: vec![seq],
                },
                None => Self::Broken("a first piece without a readable header".to_owned()),
            },
            Some(Message::Fenced(f)) => Self::Fenced {
                source: f.source,
                grant: f.grant,
            },
            Some(Message::Withdraw(w)) => Self::Withdraw {
                job: w.job,
                source: w.source,
                ended_grant: w.ended_grant,
            },
            Some(Message::CatchUp(c)) => Self::CatchUp {
                job: c.job,
                source: c.source,
                grant: c.grant,
                complete: c.complete,
                upto_seq: c.upto_seq,
            },
            Some(Message::GrantStands(_) | Message::TreeHead(_)) => Self::Note,
            None => Self::Broken("a message without content".to_owned()),
        }
    }

    fn deliver(source: String, grant: u64, job: u64, batch: &Batch) -> Self {
        Self::Deliver {
            source,
            grant,
            job,
            seqs: (0..batch.len()).map(|i| batch.seq(i)).collect(),
        }
    }
}

fn first_piece(header: &[u8]) -> Option<u64> {
    use prost::Message as _;
    let columns = handfast_proto::v1::BatchHeader::decode(header).ok()?;
    Some(columns.first_seq)
}

/// All arrivals of a recipient, in order.
#[derive(Debug, Clone, Default)]
pub struct Journal {
    /// In the order of reading.
    pub arrivals: Vec<Arrival>,
    /// The number of the newest connection, counted when it begins to be made.
    pub connection: u32,
}

impl Journal {
    /// The live seqs of a source in the order they arrived.
    pub fn live_seqs(&self, source: &str) -> Vec<u64> {
        self.delivered(source)
            .filter(|(_, job, _)| *job == 0)
            .flat_map(|(_, _, seqs)| seqs.iter().copied())
            .collect()
    }

    /// Every seq of a source under a grant.
    pub fn seqs_of_grant(&self, source: &str, wanted: u64) -> Vec<u64> {
        self.delivered(source)
            .filter(|(grant, _, _)| *grant == wanted)
            .flat_map(|(_, _, seqs)| seqs.iter().copied())
            .collect()
    }

    /// How many amendments of a source arrived, catch-ups included.
    pub fn count(&self, source: &str) -> usize {
        self.delivered(source).map(|(_, _, seqs)| seqs.len()).sum()
    }

    /// The highest seq of a source that arrived; 0 where none did.
    pub fn highest_seq(&self, source: &str) -> u64 {
        self.delivered(source)
            .flat_map(|(_, _, seqs)| seqs.iter().copied())
            .max()
            .unwrap_or_default()
    }

    /// Every grant under which something of a source arrived.
    pub fn grants(&self, source: &str) -> HashSet<u64> {
        self.delivered(source).map(|(grant, _, _)| grant).collect()
    }

    fn delivered<'a>(&'a self, source: &'a str) -> impl Iterator<Item = (u64, u64, &'a [u64])> {
        self.arrivals.iter().filter_map(move |a| match &a.what {
            What::Deliver {
                source: s,
                grant,
                job,
                seqs,
                ..
            } if s == source => Some((*grant, *job, seqs.as_slice())),
            _ => None,
        })
    }

    /// Whether a grant was fenced, or the withdrawal that follows it came.
    pub fn saw_the_end_of(&self, source: &str, wanted: u64) -> bool {
        self.arrivals.iter().any(|a| match &a.what {
            What::Fenced { source: s, grant } => s == source && *grant == wanted,
            What::Withdraw {
                source: s,
                ended_grant,
                ..
            } => s == source && *ended_grant >= wanted,
            _ => false,
        })
    }

    /// Nothing of a grant follows its `fenced`, on that connection or any later one; nothing of a grant
    /// follows its withdrawal; numbers count up by one on each connection; nothing is unreadable.
    pub fn check(&self) -> Result<(), String> {
        let mut ended: BTreeMap<(&str, u64), usize> = BTreeMap::new();
        let mut last = (0, 0);
        for (at, a) in self.arrivals.iter().enumerate() {
            match &a.what {
                What::Broken(why) => return Err(format!("arrival {at}: {why}")),
                What::Ended(_) => continue,
                What::Fenced { source, grant } => {
                    ended.entry((source, *grant)).or_insert(at);
                }
                What::Withdraw {
                    source, ended_grant, ..
                } => {
                    ended.entry((source, *ended_grant)).or_insert(at);
                }
                What::Deliver { source, grant, .. } | What::Piece { source, grant, .. } => {
                    if let Some(fence) = ended.get(&(source.as_str(), *grant)) {
                        return Err(format!(
                            "arrival {at} (connection {}, number {}) is of {source}'s grant {grant}, which \
                             ended with arrival {fence}",
                            a.connection, a.number
                        ));
                    }
                }
                What::Welcome { .. } | What::CatchUp { .. } | What::Note => {}
            }
            let expected = if last.0 == a.connection { last.1 + 1 } else { 1 };
            if a.number != expected {
                return Err(format!("arrival {at}: number {} instead of {expected}", a.number));
            }
            last = (a.connection, a.number);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arrival(connection: u32, number: u64, what: What) -> Arrival {
        Arrival {
            connection,
            number,
            what,
        }
    }

    fn piece(grant: u64) -> What {
        What::Piece {
            source: "Z00101".into(),
            grant,
            offset: 1,
            len: 1,
        }
    }

    #[test]
    fn what_follows_a_fence_is_found() {
        let fence = What::Fenced {
            source: "Z00101".into(),
            grant: 3,
        };
        let mut journal = Journal::default();
        journal.arrivals.push(arrival(1, 1, piece(3)));
        journal.arrivals.push(arrival(1, 2, fence));
        journal.arrivals.push(arrival(1, 3, piece(4)));
        assert_eq!(journal.check(), Ok(()));
        let mut same = journal.clone();
        same.arrivals.push(arrival(1, 4, piece(3)));
        assert!(same.check().is_err());
        journal.arrivals.push(arrival(2, 1, piece(3)));
        assert!(journal.check().is_err());
    }

    #[test]
    fn a_gap_in_the_numbers_is_found() {
        let mut journal = Journal::default();
        journal.arrivals.push(arrival(1, 1, piece(3)));
        journal.arrivals.push(arrival(1, 3, piece(3)));
        assert!(journal.check().is_err());
    }
}
