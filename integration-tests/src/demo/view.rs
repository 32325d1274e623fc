//! What the demo shows: progress bars on a terminal, plain lines elsewhere.

#![expect(clippy::print_stdout, reason = "what it shows is its work")]

use std::{collections::BTreeMap, io::IsTerminal as _, time::Duration};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::scene::{Scene, Standing};

const BAR: &str = "  {prefix:<62} {bar:24.green/dim} {pos:>3}/{len:<3} {msg}";

/// How often the bars are looked after while a step waits.
pub(super) const REFRESH_EVERY: Duration = Duration::from_millis(250);

/// The screen.
pub(super) struct View {
    bars: Option<MultiProgress>,
    pairs: BTreeMap<(String, String), (String, u64, ProgressBar)>,
}

impl View {
    pub(super) fn new() -> Self {
        let bars = std::io::stdout()
            .is_terminal()
            .then(|| MultiProgress::with_draw_target(ProgressDrawTarget::stdout()));
        Self {
            bars,
            pairs: BTreeMap::new(),
        }
    }

    /// One bar for every ordered pair.
    pub(super) fn open(&mut self, scene: &Scene) {
        let style = ProgressStyle::with_template(BAR)
            .unwrap_or_else(|_| ProgressStyle::default_bar())
            .progress_chars("━━─");
        for (source, recipient) in scene.pairs() {
            let title = format!("{} → {}", source.name, recipient.name);
            let len = source.holds.len() as u64;
            let bar = match &self.bars {
                Some(bars) => bars.add(ProgressBar::new(len)),
                None => ProgressBar::hidden(),
            };
            bar.set_style(style.clone());
            bar.set_prefix(title.clone());
            bar.tick();
            let key = (source.unit.ods.clone(), recipient.unit.ods.clone());
            self.pairs.insert(key, (title, len, bar));
        }
    }

    /// A line above the bars.
    pub(super) fn say(&self, line: &str) {
        match &self.bars {
            Some(bars) => {
                let _ = bars.println(line);
            }
            None => println!("{line}"),
        }
    }

    /// A step's heading.
    pub(super) fn step(&self, number: u32, heading: &str) {
        self.say("");
        self.say(&format!("{number}. {heading}"));
    }

    /// Moves the bars.
    pub(super) fn update(&self, standing: &BTreeMap<(String, String), Standing>) {
        for (key, (_, _, bar)) in &self.pairs {
            if let Some(s) = standing.get(key) {
                bar.set_position(s.received);
                bar.set_message(why(s));
            }
        }
    }

    /// How it stands, as lines, where there is no terminal.
    pub(super) fn settle(&self, standing: &BTreeMap<(String, String), Standing>) {
        self.update(standing);
        if self.bars.is_some() {
            return;
        }
        for (key, (title, len, _)) in &self.pairs {
            if let Some(s) = standing.get(key) {
                println!("   {title:<62} received {:>3} of {len:<3} {}", s.received, why(s));
            }
        }
    }

    /// Leaves the bars as they are.
    pub(super) fn close(&self) {
        for (_, _, bar) in self.pairs.values() {
            bar.abandon();
        }
    }
}

fn why(standing: &Standing) -> String {
    if standing.withheld.is_empty() {
        let word = if standing.in_force {
            "both hands joined"
        } else {
            "no agreement in force"
        };
        return word.to_owned();
    }
    let reasons: Vec<_> = standing
        .withheld
        .iter()
        .map(|(reason, count)| format!("{count} {reason}"))
        .collect();
    format!("withheld: {}", reasons.join(", "))
}
