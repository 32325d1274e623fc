//! Opens the sources of an emergency access: a grant for each, or a share in the one that is open already for
//! the same patient at the same unit, which then lasts as long as the longer of the two.
//!
//! Invariant: an access never lasts longer than was asked for.

use std::time::Duration;

use handfast_proto::ids::OdsCode;
use tokio::time::sleep;

use super::{ActError, Caller, Context};
use crate::{
    audit::events::EmergencyOpened,
    consent::{Book, Emergency, GrantId, Pair, PairTerms, Standing},
    store::{AccessId, NewAccess, NewEntry, OpenEmergency, OpenedSource},
};

/// How often it is looked again where what may be opened changed under its hands.
const MAX_LOOKS: usize = 4;

/// How long it waits in between: one that is over may be about to be ended.
const LOOK_AGAIN_AFTER: Duration = Duration::from_millis(50);

/// Opens the sources of one access.
pub(super) struct Opening<'a> {
    ctx: &'a Context,
    caller: &'a Caller,
    id: AccessId,
    access: &'a NewAccess,
}

/// The units that share out towards a recipient, by ODS code: what the recipient may know.
pub(super) fn shared_out_to(book: &Book, recipient: OdsCode, now: i64) -> Vec<OdsCode> {
    let shares = |(pair, terms): &(Pair, PairTerms)| {
        pair.recipient == recipient
            && terms.share_out.on
            && !terms.share_out.ended(now)
            && book.standing(pair.source) == Standing::Enrolled
    };
    let mut sources: Vec<OdsCode> = book.pairs().filter(shares).map(|(pair, _)| pair.source).collect();
    sources.sort_unstable();
    sources
}

impl<'a> Opening<'a> {
    pub(super) fn new(ctx: &'a Context, caller: &'a Caller, id: AccessId, access: &'a NewAccess) -> Self {
        Self {
            ctx,
            caller,
            id,
            access,
        }
    }

    /// Opens what may be opened now, and notes it; whether that is anything. Not cancellation-safe.
    pub(super) async fn open(&self) -> Result<bool, ActError> {
        for _ in 0..MAX_LOOKS {
            let book = self.ctx.revoker.book();
            let may = shared_out_to(&book, self.access.recipient, self.access.at);
            let wanted = self.access.sources.iter().filter(|source| may.contains(source));
            let (mut opened, mut joins, mut fresh) = (Vec::new(), Vec::new(), Vec::new());
            for source in wanted {
                match self.in_force(&book, *source) {
                    Some(joined) => {
                        joins.push(self.entry(*source)?);
                        opened.push(joined);
                    }
                    None => fresh.push(*source),
                }
            }
            match self.carried(opened, joins, fresh).await {
                // A half was turned off, or another clinician was faster, to open or to end: look again.
                Err(ActError::Conflict(_)) => sleep(LOOK_AGAIN_AFTER).await,
                Err(error) => return Err(error),
                Ok(any) => return Ok(any),
            }
        }
        Err(ActError::Unavailable(
            "what your unit may open changes all the time: ask again in a moment".to_owned(),
        ))
    }

    /// The access of the same patient that is open already.
    fn in_force(&self, book: &Book, source: OdsCode) -> Option<OpenedSource> {
        let pair = Pair {
            source,
            recipient: self.access.recipient,
        };
        let same = |(_, emergency): &(GrantId, Emergency)| {
            emergency.pair == pair
                && emergency.patient == self.access.patient
                && emergency.window.in_force(self.access.at)
        };
        book.emergencies()
            .find(same)
            .map(|(grant, _)| OpenedSource { source, grant })
    }

    /// Opens what is not open, and has everything carry this access.
    async fn carried(
        &self,
        mut opened: Vec<OpenedSource>,
        joins: Vec<NewEntry>,
        fresh: Vec<OdsCode>,
    ) -> Result<bool, ActError> {
        if !fresh.is_empty() {
            opened.extend(self.grants(fresh).await?);
        }
        let any = !opened.is_empty();
        if any {
            self.ctx.revoker.carry_access(self.id, opened, joins).await?;
        }
        Ok(any)
    }

    async fn grants(&self, sources: Vec<OdsCode>) -> Result<Vec<OpenedSource>, ActError> {
        let entries = sources.iter().map(|source| self.entry(*source));
        let audit = entries.collect::<Result<_, _>>()?;
        let open = OpenEmergency {
            recipient: self.access.recipient,
            patient: self.access.patient,
            sources,
            at: self.access.at,
            until: self.access.until,
        };
        let rows = self.ctx.revoker.open_emergency(open, audit).await?;
        let opened = rows.into_iter().map(|row| OpenedSource {
            source: row.pair.source,
            grant: row.grant,
        });
        Ok(opened.collect())
    }

    /// What the audit log says of opening a source.
    fn entry(&self, source: OdsCode) -> Result<NewEntry, ActError> {
        let ground = self.access.ground;
        let event = EmergencyOpened {
            pair: Pair {
                source,
                recipient: self.access.recipient,
            },
            patient: self.access.patient,
            ground: (number(ground.alert_type() as i32), number(ground.reason() as i32)),
            until: self.access.until,
            note: &self.access.note,
        };
        self.ctx.entry(self.caller, self.access.at, &event)
    }
}

/// The numbers of the contract are never below 0.
fn number(of_enum: i32) -> u32 {
    of_enum.unsigned_abs()
}
