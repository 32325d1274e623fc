//! Random sequences of Consents, ends, merges of content and doubts about a number, against a plain account
//! of what each should come to. What the daemon does with statements is played by its rule: the word said
//! later counts, and of two said at once the denial.
//!
//! Detects: a word that stands at the daemon although no Consent says so any more, or does not although one
//! does; a yes under a number that is in doubt or was another's.

use std::collections::{BTreeMap, BTreeSet};

use handfast_proto::{
    statement::{Statement, WordSide},
    v1::PatientWordValue::{self, Ended, No, Unspecified, Yes},
};
use proptest::prelude::*;
use serde_json::json;

use super::{
    said::{consent, statement},
    support::*,
};

const CONSENTS: usize = 3;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Permit,
    Deny,
    /// A permit of a part.
    Narrow,
    Inactive,
}

#[derive(Debug, Clone, Copy)]
enum Step {
    Say(usize, Kind, u8),
    Delete(usize),
    /// The Patient's number is this, or in doubt.
    Number(Option<&'static str>),
}

fn step() -> impl Strategy<Value = Step> {
    let kind = prop_oneof![
        2 => Just(Kind::Permit),
        2 => Just(Kind::Deny),
        1 => Just(Kind::Narrow),
        1 => Just(Kind::Inactive),
    ];
    let number = prop_oneof![Just(Some(N1)), Just(Some(N2)), Just(None)];
    prop_oneof![
        6 => (0..CONSENTS, kind, 1_u8..5).prop_map(|(c, kind, day)| Step::Say(c, kind, day)),
        1 => (0..CONSENTS).prop_map(Step::Delete),
        2 => number.prop_map(Step::Number),
    ]
}

/// What the account knows of a Consent.
#[derive(Debug, Clone, Default)]
struct Account {
    /// What it was sent as last, as far as it was taken.
    content: Option<(Kind, u8)>,
    /// Yes or no and of which day; else nothing.
    word: Option<(PatientWordValue, u8)>,
    waits: Option<(Kind, u8)>,
    /// Whether its patient was ever known.
    placed: bool,
    numbers: BTreeSet<&'static str>,
}

/// Plain sets: knows nothing of seqs, moments or what was said before.
#[derive(Debug, Default)]
struct Oracle {
    number: Option<&'static str>,
    consents: [Account; CONSENTS],
}

impl Oracle {
    fn apply(&mut self, step: Step) {
        match step {
            Step::Number(number) => {
                self.number = number;
                for account in &mut self.consents {
                    if let (Some(_), Some(content)) = (number, account.waits.take_if(|_| number.is_some())) {
                        account.take(content, number);
                    }
                    if account.placed {
                        account.numbers.extend(number);
                    }
                }
            }
            Step::Delete(c) => self.consents[c] = Account::default(),
            Step::Say(c, kind, day) => {
                let account = &mut self.consents[c];
                let takes_back = matches!(kind, Kind::Narrow | Kind::Inactive);
                if takes_back || self.number.is_some() {
                    account.waits = None;
                    account.take((kind, day), self.number.filter(|_| !takes_back));
                } else if account.placed && account.content == Some((kind, day)) {
                    account.waits = None;
                } else {
                    account.waits = Some((kind, day));
                }
            }
        }
    }

    fn expected(&self, number: &str) -> PatientWordValue {
        let mut best: Option<(u8, bool)> = None;
        for account in self.consents.iter().filter(|a| a.numbers.contains(number)) {
            let counts = match account.word {
                Some((No, day)) => Some((day, true)),
                Some((Yes, day)) if self.number == Some(number) && account.waits.is_none() => {
                    Some((day, false))
                }
                _ => None,
            };
            best = best.max(counts);
        }
        best.map_or(Unspecified, |(_, no)| if no { No } else { Yes })
    }
}

impl Account {
    fn take(&mut self, (kind, day): (Kind, u8), number: Option<&'static str>) {
        self.content = Some((kind, day));
        self.word = match kind {
            Kind::Permit => Some((Yes, day)),
            Kind::Deny => Some((No, day)),
            Kind::Inactive => None,
            Kind::Narrow => self.word.filter(|(word, _)| *word == No),
        };
        self.placed |= number.is_some();
        self.numbers.extend(number);
    }
}

/// The words in force at the daemon, by its rule.
async fn in_force(desk: &Desk) -> BTreeMap<(String, WordSide), (PatientWordValue, i64)> {
    let mut standing = BTreeMap::new();
    for (_, amendment) in desk.amendments().await {
        let Some(Statement::PatientWord(said)) = statement(&amendment) else {
            continue;
        };
        let number = amendment.subject.unwrap().patient.reveal();
        for side in said.sides {
            let place = standing
                .entry((number.clone(), side))
                .or_insert((Ended, i64::MIN));
            let (word, at) = *place;
            let prevails = match said.said_at.cmp(&at) {
                _ if word == Ended => true,
                std::cmp::Ordering::Greater => true,
                std::cmp::Ordering::Equal => said.word == No || word != No,
                std::cmp::Ordering::Less => false,
            };
            if prevails {
                *place = (said.word, said.said_at);
            }
        }
    }
    standing
}

async fn carry_out(desk: &Desk, step: Step) {
    match step {
        Step::Number(number) => {
            let _taken = desk.send(&patient("p", number)).await;
        }
        Step::Delete(c) => {
            let _taken = desk.delete(&format!("Consent/c{c}")).await;
        }
        Step::Say(c, kind, day) => {
            let at = format!("2025-01-0{day}T00:00:00Z");
            let word = if kind == Kind::Deny { "deny" } else { "permit" };
            let mut resource = consent(&format!("c{c}"), "p", word, &at);
            match kind {
                Kind::Narrow => resource["provision"]["period"] = json!({"start": "2025-01-01"}),
                Kind::Inactive => resource["status"] = json!("inactive"),
                Kind::Permit | Kind::Deny => {}
            }
            desk.send(&resource).await;
        }
    }
}

/// Carries out steps, and holds what stands after each against the account.
async fn follow(steps: &[Step]) -> Result<(), TestCaseError> {
    let desk = Desk::open().await;
    let mut oracle = Oracle::default();
    for (index, step) in steps.iter().enumerate() {
        carry_out(&desk, *step).await;
        oracle.apply(*step);
        let standing = in_force(&desk).await;
        for number in [N1, N2] {
            let expected = oracle.expected(number);
            for side in WordSide::BOTH {
                let found = standing
                    .get(&(number.to_owned(), side))
                    .map_or(Ended, |(word, _)| *word);
                let found = if found == Ended { Unspecified } else { found };
                prop_assert_eq!(found, expected, "step {} of {:?}: {}", index, steps, number);
            }
        }
    }
    Ok(())
}

/// Fails where a Consent that says nothing is taken for the patient's of one that is gone.
#[tokio::test]
async fn what_takes_the_place_of_a_consent_that_is_gone_is_of_nobody_until_it_says_something() {
    let steps = [
        Step::Number(Some(N1)),
        Step::Say(0, Kind::Permit, 1),
        Step::Delete(0),
        Step::Say(0, Kind::Narrow, 1),
        Step::Number(Some(N2)),
        Step::Number(Some(N1)),
        Step::Say(0, Kind::Deny, 1),
    ];
    follow(&steps).await.unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn what_stands_at_the_daemon_is_what_the_consents_come_to(steps in proptest::collection::vec(step(), 1..24)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(follow(&steps))?;
    }
}
