//! What was found, counted by kind, and the first in words.

use super::super::MAX_FINDINGS;

/// What is wrong with an amendment that came, or did not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::load) enum Fault {
    Leak,
    Lost,
    Duplicated,
    OutOfOrder,
    Forged,
}

/// Counts, and the first findings in words.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::load) struct Findings {
    pub(in crate::load) leaks: u64,
    pub(in crate::load) lost: u64,
    pub(in crate::load) duplicated: u64,
    pub(in crate::load) out_of_order: u64,
    pub(in crate::load) forged: u64,
    pub(in crate::load) words: Vec<String>,
}

impl Findings {
    /// Counts `n` amendments; the words are made only where there is room for them.
    pub(super) fn add(&mut self, fault: Fault, n: u64, words: impl FnOnce() -> String) {
        let (count, name) = match fault {
            Fault::Leak => (&mut self.leaks, "leak"),
            Fault::Lost => (&mut self.lost, "lost"),
            Fault::Duplicated => (&mut self.duplicated, "duplicated"),
            Fault::OutOfOrder => (&mut self.out_of_order, "out of order"),
            Fault::Forged => (&mut self.forged, "forged"),
        };
        *count += n;
        if self.words.len() < MAX_FINDINGS {
            self.words.push(format!("{name}: {}", words()));
        }
    }

    /// All of them together.
    pub(in crate::load) fn total(&self) -> u64 {
        self.leaks + self.lost + self.duplicated + self.out_of_order + self.forged
    }

    /// Takes another's in.
    pub(in crate::load) fn join(&mut self, other: &Self) {
        self.leaks += other.leaks;
        self.lost += other.lost;
        self.duplicated += other.duplicated;
        self.out_of_order += other.out_of_order;
        self.forged += other.forged;
        let room = MAX_FINDINGS.saturating_sub(self.words.len());
        self.words.extend(other.words.iter().take(room).cloned());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_counts_go_on_where_the_words_end() {
        let mut all = Findings::default();
        for n in 0..MAX_FINDINGS + 5 {
            let mut one = Findings::default();
            one.add(Fault::Lost, 2, || format!("number {n}"));
            all.join(&one);
        }
        all.add(Fault::Leak, 1, || "one more".to_owned());
        assert_eq!((all.lost, all.leaks), (2 * (MAX_FINDINGS as u64 + 5), 1));
        assert_eq!(all.total(), 2 * (MAX_FINDINGS as u64 + 5) + 1);
        assert_eq!(all.words.len(), MAX_FINDINGS);
        assert_eq!(all.words.first().map(String::as_str), Some("lost: number 0"));
    }
}
