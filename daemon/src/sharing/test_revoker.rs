//! A delivery side for the tests of the acts: it commits, keeps a book, and fences nothing.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use async_trait::async_trait;
use handfast_proto::ids::{NhsNumber, OdsCode};
use parking_lot::Mutex;

use super::testing::START;
use crate::{
    consent::{Book, Facts, PairTerms, Policy, Standing},
    delivery::{
        DeliveryStatus, HalfInForce, InForce, PairReceipt, Receipt, Revoker, UnitInForce, WordsInForce,
    },
    store::{
        AccessId, AgreementRow, ClaimChange, EmergencyRow, EndAccess, HalfChange, NewEntry, OpenEmergency,
        OpenedSource, Store, StoreError, UnitChange, UnitState, With, WordChange,
    },
};

/// Commits what it is asked, and answers "pending", and with receipts, when told to.
pub(super) struct StoreRevoker {
    store: Arc<dyn Store>,
    book: Mutex<Arc<Book>>,
    pub(super) pending: AtomicBool,
    pub(super) receipts: Mutex<Vec<PairReceipt>>,
    pub(super) status: Mutex<DeliveryStatus>,
    /// How many words each call recorded.
    pub(super) recorded: Mutex<Vec<usize>>,
}

impl StoreRevoker {
    pub(super) fn new(store: Arc<dyn Store>, policy: Policy) -> Self {
        Self {
            store,
            book: Mutex::new(Arc::new(Book::new(policy, [], []))),
            pending: AtomicBool::new(false),
            receipts: Mutex::default(),
            status: Mutex::default(),
            recorded: Mutex::default(),
        }
    }

    /// Changes what the book knows of a patient at a unit.
    pub(super) fn knows(&self, unit: OdsCode, patient: NhsNumber, change: impl Fn(Facts) -> Facts) {
        self.swap(|book| book.with_facts(unit, [patient], change));
    }

    fn swap(&self, change: impl FnOnce(&Book) -> Book) {
        let mut book = self.book.lock();
        *book = Arc::new(change(&book));
    }

    fn swap_pair(&self, row: &AgreementRow) {
        let terms = PairTerms {
            share_out: row.share_out.terms(),
            share_in: row.share_in.terms(),
            grant: row.grant,
        };
        self.swap(|book| book.with_pair(row.pair, terms));
    }

    fn in_force(&self) -> InForce {
        InForce {
            in_force: !self.pending.load(Ordering::Relaxed),
            receipts: self.receipts.lock().clone(),
        }
    }
}

#[async_trait]
impl Revoker for StoreRevoker {
    async fn set_half(&self, change: HalfChange, audit: Vec<NewEntry>) -> Result<HalfInForce, StoreError> {
        let outcome = self.store.set_half(&change, &With::audit(audit)).await?;
        self.swap_pair(&outcome.agreement);
        let receipt = outcome.ended.map(|(ended, cursor)| Receipt {
            ended,
            received_through: cursor,
            may_have_received: None,
            connection_cut: false,
        });
        Ok(HalfInForce {
            outcome,
            in_force: self.in_force().in_force,
            receipt,
        })
    }

    async fn record_words(
        &self,
        changes: Vec<WordChange>,
        audit: Vec<NewEntry>,
    ) -> Result<WordsInForce, StoreError> {
        self.recorded.lock().push(changes.len());
        let outcomes = self.store.record_words(&changes, &With::audit(audit)).await?;
        for (change, outcome) in changes.iter().zip(&outcomes) {
            self.knows(change.unit, change.patient, |facts| {
                facts.with_word(change.side, outcome.now)
            });
        }
        Ok(WordsInForce {
            outcomes,
            in_force: self.in_force(),
        })
    }

    async fn set_claims(
        &self,
        changes: Vec<ClaimChange>,
        audit: Vec<NewEntry>,
    ) -> Result<InForce, StoreError> {
        self.store.set_claims(&changes, &With::audit(audit)).await?;
        for change in &changes {
            self.knows(change.unit, change.patient, |facts| Facts {
                claimed: change.on,
                ..facts
            });
        }
        Ok(self.in_force())
    }

    async fn set_policy(&self, policy: Policy, audit: Vec<NewEntry>) -> Result<InForce, StoreError> {
        self.store.set_policy(policy, START, &With::audit(audit)).await?;
        self.swap(|book| book.with_policy(policy));
        Ok(self.in_force())
    }

    fn book(&self) -> Arc<Book> {
        Arc::clone(&self.book.lock())
    }

    async fn set_unit_state(
        &self,
        change: UnitChange,
        audit: Vec<NewEntry>,
    ) -> Result<UnitInForce, StoreError> {
        let with = With::audit(audit);
        let outcome = self.store.set_unit_state(&change, &with).await?;
        let standing = match change.state {
            UnitState::Enrolled => Standing::Enrolled,
            UnitState::Suspended => Standing::Suspended,
            UnitState::Retired => Standing::NotEnrolled,
        };
        self.swap(|book| book.with_unit(change.ods, standing));
        outcome
            .pairs
            .iter()
            .for_each(|half| self.swap_pair(&half.agreement));
        Ok(UnitInForce {
            outcome,
            in_force: self.in_force().in_force,
        })
    }

    async fn open_emergency(
        &self,
        open: OpenEmergency,
        audit: Vec<NewEntry>,
    ) -> Result<Vec<EmergencyRow>, StoreError> {
        let opened = self.store.open_emergency(&open, &With::audit(audit)).await?;
        for row in &opened {
            self.swap(|book| book.with_emergency(row.grant, row.emergency()));
        }
        Ok(opened)
    }

    async fn carry_access(
        &self,
        id: AccessId,
        opened: Vec<OpenedSource>,
        audit: Vec<NewEntry>,
    ) -> Result<(), StoreError> {
        let with = With::audit(audit);
        for row in self.store.note_opened(id, &opened, START, &with).await? {
            self.swap(|book| book.with_emergency(row.grant, row.emergency()));
        }
        Ok(())
    }

    async fn end_access(&self, end: EndAccess, audit: Vec<NewEntry>) -> Result<InForce, StoreError> {
        let ended = self.store.end_access(&end, &With::audit(audit)).await?;
        for outcome in &ended.outcomes {
            let pair = outcome.agreement.pair;
            for (grant, _) in &outcome.emergencies_ended {
                self.swap(|book| book.without_emergency(pair, *grant));
            }
        }
        for row in &ended.go_on {
            self.swap(|book| book.with_emergency(row.grant, row.emergency()));
        }
        Ok(self.in_force())
    }

    fn registered(&self, ods: OdsCode) {
        self.swap(|book| book.with_unit(ods, Standing::Enrolled));
    }

    fn status(&self) -> DeliveryStatus {
        self.status.lock().clone()
    }
}
