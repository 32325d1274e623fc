//! The output: carries out changes one by one in their order, so that what is referred to is there first;
//! keeps the map of what it wrote; turns refusals into dead letters and goes on.

use std::{
    collections::{HashMap, HashSet},
    time::{Duration, Instant},
};

use handfast_proto::ids::{OdsCode, RecordId};

use super::{
    about::{self, ABOUT_TYPE},
    client::FhirClient,
    outcome::{Fault, Outcome},
    patience::{MAX_TRIES, MAX_WAITING, Patience, next_try},
    work::Item,
};
use crate::{
    codec::fhir::{about_id, derived_id, rewrite},
    output::{Output, Pause, Step},
    store::inbox::{About, Change, Inbox, LetterState, NewLetter, OutputRow, Progress},
};

pub use super::client::FhirSettings;

/// Letters tried in one step.
const LETTERS_AT_ONCE: u32 = 16;

/// Records compared in one step of a comparison of everything.
const PAGE_RECORDS: u32 = 64;

/// While changes keep coming, letters that are due are looked for this often.
const LETTERS_EVERY: Duration = Duration::from_secs(2);

/// How old the time that clinicians are told may be while nothing else changes: a server keeps every version.
const AS_OF_STEP: Duration = Duration::from_secs(15 * 60);

/// Keeps a FHIR server in step with the inbox.
pub struct FhirOutput {
    name: String,
    settings: FhirSettings,
    inbox: Inbox,
    client: Option<FhirClient>,
    patience: Patience,
    position: u64,
    /// Everything is still to be compared; the last record that was.
    resync: bool,
    after: Option<(OdsCode, String)>,
    letters_at: Option<Instant>,
}

/// Where a run over items ended.
struct Ran {
    progress: Progress,
    /// The item that is waited for, and why.
    stopped: Option<(u64, Pause)>,
}

impl FhirOutput {
    /// An output of this name, as the inbox knows it, to this server.
    pub fn new(name: impl Into<String>, settings: FhirSettings, inbox: Inbox) -> Self {
        Self {
            name: name.into(),
            settings,
            inbox,
            client: None,
            patience: Patience::default(),
            position: 0,
            resync: false,
            after: None,
            letters_at: None,
        }
    }

    fn progress(&self, position: u64) -> Progress {
        Progress {
            position,
            resync: self.resync,
            ..Progress::default()
        }
    }

    /// Carries out items in order until the server asks for a pause.
    async fn run(&mut self, items: Vec<Item>) -> Result<Ran, Pause> {
        let mapped = self.map(&items).await?;
        let waiting = self.inbox.waiting_letters(&self.name).await?;
        let mut ran = Ran {
            progress: self.progress(self.position),
            stopped: None,
        };
        for item in items {
            let now = self.inbox.now_ms();
            let is_mapped = item.held.is_some() || mapped.contains(&item.key());
            match self.attempt(&item, is_mapped, now).await? {
                Outcome::Done => {
                    self.patience.success(now);
                    item.done(&mut ran.progress);
                }
                Outcome::Refused(fault) => {
                    // An answer to this record alone: the server works.
                    self.patience.success(now);
                    self.log_letter(&item, &fault);
                    ran.progress
                        .letters
                        .push(item.letter(LetterState::Refused, fault, 0));
                }
                Outcome::Again {
                    fault,
                    own,
                    retry_after,
                } => {
                    let room = waiting + (ran.progress.letters.len() as u64) < MAX_WAITING;
                    if room && self.is_to_be_set_aside(&item, &fault, own).await {
                        ran.progress.letters.push(self.set_aside(&item, fault, now));
                        continue;
                    }
                    let mut pause = Pause::because(fault.reason);
                    pause.retry_after = retry_after;
                    ran.stopped = Some((item.number, pause));
                    return Ok(ran);
                }
            }
        }
        Ok(ran)
    }

    /// Which of the items stand in the map, those that are about to be written included.
    async fn map(&self, items: &[Item]) -> Result<HashSet<(OdsCode, RecordId)>, Pause> {
        let keys: Vec<_> = items.iter().map(Item::key).collect();
        let known: HashMap<_, _> = self.inbox.targets(&self.name, &keys).await?;
        let fresh: Vec<_> = items
            .iter()
            .filter(|i| i.held.is_some() && !known.contains_key(&i.key()))
            .map(|i| (i.source, i.record.clone(), derived_id(i.source, &i.record)))
            .collect();
        if !fresh.is_empty() {
            self.inbox.prepare_targets(&self.name, &fresh).await?;
        }
        Ok(known.into_keys().collect())
    }

    async fn attempt(&self, item: &Item, is_mapped: bool, now: i64) -> Result<Outcome, Pause> {
        let Some(client) = &self.client else {
            return Err(Pause::because("the server is being connected to again"));
        };
        let id = derived_id(item.source, &item.record);
        let resource_type = item.record.resource_type();
        let Some(held) = &item.held else {
            if !is_mapped {
                return Ok(Outcome::Done);
            }
            return Ok(client.delete(resource_type, &id, now).await);
        };
        match rewrite(&held.payload, item.source, &item.record) {
            Ok(body) => Ok(client.put(resource_type, &id, body, now).await),
            Err(error) => Ok(Outcome::Refused(Fault {
                status: None,
                reason: error.to_string(),
            })),
        }
    }

    /// Whether a record is not waited for in its place any more. What still is referred to cannot be
    /// deleted yet: that is not waited for at all.
    async fn is_to_be_set_aside(&mut self, item: &Item, fault: &Fault, own: bool) -> bool {
        let referred_to = item.held.is_none() && fault.status == Some(409);
        let over = self.patience.is_over(item.source, &item.record, own);
        if own {
            return item.tries > 0 || referred_to || over;
        }
        // Wrong credentials and a wrong address concern every record.
        let setup = matches!(fault.status, Some(401 | 300..=399));
        match &self.client {
            Some(client) if over && !setup => client.works().await,
            _ => false,
        }
    }

    /// The letter of a record that is tried again later; refused once it has failed often while the server
    /// took others.
    fn set_aside(&self, item: &Item, fault: Fault, now: i64) -> NewLetter {
        let since = now.saturating_sub(next_try(0, item.tries));
        let given_up = item.tries + 1 >= MAX_TRIES && self.patience.worked_since(since);
        self.log_letter(item, &fault);
        if given_up {
            item.letter(LetterState::Refused, fault, 0)
        } else {
            item.letter(LetterState::Waiting, fault, next_try(now, item.tries))
        }
    }

    fn log_letter(&self, item: &Item, fault: &Fault) {
        tracing::warn!(
            output = self.name,
            source = %item.source,
            status = fault.status,
            "a record could not be carried out; see handfast-agent dead-letters list"
        );
        tracing::debug!(output = self.name, record = %item.record, reason = fault.reason, "dead letter");
    }

    /// Tries letters that are due. `None` where none is.
    async fn retry_letters(&mut self) -> Result<Option<Ran>, Pause> {
        self.letters_at = Some(Instant::now());
        let letters = self.inbox.due_letters(&self.name, LETTERS_AT_ONCE).await?;
        let mut items = Vec::with_capacity(letters.len());
        for letter in &letters {
            let (Ok(source), Ok(record)) = (letter.source.parse::<OdsCode>(), letter.record.parse()) else {
                continue;
            };
            // Only the version that is held by now; if there is none, it is to be gone.
            let mut item = match self.inbox.held(source, &record).await? {
                Some(held) => Item::write(held),
                None => Item::delete(source, record, letter.seq, letter.job),
            };
            item.tries = letter.attempts.max(1);
            items.push(item);
        }
        if items.is_empty() {
            return Ok(None);
        }
        self.run(items).await.map(Some)
    }

    /// The next page of a comparison of everything. `None` once it is complete.
    async fn compare(&mut self) -> Result<Option<Ran>, Pause> {
        for source in self.inbox.sources().await? {
            let after = match &self.after {
                Some((done, _)) if source < *done => continue,
                Some((at, record)) if source == *at => record.clone(),
                _ => String::new(),
            };
            let (_, heads) = self.inbox.held_page(source, &after, PAGE_RECORDS).await?;
            let Some(last) = heads.last() else { continue };
            let next = (source, last.record.to_string());
            let keys: Vec<_> = heads.iter().map(|h| (source, h.record.clone())).collect();
            let known = self.inbox.targets(&self.name, &keys).await?;
            let mut items = Vec::new();
            for (head, key) in heads.iter().zip(&keys) {
                if known.get(key) != Some(&head.seq) {
                    items.extend(self.inbox.held(source, &head.record).await?.map(Item::write));
                }
            }
            let ran = self.run(items).await?;
            if ran.stopped.is_none() {
                self.after = Some(next);
            }
            return Ok(Some(ran));
        }
        let orphans = self.inbox.orphans(&self.name, PAGE_RECORDS).await?;
        if orphans.is_empty() {
            return Ok(None);
        }
        let items = orphans
            .into_iter()
            .map(|(s, r)| Item::delete(s, r, 0, 0))
            .collect();
        self.run(items).await.map(Some)
    }

    /// Tells of one source. False where it is to be tried again.
    async fn tell_one(&self, client: &FhirClient, about: &About) -> Result<bool, Pause> {
        let id = about_id(about.source);
        self.inbox.prepare_about(&self.name, about.source, &id).await?;
        let Ok(body) = serde_json::to_vec(&about::resource(about)) else {
            return Ok(true);
        };
        match client.put(ABOUT_TYPE, &id, body, self.inbox.now_ms()).await {
            Outcome::Done => Ok(true),
            Outcome::Refused(fault) => {
                tracing::warn!(
                    output = self.name,
                    source = %about.source,
                    reason = fault.reason,
                    "the server does not take what is told about a source: its clinicians see no notices"
                );
                Ok(true)
            }
            Outcome::Again { fault, .. } => {
                tracing::debug!(
                    output = self.name,
                    reason = fault.reason,
                    "not told about a source yet"
                );
                Ok(false)
            }
        }
    }

    async fn carry_out(&mut self, group: Vec<Change>) -> Result<Step, Pause> {
        if self.letters_at.is_none_or(|at| at.elapsed() >= LETTERS_EVERY)
            && let Some(ran) = self.retry_letters().await?
        {
            return Ok(step(ran));
        }
        let last = group.last().map_or(self.position, |c| c.number);
        let mut ran = self.run(Item::of_changes(group)).await?;
        // Everything before the item that is waited for is carried out, or stands in a letter.
        ran.progress.position = match &ran.stopped {
            Some((number, _)) => number.saturating_sub(1).max(self.position),
            None => last,
        };
        self.position = ran.progress.position;
        Ok(step(ran))
    }

    async fn rest(&mut self) -> Result<Step, Pause> {
        if let Some(ran) = self.retry_letters().await? {
            return Ok(step(ran));
        }
        if !self.resync {
            return Ok(Step::nothing());
        }
        if let Some(ran) = self.compare().await? {
            return Ok(step(ran));
        }
        self.resync = false;
        self.after = None;
        tracing::info!(output = self.name, "the server is in step with all that is held");
        Ok(self.progress(self.position).into())
    }
}

fn step(ran: Ran) -> Step {
    Step {
        progress: Some(ran.progress),
        pause: ran.stopped.map(|(_, pause)| pause),
    }
}

#[async_trait::async_trait]
impl Output for FhirOutput {
    async fn start(&mut self, row: &OutputRow) -> Result<(), Pause> {
        (self.position, self.resync) = (row.position, row.resync);
        let settings = self.settings.clone();
        let made = tokio::task::spawn_blocking(move || FhirClient::new(&settings)).await;
        self.client = Some(made.map_err(|_| Pause::because("the client could not be made"))??);
        Ok(())
    }

    async fn tell(&mut self, abouts: &[About]) -> Result<Vec<OdsCode>, Pause> {
        let Some(client) = &self.client else {
            return Err(Pause::because("the server is being connected to again"));
        };
        let mut told = Vec::new();
        for about in abouts {
            if !self.tell_one(client, about).await? {
                break;
            }
            told.push(about.source);
        }
        Ok(told)
    }

    fn as_of_step(&self) -> Duration {
        AS_OF_STEP
    }

    async fn apply(&mut self, group: Vec<Change>) -> Step {
        self.carry_out(group).await.unwrap_or_else(Step::from)
    }

    async fn idle(&mut self, position: u64) -> Step {
        self.position = position;
        self.rest().await.unwrap_or_else(Step::from)
    }
}
