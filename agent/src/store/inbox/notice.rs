//! Notices for clinicians: without clinical content, naming nobody and counting nothing. An absent allergy must
//! never look like no allergy. Pure.

use serde::{Deserialize, Serialize};

/// What is granted counts as stale once the daemon was not heard for this long: 15 minutes, in milliseconds.
pub(super) const STALE_AFTER_MS: i64 = 15 * 60 * 1000;

/// How long it is told that something was withdrawn of which it is not known what, unless a new grant is caught up
/// before: 30 days, in milliseconds. What is known is told until it is back.
pub(super) const WITHDRAWN_TOLD_MS: i64 = 30 * DAY_MS;

/// An output that has not carried out a change for this long is told to be behind: a minute, in milliseconds.
pub(super) const BEHIND_AFTER_MS: i64 = 60 * 1000;

const DAY_MS: i64 = 24 * 3600 * 1000;

/// What kind of notice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NoticeCode {
    /// What is shown may be out of date.
    Stale,
    /// Something was withdrawn, and is not shown any more.
    Withdrawn,
    /// What is shown may lack something.
    PossiblyIncomplete,
}

/// Why a notice is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NoticeReason {
    /// The source is suspended.
    Suspended,
    /// The daemon was not heard for [`STALE_AFTER_MS`].
    NotConnected,
    /// Something is held though no grant is known.
    NotGranted,
    /// A catch-up or another job is under way.
    CatchingUp,
    /// The output could not write, or not remove, something.
    DeadLetters,
    /// The grant does not carry every category.
    NarrowedScope,
    /// The grant does not carry every patient's records.
    NotEveryPatient,
    /// Only what was opened in an emergency is shared.
    EmergencyOnly,
    /// The output has not carried out everything yet.
    OutputBehind,
}

/// A notice for clinicians. Names nobody, counts nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    /// What kind.
    pub code: NoticeCode,
    /// Why, in the order of [`NoticeReason`]; empty where something was withdrawn.
    pub reasons: Vec<NoticeReason>,
    /// The day since which something was withdrawn, `2026-11-23`, in UTC.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
}

/// What notices are made of.
#[derive(Debug, Clone, Default)]
pub(super) struct Facts {
    pub(super) granted: bool,
    pub(super) suspended: bool,
    pub(super) caught_up: bool,
    pub(super) narrowed: bool,
    pub(super) not_everyone: bool,
    pub(super) emergency_only: bool,
    pub(super) jobs: bool,
    pub(super) held: bool,
    pub(super) as_of: Option<i64>,
    pub(super) withdrawn_at: Option<i64>,
    pub(super) absent_at: Option<i64>,
    pub(super) letters: bool,
    pub(super) behind: bool,
}

impl NoticeReason {
    /// For people.
    pub fn text(self) -> &'static str {
        match self {
            Self::Suspended => "the source's sharing is suspended",
            Self::NotConnected => "the connection has been down for more than 15 minutes",
            Self::NotGranted => "no sharing agreement is known for it",
            Self::CatchingUp => "records are still being received",
            Self::DeadLetters => "some records could not be written here",
            Self::NarrowedScope => "the sharing agreement covers some categories only",
            Self::NotEveryPatient => "the sharing agreement does not cover every patient",
            Self::EmergencyOnly => "only records opened in an emergency are shared",
            Self::OutputBehind => "some changes have not been written here yet",
        }
    }
}

impl Notice {
    /// For people.
    pub fn text(&self) -> String {
        let reasons: Vec<&str> = self.reasons.iter().map(|r| r.text()).collect();
        let reasons = reasons.join("; ");
        match self.code {
            NoticeCode::Stale => format!("What is shown may be out of date: {reasons}."),
            NoticeCode::Withdrawn => {
                let since = self.since.as_deref().unwrap_or("lately");
                format!(
                    "Records were withdrawn (last on {since}). What is not shown here may exist at the source."
                )
            }
            NoticeCode::PossiblyIncomplete => format!("What is shown may be incomplete: {reasons}."),
        }
    }
}

/// The notices that the facts ask for.
pub(super) fn notices(facts: &Facts, now: i64) -> Vec<Notice> {
    let because = |code, all: &[(bool, NoticeReason)]| {
        let reasons: Vec<_> = all.iter().filter(|(is, _)| *is).map(|(_, r)| *r).collect();
        let notice = Notice {
            code,
            reasons,
            since: None,
        };
        (!notice.reasons.is_empty()).then_some(notice)
    };
    let old = facts
        .as_of
        .is_some_and(|at| now.saturating_sub(at) > STALE_AFTER_MS);
    let stale = [
        (facts.granted && facts.suspended, NoticeReason::Suspended),
        (
            facts.granted && !facts.suspended && old,
            NoticeReason::NotConnected,
        ),
        (!facts.granted && facts.held, NoticeReason::NotGranted),
    ];
    let catching_up = facts.granted && (!facts.caught_up || facts.jobs);
    let incomplete = [
        (catching_up, NoticeReason::CatchingUp),
        (facts.letters, NoticeReason::DeadLetters),
        (facts.granted && facts.narrowed, NoticeReason::NarrowedScope),
        (facts.granted && facts.not_everyone, NoticeReason::NotEveryPatient),
        (facts.emergency_only, NoticeReason::EmergencyOnly),
        (facts.behind, NoticeReason::OutputBehind),
    ];
    let told = facts
        .withdrawn_at
        .filter(|at| now.saturating_sub(*at) < WITHDRAWN_TOLD_MS);
    let withdrawn = told.max(facts.absent_at).map(|at| Notice {
        code: NoticeCode::Withdrawn,
        reasons: Vec::new(),
        since: Some(day(at)),
    });
    let stale = because(NoticeCode::Stale, &stale);
    let incomplete = because(NoticeCode::PossiblyIncomplete, &incomplete);
    [stale, withdrawn, incomplete].into_iter().flatten().collect()
}

fn day(ms: i64) -> String {
    let at = jiff::Timestamp::from_millisecond(ms).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    at.strftime("%Y-%m-%d").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_795_428_000_000;

    fn told(facts: &Facts) -> Vec<(NoticeCode, Vec<NoticeReason>)> {
        let notices = notices(facts, NOW).into_iter();
        notices.map(|n| (n.code, n.reasons)).collect()
    }

    fn well() -> Facts {
        Facts {
            granted: true,
            caught_up: true,
            held: true,
            as_of: Some(NOW),
            ..Facts::default()
        }
    }

    #[test]
    fn each_fact_has_its_notice() {
        use NoticeCode::{PossiblyIncomplete, Stale, Withdrawn};
        use NoticeReason::*;
        assert_eq!(told(&well()), []);
        let one = |change: fn(&mut Facts)| {
            let mut facts = well();
            change(&mut facts);
            told(&facts)
        };
        assert_eq!(one(|f| f.suspended = true), [(Stale, vec![Suspended])]);
        let old = one(|f| f.as_of = Some(NOW - STALE_AFTER_MS - 1));
        assert_eq!(old, [(Stale, vec![NotConnected])]);
        assert_eq!(one(|f| f.as_of = Some(NOW - STALE_AFTER_MS)), []);
        assert_eq!(one(|f| f.granted = false), [(Stale, vec![NotGranted])]);
        assert_eq!(
            one(|f| f.caught_up = false),
            [(PossiblyIncomplete, vec![CatchingUp])]
        );
        assert_eq!(one(|f| f.jobs = true), [(PossiblyIncomplete, vec![CatchingUp])]);
        assert_eq!(
            one(|f| f.not_everyone = true),
            [(PossiblyIncomplete, vec![NotEveryPatient])]
        );
        let several = one(|f| (f.letters, f.narrowed, f.behind) = (true, true, true));
        let reasons = vec![DeadLetters, NarrowedScope, OutputBehind];
        assert_eq!(several, [(PossiblyIncomplete, reasons)]);
        assert_eq!(
            one(|f| f.emergency_only = true),
            [(PossiblyIncomplete, vec![EmergencyOnly])]
        );
        assert_eq!(one(|f| f.withdrawn_at = Some(NOW)), [(Withdrawn, vec![])]);
        assert_eq!(one(|f| f.withdrawn_at = Some(NOW - WITHDRAWN_TOLD_MS)), []);
        let long_ago = one(|f| f.absent_at = Some(NOW - 2 * WITHDRAWN_TOLD_MS));
        assert_eq!(long_ago, [(Withdrawn, vec![])]);
    }

    #[test]
    fn a_notice_names_a_day_and_nobody() {
        let facts = Facts {
            withdrawn_at: Some(NOW),
            ..well()
        };
        let notice = notices(&facts, NOW).remove(0);
        assert_eq!(notice.since.as_deref(), Some("2026-11-23"));
        assert!(notice.text().contains("last on 2026-11-23"), "{}", notice.text());
    }
}
