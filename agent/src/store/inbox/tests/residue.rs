//! W1: nothing is left behind. After a withdrawal (of a source, of a patient, of changes) and its confirmation neither
//! a payload nor a patient's number nor the name of a record is to be found in any file of the inbox.
//!
//! Seen to fail without the scrub of pages (stale copies of records in the gaps of pages that were balanced), without
//! the emptying of the write-ahead log, with the queue or closed letters keeping names, and with tombstones that
//! have names. The seed is printed; `HANDFAST_SEED` replays one.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use handfast_proto::{
    amendment::Op::{Amend, Create, Remove},
    ids::NhsNumber,
};
use sha2::{Digest as _, Sha256};

use super::support::*;
use crate::store::inbox::{Inbox, LetterOp, LetterState, NewLetter, Progress, Scope, testing::*};

const G: u64 = 1;
const PATIENTS: u64 = 40;

/// Numbers from a seed.
struct Dice(u64, u64);

impl Dice {
    fn seeded() -> Self {
        let seed = std::env::var("HANDFAST_SEED").ok().and_then(|s| s.parse().ok());
        let seed = seed.unwrap_or_else(|| {
            let mut bytes = [0; 8];
            getrandom::fill(&mut bytes).unwrap();
            u64::from_le_bytes(bytes)
        });
        println!("HANDFAST_SEED={seed}");
        Self(seed, 0)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.1 += 1;
        let hash = Sha256::new()
            .chain_update(self.0.to_le_bytes())
            .chain_update(self.1.to_le_bytes())
            .finalize();
        u64::from_le_bytes(hash[..8].try_into().unwrap()) % bound
    }
}

/// The n-th synthetic patient.
fn number(n: u64) -> u64 {
    let valid = (9_990_000_000..).filter(|raw| NhsNumber::from_u64(*raw).is_ok());
    valid.skip(usize::try_from(n).unwrap()).take(1).next().unwrap()
}

fn marker(patient: u64) -> String {
    format!("secret-of-{patient:02}!")
}

/// Which traces of a patient are found in the files of a folder: payloads, names of records, the number in text and
/// as SQLite keeps it.
fn traces(folder: &Path, patient: u64) -> BTreeSet<&'static str> {
    let number = number(patient);
    let needles = [
        ("payload", marker(patient).into_bytes()),
        ("name", format!("-of-{patient:02}-").into_bytes()),
        ("number", number.to_string().into_bytes()),
        ("number in a column", number.to_be_bytes()[2..].to_vec()),
    ];
    let mut found = BTreeSet::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        for (place, byte) in bytes.iter().enumerate() {
            for (what, needle) in &needles {
                if *byte == needle[0] && bytes[place..].starts_with(needle) {
                    found.insert(*what);
                }
            }
        }
    }
    found
}

/// The daemon's side: what it sent, by patient and record.
struct Filling {
    dice: Dice,
    inbox: Inbox,
    message: u64,
    seq: u64,
    records: BTreeMap<u64, Vec<(String, u64)>>,
}

impl Filling {
    async fn apply(&mut self, messages: Vec<crate::store::inbox::Incoming>) {
        let group = group(1, self.message, messages);
        self.message = group.durable + 1;
        assert_eq!(self.inbox.apply(&group).await.unwrap().violation, None);
    }

    /// Creates and amends records of any patient, of sizes around those of a page.
    async fn round(&mut self) {
        let mut messages = Vec::new();
        for _ in 0..200 {
            let patient = self.dice.below(PATIENTS);
            let id = self.dice.below(1 << 32);
            self.seq += 1;
            let payload = marker(patient).repeat(usize::try_from(1 + self.dice.below(60)).unwrap());
            let known = self.records.entry(patient).or_default();
            let fresh = known.is_empty() || self.dice.below(5) < 2;
            let place = usize::try_from(id).unwrap() % known.len().max(1);
            if fresh {
                known.push((format!("Observation/{id:08x}-of-{patient:02}-x"), self.seq));
            } else {
                known[place].1 = self.seq;
            }
            let name = if fresh {
                &known.last().unwrap().0
            } else {
                &known[place].0
            };
            let op = if fresh { Create } else { Amend };
            let line = [(self.seq, op, name.as_str(), payload.as_str())];
            messages.push(of_patient(number(patient), A, G, 0, &line));
        }
        self.apply(messages).await;
    }
}

async fn filled(folder: &Path) -> Filling {
    let inbox = open_in_step(folder).await;
    let mut filling = Filling {
        dice: Dice::seeded(),
        inbox,
        message: 1,
        seq: 0,
        records: BTreeMap::new(),
    };
    filling
        .apply(vec![
            welcome(true, &[(A, G)]),
            begins(A, G, 1),
            complete(A, G, 1, 0),
        ])
        .await;
    for _ in 0..40 {
        filling.round().await;
        carry_out(&filling.inbox).await;
    }
    filling
}

/// Confirmed, with how many records it removed.
async fn confirmed(inbox: &Inbox, job: u64) -> u64 {
    let list = loop {
        // The purge rests after the last one.
        let list = inbox.confirmations(false).await.unwrap().list;
        if !list.is_empty() {
            break list;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    };
    assert_eq!(list.iter().map(|c| c.job).collect::<Vec<_>>(), [job]);
    inbox.confirmed(&[job]).await.unwrap();
    list[0].removed
}

#[tokio::test]
async fn nothing_is_left_of_what_was_withdrawn() {
    let folder = tempfile::tempdir().unwrap();
    let mut filling = filled(folder.path()).await;
    let mut job = 10;
    for victim in 0..6 {
        assert!(
            traces(folder.path(), victim).len() >= 3,
            "patient {victim} is there"
        );
        job += 1;
        let scope = Scope::Patient(nhs(number(victim)));
        let swept = vec![
            job_begins(A, G, job, scope),
            job_complete(A, G, job, scope, filling.seq),
        ];
        let mut records = filling.records.remove(&victim).unwrap();
        records.sort_by_key(|(_, seq)| *seq);
        let named: Vec<_> = records
            .iter()
            .map(|(n, s)| (*s, Remove, n.as_str(), ""))
            .collect();
        let mut changed = vec![job_begins(A, G, job, Scope::Changes)];
        changed.extend(named.chunks(64).map(|chunk| in_job(A, G, job, chunk)));
        changed.push(job_complete(A, G, job, Scope::Changes, filling.seq));
        filling.apply(if victim % 2 == 0 { swept } else { changed }).await;
        carry_out(&filling.inbox).await;
        assert_eq!(confirmed(&filling.inbox, job).await, records.len() as u64);
        assert_eq!(traces(folder.path(), victim), BTreeSet::new(), "patient {victim}");
        // Others go on being written.
        filling.round().await;
        filling.records.remove(&victim);
        carry_out(&filling.inbox).await;
    }
    filling.apply(vec![fenced(A, G), withdraw(A, 99, G)]).await;
    carry_out(&filling.inbox).await;
    confirmed(&filling.inbox, 99).await;
    for patient in (0..PATIENTS).step_by(5) {
        assert_eq!(
            traces(folder.path(), patient),
            BTreeSet::new(),
            "patient {patient}"
        );
    }
}

#[tokio::test]
async fn closed_letters_and_an_emergency_keep_no_name() {
    let folder = tempfile::tempdir().unwrap();
    let inbox = open_in_step(folder.path()).await;
    let patient = number(1);
    let name = "Observation/1-of-01-x";
    let scope = Scope::Patient(nhs(patient));
    let opened = vec![
        welcome(true, &[]),
        crate::store::inbox::Incoming::Stands(emergency(A, 5, patient)),
        job_begins(A, 5, 1, scope),
        of_patient(patient, A, 5, 1, &[(1, Create, name, &marker(1))]),
        job_complete(A, 5, 1, scope, 1),
    ];
    inbox.apply(&group(1, 1, opened)).await.unwrap();
    let letter = |op, state| NewLetter {
        source: ods(A),
        record: name.parse().unwrap(),
        seq: 1,
        job: 2,
        op,
        state,
        status: Some(422),
        reason: "the server refuses it (422)".to_owned(),
        attempts: 1,
        next_at: 0,
    };
    let progress = |position, letters| Progress {
        position,
        letters,
        ..Progress::default()
    };
    let refused = letter(LetterOp::Write, LetterState::Refused);
    inbox
        .commit_output("out", &progress(inbox.last_change(), vec![refused]))
        .await
        .unwrap();
    let ended = vec![fenced(A, 5), withdraw_of(Some(patient), A, 2, 5)];
    inbox.apply(&group(1, 6, ended)).await.unwrap();
    let cannot = letter(LetterOp::Delete, LetterState::Refused);
    inbox
        .commit_output("out", &progress(inbox.last_change(), vec![cannot]))
        .await
        .unwrap();
    // Reported as not removed, and known by its name until it is.
    let list = loop {
        let list = inbox.confirmations(true).await.unwrap().list;
        if list.iter().any(|c| c.job == 2) {
            break list;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    };
    let of_job = list.iter().find(|c| c.job == 2).unwrap();
    assert_eq!((of_job.removed, of_job.not_removed), (1, 1));
    assert_eq!(traces(folder.path(), 1), BTreeSet::from(["name"]));
    let open = inbox.letters(false).await.unwrap();
    assert_eq!((open.len(), open[0].record.as_str()), (1, name));
    // A person sees to it by hand: still not removed by the connector.
    inbox.discard_letter(open[0].id, "removed by hand").await.unwrap();
    tokio::time::pause();
    tokio::time::advance(std::time::Duration::from_secs(3600)).await;
    tokio::time::resume();
    let list = inbox.confirmations(true).await.unwrap().list;
    assert_eq!(list.iter().find(|c| c.job == 2).unwrap().not_removed, 1);
    assert_eq!(traces(folder.path(), 1), BTreeSet::new());
}
