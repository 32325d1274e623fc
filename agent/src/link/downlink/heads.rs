//! Heads of the daemon's audit log: each must be signed with the key that came with the first one, and must continue
//! the one that is kept. So not even whoever hosts the daemon can rewrite the log unseen. What does not fit raises an
//! alarm that stays until a person clears it; records flow on meanwhile.

use handfast_proto::{
    merkle::{HeadError, KeyId, ProofError, PublicKey, SignedHead, TreeHash, verify_consistency},
    v1::SignedTreeHead,
};
use prost::Message as _;

use crate::store::inbox::{Inbox, InboxError, KeptHead};

/// What does not fit. The texts are for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
enum Misfit {
    #[error("the daemon's audit log sent a head that is not whole")]
    Form,
    #[error(
        "the daemon's audit log is signed with the key {now}, and was signed with {pinned} when this agent first \
         saw it"
    )]
    OtherKey { pinned: KeyId, now: KeyId },
    #[error("a head of the daemon's audit log has a wrong signature")]
    Signature,
    #[error("the daemon's audit log has {now} entries, and had {kept}: entries are gone")]
    Smaller { kept: u64, now: u64 },
    #[error(
        "the daemon's audit log of {now} entries does not begin with the {kept} entries that this agent saw: \
         it was rewritten"
    )]
    Rewritten { kept: u64, now: u64 },
    #[error(
        "the daemon's audit log does not prove that it begins with the {kept} entries that this agent saw"
    )]
    NoProof { kept: u64 },
}

/// What is to be done with a head.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Keep(KeptHead),
    /// It cannot be told; the next connection asks for a proof.
    PassOver,
    Alarm(Misfit),
}

/// The whole rule. `first`: it is the stream's first head, which comes with a proof.
fn judge(kept: Option<&KeptHead>, wire: &SignedTreeHead, trust_domain: &str, first: bool) -> Verdict {
    match fits(kept, wire, trust_domain, first) {
        Ok(Some(head)) => Verdict::Keep(head),
        Ok(None) => Verdict::PassOver,
        Err(misfit) => Verdict::Alarm(misfit),
    }
}

fn fits(
    kept: Option<&KeptHead>,
    wire: &SignedTreeHead,
    trust_domain: &str,
    first: bool,
) -> Result<Option<KeptHead>, Misfit> {
    let signed = SignedHead::from_wire(wire).map_err(|_| Misfit::Form)?;
    let shown = PublicKey::from_slice(&wire.public_key).ok_or(Misfit::Form)?;
    let pinned = kept
        .and_then(|k| PublicKey::from_slice(&k.public_key))
        .unwrap_or(shown);
    let other_key = |now| Misfit::OtherKey {
        pinned: pinned.id(),
        now,
    };
    if shown != pinned {
        return Err(other_key(shown.id()));
    }
    pinned
        .verify(trust_domain, &signed)
        .map_err(|error| match error {
            HeadError::OtherKey => other_key(signed.key),
            HeadError::Form | HeadError::Signature => Misfit::Signature,
        })?;
    let head = KeptHead {
        size: signed.head.size,
        root: *signed.head.root.as_bytes(),
        signed_at: signed.head.signed_at,
        signature: signed.signature,
        public_key: *pinned.as_bytes(),
    };
    match kept {
        Some(kept) => continues(kept, wire, &signed, first).map(|proven| proven.then_some(head)),
        None => Ok(Some(head)),
    }
}

/// Whether a head continues the one that is kept; false: it comes without the proof.
fn continues(
    kept: &KeptHead,
    wire: &SignedTreeHead,
    signed: &SignedHead,
    first: bool,
) -> Result<bool, Misfit> {
    let (before, now) = (kept.size, signed.head.size);
    if now < before {
        return Err(Misfit::Smaller { kept: before, now });
    }
    let same = now == before;
    if !same && before > 0 && wire.consistent_from != before {
        return if first {
            Err(Misfit::NoProof { kept: before })
        } else {
            Ok(false)
        };
    }
    let proof: Option<Vec<TreeHash>> = match same || before == 0 {
        true => Some(Vec::new()),
        false => wire.consistency.iter().map(|h| TreeHash::from_slice(h)).collect(),
    };
    let proof = proof.ok_or(Misfit::Form)?;
    let old_root = TreeHash::new(kept.root);
    verify_consistency((before, &old_root), (now, &signed.head.root), &proof)
        .map(|()| true)
        .map_err(|error| match error {
            ProofError::Length => Misfit::NoProof { kept: before },
            ProofError::Range | ProofError::Mismatch => Misfit::Rewritten { kept: before, now },
        })
}

/// Takes a head: keeps it, or raises the alarm. A full disk is no reason to end: the next head comes.
pub(super) async fn take(
    inbox: &Inbox,
    trust_domain: &str,
    wire: &SignedTreeHead,
    first: bool,
) -> Result<(), InboxError> {
    let kept = inbox.kept_head().await?;
    let done = match judge(kept.as_ref(), wire, trust_domain, first) {
        Verdict::Keep(head) => inbox.keep_head(&head).await,
        Verdict::PassOver => {
            tracing::debug!(size = wire.size, "a head of the audit log came without its proof");
            Ok(())
        }
        Verdict::Alarm(misfit) => alarm(inbox, misfit, wire, first).await,
    };
    match done {
        Err(error) if error.is_disk_full() => Ok(()),
        other => other,
    }
}

async fn alarm(inbox: &Inbox, misfit: Misfit, wire: &SignedTreeHead, first: bool) -> Result<(), InboxError> {
    let why = misfit.to_string();
    let raised = inbox.raise_alarm(&why, wire.encode_to_vec()).await?;
    if raised || first {
        tracing::error!(%why, "ALARM: ask the deployment's auditors to look into it; see handfast-agent status");
    }
    Ok(())
}

#[cfg(test)]
pub(super) mod tests {
    use handfast_proto::merkle::{Frontier, Node, Plan, SigningKey, TreeHead, leaf_hash, node_hash};

    use super::*;
    use crate::store::inbox::testing::NOON;

    const DOMAIN: &str = "care.example";

    /// A log of the test's own.
    #[derive(Clone)]
    pub(crate) struct Log {
        key: u8,
        leaves: Vec<TreeHash>,
    }

    impl Log {
        pub(crate) fn of(key: u8, leaves: usize) -> Self {
            let leaf = |n: usize| leaf_hash(&n.to_be_bytes());
            Self {
                key,
                leaves: (0..leaves).map(leaf).collect(),
            }
        }

        /// Another first entry, as if it had been rewritten.
        pub(crate) fn rewritten(mut self) -> Self {
            self.leaves[0] = leaf_hash(b"rewritten");
            self
        }

        fn hash(&self, node: Node) -> TreeHash {
            match node.level.checked_sub(1) {
                None => self.leaves[usize::try_from(node.index).unwrap()],
                Some(level) => {
                    let child = |index| self.hash(Node { level, index });
                    node_hash(&child(2 * node.index), &child(2 * node.index + 1))
                }
            }
        }

        /// The head as the daemon sends it, with a proof from an older size.
        pub(crate) fn head(&self, from: usize) -> SignedTreeHead {
            let mut tree = Frontier::default();
            self.leaves.iter().for_each(|leaf| tree.push(*leaf, |_, _| {}));
            let head = TreeHead {
                size: tree.size(),
                root: tree.root(),
                signed_at: NOON,
            };
            let proof = Plan::consistency(from as u64, tree.size())
                .map(|plan| plan.proof(|node| Ok::<_, ()>(self.hash(node))).unwrap())
                .unwrap_or_default();
            let key = SigningKey::from_seed(&[self.key; 32]).unwrap();
            key.sign(DOMAIN, head).to_wire(&key.public(), from as u64, &proof)
        }
    }

    fn kept(log: &Log) -> KeptHead {
        let Verdict::Keep(kept) = judge(None, &log.head(0), DOMAIN, true) else {
            panic!("the first head is kept");
        };
        kept
    }

    fn alarm_of(kept: &KeptHead, head: &SignedTreeHead) -> Option<Misfit> {
        match judge(Some(kept), head, DOMAIN, true) {
            Verdict::Alarm(misfit) => Some(misfit),
            _ => None,
        }
    }

    #[test]
    fn a_head_that_continues_the_one_before_is_kept() {
        for before in 1..9 {
            let kept = kept(&Log::of(1, before));
            for now in before..20 {
                let verdict = judge(Some(&kept), &Log::of(1, now).head(before), DOMAIN, true);
                let Verdict::Keep(newer) = verdict else {
                    panic!("{before} to {now}: {verdict:?}");
                };
                assert_eq!(newer.size, now as u64);
            }
        }
        let empty = kept(&Log::of(1, 0));
        assert_eq!(alarm_of(&empty, &Log::of(1, 3).head(0)), None);
    }

    #[test]
    fn a_log_that_was_cut_or_rewritten_is_found() {
        let kept = kept(&Log::of(1, 5));
        let smaller = Misfit::Smaller { kept: 5, now: 4 };
        assert_eq!(alarm_of(&kept, &Log::of(1, 4).head(4)), Some(smaller));
        let rewritten = |now| Some(Misfit::Rewritten { kept: 5, now });
        assert_eq!(alarm_of(&kept, &Log::of(1, 5).rewritten().head(5)), rewritten(5));
        assert_eq!(alarm_of(&kept, &Log::of(1, 9).rewritten().head(5)), rewritten(9));
        let no_proof = Some(Misfit::NoProof { kept: 5 });
        assert_eq!(alarm_of(&kept, &Log::of(1, 9).head(0)), no_proof);
        let mut short = Log::of(1, 9).head(5);
        short.consistency.pop();
        assert_eq!(alarm_of(&kept, &short), no_proof);
        // A later head of the same stream may come without one.
        let later = judge(Some(&kept), &Log::of(1, 9).head(8), DOMAIN, false);
        assert_eq!(later, Verdict::PassOver);
    }

    #[test]
    fn another_key_a_wrong_signature_and_what_is_not_whole_are_found() {
        let kept = kept(&Log::of(1, 5));
        let other = alarm_of(&kept, &Log::of(2, 6).head(5)).unwrap();
        assert!(matches!(other, Misfit::OtherKey { .. }), "{other}");
        // The pinned key beside a signature by another.
        let mut forged = Log::of(2, 6).head(5);
        forged.public_key = kept.public_key.to_vec().into();
        assert!(matches!(alarm_of(&kept, &forged), Some(Misfit::OtherKey { .. })));
        let good = Log::of(1, 6).head(5);
        let mut wrong = good.clone();
        wrong.size += 1;
        assert_eq!(alarm_of(&kept, &wrong), Some(Misfit::Signature));
        let elsewhere = judge(Some(&kept), &good, "other.example", true);
        assert_eq!(elsewhere, Verdict::Alarm(Misfit::Signature));
        let mut torn = good;
        torn.public_key.truncate(31);
        assert_eq!(alarm_of(&kept, &torn), Some(Misfit::Form));
    }
}
