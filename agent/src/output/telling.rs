//! When an output is to tell its clinicians how this unit stands with a source: before a withdrawal is carried out, at
//! once where a notice changes, and now and then so that they see how old it is.

use std::{collections::HashMap, time::Duration};

use handfast_proto::ids::OdsCode;
use tokio::{sync::watch, time::Instant};

use super::model::{Output, Pause};
use crate::store::inbox::{About, Change, ChangeOp, Inbox};

/// How often it is looked whether time alone changed something.
const LOOK_EVERY: Duration = Duration::from_secs(10);

/// What one output has told.
pub(super) struct Telling {
    standing: watch::Receiver<u64>,
    look_at: Option<Instant>,
    told: HashMap<OdsCode, About>,
}

impl Telling {
    pub(super) fn new(inbox: &Inbox) -> Self {
        Self {
            standing: inbox.standing(),
            look_at: None,
            told: HashMap::new(),
        }
    }

    /// What it told may be gone.
    pub(super) fn begin_anew(&mut self) {
        self.look_at = None;
        self.told.clear();
    }

    /// Lets the output tell what is due before it carries out `group`.
    ///
    /// Not cancellation-safe, as the output is not.
    pub(super) async fn tell(
        &mut self,
        output: &mut dyn Output,
        inbox: &Inbox,
        name: &str,
        group: &[Change],
    ) -> Result<(), Pause> {
        let now = Instant::now();
        let due = self.look_at.is_none_or(|at| now >= at)
            || self.standing.has_changed().unwrap_or(false)
            || group.iter().any(|change| change.op == ChangeOp::Withdraw);
        if !due {
            return Ok(());
        }
        self.standing.mark_unchanged();
        let step = i64::try_from(output.as_of_step().as_millis()).unwrap_or(i64::MAX);
        let mut abouts = inbox.abouts(Some(name)).await?;
        abouts.retain(|about| {
            self.told
                .get(&about.source)
                .is_none_or(|told| is_news(told, about, step))
        });
        if !abouts.is_empty() {
            let told = output.tell(&abouts).await?;
            let news = abouts.into_iter().filter(|about| told.contains(&about.source));
            self.told.extend(news.map(|about| (about.source, about)));
        }
        self.look_at = Some(now + LOOK_EVERY);
        Ok(())
    }
}

/// Whether it is worth telling: anything but a time that has moved little.
fn is_news(told: &About, about: &About, step_ms: i64) -> bool {
    let moved = match (told.as_of, about.as_of) {
        (Some(then), Some(now)) => now < then || now.saturating_sub(then) >= step_ms,
        (then, now) => then != now,
    };
    moved || !told.says_the_same(about)
}
