//! Checks a log as a file: every leaf against its hash, every personal value against its leaf, every signed
//! head, order and completeness, and that nothing follows. Nothing is trusted but the public key.
//!
//! Bounded in memory: one frame, the tree's right edge, and the runs of entries of which something was erased.

use prost::Message as _;
use sha2::{Digest as _, Sha256};

use super::{
    export::{EXPORT_MAGIC, MAX_FRAME_BYTES},
    leaf::{LeafFault, decode_leaf},
    reduce::{ValueFault, check_values},
    runs::Runs,
};
use crate::{
    merkle::{Frontier, PublicKey, SignedHead, TreeHash, TreeHead, leaf_hash},
    v1::{
        AuditField, AuditLeaf, AuditValue, ExportBegin, ExportEntry, ExportFrame, ExportHead,
        audit_leaf::Event, export_frame::Frame,
    },
};

/// What is wrong with a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// Another file.
    #[error("this is not a log as handfastctl audit export writes it")]
    NotALog,
    /// A frame is none, or is not written in the one way in which it must be.
    #[error("a frame of the file is damaged")]
    Frame,
    /// It was signed with another key than the one given.
    #[error("the log is of another deployment, or of another key than the one given")]
    OtherKey,
    /// The leaf is not the one whose hash stands beside it.
    #[error("it was changed: it does not have the hash that stands beside it")]
    Changed,
    /// The leaf cannot be.
    #[error(transparent)]
    Leaf(LeafFault),
    /// The values beside it.
    #[error(transparent)]
    Value(ValueFault),
    /// A head does not fit what stands before it.
    #[error("one of them was changed, moved, added or left out: the signed head over them does not fit")]
    Head,
    /// Something is missing of which nothing says that it was erased.
    #[error("personal values are missing, and no entry says that they were erased")]
    NotErased,
    /// Entries behind the last head, or another number than the file says.
    #[error("the entries are not all under a signed head, or not as many as the file says")]
    Incomplete,
    /// The file ends too early.
    #[error("the file ends too early")]
    EndsEarly,
    /// The signature over the whole.
    #[error("the signature over the whole file does not fit: something beside the entries was changed")]
    Signature,
    /// More behind its end.
    #[error("something follows behind the end of the log")]
    Trailing,
}

/// What is wrong, and where: entries `from..to`, counted from 0; from the start of the file where both are 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExportFault {
    /// The first entry that may be bad.
    pub from: u64,
    /// Behind the last that may be.
    pub to: u64,
    /// What is wrong.
    pub fault: Fault,
}

impl std::error::Error for ExportFault {}

impl std::fmt::Display for ExportFault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.to.saturating_sub(self.from) {
            0 => write!(f, "behind {} entries: {}", self.from, self.fault),
            1 => write!(f, "entry {}: {}", self.from, self.fault),
            _ => write!(f, "entries {} to {}: {}", self.from, self.to - 1, self.fault),
        }
    }
}

/// An entry that has passed its own checks; whether it is the one that was entered is known once the next head
/// has passed.
#[derive(Debug, Clone, PartialEq)]
pub struct Exported {
    /// Its place, from 0.
    pub index: u64,
    /// The leaf; `None` where it was not for whom the file was made for.
    pub leaf: Option<AuditLeaf>,
    /// What identifies persons, as far as it is there.
    pub values: Vec<AuditValue>,
}

/// What a file was found to hold.
#[derive(Debug, Clone, PartialEq)]
pub struct Verified {
    /// What its begin says.
    pub begin: ExportBegin,
    /// Entries, and of those the ones shown as a hash alone.
    pub entries: u64,
    /// See there.
    pub sealed: u64,
    /// Signed heads that fit.
    pub heads: u64,
    /// The last one; `None` only of a log without entries.
    pub head: Option<TreeHead>,
}

/// Checks a file as its bytes come.
pub struct Verifier {
    key: PublicKey,
    buffer: Vec<u8>,
    read: Sha256,
    magic: bool,
    begin: Option<ExportBegin>,
    tree: Frontier,
    head: Option<TreeHead>,
    heads: u64,
    sealed: u64,
    /// Of which something was erased, and of which an entry says so; indexes from 1.
    erased: Runs,
    explained: Runs,
    over: bool,
}

impl Verifier {
    /// Trusts this key and nothing else.
    pub fn new(key: PublicKey) -> Self {
        Self {
            key,
            buffer: Vec::new(),
            read: Sha256::new(),
            magic: false,
            begin: None,
            tree: Frontier::default(),
            head: None,
            heads: 0,
            sealed: 0,
            erased: Runs::default(),
            explained: Runs::default(),
            over: false,
        }
    }

    /// Takes the next bytes. `seen` is told of every entry that passes, in order.
    pub fn push(&mut self, bytes: &[u8], seen: &mut dyn FnMut(Exported)) -> Result<(), ExportFault> {
        self.buffer.extend_from_slice(bytes);
        let mut at = 0;
        let taken = self.take_all(&mut at, seen);
        self.buffer.drain(..at);
        taken
    }

    /// The file has no more bytes.
    pub fn finish(self) -> Result<Verified, ExportFault> {
        let (true, true, Some(begin)) = (self.over, self.buffer.is_empty(), &self.begin) else {
            return Err(self.here(if self.magic || self.buffer.is_empty() {
                Fault::EndsEarly
            } else {
                Fault::NotALog
            }));
        };
        let unexplained = self.erased.iter().flat_map(|(first, last)| first..=last);
        if let Some(entry) = unexplained
            .into_iter()
            .find(|entry| !self.explained.contains(*entry))
        {
            return Err(entry_fault(entry - 1, Fault::NotErased));
        }
        Ok(Verified {
            begin: begin.clone(),
            entries: self.tree.size(),
            sealed: self.sealed,
            heads: self.heads,
            head: self.head,
        })
    }

    fn take_all(&mut self, at: &mut usize, seen: &mut dyn FnMut(Exported)) -> Result<(), ExportFault> {
        if !self.magic {
            if self.buffer.len() < EXPORT_MAGIC.len() {
                return Ok(());
            }
            if !self.buffer.starts_with(EXPORT_MAGIC) {
                return Err(self.here(Fault::NotALog));
            }
            self.magic = true;
            self.read.update(EXPORT_MAGIC);
            *at = EXPORT_MAGIC.len();
        }
        while let Some(len) = self.buffer.get(*at..).and_then(|rest| rest.first_chunk::<4>()) {
            if self.over {
                return Err(self.here(Fault::Trailing));
            }
            let len = u32::from_be_bytes(*len) as usize;
            if len > MAX_FRAME_BYTES {
                return Err(self.here(Fault::Frame));
            }
            let Some(whole) = self.buffer.get(*at..*at + 4 + len) else {
                return Ok(());
            };
            let frame = ExportFrame::decode(&whole[4..]).ok();
            let frame = frame.filter(|frame| frame.encode_to_vec() == whole[4..]);
            let ends = matches!(
                &frame,
                Some(ExportFrame {
                    frame: Some(Frame::End(_))
                })
            );
            if !ends {
                self.read.update(whole);
            }
            *at += 4 + len;
            let frame = frame
                .and_then(|frame| frame.frame)
                .ok_or(self.here(Fault::Frame))?;
            self.take(frame, seen)?;
        }
        let trails = self.over && *at < self.buffer.len();
        if trails {
            Err(self.here(Fault::Trailing))
        } else {
            Ok(())
        }
    }

    fn take(&mut self, frame: Frame, seen: &mut dyn FnMut(Exported)) -> Result<(), ExportFault> {
        match (frame, &self.begin) {
            (Frame::Begin(begin), None) => {
                if begin.key_id != self.key.id().as_bytes().as_slice() {
                    return Err(self.here(Fault::OtherKey));
                }
                self.begin = Some(begin);
                Ok(())
            }
            (Frame::Entry(entry), Some(_)) => {
                let index = self.tree.size();
                let entry = self
                    .entry(index, entry)
                    .map_err(|fault| entry_fault(index, fault))?;
                seen(entry);
                Ok(())
            }
            (Frame::Head(head), Some(begin)) => {
                let trust_domain = begin.trust_domain.clone();
                self.head(&trust_domain, &head)
            }
            (Frame::End(end), Some(begin)) => {
                let covered = self.head.map_or(0, |head| head.size);
                if self.tree.size() != begin.size || covered != begin.size {
                    let to = self.tree.size();
                    let fault = Fault::Incomplete;
                    return Err(ExportFault {
                        from: covered,
                        to,
                        fault,
                    });
                }
                let digest: [u8; 32] = self.read.clone().finalize().into();
                if !self
                    .key
                    .verify_export(&begin.trust_domain, &digest, &end.signature)
                {
                    return Err(self.here(Fault::Signature));
                }
                self.over = true;
                Ok(())
            }
            (Frame::Begin(_), Some(_)) | (_, None) => Err(self.here(Fault::Frame)),
        }
    }

    fn entry(&mut self, index: u64, entry: ExportEntry) -> Result<Exported, Fault> {
        let hash = TreeHash::from_slice(&entry.hash).ok_or(Fault::Frame)?;
        let mut leaf = None;
        if entry.leaf.is_empty() {
            self.sealed += 1;
            let bare = entry.values.is_empty() && entry.erased.is_empty() && entry.withheld.is_empty();
            if !bare {
                return Err(Fault::Frame);
            }
        } else {
            if leaf_hash(&entry.leaf) != hash {
                return Err(Fault::Changed);
            }
            let read = decode_leaf(&entry.leaf).map_err(Fault::Leaf)?;
            let fields = |raw: &[i32]| {
                let fields = raw.iter().map(|field| AuditField::try_from(*field));
                fields.collect::<Result<Vec<_>, _>>().map_err(|_| Fault::Frame)
            };
            let (erased, withheld) = (fields(&entry.erased)?, fields(&entry.withheld)?);
            check_values(&read, &entry.values, &erased, &withheld).map_err(Fault::Value)?;
            if !erased.is_empty() {
                self.erased.insert(index + 1, index + 1);
            }
            self.explain(index, &read)?;
            leaf = Some(read);
        }
        self.tree.push(hash, |_, _| {});
        Ok(Exported {
            index,
            leaf,
            values: entry.values,
        })
    }

    /// Takes note of which entries an erasure names: only earlier ones can have been erased by it.
    fn explain(&mut self, index: u64, leaf: &AuditLeaf) -> Result<(), Fault> {
        let Some(Event::PersonalErased(erasure)) = &leaf.event else {
            return Ok(());
        };
        let named = Runs::from_wire(&erasure.entries).map_err(|_| Fault::Leaf(LeafFault::Encoding))?;
        if named.bounds().is_some_and(|(_, last)| last > index) {
            return Err(Fault::Leaf(LeafFault::Encoding));
        }
        self.explained.extend(&named);
        Ok(())
    }

    fn head(&mut self, trust_domain: &str, head: &ExportHead) -> Result<(), ExportFault> {
        let (from, to) = (self.head.map_or(0, |before| before.size), self.tree.size());
        let at = |fault| ExportFault { from, to, fault };
        let (Some(root), Ok(signature)) = (
            TreeHash::from_slice(&head.root),
            head.signature.as_ref().try_into(),
        ) else {
            return Err(at(Fault::Frame));
        };
        let signed = SignedHead {
            head: TreeHead {
                size: to,
                root,
                signed_at: head.signed_at,
            },
            signature,
            key: self.key.id(),
        };
        if self.tree.root() != root || from == to {
            return Err(at(Fault::Head));
        }
        if self.key.verify(trust_domain, &signed).is_err() {
            return Err(at(Fault::Head));
        }
        self.head = Some(signed.head);
        self.heads += 1;
        Ok(())
    }

    fn here(&self, fault: Fault) -> ExportFault {
        let at = self.tree.size();
        ExportFault {
            from: at,
            to: at,
            fault,
        }
    }
}

fn entry_fault(index: u64, fault: Fault) -> ExportFault {
    ExportFault {
        from: index,
        to: index + 1,
        fault,
    }
}
