//! Aims, whether they were met, and under what circumstances that was measured.

use serde::Serialize;

/// What a figure was to be.
#[derive(Debug, Clone, Serialize)]
pub struct Aim {
    /// What is measured.
    pub what: String,
    /// What came out.
    pub measured: f64,
    /// In what.
    pub unit: &'static str,
    /// The bound.
    pub bound: f64,
    /// Whether the bound is the most or the least that is allowed.
    pub at_most: bool,
}

impl Aim {
    /// No more than `bound`.
    pub fn at_most(what: impl Into<String>, measured: f64, bound: f64, unit: &'static str) -> Self {
        let what = what.into();
        Self {
            what,
            measured,
            unit,
            bound,
            at_most: true,
        }
    }

    /// No less than `bound`.
    pub fn at_least(what: impl Into<String>, measured: f64, bound: f64, unit: &'static str) -> Self {
        Self {
            at_most: false,
            ..Self::at_most(what, measured, bound, unit)
        }
    }

    /// Whether it was met; what is no number never is.
    pub fn met(&self) -> bool {
        if self.at_most {
            self.measured <= self.bound
        } else {
            self.measured >= self.bound
        }
    }
}

/// When and beside what it was measured.
#[derive(Debug, Clone, Serialize)]
pub struct Circumstances {
    /// RFC 3339.
    pub at: String,
    /// Over 1, 5 and 15 minutes, before it began.
    pub load_average: String,
    /// Processors.
    pub cores: usize,
    /// Whether others kept the machine busy before it began: more to do than processors.
    pub busy: bool,
    /// Whether it was an optimised build.
    pub optimised: bool,
}

impl Circumstances {
    /// As they are now.
    pub fn now() -> Self {
        let averages = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
        let mut three = averages.split_whitespace().take(3);
        let load_average = three.by_ref().collect::<Vec<_>>().join(" ");
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let lately: f64 = averages
            .split_whitespace()
            .next()
            .and_then(|average| average.parse().ok())
            .unwrap_or(0.0);
        Self {
            at: jiff::Timestamp::now().to_string(),
            busy: lately > cores as f64,
            load_average,
            cores,
            optimised: !cfg!(debug_assertions),
        }
    }
}

/// Figures that can be shown and judged.
pub trait Shown: Serialize {
    /// What is measured, in a few words.
    fn title(&self) -> &'static str;
    /// Lines of the table: what, and how much.
    fn rows(&self) -> Vec<(String, String)>;
    /// What was aimed at.
    fn aims(&self) -> &[Aim];
    /// Where and when.
    fn circumstances(&self) -> &Circumstances;
}

/// The figures and aims as lines for people.
pub(super) fn table(figures: &impl Shown) -> String {
    let around = figures.circumstances();
    let busy = if around.busy { ", busy machine" } else { "" };
    let mut out = format!(
        "{}   ({}, load average {}, {} cores{busy})\n",
        figures.title(),
        around.at,
        around.load_average,
        around.cores
    );
    for (what, much) in figures.rows() {
        out.push_str(&format!("  {what:<52} {much}\n"));
    }
    for aim in figures.aims() {
        let (met, bound) = (
            if aim.met() { "met" } else { "MISSED" },
            if aim.at_most { "at most" } else { "at least" },
        );
        out.push_str(&format!(
            "  {met:<7} {}: {:.2} {}, {bound} {:.2}\n",
            aim.what, aim.measured, aim.unit, aim.bound
        ));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_aim_is_met_up_to_its_bound_and_never_by_what_is_no_number() {
        assert!(Aim::at_most("m", 60.0, 60.0, "KiB").met());
        assert!(!Aim::at_most("m", 60.1, 60.0, "KiB").met());
        assert!(Aim::at_least("m", 2.0, 2.0, "").met());
        assert!(!Aim::at_least("m", 1.9, 2.0, "").met());
        assert!(!Aim::at_most("m", f64::NAN, 60.0, "KiB").met());
        assert!(!Aim::at_least("m", f64::NAN, 2.0, "").met());
    }
}
