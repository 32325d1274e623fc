//! What units state in their streams, on its way into a commit: read when it is offered, carried out by whoever
//! keeps the consents, in the commit that appends it.

use async_trait::async_trait;
use futures::future::BoxFuture;
use handfast_proto::{
    amendment::{Batch, Op},
    ids::{NhsNumber, OdsCode},
    statement::{Statement, StatementError},
};

use crate::store::{Stated, StoreError, With, WordOutcome};

/// Waits, bounded, for what was in flight of what statements ended; true: it could not be established that nothing of it
/// is in flight any more. May be asked again.
pub type Settling = Box<dyn Fn() -> BoxFuture<'static, bool> + Send + Sync>;

/// A statement in its place in a stream.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Stating {
    /// Who states it.
    pub source: OdsCode,
    /// Its seq.
    pub seq: u64,
    /// The patient that it is about, as the batch header has it.
    pub patient: NhsNumber,
    /// What is stated.
    pub statement: Statement,
}

/// Why a statement is not taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("seq {seq}: {fault}; mend or leave out what was stated there, and say hello again")]
pub struct BadStatement {
    /// Its seq.
    pub seq: u64,
    /// What is wrong with it.
    pub fault: StatementError,
}

impl Stating {
    /// The statement of a batch that is one.
    pub fn of(source: OdsCode, batch: &Batch) -> Result<Option<Self>, BadStatement> {
        let entry = batch.entry(0);
        if entry.op != Op::Statement {
            return Ok(None);
        }
        let bad = |fault| BadStatement {
            seq: entry.seq,
            fault,
        };
        let statement = Statement::decode(&batch.payload(0)).map_err(bad)?;
        // A statement without a subject does not pass the check of its batch.
        let subject = entry.subject.ok_or(bad(StatementError::Value("patient")))?;
        if let Statement::NumberMoved { current, .. } = &statement
            && *current != subject.patient
        {
            return Err(bad(StatementError::Value("patient")));
        }
        Ok(Some(Self {
            source,
            seq: entry.seq,
            patient: subject.patient,
            statement,
        }))
    }

    /// Whether its sender is told when it is in force.
    pub fn comes_into_force(&self) -> bool {
        !matches!(self.statement, Statement::View(_))
    }
}

/// Carries out what units state.
#[async_trait]
pub trait Statements: Send + Sync + 'static {
    /// Makes ready what a commit is to hold for statements that it appends. Until the answer is dropped, no
    /// other change of consents commits.
    async fn prepare(&self, statements: &[Stating]) -> Result<Box<dyn Prepared>, StoreError>;
}

/// What a commit is to hold for the statements in it.
pub trait Prepared: Send {
    /// What they change.
    fn stated(&self) -> Vec<Stated>;

    /// What goes in beside that.
    fn with(&self) -> With;

    /// They are committed, and what became of their words. When this returns, nothing that they ended is handed
    /// over any more; what was in flight is waited for by the answer.
    fn committed(self: Box<Self>, words: &[WordOutcome]) -> Settling;

    /// The commit failed.
    fn failed(self: Box<Self>, error: &StoreError);
}

#[cfg(test)]
pub(crate) mod tests {
    use std::sync::Arc;

    use bytes::Bytes;
    use handfast_proto::{
        amendment::{Amendment, BatchBuilder, Category, Confidentiality, Form, Subject, Text},
        statement::STATEMENT_TYPE,
    };

    use super::*;

    /// A batch of one statement.
    pub(crate) fn batch_of_statement(seq: u64, patient: NhsNumber, payload: Vec<u8>) -> Arc<Batch> {
        let stating = Amendment {
            op: Op::Statement,
            record: format!("Consent/c-{seq}").parse().unwrap(),
            subject: Some(Subject {
                patient,
                category: Category::Administrative,
                confidentiality: Confidentiality::NORMAL,
            }),
            former: None,
            author: Text::default(),
            recorded_at: 1,
            content_type: Text::new(STATEMENT_TYPE).unwrap(),
            payload: Bytes::from(payload),
        };
        let mut builder = BatchBuilder::new(seq);
        builder.push(&stating);
        let made = builder.finish();
        Arc::new(Batch::parse(made.header, made.body, Form::Published).unwrap())
    }

    #[test]
    fn a_statement_is_read_and_a_broken_one_is_refused_with_its_seq() {
        let source = "Z00101".parse().unwrap();
        let patient = NhsNumber::from_u64(9_990_000_018).unwrap();
        let other = NhsNumber::from_u64(9_990_000_026).unwrap();
        let moved = Statement::NumberMoved {
            former: other,
            current: patient,
        };
        let good = batch_of_statement(7, patient, moved.encode());
        let read = Stating::of(source, &good).unwrap().unwrap();
        assert_eq!(
            (read.seq, read.patient, read.statement),
            (7, patient, moved.clone())
        );
        let broken = batch_of_statement(8, patient, vec![0xff; 8]);
        assert_eq!(Stating::of(source, &broken).unwrap_err().seq, 8);
        let of_another = batch_of_statement(9, other, moved.encode());
        assert!(
            Stating::of(source, &of_another).is_err(),
            "about one patient, under the name of another"
        );
        let amendment = crate::ingest::tests::batch(1, 1, 10);
        assert_eq!(Stating::of(source, &amendment), Ok(None));
    }
}
