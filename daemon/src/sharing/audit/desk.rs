//! Who may read the audit log, and that reading it is entered.
//!
//! Who may: privacy officers and auditors of a unit, what concerns their unit; the operator, what is about no
//! patient. Heads, proofs and the public key are for all who are enrolled: they say nothing of anybody.
//! Invariant: what was read was entered before it is answered, with the reader's reason.

use handfast_proto::{
    ids::{NhsNumber, OdsCode},
    merkle::{PublicKey, SignedHead, TreeHash},
};

use crate::{
    audit::{Reader, TreeError, events::AuditRead},
    sharing::{ActError, Caller, Context, context::required},
    store::Role,
};

/// The acts on the audit log.
#[derive(Clone)]
pub struct AuditDesk {
    pub(super) ctx: Context,
}

impl From<TreeError> for ActError {
    fn from(error: TreeError) -> Self {
        match error {
            TreeError::Proof(why) => Self::invalid("size", why.to_string()),
            TreeError::Store(error) => error.into(),
            TreeError::NotAsSigned(_) | TreeError::BrokenOff => Self::Failed(error.to_string()),
        }
    }
}

impl AuditDesk {
    /// Acts on what `ctx` holds.
    pub fn new(ctx: Context) -> Self {
        Self { ctx }
    }

    /// Who reads, of those who may at all.
    pub(super) fn reader(caller: &Caller) -> Result<Reader, ActError> {
        match caller {
            Caller::Person {
                unit: Some(unit),
                role: Role::PrivacyOfficer | Role::Auditor,
                ..
            } => Ok(Reader::Unit(*unit)),
            caller if caller.is_operator() => Ok(Reader::Operator),
            _ => Err(ActError::Denied),
        }
    }

    /// Who reads what is about a patient: never the operator.
    pub(super) fn reader_of_patients(caller: &Caller) -> Result<OdsCode, ActError> {
        match Self::reader(caller)? {
            Reader::Unit(unit) => Ok(unit),
            Reader::Operator => Err(ActError::Denied),
        }
    }

    /// Enters that the log is about to be read.
    pub(super) async fn enter_reading(
        &self,
        caller: &Caller,
        call: &str,
        asked: &str,
        patient: Option<NhsNumber>,
        reason: &str,
    ) -> Result<(), ActError> {
        let reason = required("reason", reason)?;
        let event = AuditRead {
            unit: caller.unit(),
            call,
            asked,
            patient,
            reason: &reason,
        };
        let now = self.ctx.clock.now_ms();
        Ok(self.ctx.audit.enter(now, &caller.actor(), &event).await?)
    }

    // --- heads and proofs ---

    /// What heads are checked with, and for which deployment they are signed.
    pub fn public_key(&self, _enrolled: &Caller) -> (PublicKey, &str) {
        (
            self.ctx.audit.tree().public_key(),
            self.ctx.audit.tree().trust_domain(),
        )
    }

    /// A head over every entry that is there, and a proof that it continues the head over `since` entries.
    pub async fn tree_head(
        &self,
        _enrolled: &Caller,
        since: u64,
    ) -> Result<(SignedHead, Vec<TreeHash>), ActError> {
        let tree = self.ctx.audit.tree();
        let head = tree
            .head_now()
            .await?
            .ok_or(ActError::Missing("head: the log is empty"))?;
        let proof = tree.prove_consistency(since, head.head.size).await?;
        Ok((head, proof))
    }

    /// The hash of an entry's leaf, and a proof that it is in the tree of `size` entries (0: the newest head's);
    /// and that size.
    pub async fn prove_inclusion(
        &self,
        _enrolled: &Caller,
        index: u64,
        size: u64,
    ) -> Result<(TreeHash, Vec<TreeHash>, u64), ActError> {
        let size = self.size_or_newest(size);
        let (leaf, proof) = self.ctx.audit.tree().prove_inclusion(index, size).await?;
        Ok((leaf, proof, size))
    }

    /// A proof that the tree of `new` entries (0: the newest head's) continues that of `old`; and `new`.
    pub async fn prove_consistency(
        &self,
        _enrolled: &Caller,
        old: u64,
        new: u64,
    ) -> Result<(Vec<TreeHash>, u64), ActError> {
        let new = self.size_or_newest(new);
        let proof = self.ctx.audit.tree().prove_consistency(old, new).await?;
        Ok((proof, new))
    }

    fn size_or_newest(&self, size: u64) -> u64 {
        let newest = || {
            self.ctx
                .audit
                .tree()
                .newest()
                .map_or(0, |signed| signed.head.size)
        };
        if size == 0 { newest() } else { size }
    }
}
