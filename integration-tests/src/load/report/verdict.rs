//! Whether a run was sound, in words.
//!
//! Invariants: a sabotaged run that found nothing is never called sound, nor is one in which nothing was
//! delivered.

use super::words::several;
use crate::load::Outcome;

/// How a run stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Nothing was wrong.
    Sound,
    /// Something was wrong, as the sabotage meant it to be.
    Caught,
    /// It shows nothing: nothing was delivered, or a sabotage was not found.
    Empty,
    /// Something was wrong.
    Unsound,
}

/// How a run stands, in a line, and what weighs on its figures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// How it stands.
    pub standing: Standing,
    /// In words.
    pub words: String,
    /// What to bear in mind beside.
    pub caveats: Vec<String>,
}

/// The verdict on a run.
pub fn verdict(outcome: &Outcome) -> Verdict {
    let (standing, words) = match (&outcome.sabotage, outcome.sound()) {
        (Some(what), true) => (
            Standing::Empty,
            format!("The check was sabotaged ({what}) and found nothing: the check itself is at fault."),
        ),
        (Some(what), false) => (
            Standing::Caught,
            format!(
                "The check was sabotaged ({what}) and found it: {}.",
                wrong(outcome)
            ),
        ),
        (None, false) => (Standing::Unsound, format!("Not sound: {}.", wrong(outcome))),
        (None, true) if outcome.deliveries == 0 => (
            Standing::Empty,
            "Nothing was delivered: this run shows nothing.".to_owned(),
        ),
        (None, true) => (
            Standing::Sound,
            "No leak, nothing lost, nothing twice, nothing out of order, nothing forged.".to_owned(),
        ),
    };
    Verdict {
        standing,
        words,
        caveats: caveats(outcome),
    }
}

/// The counts that are not 0, in words.
fn wrong(outcome: &Outcome) -> String {
    let counts = [
        (outcome.leaks, "leak", "leaks"),
        (outcome.lost, "lost", "lost"),
        (outcome.duplicated, "duplicated", "duplicated"),
        (outcome.out_of_order, "out of order", "out of order"),
        (outcome.forged, "forged", "forged"),
    ];
    let wrong: Vec<String> = counts
        .into_iter()
        .filter(|(n, ..)| *n > 0)
        .map(|(n, one, more)| several(n, one, more))
        .collect();
    wrong.join(", ")
}

fn caveats(outcome: &Outcome) -> Vec<String> {
    let machine = &outcome.machine;
    let mut out = Vec::new();
    if !machine.optimised {
        out.push("The build is not optimised: the figures mean nothing.".to_owned());
    }
    if machine.load_average > f64::from(machine.cores.max(1)) {
        out.push(format!(
            "The machine was busy before the run began (load average {:.1} on {}): the figures are too low.",
            machine.load_average,
            several(u64::from(machine.cores), "core", "cores"),
        ));
    }
    if outcome.pending > 0 {
        out.push(format!(
            "{} answered “pending”: not known to be in force in time.",
            several(outcome.pending, "call was", "calls were"),
        ));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::report::page::tests::outcome;

    #[test]
    fn a_sound_run_is_called_sound() {
        let v = verdict(&outcome());
        assert_eq!(v.standing, Standing::Sound);
        assert!(v.words.starts_with("No leak, nothing lost"), "{}", v.words);
        assert_eq!(v.caveats, Vec::<String>::new());
    }

    #[test]
    fn every_count_makes_a_run_unsound_and_is_named() {
        type Set = fn(&mut Outcome);
        let counts: [(Set, &str); 5] = [
            (|o| o.leaks = 1, "1 leak."),
            (|o| o.lost = 2, "2 lost."),
            (|o| o.duplicated = 3, "3 duplicated."),
            (|o| o.out_of_order = 4, "4 out of order."),
            (|o| o.forged = 5, "5 forged."),
        ];
        for (set, words) in counts {
            let mut o = outcome();
            set(&mut o);
            let v = verdict(&o);
            assert_eq!(v.standing, Standing::Unsound);
            assert_eq!(v.words, format!("Not sound: {words}"));
        }
    }

    #[test]
    fn a_sabotage_that_was_not_found_is_the_checks_own_fault() {
        let mut o = outcome();
        o.sabotage = Some("drop".to_owned());
        assert_eq!(verdict(&o).standing, Standing::Empty);
        o.lost = 1;
        let v = verdict(&o);
        assert_eq!(v.standing, Standing::Caught);
        assert!(v.words.ends_with("found it: 1 lost."), "{}", v.words);
    }

    #[test]
    fn a_run_that_delivered_nothing_shows_nothing() {
        let mut o = outcome();
        o.deliveries = 0;
        assert_eq!(verdict(&o).standing, Standing::Empty);
    }

    #[test]
    fn what_weighs_on_the_figures_is_said() {
        let mut o = outcome();
        o.machine.optimised = false;
        o.machine.load_average = 7.0;
        o.pending = 1;
        let caveats = verdict(&o).caveats;
        assert_eq!(caveats.len(), 3, "{caveats:?}");
        assert!(caveats[1].contains("load average 7.0 on 2 cores"), "{caveats:?}");
    }
}
